"""The gallery and the demo run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def run(*command: str | Path) -> str:
    result = subprocess.run([sys.executable, *map(str, command)], capture_output=True, check=False)
    assert result.returncode == 0, result.stderr.decode()
    return result.stdout.decode()


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("[0-9]*.py")), ids=lambda path: path.name)
def test_gallery(path: Path) -> None:
    assert run(path)


@pytest.mark.slow
def test_demo_on_a_tiny_bank(tmp_path: Path) -> None:
    output = run(EXAMPLES / "demo.py", "--applications", "150", "--output", tmp_path)
    for name in ("HUIHEN", "LightGBM, profile + windows", "best possible"):
        assert name in output
    for picture in ("roc.png", "ks.png", "timeline.png"):
        assert (tmp_path / picture).stat().st_size > 10_000


@pytest.mark.slow
def test_benchmarks(tmp_path: Path) -> None:
    script = EXAMPLES / "benchmarks" / "run.py"
    run(script, "--quick", "--output", tmp_path, "--tables", tmp_path / "tables")
    page = (tmp_path / "speed.md").read_text()
    for name in ("HUIHEN, padded", "LightGBM", "groupby-apply", "whole Pipeline", "Sessionizer"):
        assert name in page
    assert (tmp_path / "images" / "scaling.png").stat().st_size > 10_000
