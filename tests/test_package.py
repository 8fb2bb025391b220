"""What importing the package loads, and what its README promises."""

from __future__ import annotations

import doctest
import inspect
import re
import subprocess
import sys
import tomllib
from itertools import chain
from pathlib import Path

import pytest
import sklearn
from packaging.requirements import Requirement
from packaging.version import Version
from sklearn.inspection import partial_dependence

import skhuihen

ROOT = Path(__file__).resolve().parents[1]


LEARNS = ["torch", "skorch", "xgboost", "lightgbm"]
JOINS = ["ibis", "duckdb", "sqlglot", "pyspark"]


@pytest.mark.parametrize(
    ("used", "absent"),
    [
        (
            ["__version__", "show_versions"],
            [*LEARNS, *JOINS, "matplotlib", "sklearn", "pandas", "pyarrow"],
        ),
        (
            [
                *("attach_behaviors", "Sessionizer", "load_model", "plotting", "inspection"),
                *("Monitor", "risk_report"),
            ],
            [*LEARNS, *JOINS, "matplotlib"],
        ),
        (
            ["HUIHENClassifier", "OnlineScorer"],
            ["xgboost", "lightgbm", *JOINS, "matplotlib"],
        ),
    ],
)
def test_what_is_not_needed_is_not_imported(used: list[str], absent: list[str]) -> None:
    code = (
        "import skhuihen, sys\n"
        f"for name in {used}:\n"
        "    getattr(skhuihen, name)\n"
        f"    print(name, [other for other in {absent} if other in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.splitlines() == [f"{name} []" for name in used]


def test_versions_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    skhuihen.show_versions()
    shown = dict(
        line.strip().split(": ", 1) for line in capsys.readouterr().out.splitlines() if ": " in line
    )
    assert shown["skhuihen"] in (skhuihen.__version__, "absent")  # from its folder, or installed
    assert shown["scikit-learn"] == sklearn.__version__
    assert shown["python"].startswith(sys.version.split()[0])
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    of_users = [text for name in set(extras) - {"tests", "bench", "docs"} for text in extras[name]]
    required = [*project["dependencies"], *of_users]
    assert {Requirement(text).name for text in required} <= set(shown)


def test_every_public_name_loads() -> None:
    for name in skhuihen.__all__:
        assert getattr(skhuihen, name).__name__ == name
        assert name in dir(skhuihen)


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        _ = skhuihen.nonsense


def test_every_extra_has_a_user() -> None:
    """An extra that nothing asks for promises what is not there."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    texts = [
        path.read_text()
        for folder in ("skhuihen", "docs", "examples")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".py", ".md")
    ]
    for extra in set(project["optional-dependencies"]) - {"tests", "bench", "docs"}:
        assert any(f"skhuihen[{extra}]" in text for text in texts), extra


def test_lower_bounds_are_the_versions_that_are_tested() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    asked = [*project["dependencies"], *chain(*extras.values())]
    bounds = {
        Requirement(text).name: Version(clause.version)
        for text in asked
        for clause in Requirement(text).specifier
        if clause.operator == ">="
    }
    lines = (ROOT / "constraints-minimum.txt").read_text().splitlines()
    pins = {
        pin.name: Version(str(pin.specifier).removeprefix("=="))
        for pin in (Requirement(line.split("#")[0]) for line in lines if "==" in line)
    }
    of_users = [extras[name] for name in set(extras) - {"tests", "bench", "docs"}]
    assert {Requirement(text).name for text in chain(project["dependencies"], *of_users)} <= set(
        bounds
    )
    assert {name: pins.get(name) for name in bounds} == bounds


def test_terms_name_parameters_that_exist() -> None:
    text = (ROOT / "docs" / "terms.md").read_text()
    named = re.findall(r"`(\w+)\((\w+)\)`", text)
    assert len(named) > 30
    for function, parameter in named:
        found = next(
            getattr(home, function)
            for home in (
                *(skhuihen, skhuihen.metrics, skhuihen.model_selection),
                skhuihen.HUIHENClassifier,
            )
            if hasattr(home, function)
        )
        assert parameter in inspect.signature(found).parameters, (function, parameter)


def test_each_term_has_one_row() -> None:
    text = (ROOT / "docs" / "terms.md").read_text()
    terms = re.findall(r"^\| ([^|`]+) \| ", text, flags=re.MULTILINE)
    terms = [term for term in terms if term != "term"]
    assert len(terms) == len(set(terms)) > 40


def test_pre_commit_runs_what_ci_runs() -> None:
    lint = (ROOT / "Makefile").read_text().partition("\nlint:")[2].partition("\n\n")[0]
    commands = re.findall(r"^\t\$\(BIN\)/(.+)$", lint, flags=re.MULTILINE)
    hooks = (ROOT / ".pre-commit-config.yaml").read_text()
    assert len(commands) == 3
    assert re.findall(r"entry: \.venv/bin/(.+)", hooks) == commands


class NearlyEqual(doctest.OutputChecker):
    """Accepts AUCs that differ by at most 0.02: processors and versions round differently."""

    # With two decimals; numpy pads shorter ones with a space.
    NEAR = 0.025
    AUC = re.compile(r"\b0\.\d+ ?")

    def check_output(self, want: str, got: str, optionflags: int) -> bool:
        if super().check_output(want, got, optionflags):
            return True
        texts = [self.AUC.sub("#", text) for text in (want, got)]
        numbers = [list(map(float, self.AUC.findall(text))) for text in (want, got)]
        return (
            super().check_output(*texts, optionflags)
            and len(numbers[0]) == len(numbers[1]) > 0
            and all(abs(a - b) < self.NEAR for a, b in zip(*numbers, strict=True))
        )


@pytest.mark.parametrize(
    "page",
    sorted(ROOT.glob("*.md")) + sorted(ROOT.glob("docs/**/*.md")),
    ids=lambda page: page.name,
)
def test_every_block_of_code_is_closed(page: Path) -> None:
    """An open block swallows the rest of a page, and no doctest sees it."""
    fences = re.findall(r"^```(?!`)(.*)$", page.read_text(), flags=re.MULTILINE)
    assert len(fences) % 2 == 0
    assert not any(fences[1::2]), "a block that closes names no language"


def test_what_is_nearly_equal() -> None:
    is_near = NearlyEqual().check_output
    assert is_near("array([0.62, 0.67])\n", "array([0.63, 0.66])\n", 0)
    assert not is_near("array([0.62, 0.67])\n", "array([0.62, 0.70])\n", 0)
    assert not is_near("array([0.62, 0.67])\n", "array([0.62])\n", 0)
    assert not is_near("(200, 2)\n", "(200, 3)\n", 0)


@pytest.mark.slow
@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        *(
            f"docs/{name}.md"
            for name in (
                *("user_guide", "composition", "out_of_time", "base_model", "warm_start"),
                *("production", "reasons", "validation"),
            )
        ),
    ],
)
def test_pages_show_their_real_output(page: str) -> None:
    flags = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    text = (ROOT / page).read_text()
    # The fence that closes a block is not part of its last output.
    text = re.sub(r"^```.*$", "", text, flags=re.MULTILINE)
    test = doctest.DocTestParser().get_doctest(text, {}, page, page, 0)
    if "custom_values" not in inspect.signature(partial_dependence).parameters:
        # scikit-learn 1.6 has no grids of one's own.
        test.examples = [one for one in test.examples if "custom" not in one.source]
    runner = doctest.DocTestRunner(NearlyEqual(), optionflags=flags)
    runner.run(test)
    assert test.examples
    assert runner.failures == 0
