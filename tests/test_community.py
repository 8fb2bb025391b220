"""Pages about working together: what they link, cite and name is there."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.specifiers import SpecifierSet

import skhuihen

ROOT = Path(__file__).resolve().parents[1]
GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
PAGES = [
    *(ROOT / name for name in ("CODE_OF_CONDUCT.md", "SECURITY.md")),
    *(ROOT / "docs" / name for name in ("deprecation.md", "comparison.md")),
    GITHUB / "pull_request_template.md",
]
FORMS = sorted((GITHUB / "ISSUE_TEMPLATE").glob("*.yml"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@cache
def names_of_tests(path: Path) -> set[str]:
    return set(re.findall(r"^def (test_\w+)\(", path.read_text(), flags=re.MULTILINE))


def load(path: Path) -> dict[Any, Any]:
    found: dict[Any, Any] = yaml.safe_load(path.read_text())
    return found


def test_all_files_are_there() -> None:
    assert [path.stem for path in WORKFLOWS] == ["docs", "lint", "publish", "tests", "wheels"]
    assert [path.stem for path in FORMS] == ["bug_report", "config", "feature_request"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_resolve(page: Path) -> None:
    for link in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        if not link.startswith("https://"):
            assert (page.parent / link).exists(), link


@pytest.mark.parametrize("page", [*PAGES, *FORMS, *WORKFLOWS], ids=lambda page: page.name)
def test_files_that_are_named_exist(page: Path) -> None:
    pattern = r"\b(?:docs|tests|examples|skhuihen)/[\w/]+\.\w+|\b[A-Z_]+\.md\b"
    for name in re.findall(pattern, page.read_text()):
        assert (ROOT / name).exists(), name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_tests_that_are_named_exist(page: Path) -> None:
    text = page.read_text()
    named = re.findall(r"\b(tests/[\w/]+\.py)::(test_\w+)", text)
    alone = re.findall(r"(?<![:\w])(test_\w+)`", text)
    if page.name == "SECURITY.md":
        named += [("tests/test_model_file.py", name) for name in alone]
    else:
        assert not alone, "a test is named without its file"
    assert len(named) >= {"SECURITY.md": 8, "comparison.md": 10, "deprecation.md": 3}.get(
        page.name, 0
    )
    for file, name in named:
        assert name in names_of_tests(ROOT / file), f"{file}::{name}"


def test_the_citation_is_of_this_version() -> None:
    citation = load(ROOT / "CITATION.cff")
    assert citation["version"] == PROJECT["version"] == skhuihen.__version__
    assert citation["license"] == PROJECT["license"]
    assert [author["name"] for author in citation["authors"]] == [
        author["name"] for author in PROJECT["authors"]
    ]
    paper = citation["preferred-citation"]
    assert paper["title"].startswith("A Hierarchical User Intention-Habit Extract Network")
    assert len(paper["authors"]) == 6


def python_versions(job: dict[str, Any]) -> set[str]:
    """Return the versions of Python that a job sets up."""
    found = set(job.get("strategy", {}).get("matrix", {}).get("python-version", []))
    for step in job.get("steps", []):
        version = step.get("with", {}).get("python-version")
        if version is not None and "matrix" not in version:
            found.add(version)
    return found


def test_workflows_try_the_python_versions_of_the_classifiers() -> None:
    text = "Programming Language :: Python :: "
    classifiers = {
        classifier.removeprefix(text)
        for classifier in PROJECT["classifiers"]
        if re.fullmatch(re.escape(text) + r"3\.\d+", classifier)
    }
    jobs = {
        (path.stem, name): python_versions(job)
        for path in WORKFLOWS
        for name, job in load(path)["jobs"].items()
    }
    oldest = min(classifiers, key=lambda version: int(version.split(".")[1]))
    assert SpecifierSet(PROJECT["requires-python"]) == SpecifierSet(f">={oldest}")
    assert jobs["tests", "minimum"] == {oldest}
    # The workflows may try more versions than are claimed.
    assert jobs["tests", "newest"] >= classifiers
    assert jobs["wheels", "install"] >= classifiers


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_have_few_rights_and_pinned_actions(path: Path) -> None:
    workflow = load(path)
    assert workflow["permissions"] == {"contents": "read"}
    assert "secrets" not in path.read_text()
    for name, job in workflow["jobs"].items():
        rights = {"id-token": "write"} if name == "publish" else None
        assert job.get("permissions") == rights
        for step in job.get("steps", []):
            if "uses" in step:
                assert re.fullmatch(r"[\w./-]+@v\d+(\.\d+)*", step["uses"])


def test_what_is_published_was_tested() -> None:
    jobs = load(GITHUB / "workflows" / "publish.yml")["jobs"]
    assert set(jobs["publish"]["needs"]) == set(jobs) - {"publish"}
    called = {Path(job["uses"]).stem for job in jobs.values() if "uses" in job}
    assert called == {path.stem for path in WORKFLOWS} - {"publish"}
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    run = {
        step["run"].removeprefix("make ")
        for name in called
        for job in load(GITHUB / "workflows" / f"{name}.yml")["jobs"].values()
        for step in job["steps"]
        if step.get("run", "").startswith("make ")
    }
    assert {"lint", "docs", "test", "test-slow", "test-minimum"} == run <= targets


def test_bug_reports_ask_for_versions_and_an_example_without_customers() -> None:
    fields = {field["id"]: field for field in load(FORMS[0])["body"] if field["type"] != "markdown"}
    assert "skhuihen.show_versions()" in fields["versions"]["attributes"]["description"]
    for name in ("what", "example", "versions"):
        assert fields[name]["validations"]["required"]
    example = fields["example"]["attributes"]["placeholder"]
    for name in re.findall(r"import (\w+)", example):
        assert hasattr(skhuihen, name) or hasattr(skhuihen.datasets, name)
    first = fields["checks"]["attributes"]["options"][0]
    assert "no data of customers" in first["label"]
    assert first["required"]
