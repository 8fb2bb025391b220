"""prepare_parquet: the same as in memory, in bounded pieces, whatever happens."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline, make_pipeline

import skhuihen._tables.parquet
from skhuihen import (
    BehaviorAbstractor,
    HUIHENClassifier,
    Sessionizer,
    attach_behaviors,
    prepare_parquet,
)
from skhuihen._tables.parquet import as_pandas
from skhuihen.datasets import make_loan_data

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def bank() -> Any:
    return make_loan_data(n_new=200, n_old=0, overdue_rate=0.3, random_state=0)


@pytest.fixture(scope="module")
def X(bank: Any) -> pd.DataFrame:
    return attach_behaviors(bank.applications.assign(overdue=bank.y), bank.events)


@pytest.fixture(scope="module")
def steps(X: pd.DataFrame) -> Pipeline:
    return make_pipeline(BehaviorAbstractor(n_behaviors=30, n_items=20).fit(X), Sessionizer())


@pytest.fixture
def attached(bank: Any, tmp_path: Path) -> Path:
    applications = bank.applications.assign(overdue=bank.y)
    return attach_behaviors(applications, bank.events, output=tmp_path / "attached", n_partitions=4)


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(skhuihen._tables.parquet, "BATCH", 3000)


def read(folder: Path) -> pd.DataFrame:
    return as_pandas(pq.read_table(folder))


def assert_prepared(folder: Path, wanted: pd.DataFrame) -> None:
    """Compare with what the steps make of the whole table in memory."""
    found = read(folder)
    profile = wanted.drop(columns="behaviors")
    pd.testing.assert_frame_equal(found.drop(columns="behaviors"), profile, check_dtype=False)
    assert found.columns.tolist() == wanted.columns.tolist()
    lists = found["behaviors"].array.__arrow_array__().to_pylist()
    assert lists == wanted["behaviors"].array.list_array.to_pylist()


# --------------------------------------------------------------------------------------------------
# The same as in memory.


@pytest.mark.parametrize("n_items", [0, 20])
@pytest.mark.parametrize("params", [{}, {"lookback": "10D"}, {"merge": "frequency"}])
def test_abstractor_learns_the_same_from_files(X, attached, params, n_items):
    params = {"n_behaviors": 30, "n_items": n_items, **params}
    wanted = BehaviorAbstractor(**params).fit(X)
    found = BehaviorAbstractor(**params).fit(attached)
    pd.testing.assert_frame_equal(found.rules_, wanted.rules_)
    assert found.feature_names_in_.tolist() == wanted.feature_names_in_.tolist()
    assert found.n_behaviors_ == wanted.n_behaviors_


def test_prepared_files_hold_what_the_steps_make_in_memory(X, attached, steps, tmp_path, capfd):
    out = prepare_parquet(steps, attached, str(tmp_path / "out"))
    assert out == tmp_path / "out"
    assert_prepared(out, steps.transform(X))
    parts = sorted(out.iterdir())
    assert [part.name for part in parts] == [f"part-0000{i}.parquet" for i in range(4)]
    metadata = [pq.read_metadata(part) for part in parts]
    assert [m.num_rows for m in metadata] == [
        pq.read_metadata(part).num_rows for part in sorted(attached.iterdir())
    ]
    # Some applications at a time.
    assert all(m.num_row_groups > 1 for m in metadata)
    assert len({str(pq.read_schema(part)) for part in parts}) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["attached", "out"]
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_two_processes_make_the_same(attached, steps, tmp_path, capfd):
    one = prepare_parquet(steps, attached, tmp_path / "one")
    two = prepare_parquet(steps, attached, tmp_path / "two", n_jobs=2, verbose=1)
    assert pq.read_table(two).equals(pq.read_table(one))
    assert "4/4" in capfd.readouterr().err


@pytest.mark.parametrize("index", ["name", "range", "unnamed"])
def test_columns_types_and_an_index_stay(X, steps, tmp_path, index):
    frame = X.head(50).assign(
        city=pd.Categorical(["Jos", "Kano"] * 25),
        # An integer of many digits beside a missing one, and a column without any value.
        number=pd.array([2**60 + 1, None] * 25, dtype="Int64"),
        note=pd.Series([None] * 50, dtype=object),
    )
    frame.index = {
        "name": pd.Index(np.arange(50) % 7, name="row"),
        "range": pd.RangeIndex(5, 55),
        "unnamed": pd.Index(np.arange(50) % 7),
    }[index]
    column = frame["behaviors"].array.to_arrow_ext_array(list_struct=True).__arrow_array__()
    table = pa.Table.from_pandas(frame.drop(columns="behaviors")).append_column("behaviors", column)
    source = tmp_path / "in.parquet"
    pq.write_table(table, source)
    out = prepare_parquet(steps, source, tmp_path / "out")
    plain, given = (pq.read_table(path).drop_columns("behaviors") for path in (out, source))
    assert plain.equals(given)
    pd.testing.assert_frame_equal(plain.to_pandas(), given.to_pandas())
    abstractor = BehaviorAbstractor().fit(source)
    pd.testing.assert_frame_equal(abstractor.rules_, BehaviorAbstractor().fit(frame).rules_)


def test_empty_histories_and_files_without_rows(X, steps, tmp_path):
    table = pq.read_table(
        attach_behaviors(
            pd.DataFrame({"user_id": [1, 2], "applied_at": pd.to_datetime(["2024-01-01"] * 2)}),
            pd.DataFrame(
                {"user_id": [1], "time": pd.to_datetime(["2023-12-01"]), "operation": ["login"]}
            ),
            output=tmp_path / "tiny",
        )
    )
    pq.write_table(table[1:], tmp_path / "a.parquet")
    pq.write_table(table[:0], tmp_path / "b.parquet")
    pq.write_table(table, tmp_path / "c.parquet")
    files = [tmp_path / f"{name}.parquet" for name in "abc"]
    out = prepare_parquet(Sessionizer(min_behaviors=1), files, tmp_path / "out")
    sessions = [[event["session"] for event in row] for row in pq.read_table(out)[-1].to_pylist()]
    assert sessions == [[], [0], []]


def test_warns_once(X, attached, tmp_path):
    few = BehaviorAbstractor().fit(attach_only_logins(X))
    with pytest.warns(UserWarning, match=r"4 of 4 prepared files .*part-00000.*did not see") as w:
        prepare_parquet(few, attached, tmp_path / "out")
    assert len(w) == 1
    assert w[0].filename == __file__


def attach_only_logins(X: pd.DataFrame) -> pd.DataFrame:
    events = pd.DataFrame(
        {"user_id": [1], "time": pd.to_datetime(["2020-01-01"]), "operation": ["unheard of"]}
    )
    applications = pd.DataFrame({"user_id": [1], "applied_at": pd.to_datetime(["2024-01-01"])})
    return attach_behaviors(applications, events)


# --------------------------------------------------------------------------------------------------
# Whatever happens.


class Failing(TransformerMixin, BaseEstimator):
    """Fails when it meets an application, until a file is there that says that all is well."""

    def __init__(self, application: int, well: Path, how: str = "kill") -> None:
        self.application = application
        self.well = well
        self.how = how

    def fit(self, X: Any, y: Any = None) -> Failing:
        return self

    def transform(self, X: pd.DataFrame) -> pd.DataFrame:
        if self.application in X["application_id"].tolist() and not self.well.exists():
            if self.how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            raise {"disk": OSError(28, "No space left on device"), "value": ValueError("odd")}[
                self.how
            ]
        return X

    def __sklearn_is_fitted__(self) -> bool:
        return True


def failing_in_third(attached: Path, how: str, *steps: Any) -> tuple[Pipeline, Path]:
    """Return steps that fail in the third file, and the file that ends it."""
    (*_, application) = pq.read_table(sorted(attached.iterdir())[2])["application_id"].to_pylist()
    well = attached.parent / "well"
    return make_pipeline(*steps, Failing(application, well, how)), well


@pytest.mark.parametrize(
    ("how", "error", "message"),
    [
        ("disk", OSError, r"No space left on device \(while preparing .*part-00002.parquet"),
        ("value", ValueError, r"in the file .*part-00002.parquet: odd"),
    ],
)
def test_what_was_finished_is_kept_and_a_second_run_completes(
    X, attached, steps, tmp_path, how, error, message
):
    failing, well = failing_in_third(attached, how, steps)
    out, unfinished = tmp_path / "out", tmp_path / "out.unfinished"
    for _ in range(2):  # it may fail again
        with pytest.raises(error, match=message):
            prepare_parquet(failing, attached, out)
        assert not out.exists()
        assert sorted(path.name for path in (unfinished / "parts").iterdir()) == [
            "part-00000.parquet",
            "part-00001.parquet",
        ]
    times = [path.stat().st_mtime_ns for path in sorted((unfinished / "parts").iterdir())]
    well.touch()
    prepare_parquet(failing, attached, out)
    assert_prepared(out, steps.transform(X))
    assert [path.stat().st_mtime_ns for path in sorted(out.iterdir())][:2] == times
    assert not unfinished.exists()


@pytest.mark.slow
@pytest.mark.parametrize("n_jobs", [None, 2])
def test_a_killed_process(X, attached, steps, tmp_path, n_jobs):
    failing, well = failing_in_third(attached, "kill", steps)
    out, unfinished = tmp_path / "out", tmp_path / "out.unfinished"
    if n_jobs:
        with pytest.raises(RuntimeError, match=r"killed while working on .*part-00002.* kept"):
            prepare_parquet(failing, attached, out, n_jobs=n_jobs)
    else:  # then it is the caller's own process
        import joblib

        joblib.dump(failing, tmp_path / "steps.joblib")
        code = (
            "import joblib; from skhuihen import prepare_parquet; "
            f"prepare_parquet(joblib.load({str(tmp_path / 'steps.joblib')!r}), "
            f"{str(attached)!r}, {str(out)!r})"
        )
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False)
        assert done.returncode == -signal.SIGKILL
        (begun,) = (unfinished / "parts").glob(".part-*")
        assert begun.name.startswith(".part-00002.parquet.")
    assert not out.exists()
    # Of two workers, the one that came to the third part has finished one of the first two.
    assert list((unfinished / "parts").glob("part-0000[01].parquet"))
    well.touch()
    prepare_parquet(failing, attached, out)
    assert_prepared(out, steps.transform(X))
    assert len(list(out.iterdir())) == 4


@pytest.mark.slow
def test_a_real_full_disk(attached, steps, tmp_path):
    """A limit on the size of files makes the system refuse to write on."""
    import joblib

    joblib.dump(steps, tmp_path / "steps.joblib")
    code = (
        "import joblib, resource; from skhuihen import prepare_parquet; "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)); "
        f"prepare_parquet(joblib.load({str(tmp_path / 'steps.joblib')!r}), "
        f"{str(attached)!r}, {str(tmp_path / 'out')!r})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert "(while preparing" in done.stderr
    assert "part-00000.parquet)" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("OSError")
    assert not (tmp_path / "out").exists()
    assert list((tmp_path / "out.unfinished" / "parts").iterdir()) == []
    prepare_parquet(steps, attached, tmp_path / "out")


def test_a_part_that_a_crash_left_broken_is_made_anew(X, attached, steps, tmp_path):
    failing, well = failing_in_third(attached, "value", steps)
    with pytest.raises(ValueError, match="odd"):
        prepare_parquet(failing, attached, tmp_path / "out")
    part = tmp_path / "out.unfinished" / "parts" / "part-00001.parquet"
    part.write_bytes(part.read_bytes()[:-100])
    well.touch()
    assert_prepared(prepare_parquet(failing, attached, tmp_path / "out"), steps.transform(X))


def test_goes_on_with_the_same_call_alone(attached, steps, tmp_path):
    failing, well = failing_in_third(attached, "value", Sessionizer())
    with pytest.raises(ValueError, match="odd"):
        prepare_parquet(failing, attached, tmp_path / "out")
    well.touch()
    for other in (Sessionizer("2h"), BehaviorAbstractor().fit(attached)):
        with pytest.raises(FileExistsError, match=r"out.unfinished' .*call with other steps"):
            prepare_parquet(make_pipeline(other, failing[-1]), attached, tmp_path / "out")
    os.utime(sorted(attached.iterdir())[0], (0, 0))
    with pytest.raises(FileExistsError, match="other files"):
        prepare_parquet(failing, attached, tmp_path / "out")


def test_a_file_that_is_cut_off_is_found_before_any_work(attached, steps, tmp_path):
    last = sorted(attached.iterdir())[-1]
    last.write_bytes(last.read_bytes()[: last.stat().st_size // 2])
    for call in (
        lambda: prepare_parquet(steps, attached, tmp_path / "out"),
        lambda: BehaviorAbstractor().fit(attached),
    ):
        with pytest.raises(ValueError, match=r"part-00003.parquet cannot be read .* rewrite it"):
            call()
    assert [path.name for path in tmp_path.iterdir()] == ["attached"]


def test_a_file_that_is_broken_inside_is_named(X, attached, steps, tmp_path):
    third = sorted(attached.iterdir())[2]
    whole = third.read_bytes()
    content = bytearray(whole)
    content[4 : len(content) // 2] = b"\xff" * (len(content) // 2 - 4)
    third.write_bytes(content)
    with pytest.raises(ValueError, match=r"source: the file .*part-00002.parquet cannot be read"):
        prepare_parquet(steps, attached, tmp_path / "out")
    kept = sorted(path.name for path in (tmp_path / "out.unfinished" / "parts").iterdir())
    assert kept == ["part-00000.parquet", "part-00001.parquet"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop_columns("overdue"), "no column 'overdue'"),
        (lambda t: t.append_column("more", pa.nulls(len(t))), "an extra column 'more'"),
        (
            lambda t: t.set_column(0, t.column_names[0], t[0].cast(pa.float64())),
            "of type double instead of int64",
        ),
        (lambda t: t.select(t.column_names[::-1]), "its columns in another order"),
    ],
)
def test_a_file_of_another_schema_is_named_before_any_work(
    attached, steps, tmp_path, change, message
):
    third = sorted(attached.iterdir())[2]
    pq.write_table(change(pq.read_table(third)), third)
    with pytest.raises(ValueError, match=rf"part-00002.parquet differs from .*{message}"):
        prepare_parquet(steps, attached, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["attached"]


# --------------------------------------------------------------------------------------------------
# Refusals.


class Doubling(TransformerMixin, BaseEstimator):
    def fit(self, X: Any, y: Any = None) -> Doubling:
        return self

    def transform(self, X: pd.DataFrame) -> pd.DataFrame:
        return X.assign(overdue=X["overdue"] + 1) if len(X) else X


def test_refusals(X, attached, steps, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(FileExistsError, match=r"attached' already exists"):
        prepare_parquet(steps, attached, attached)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        prepare_parquet(steps, attached, tmp_path / "no" / "out")
    for nothing in (tmp_path / "nothing", tmp_path / "*.nothing"):
        with pytest.raises(FileNotFoundError, match="source: no Parquet file found at"):
            prepare_parquet(steps, nothing, out)
    with pytest.raises(TypeError, match="steps is a str; it must be a fitted transformer"):
        prepare_parquet("steps", attached, out)
    with pytest.raises(TypeError, match="n_jobs"):
        prepare_parquet(steps, attached, out, n_jobs="two")
    with pytest.raises(NotFittedError):
        prepare_parquet(BehaviorAbstractor(), attached, out)
    with pytest.raises(ValueError, match="no column 'when'"):
        prepare_parquet(Sessionizer(applied_at="when"), attached, out)
    names = ["user_id", "application_id", "overdue"]
    classifier = HUIHENClassifier(max_epochs=1, n_estimators=1, id_columns=names)
    model = make_pipeline(steps, classifier.fit(steps.transform(X), X["overdue"]))
    with pytest.raises(ValueError, match=r"steps turn .* into a ndarray"):
        prepare_parquet(model, attached, out)
    pq.write_table(pa.table({"user_id": [1]}), tmp_path / "flat.parquet")
    with pytest.raises(ValueError, match="source has no column of events"):
        prepare_parquet(steps, tmp_path / "flat.parquet", out)
    assert not (tmp_path / "out.unfinished").exists()
    with pytest.raises(ValueError, match=r"part-00000.parquet: steps turn .* into a DataFrame"):
        prepare_parquet(Doubling(), attached, out)
    with pytest.raises(ValueError, match="X has no column 'when'; the files have"):
        BehaviorAbstractor(applied_at="when").fit(attached)
