"""What importing the package loads, and what its README promises."""

from __future__ import annotations

import doctest
import inspect
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

import skhuihen

ROOT = Path(__file__).resolve().parents[1]


def test_import_is_light() -> None:
    heavy = ["torch", "ibis", "xgboost", "lightgbm", "matplotlib", "skorch"]
    code = f"import skhuihen, sys; print([name for name in {heavy} if name in sys.modules])"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


def test_every_public_name_loads() -> None:
    for name in skhuihen.__all__:
        assert getattr(skhuihen, name).__name__ == name
        assert name in dir(skhuihen)


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        _ = skhuihen.nonsense


def test_lower_bounds_are_the_versions_that_are_tested() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    asked = [*project["dependencies"], *extras["plots"], *extras["spark"], *extras["dask"]]
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
    assert len(bounds) > 10
    assert {name: pins.get(name) for name in bounds} == bounds


def test_terms_name_parameters_that_exist() -> None:
    text = (ROOT / "docs" / "terms.md").read_text()
    named = re.findall(r"`(\w+)\((\w+)\)`", text)
    assert len(named) > 30
    for function, parameter in named:
        found = next(
            getattr(home, function)
            for home in (skhuihen, skhuihen.model_selection, skhuihen.HUIHENClassifier)
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


@pytest.mark.slow
@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        *(
            f"docs/{name}.md"
            for name in (
                *("user_guide", "composition", "out_of_time", "base_model"),
                *("production", "reasons"),
            )
        ),
    ],
)
def test_pages_show_their_real_output(page: str) -> None:
    flags = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    failed, tried = doctest.testfile(str(ROOT / page), module_relative=False, optionflags=flags)
    assert tried > 0
    assert failed == 0
