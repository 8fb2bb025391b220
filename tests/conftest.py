"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.containers import CONTAINERS


@pytest.fixture(scope="session")
def data_folder() -> Callable[[str], Path]:
    """Find a folder of real data by name, or skip the test with the reason."""
    root = os.environ.get("SKHUIHEN_DATA")
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    base = Path(root) if root else beside

    def find(name: str) -> Path:
        folder = base / name
        if not folder.is_dir():
            pytest.skip(
                f"real data {name!r} is absent: set SKHUIHEN_DATA to the folder that has it"
            )
        return folder

    return find


@pytest.fixture(params=CONTAINERS.values(), ids=CONTAINERS.keys())
def container(request: pytest.FixtureRequest) -> Callable[[pd.DataFrame], Any]:
    """Convert a frame with a nested column to each container that is accepted."""
    return request.param
