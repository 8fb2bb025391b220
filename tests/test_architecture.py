"""The arrows between packages are those of docs/architecture.md, and none leads in a circle."""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "architecture.md"


def load_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("architecture", ROOT / "docs" / "architecture.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SCRIPT = load_script()


def imports_of(tree: ast.Module, package: list[str]) -> Iterator[str]:
    """Yield the full names of what a module imports or names as a module, wherever it does."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docs = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)
    }

    def walk(node: ast.AST) -> Iterator[str]:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for other in node.orelse:
                yield from walk(other)
            return
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else []
            base = base + (node.module.split(".") if node.module else [])
            yield from (".".join([*base, alias.name]) for alias in node.names)
        elif (
            isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs
        ):
            yield node.value  # import_module may be given it
        for child in ast.iter_child_nodes(node):
            yield from walk(child)

    yield from walk(tree)


def arrows_of(root: Path) -> set[tuple[str, str]]:
    """Return which package below a folder imports which, and the root by the folder's own name."""
    files = list(root.rglob("*.py"))
    packages = {path.relative_to(root).parts[0].removesuffix(".py") for path in files}
    arrows = set()
    for path in files:
        parts = [root.name, *path.relative_to(root).with_suffix("").parts]
        mine = root.name if parts[1:] == ["__init__"] else parts[1]
        for name in imports_of(ast.parse(path.read_text()), parts[:-1]):
            top, _, rest = name.partition(".")
            if top != root.name or " " in name or (not rest and name == root.name):
                continue
            first = rest.partition(".")[0]
            to = first if first in packages - {"__init__"} else root.name
            if to != mine:
                arrows.add((mine, to))
    return arrows


def page_arrows() -> dict[str, list[str]]:
    return {name: to for name, (_, to) in SCRIPT.read_table(PAGE.read_text(), "package").items()}


def exceptions() -> set[tuple[str, str]]:
    table = SCRIPT.read_table(PAGE.read_text(), "import")
    assert all(reason for reason, _ in table.values())
    return {(start, to) for to, (_, starts) in table.items() for start in starts}


def test_the_page_has_the_arrows_of_the_code() -> None:
    code = {(start, to) for start, to in arrows_of(ROOT / "skhuihen") if start != "skhuihen"}
    page = {(start, to) for start, names in page_arrows().items() for to in names}
    assert code == page | exceptions()
    assert not page & exceptions()


def test_the_page_has_every_package() -> None:
    packages = {
        path.name.removesuffix(".py")
        for path in (ROOT / "skhuihen").iterdir()
        if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert packages - {"__init__"} == set(page_arrows())


def test_no_arrow_leads_in_a_circle() -> None:
    arrows: dict[str, list[str]] = {}
    for start, to in arrows_of(ROOT / "skhuihen") - exceptions():
        arrows.setdefault(start, []).append(to)
        arrows.setdefault(to, [])
    floor = SCRIPT.floors(arrows)
    assert all(floor[start] > floor[to] for start in arrows for to in arrows[start])


def test_the_picture_is_that_of_the_page() -> None:
    assert SCRIPT.PICTURE.read_text() == SCRIPT.picture(), "run: python docs/architecture.py"


def test_what_is_not_drawn_follows_from_what_is() -> None:
    arrows = page_arrows()
    drawn: dict[str, list[str]] = {name: [] for name in arrows}
    for start, to in SCRIPT.without_detours(arrows):
        drawn[start].append(to)

    def reached(name: str, by: dict[str, list[str]]) -> set[str]:
        return {name}.union(*(reached(to, by) for to in by[name]))

    assert all(reached(name, drawn) == reached(name, arrows) for name in arrows)
    # And each that is drawn is needed.
    for start, to in SCRIPT.without_detours(arrows):
        fewer = {**drawn, start: [other for other in drawn[start] if other != to]}
        assert to not in reached(start, fewer)


@pytest.mark.parametrize(
    ("code", "counts"),
    [
        ("from bank.lower import thing", True),
        ("import bank.lower", True),
        ("from bank import lower", True),
        ("from ..lower import thing", True),
        ("from .. import lower", True),
        ("def f():\n    from bank.lower import thing", True),
        ("import importlib\nimportlib.import_module('bank.lower')", True),
        ("NAMES = {'thing': 'bank.lower.part'}", True),
        ("if TYPE_CHECKING:\n    pass\nelse:\n    import bank.lower", True),
        ("if TYPE_CHECKING:\n    from bank.lower import thing", False),
        ("'bank.lower'", False),
        ("def f():\n    'bank.lower'", False),
        ("from .lower import thing", False),
        ("import lower", False),
        ("from other.lower import thing", False),
    ],
)
def test_which_imports_count(code, counts, tmp_path) -> None:
    for name in ("upper", "lower"):
        (tmp_path / "bank" / name).mkdir(parents=True)
        (tmp_path / "bank" / name / "__init__.py").touch()
    (tmp_path / "bank" / "__init__.py").touch()
    (tmp_path / "bank" / "upper" / "module.py").write_text(code)
    assert arrows_of(tmp_path / "bank") == ({("upper", "lower")} if counts else set())


def test_the_root_counts_by_its_own_name(tmp_path) -> None:
    (tmp_path / "bank").mkdir()
    (tmp_path / "bank" / "__init__.py").write_text("HOMES = {'f': 'bank.module'}")
    (tmp_path / "bank" / "module.py").write_text("from bank import __version__")
    assert arrows_of(tmp_path / "bank") == {("bank", "module"), ("module", "bank")}


def test_a_circle_is_found() -> None:
    with pytest.raises(ValueError, match="a -> b -> c -> a"):
        SCRIPT.floors({"a": ["b"], "b": ["c"], "c": ["a"], "d": ["a"]})
