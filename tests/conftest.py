"""Fixtures shared by all tests."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, Phase, settings

from skhuihen import attach_behaviors
from skhuihen.datasets import make_loan_data
from tests.containers import CONTAINERS

# No test may depend on the clock: a busy machine is no fault.
settings.register_profile(
    "any_speed",
    deadline=None,
    max_examples=20,
    suppress_health_check=[HealthCheck.too_slow],
)
# pytest --hypothesis-profile development: a failure is reported at once, as it was found.
settings.register_profile(
    "development",
    settings.get_profile("any_speed"),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
settings.load_profile("any_speed")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run slow tests and those that share a worker first; no worker then waits at the end."""
    first = ("slow", "xdist_group")
    items.sort(key=lambda item: not any(item.get_closest_marker(name) for name in first))


def pytest_configure(config: pytest.Config) -> None:
    """PySpark 4.0 leaves a socket to its JVM open with every Arrow table; that is its fault."""
    if find_spec("pyspark") and version("pyspark").startswith("4.0."):
        config.addinivalue_line("filterwarnings", "ignore:unclosed <socket:ResourceWarning")


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
                f"real data {name!r} is missing: set SKHUIHEN_DATA to the folder that contains it"
            )
        return folder

    return find


@pytest.fixture(scope="module")
def bank() -> Any:
    """Simulate a bank; a module that needs another one has its own fixture of this name."""
    return make_loan_data(n_new=60, n_old=0, overdue_rate=0.3, random_state=0)


@pytest.fixture(scope="module")
def X(bank: Any) -> pd.DataFrame:
    """Join the applications of the bank with their events."""
    return attach_behaviors(bank.applications, bank.events)


@pytest.fixture(scope="module")
def y(bank: Any) -> np.ndarray:
    """Return the labels of the bank."""
    return np.asarray(bank.y)


@pytest.fixture(params=CONTAINERS.values(), ids=CONTAINERS.keys())
def container(request: pytest.FixtureRequest) -> Callable[[pd.DataFrame], Any]:
    """Convert a frame with a nested column to each container that is accepted."""
    return request.param


@pytest.fixture(scope="session")
def spark() -> Iterator[Any]:
    """Start Spark on two cores of this machine, or skip the test with the reason."""
    if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
        pytest.skip("Spark requires Java 17 or later, which was not found on the PATH")
    sql = pytest.importorskip(
        "pyspark.sql", reason="pyspark is not installed: pip install skhuihen[spark]"
    )
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)  # for its workers
    session = (
        sql.SparkSession.builder.master("local[2]")
        .appName("skhuihen tests")
        .config("spark.ui.enabled", False)
        .config("spark.ui.showConsoleProgress", False)
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.sql.shuffle.partitions", 2)
        # Compiling takes longer than the few rows of a test.
        .config("spark.sql.codegen.wholeStage", False)
        .config("spark.sql.codegen.factoryMode", "NO_CODEGEN")
        .config("spark.driver.extraJavaOptions", "-XX:TieredStopAtLevel=1")
        .config("spark.sql.session.timeZone", "UTC")
        .getOrCreate()
    )
    session.sparkContext.setLogLevel("OFF")
    yield session
    session.stop()
