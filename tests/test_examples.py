"""The gallery and the demo run."""

from __future__ import annotations

import importlib
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.metrics import roc_auc_score

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def run(*command: str | Path) -> str:
    result = subprocess.run([sys.executable, *map(str, command)], capture_output=True, check=False)
    assert result.returncode == 0, result.stderr.decode()
    return result.stdout.decode()


@pytest.fixture
def contenders(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(EXAMPLES / "paper")
    return importlib.import_module("contenders")


@pytest.fixture
def run_table(
    contenders: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> Callable[..., str]:
    """Run the script of a table in this process, which has loaded everything."""

    def run_here(name: str, *arguments: str | Path) -> str:
        path = EXAMPLES / "paper" / f"{name}.py"
        monkeypatch.setattr(sys, "argv", [str(path), *map(str, arguments)])
        runpy.run_path(str(path), run_name="__main__")
        return capsys.readouterr().out

    return run_here


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
    assert "| n_jobs=2 |" in page
    assert (tmp_path / "images" / "scaling.png").stat().st_size > 10_000


@pytest.mark.slow
def test_benchmark_of_what_is_larger_than_memory(tmp_path: Path) -> None:
    script = EXAMPLES / "benchmarks" / "out_of_memory.py"
    tables = tmp_path / "tables"
    run(script, "--millions", "0.05", "0.1", "--output", tmp_path, "--tables", tables)
    page = (tmp_path / "scale_measured.md").read_text()
    for name in (
        "DuckDB, sort and write",
        "pandas, by hand",
        "fit and prepare_parquet",
        "a second",
    ):
        assert name in page
    assert (tmp_path / "images" / "scale.png").stat().st_size > 10_000


@pytest.mark.slow
def test_tables_of_the_paper(tmp_path: Path, run_table: Callable[..., str]) -> None:
    small = ("--small", "--output", tmp_path)
    for number, some in {
        2: (),
        3: ("--contenders", "HUIHEN", "LightGBM, profile"),
        4: ("--data", "bank_b"),
        5: ("--data", "bank_a"),
    }.items():
        assert "paper AUC" in run_table(f"table{number}", *small, *some)
        page = (tmp_path / f"table{number}.md").read_text()
        assert ("0.6887" if number in (2, 5) else "0.6632") in page  # HUIHEN in the paper
        assert (tmp_path / f"table{number}.png").stat().st_size > 10_000

    # Tables 4 and 5 took HUIHEN from 3 and 2.
    results = pd.read_csv(tmp_path / "results.csv")
    assert not results.duplicated(["data", "contender", "fold"]).any()
    assert results.groupby(["data", "contender"]).size().eq(2).all()
    assert results.groupby("data")["contender"].nunique().to_dict() == {"bank_a": 18, "bank_b": 3}
    kept = np.load(tmp_path / "scores" / "bank_a" / "xgboost-profile-0-1.npz")
    (line,) = results.query(
        "data == 'bank_a' and contender == 'XGBoost, profile' and fold == 1"
    ).auc
    assert roc_auc_score(kept["y"], kept["score"]) == pytest.approx(line)
    summary = pd.read_csv(tmp_path / "table2.csv", index_col="contender")
    by_fold = results.query("data == 'bank_a'").pivot_table("auc", "fold", "contender")
    gain = by_fold["XGBoost, profile"] - by_fold["HUIHEN"]
    assert summary.loc["XGBoost, profile", "gain"] == pytest.approx(gain.mean())

    # What is done is not done again: a lost line is, and comes out the same.
    results.iloc[:-1].to_csv(tmp_path / "results.csv", index=False)
    run_table("table5", *small, "--data", "bank_a")
    again = pd.read_csv(tmp_path / "results.csv")
    columns = ["contender", "fold", "auc"]
    pd.testing.assert_frame_equal(again[columns], results[columns])
    with pytest.raises(SystemExit, match="results of other settings"):
        run_table("table5", "--output", tmp_path, "--rows", "160")


@pytest.mark.slow
def test_table_of_real_data(tmp_path, data_folder, monkeypatch, run_table) -> None:
    monkeypatch.setenv("SKHUIHEN_DATA", str(data_folder("superlender").parent))
    output = run_table(
        *("real_data", "--small", "--output", tmp_path),
        *("--data", "superlender", "uci_flat"),
        *("--contenders", "LightGBM, profile + windows", "LightGBM, profile", "HUIHEN, no teacher"),
    )
    results = pd.read_csv(tmp_path / "results.csv")
    # No old data, and no behaviors in one of the two.
    assert results.groupby(["data", "contender"]).size().to_dict() == {
        ("superlender", "LightGBM, profile"): 2,
        ("superlender", "LightGBM, profile + windows"): 2,
        ("uci_flat", "LightGBM, profile"): 2,
    }
    assert "paper" not in output


def test_contenders_have_the_same_tuning_budget(contenders) -> None:
    assert {len(settings) for settings in contenders.SETTINGS.values()} == {
        contenders.Budget().n_settings
    }
    for settings in contenders.SETTINGS.values():
        assert settings[0] == {}
        assert len({str(setting) for setting in settings}) == len(settings)


class Seen(TransformerMixin, BaseEstimator):
    """Tells of each row whether it was fitted on."""

    def fit(self, X, y):
        self.rows_ = set(X["row"])
        return self

    def transform(self, X):
        return X[["row"]].isin(self.rows_).to_numpy(float)


class Trees(ClassifierMixin, BaseEstimator):
    """Refuses vectors of rows that the network was fitted on."""

    def fit(self, X, y):
        row, seen = X.T
        assert not seen.any()
        self.rows_, self.classes_ = set(row), np.unique(y)
        return self

    def predict_proba(self, X):
        return np.column_stack([1 - X[:, 1], X[:, 1]])


class Rows(TransformerMixin, BaseEstimator):
    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return X[["row"]].to_numpy(float)


def test_stacked_trees_see_no_vector_of_a_networks_own_rows(contenders) -> None:
    X, y = pd.DataFrame({"row": range(40)}), np.arange(40) % 2
    model = contenders.WithVectors(Seen(), Rows(), Trees()).fit(X, y)
    first, second = (pipeline[-1].rows_ for pipeline in model.models_)
    assert first | second == set(range(40))
    assert not first & second
    # Each row was seen by one network of the two.
    np.testing.assert_array_equal(model.predict_proba(X), np.full((40, 2), 0.5))


@pytest.mark.slow
def test_growing_goes_on_where_it_stopped(tmp_path: Path) -> None:
    command = (
        *(EXAMPLES / "paper" / "growing.py", "--output", tmp_path, "--bank", "B"),
        *("--repetitions", "1", "--epochs", "2", "--test", "300", "--old", "600", "--new", "300"),
    )
    run(*command, "--sizes", "300", "--arms", "HUIHEN, no warm start")
    first = (tmp_path / "growing.csv").read_text()
    output = run(*command, "--sizes", "300")
    results = (tmp_path / "growing.csv").read_text()
    assert results.startswith(first)
    assert results.count("no warm start") == 1
    for name in ("HUIHEN, warm start", "LightGBM, profile, old and new rows", "gain"):
        assert name in output
    assert (tmp_path / "growing.png").stat().st_size > 10_000
