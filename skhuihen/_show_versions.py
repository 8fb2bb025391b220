"""The versions that a bug report should contain."""

from __future__ import annotations

import platform
import sys
from importlib.metadata import PackageNotFoundError, version

#: Required packages, and those of the extras.
PACKAGES = (
    *("skhuihen", "scikit-learn", "skorch", "torch", "numpy", "scipy", "joblib", "pandas"),
    *("pyarrow", "nested-pandas", "xgboost", "lightgbm", "ibis-framework", "duckdb", "sqlglot"),
    *("tqdm", "safetensors", "matplotlib", "pyspark", "dask", "distributed", "skops", "polars"),
    *("fairlearn", "fastapi", "uvicorn", "numba", "mlflow-skinny"),
)


def show_versions() -> None:
    """Print the versions of Python, of this package and of its dependencies.

    Nothing is imported, so a broken package is listed too. A torch whose
    version ends in ``+cpu`` is the CPU build.

    See Also
    --------
    sklearn.show_versions : Also prints the thread pools.

    Examples
    --------
    >>> import skhuihen
    >>> skhuihen.show_versions()
    System:
            python: 3...
    """
    print("System:")
    for name, value in (
        ("python", sys.version.replace("\n", " ")),
        ("executable", sys.executable),
        ("machine", platform.platform()),
    ):
        print(f"{name:>18}: {value}")
    print("\nPackages:")
    for name in PACKAGES:
        print(f"{name:>18}: {_version(name)}")


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"
