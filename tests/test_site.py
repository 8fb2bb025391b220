"""The site leaves no public object and no page out. `make docs` builds it and checks its links."""

from __future__ import annotations

import ast
import doctest
import importlib
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import skhuihen
from skhuihen.utils import estimator_checks

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
#: What `make docs` writes among the pages.
WRITTEN = (DOCS / "gallery", DOCS / "reference" / "generated", DOCS / "reference" / "used_in")
PAGES = [
    path
    for path in sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
    if not any(path.is_relative_to(folder) for folder in (*WRITTEN, DOCS / "evidence"))
]
EXAMPLES = sorted((ROOT / "examples").glob("[0-9]*.py"))
REFERENCE = DOCS / "reference" / "index.md"
SCORERS = DOCS / "reference" / "scorers.md"


def load_script(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def public_modules() -> Iterator[ModuleType]:
    """Yield the package and its modules with public names."""
    yield skhuihen
    for path in sorted(Path(skhuihen.__file__).parent.iterdir()):
        if not path.name.startswith("_") and path.suffix in ("", ".py"):
            module = importlib.import_module(f"skhuihen.{path.stem}")
            if hasattr(module, "__all__"):
                yield module


def public_objects() -> dict[str, Any]:
    """Return each public object by the name that it is documented under."""
    found: dict[str, Any] = {}
    for module in public_modules():
        for name in module.__all__:
            thing = getattr(module, name)
            if not any(thing is other for other in found.values()):
                found[f"{module.__name__}.{name}"] = thing
    return found


def documented() -> list[str]:
    """Return the full names of the reference."""
    names = []
    for block in re.findall(r"```\{eval-rst\}\n(.*?)```", REFERENCE.read_text(), flags=re.DOTALL):
        (module,) = re.findall(r"^\.\. currentmodule:: (\S+)$", block, flags=re.MULTILINE)
        names += [f"{module}.{name}" for name in re.findall(r"^   ([A-Za-z][\w.]+)$", block, re.M)]
    return names + re.findall(r"\{py:data\} (\S+)", SCORERS.read_text())


def test_the_reference_has_each_public_object_once() -> None:
    names = documented()
    assert len(names) == len(set(names))
    checks = {name for name in names if name.startswith(estimator_checks.__name__)}
    assert set(names) - checks == set(public_objects())
    assert checks == {
        f"{estimator_checks.__name__}.{name}"
        for name in ("check_estimator", "estimator_checks_generator", "parametrize_with_checks")
    }


def test_each_public_object_has_an_example() -> None:
    """One of its own, or that of the function that returns it."""
    has = {name for name, thing in public_objects().items() if ">>>" in (thing.__doc__ or "")}
    assert len(has) > 50
    scorers = {f"skhuihen.metrics.{name}" for name in ("ks_scorer", "gini_scorer")}
    for name, thing in public_objects().items():
        if name in has | scorers:
            continue
        assert isinstance(thing, type)
        assert any(
            f"skhuihen.{other}" in has for other in re.findall(r"[Ss]ee `(\w+)", thing.__doc__)
        )


def test_the_example_of_the_scorers_runs() -> None:
    text = re.sub(r"^```.*$", "", SCORERS.read_text(), flags=re.MULTILINE)
    test = doctest.DocTestParser().get_doctest(text, {}, "scorers.md", "scorers.md", 0)
    results = doctest.DocTestRunner().run(test)
    assert results.failed == 0 < results.attempted


def in_contents(page: Path) -> Iterator[Path]:
    """Yield the pages in a page's tables of contents."""
    for block in re.findall(r"```\{toctree\}\n(.*?)```", page.read_text(), flags=re.DOTALL):
        for entry in block.splitlines():
            if entry and not entry.startswith(":"):
                folder = page.parent
                while entry.startswith("../"):
                    folder, entry = folder.parent, entry.removeprefix("../")
                yield from folder.glob(f"{entry}.md")


def test_each_page_is_in_the_contents_of_the_site() -> None:
    found, new = set(), {DOCS / "index.md"}
    while new:
        found |= new
        new = {page for other in new for page in in_contents(other)} - found
    assert set(PAGES) - {ROOT / "README.md"} == found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_examples_stand_in_blocks_of_code(page: Path) -> None:
    """Outside of them ``>>>`` is a quotation in a quotation in a quotation."""
    text = re.sub(r"^(`{3,}).*?^\1$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    assert not re.findall(r"^>>> .*$", text, flags=re.MULTILINE)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_scripts_of_the_gallery_have_titles_and_cells(path: Path) -> None:
    number = path.name.partition("_")[0]
    text = path.read_text()
    docstring = ast.get_docstring(ast.parse(text))
    assert docstring is not None
    title, line, blank = docstring.splitlines()[:3]
    assert title.startswith(f"{number}. ")
    assert (line, blank) == ("=" * len(title), "")
    for title, line in re.findall(r"^# %%\n# (.*)\n# (.*)$", text, flags=re.MULTILINE):
        assert line == "-" * len(title)
    # Python would run a cell's text that is no comment.
    assert text.count("# %%") == len(re.findall(r"^# %%\n# .+\n# -+\n", text, flags=re.MULTILINE))


def test_what_is_wrong_in_a_site_is_said(tmp_path: Path) -> None:
    check = load_script(DOCS / "check_site.py").check
    first, second = tmp_path / "a.html", tmp_path / "b.html"
    links = ("#top", "b.html#part", "https://elsewhere")
    first.write_text('<h1 id="top">A</h1>' + "".join(f'<a href="{link}">x</a>' for link in links))
    second.write_text('<p id="part"></p><link href="site.css"><a href="a.html">a</a>')
    (tmp_path / "site.css").write_text("p { background: url(dot.png) }")
    assert check(tmp_path) == []
    second.write_text('<script src="https://x/y.js"></script><a href="c.html">c</a>')
    (tmp_path / "site.css").write_text("p { background: url(https://x/dot.png) }")
    assert check(tmp_path) == [
        "a.html links b.html#part, a part that the page does not have.",
        "b.html fetches https://x/y.js.",
        "b.html links c.html, which does not exist.",
        "site.css fetches something from elsewhere.",
    ]
