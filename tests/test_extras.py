"""Without an optional extra the package works, and what requires the extra names it."""

from __future__ import annotations

import runpy
import subprocess
import sys
import tomllib
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from packaging.requirements import Requirement
from sklearn.neighbors import KNeighborsClassifier

import skhuihen
from skhuihen._scale.score import _score_on_spark
from skhuihen._tables.spark import schema_with_zones
from skhuihen.plotting import KSDisplay

ROOT = Path(__file__).resolve().parents[1]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
#: The packages of an extra are imported by these names.
IMPORTED = {
    "plots": ["matplotlib", "matplotlib.pyplot"],
    "spark": ["pyspark", "pyspark.sql", "pyspark.sql.types"],
    "dask": ["dask", "dask.distributed", "distributed"],
    "skops": ["skops", "skops.io"],
    # Its example says so and goes on without.
    "fairness": ["fairlearn", "fairlearn.metrics"],
    "service": ["fastapi", "uvicorn"],
    # Without it `OnlineScorer` is slower: tests/test_online.py.
    "online": ["numba"],
    "mlflow": ["mlflow"],
}


def save_a_foreign_model() -> None:
    X = np.array([[0.0], [1.0]])
    skhuihen.save_model(KNeighborsClassifier(1).fit(X, [0, 1]), "absent.model", X)


def run_example(name: str) -> Callable[[], object]:
    return lambda: runpy.run_path(str(ROOT / "examples" / name))


@pytest.mark.parametrize(
    ("extra", "use"),
    [
        ("plots", lambda: KSDisplay.from_predictions([0, 1], [0.1, 0.9])),
        ("spark", lambda: schema_with_zones(None, None)),
        ("spark", lambda: _score_on_spark(SimpleNamespace(), None)),  # type: ignore[arg-type]
        ("skops", save_a_foreign_model),
        ("dask", run_example("07_many_machines.py")),
        ("service", run_example("service/app.py")),
        ("mlflow", run_example("mlflow_model/log_model.py")),
    ],
)
def test_what_requires_an_extra_names_it(
    extra: str, use: Callable[[], object], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in IMPORTED[extra]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises((ImportError, ValueError), match=rf"pip install skhuihen\[{extra}\]"):
        use()
    assert not list(tmp_path.iterdir())


def test_every_extra_is_tried() -> None:
    assert set(IMPORTED) == set(EXTRAS) - {"tests", "bench", "docs"}
    for extra, names in IMPORTED.items():
        packages = {Requirement(text).name.removesuffix("-skinny") for text in EXTRAS[extra]}
        assert packages <= set(names)


def test_every_module_can_be_imported_without_the_extras() -> None:
    absent = [*chain(*IMPORTED.values())]
    code = f"""
import importlib, pkgutil, sys
sys.modules.update(dict.fromkeys({absent}))
import skhuihen
for name in skhuihen.__all__:
    getattr(skhuihen, name)
for module in pkgutil.walk_packages(skhuihen.__path__, "skhuihen."):
    if module.name != "skhuihen._online.kernel":  # is imported where numba is
        importlib.import_module(module.name)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
