"""Scoring tables of any size: the scores of `predict_proba`, whatever happens on the way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time

import ibis
import joblib
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lightgbm import LGBMClassifier
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline, make_union

import skhuihen._scale.score
from skhuihen import (
    BehaviorAbstractor,
    HUIHENClassifier,
    ProfileEncoder,
    Sessionizer,
    WindowStatistics,
    attach_behaviors,
    prepare_parquet,
    read_manifest,
    save_model,
    score_table,
)
from skhuihen._events.behaviors import Behaviors
from skhuihen._tables.spark import spark_frame
from skhuihen.datasets import make_loan_data
from tests.containers import in_microseconds

# Ibis 12 still calls DuckDB's Arrow output by its old name.
pytestmark = pytest.mark.filterwarnings("ignore:fetch_arrow_table:DeprecationWarning")
on_spark = pytest.mark.xdist_group("spark")

IDS = ["user_id", "application_id", "applied_at"]
N_PARTS = 4


@pytest.fixture(scope="module")
def bank():
    return make_loan_data(n_new=120, n_old=0, overdue_rate=0.3, random_state=0)


@pytest.fixture(scope="module")
def model(bank, X):
    classifier = HUIHENClassifier(n_topics=3, max_epochs=2, n_estimators=1, random_state=0)
    steps = (BehaviorAbstractor(), Sessionizer(max_sessions=10))
    return make_pipeline(*steps, classifier).fit(X, bank.y)


@pytest.fixture(scope="module")
def expected(model, X):
    return X[IDS].assign(probability=model.predict_proba(X)[:, 1].astype(float))


@pytest.fixture
def files(bank, tmp_path):
    folder = tmp_path / "attached"
    return attach_behaviors(bank.applications, bank.events, output=folder, n_partitions=N_PARTS)


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    monkeypatch.setattr(skhuihen._scale.score, "_BATCH", 25)


def check(scores, expected):
    """Compare scores, in any order of the rows."""
    if not isinstance(scores, pd.DataFrame):
        scores = pd.read_parquet(scores)
    assert list(scores.columns) == list(expected.columns)
    scores = scores.sort_values("application_id", ignore_index=True)
    expected = expected.sort_values("application_id", ignore_index=True)
    pd.testing.assert_frame_equal(scores[IDS], expected[IDS])
    np.testing.assert_allclose(scores["probability"], expected["probability"], rtol=0, atol=1e-6)


def stamps(folder):
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


# --------------------------------------------------------------------------------------------------
# The same scores.


def test_parquet_scores_as_in_memory_and_in_order(model, files, expected, tmp_path):
    scores = score_table(model, files)
    pd.testing.assert_frame_equal(scores, expected, rtol=0, atol=1e-6)
    for paths in (str(files / "*.parquet"), sorted(files.iterdir())):
        pd.testing.assert_frame_equal(score_table(model, paths), scores)
    output = score_table(model, files, tmp_path / "scores")
    assert output == tmp_path / "scores"
    assert [path.name for path in sorted(output.iterdir())] == [
        f"part-{number:05d}.parquet" for number in range(N_PARTS)
    ]
    pd.testing.assert_frame_equal(pd.read_parquet(output), scores)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["attached", "scores"]


def test_prepared_parquet_needs_the_last_step_only(model, files, expected, tmp_path):
    prepared = prepare_parquet(model[:-1], files, tmp_path / "prepared")
    check(score_table(model[-1], prepared), expected)


def test_other_models_and_columns(bank, X, files):
    features = make_union(ProfileEncoder(), WindowStatistics(["7D"]))
    trees = make_pipeline(
        features.set_output(transform="pandas"),
        LGBMClassifier(n_estimators=5, n_jobs=1, verbose=-1),
    ).fit(X, bank.y)
    scores = score_table(trees, files, keep=["application_id"], name="risk")
    assert list(scores.columns) == ["application_id", "risk"]
    np.testing.assert_allclose(scores["risk"], trees.predict_proba(X)[:, 1], rtol=0, atol=1e-6)


def test_columns_may_stand_in_any_order_beside_others(model, X, expected, tmp_path):
    table = pa.table(X.assign(overdue=1, row=range(len(X))))
    pq.write_table(table.select(table.column_names[::-1]), tmp_path / "one.parquet")
    check(score_table(model, tmp_path / "one.parquet", columns=X.columns), expected)
    with pytest.raises(ValueError, match=r"(?s)unseen at fit time.*overdue.* Use columns="):
        score_table(model, tmp_path / "one.parquet")


def test_pandas_index_and_categories_come_through(bank, X, tmp_path):
    X = X.assign(user__kind=pd.Categorical(np.arange(len(X)) % 3)).rename_axis("row")
    model = HUIHENClassifier(max_epochs=1, n_estimators=1, random_state=0)
    model = make_pipeline(Sessionizer(), model).fit(X, bank.y)
    X.to_parquet(tmp_path / "one.parquet")
    scores = score_table(model, tmp_path / "one.parquet")["probability"]
    np.testing.assert_allclose(scores, model.predict_proba(X)[:, 1], rtol=0, atol=1e-6)


def test_files_in_folders_and_files_without_rows(model, X, expected, tmp_path):
    kind = pd.Series(np.arange(len(X)) % 3, X.index).map({0: "a", 1: "b c", 2: "d"})
    for number, value in enumerate([*kind.unique(), "nobody"]):
        folder = tmp_path / "table" / f"kind={value}"
        folder.mkdir(parents=True)
        part = pa.table(X[kind == value])
        pq.write_table(part, folder / "part.parquet")
        assert len(part) or number
    output = tmp_path / "scores"
    check(score_table(model, tmp_path / "table", columns=X.columns), expected)
    check(score_table(model, tmp_path / "table", output, columns=X.columns), expected)
    names = [*IDS, "kind"]
    scores = score_table(model, tmp_path / "table", columns=X.columns, keep=names)
    assert scores["kind"].value_counts().to_dict() == kind.value_counts().to_dict()


def test_no_rows_at_all(model, X, tmp_path):
    pq.write_table(pa.table(X.iloc[:0]), tmp_path / "none.parquet")
    for output in (None, tmp_path / "scores"):
        scores = score_table(model, tmp_path / "none.parquet", output)
        scores = scores if output is None else pd.read_parquet(scores)
        assert list(scores.columns) == [*IDS, "probability"]
        assert len(scores) == 0
    table = ibis.duckdb.connect().read_parquet(tmp_path / "none.parquet")
    assert len(score_table(model, table)) == 0


def test_ibis_on_duckdb(model, bank, expected, tmp_path):
    connection = ibis.duckdb.connect()
    for name in ("applications", "events"):
        pq.write_table(pa.table(bank[name]), tmp_path / f"{name}.parquet")
    tables = [
        connection.read_parquet(tmp_path / f"{name}.parquet") for name in ("applications", "events")
    ]
    table = attach_behaviors(*tables)
    check(score_table(model, table), expected)
    output = score_table(model, table, tmp_path / "scores")
    assert [path.name for path in output.iterdir()] == ["part-00000.parquet"]
    check(output, expected)


@pytest.mark.slow
@on_spark
def test_spark_scores_in_place(model, bank, expected, spark, tmp_path, capfd):
    for name in ("applications", "events"):
        pq.write_table(pa.table(bank[name]), tmp_path / f"{name}.parquet")
    connection = ibis.pyspark.connect(spark)
    tables = [
        connection.read_parquet(tmp_path / f"{name}.parquet") for name in ("applications", "events")
    ]
    scores = score_table(model, attach_behaviors(*tables))
    assert isinstance(scores, ibis.Table)
    check(spark_frame(connection, scores).toArrow().to_pandas(), expected)


@pytest.mark.slow
@on_spark
def test_sparks_own_frames(model, files, expected, spark, tmp_path):
    frame = spark.read.parquet(str(files))
    scores = score_table(model, frame, keep=["application_id"], name="a.b `c`")
    assert scores.columns == ["application_id", "a.b `c`"]
    output = score_table(model, frame.repartition(3), tmp_path / "scores")
    check(pd.read_parquet(sorted(output.glob("*.parquet"))), expected)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["attached", "scores"]


@pytest.mark.parametrize(
    "kind", ["parquet", "duckdb", pytest.param("spark", marks=[on_spark, pytest.mark.slow])]
)
def test_the_zone_that_the_model_names_is_the_same_everywhere(bank, kind, request, tmp_path):
    # At this hour it is another day in UTC.
    late = (bank.events["time"].dt.normalize() + pd.Timedelta("4h")).dt.tz_localize("Asia/Tokyo")
    applied_at = bank.applications["applied_at"].dt.tz_localize("Asia/Tokyo")
    tables = [bank.applications.assign(applied_at=applied_at), bank.events.assign(time=late)]
    X = attach_behaviors(*tables)
    classifier = HUIHENClassifier(max_epochs=1, n_estimators=1, random_state=0)
    model = make_pipeline(Sessionizer(time_zone="Asia/Tokyo"), classifier).fit(X, bank.y)
    expected = model.predict_proba(X)[:, 1]
    # Or this test could not fail.
    unnamed = make_pipeline(Sessionizer(), model[-1])
    elsewhere = attach_behaviors(
        tables[0].assign(applied_at=applied_at.dt.tz_convert("UTC")),
        tables[1].assign(time=late.dt.tz_convert("UTC")),
    )
    assert abs(unnamed.predict_proba(elsewhere)[:, 1] - expected).max() > 1e-4

    paths = []
    for number, table in enumerate(tables):
        paths.append(tmp_path / f"{number}.parquet")
        pq.write_table(in_microseconds(table), paths[-1])  # Spark 4.0 reads no nanoseconds
    if kind == "parquet":
        scores = score_table(model, attach_behaviors(*paths, output=tmp_path / "attached"))
    elif kind == "duckdb":
        connection = ibis.duckdb.connect()
        scores = score_table(model, attach_behaviors(*map(connection.read_parquet, paths)))
    else:
        connection = ibis.pyspark.connect(request.getfixturevalue("spark"))
        table = score_table(model, attach_behaviors(*map(connection.read_parquet, paths)))
        scores = spark_frame(connection, table).toArrow().to_pandas()
    scores = scores.set_index("application_id").loc[X["application_id"], "probability"]
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-6)


# --------------------------------------------------------------------------------------------------
# What does not fit is refused before any work.


def without(X, column):
    return pa.table(X.drop(columns=column))


def with_text_times(X):
    behaviors = Behaviors.from_column(X["behaviors"])
    texts = behaviors.fields["time"].cast(pa.string())
    return pa.table(X.assign(behaviors=behaviors.with_fields(time=texts).to_array()))


MISFITS = {
    "no profile column": (
        lambda X: without(X, "user__monthly_income"),
        ValueError,
        "(?s)does not fit the model: .*user__monthly_income",
    ),
    "no events": (lambda X: without(X, "behaviors"), ValueError, "has no column 'behaviors'"),
    "no time": (lambda X: without(X, "applied_at"), ValueError, "has no column 'applied_at'"),
    "text for a number": (
        lambda X: pa.table(X.assign(user__monthly_income="much")),
        TypeError,
        "does not fit .*'user__monthly_income' held numbers or booleans in fit",
    ),
    "times that are texts": (
        with_text_times,
        TypeError,
        "does not fit .* subfield 'time' is of type .*string; it must hold timestamps",
    ),
    "zones": (
        lambda X: pa.table(X.assign(applied_at=X["applied_at"].dt.tz_localize("UTC"))),
        ValueError,
        "'applied_at' is in time zone UTC, but .*'time' of the events is without a time zone",
    ),
}


@pytest.fixture(
    params=["parquet", "duckdb", pytest.param("spark", marks=[on_spark, pytest.mark.slow])]
)
def show(request, tmp_path):
    """Show an Arrow table as each kind of table."""

    def show_table(table):
        path = tmp_path / "table.parquet"
        pq.write_table(table, path)
        if request.param == "parquet":
            return path
        if request.param == "duckdb":
            return ibis.duckdb.connect().read_parquet(path)
        return request.getfixturevalue("spark").read.parquet(str(path))

    return show_table


@pytest.mark.parametrize(("change", "error", "message"), MISFITS.values(), ids=MISFITS)
def test_refuses_misfits_before_any_work(
    model, X, show, tmp_path, monkeypatch, change, error, message
):
    table = show(change(X))
    n_rows = []
    predict_proba = type(model).predict_proba
    monkeypatch.setattr(
        type(model),
        "predict_proba",
        lambda self, X: n_rows.append(len(X)) or predict_proba(self, X),
    )
    with pytest.raises(error, match=message):
        score_table(model, table, tmp_path / "scores")
    assert set(n_rows) <= {1}
    assert not [path.name for path in tmp_path.iterdir() if "scores" in path.name]


class Constant(ClassifierMixin, BaseEstimator):
    """Gives every row the same probability, of as many classes as wanted."""

    def __init__(self, probability=0.5, n_classes=2):
        self.probability = probability
        self.n_classes = n_classes
        self.classes_ = np.arange(n_classes)

    def predict_proba(self, X):
        return np.full((len(X), self.n_classes), self.probability)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"model": Sessionizer()}, TypeError, "model is a Sessionizer without predict_proba"),
        ({"model": Constant(n_classes=3)}, ValueError, r"has the classes \[.*must have two"),
        ({"keep": "user_id"}, TypeError, r"it must be a list: \['user_id'\]"),
        ({"columns": "user_id"}, TypeError, "columns is the string 'user_id'; it must be a list"),
        ({"columns": ["number"]}, ValueError, "no column 'number', which is in columns"),
        ({"keep": ["number"]}, ValueError, "no column 'number', which is in keep"),
        ({"keep": []}, ValueError, "no column that identifies an application"),
        ({"name": "user_id"}, ValueError, "name='user_id' is also one of the columns"),
        ({"output": "missing/scores"}, FileNotFoundError, "the folder 'missing' does not exist"),
        ({"table": "missing.parquet"}, FileNotFoundError, "table: no Parquet file found at"),
        ({"table": {"user_id": [1]}}, TypeError, "table is a dict; it must be a path to Parquet"),
        ({"table": pd.DataFrame()}, TypeError, "Use model.predict_proba"),
    ],
)
def test_refuses(model, files, options, error, message):
    with pytest.raises(error, match=message):
        score_table(**{"model": model, "table": files, **options})


def test_an_unfitted_model_says_so(files):
    with pytest.raises(NotFittedError):
        score_table(make_pipeline(BehaviorAbstractor(), HUIHENClassifier()), files)


# --------------------------------------------------------------------------------------------------
# Whatever happens.


def cut_off(path):
    path.write_bytes(path.read_bytes()[:-1000])


def lose_a_column(path):
    pq.write_table(pq.read_table(path).drop_columns("user__monthly_income"), path)


def change_a_type(path):
    table = pq.read_table(path)
    place = table.column_names.index("user__monthly_income")
    pq.write_table(
        table.set_column(place, "user__monthly_income", pa.array(["much"] * len(table))), path
    )


@pytest.mark.parametrize("damage", [cut_off, lose_a_column, change_a_type])
@pytest.mark.parametrize("number", [0, 2])
def test_a_damaged_file_is_named_before_any_work(model, files, tmp_path, damage, number):
    path = sorted(files.iterdir())[number]
    whole = path.read_bytes()
    damage(path)
    before = sorted(tmp_path.iterdir())
    # Of two that differ, either may be the wrong one.
    named = path.name if damage is not change_a_type or number else "part-00001.parquet"
    with pytest.raises(ValueError, match=rf"{named}'?( has no| does not fit| cannot be read)"):
        score_table(model, files, tmp_path / "scores")
    assert sorted(tmp_path.iterdir()) == before
    path.write_bytes(whole)
    assert score_table(model, files, tmp_path / "scores").exists()


def test_a_file_that_breaks_off_leaves_the_parts_before_it(model, files, expected, tmp_path):
    path = sorted(files.iterdir())[2]
    whole = path.read_bytes()
    content = bytearray(whole)
    group = pq.ParquetFile(path).metadata.row_group(0)
    start = min(
        group.column(i).dictionary_page_offset or group.column(i).data_page_offset
        for i in range(group.num_columns)
        if group.column(i).path_in_schema == "user__monthly_income"
    )
    content[start : start + 40] = b"\xff" * 40  # it opens, but cannot be read to its end
    path.write_bytes(content)
    output, waiting = tmp_path / "scores", tmp_path / "scores.unfinished"
    for _ in range(2):
        with pytest.raises(ValueError, match=f"(?s){path.name}' cannot.* are kept in"):
            score_table(model, files, output)
        assert not output.exists()
        assert sorted(stamps(waiting)) == ["part-00000.parquet", "part-00001.parquet"]
    before = stamps(waiting)
    path.write_bytes(whole)
    check(score_table(model, files, output), expected)
    assert before.items() <= stamps(output).items()  # not scored again
    assert not waiting.exists()


def test_a_full_disk_leaves_no_part_of_a_part(model, files, expected, tmp_path, monkeypatch):
    write_table = pq.ParquetWriter.write_table
    n_written = []

    def write(self, table):
        n_written.append(len(table))
        if len(n_written) == 4:
            raise OSError(28, "No space left on device")
        write_table(self, table)

    monkeypatch.setattr(pq.ParquetWriter, "write_table", write)
    with pytest.raises(OSError, match="No space left on device"):
        score_table(model, files, tmp_path / "scores")
    left = sorted(stamps(tmp_path / "scores.unfinished"))
    assert left == [f"part-{number:05d}.parquet" for number in range(len(left))]
    assert 0 < len(left) < N_PARTS
    check(score_table(model, files, tmp_path / "scores"), expected)


@pytest.mark.slow
def test_killed_in_the_middle(model, files, expected, tmp_path):
    joblib.dump(model, tmp_path / "model")
    output, waiting = tmp_path / "scores", tmp_path / "scores.unfinished"
    code = f"""
    import time
    import joblib, pyarrow.parquet as pq
    import skhuihen._scale.score
    skhuihen._scale.score._BATCH = 25
    write_table = pq.ParquetWriter.write_table
    n = []
    def slowly(self, table):
        write_table(self, table)
        n.append(table)
        if len(n) == 4:
            print("now", flush=True)
            time.sleep(600)
    pq.ParquetWriter.write_table = slowly
    model = joblib.load({str(tmp_path / "model")!r})
    skhuihen._scale.score.score_table(model, {str(files)!r}, {str(output)!r})
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "now\n"
        os.kill(process.pid, signal.SIGKILL)
    assert not output.exists()
    left = stamps(waiting)
    finished = [name for name in left if not name.startswith(".")]
    assert 0 < len(finished) == len(left) - 1 < N_PARTS
    # No reader sees the part that was not finished.
    n_rows = sum(pq.read_metadata(files / name).num_rows for name in finished)
    assert len(pd.read_parquet(waiting)) == n_rows
    check(score_table(model, files, output), expected)
    assert [stamps(output)[name] for name in finished] == [left[name] for name in finished]
    assert len(stamps(output)) == N_PARTS
    assert not waiting.exists()


def test_a_second_run_has_nothing_to_do(model, files, tmp_path, monkeypatch):
    output = score_table(model, files, tmp_path / "scores")
    before = stamps(output)
    monkeypatch.setattr(pq, "ParquetWriter", None)
    assert score_table(model, files, output) == output
    assert stamps(output) == before


@pytest.mark.parametrize("unfinished", [False, True])
def test_parts_of_another_model_or_table_are_refused(model, X, bank, files, tmp_path, unfinished):
    output = score_table(model, files, tmp_path / "scores")
    if unfinished:
        (output / f"part-{N_PARTS - 1:05d}.parquet").unlink()
        output.rename(tmp_path / "scores.unfinished")
    other = make_pipeline(
        *model[:2], HUIHENClassifier(max_epochs=1, n_estimators=1, random_state=1)
    )
    with pytest.raises(FileExistsError, match="contains scores of another model"):
        score_table(other.fit(X, bank.y), files, output)
    with pytest.raises(FileExistsError, match=r"has the columns .* instead of"):
        score_table(model, files, output, keep=["user_id"])
    first = min(files.iterdir())
    with pytest.raises(FileExistsError, match="does not hold the scores of this table"):
        score_table(model, first, output)
    first.write_bytes(first.read_bytes())
    later = time.time_ns() + 10**9
    os.utime(first, ns=(later, later))
    with pytest.raises(FileExistsError, match=f"not made from the current .*{first.name}'"):
        score_table(model, files, output)


def test_a_folder_of_something_else_is_refused(model, files, tmp_path):
    (tmp_path / "scores").mkdir()
    (tmp_path / "scores" / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="does not hold the scores of this table"):
        score_table(model, files, tmp_path / "scores")
    assert (tmp_path / "scores" / "notes.txt").read_text() == "mine"


def test_progress_is_shown_only_when_asked_for(model, files, tmp_path, capfd):
    score_table(model, files, tmp_path / "scores")
    score_table(model, ibis.duckdb.connect().read_parquet(files / "*.parquet"))
    shown = capfd.readouterr()
    assert (shown.out, shown.err) == ("", "")
    score_table(model, files, tmp_path / "scores", verbose=1)
    assert "120/120" in capfd.readouterr().err


@pytest.mark.slow
def test_memory_is_flat(tmp_path):
    # 4 million events of 40 bytes, in one row group.
    n_rows, n_events = 20_000, 200
    time = pa.array(np.arange(n_rows * n_events), pa.timestamp("us"))
    number = pa.array(np.random.default_rng(0).random(len(time)))
    events = pa.StructArray.from_arrays([time, *[number] * 4], ["time", *"abcd"])
    offsets = np.arange(n_rows + 1, dtype=np.int32) * n_events
    table = pa.table(
        {"user_id": np.arange(n_rows), "behaviors": pa.ListArray.from_arrays(offsets, events)}
    )
    pq.write_table(table, tmp_path / "large.parquet", use_dictionary=False)
    pq.write_table(table[:10], tmp_path / "small.parquet")
    code = f"""
    import resource
    import numpy as np
    from skhuihen import score_table
    class Model:
        classes_ = [0, 1]
        def predict_proba(self, X):
            assert len(X) <= 1024
            return np.full((len(X), 2), float(X["behaviors"].array.__arrow_array__().nbytes > 0))
    for name in ("small", "large"):
        score_table(Model(), f"{tmp_path}/{{name}}.parquet", f"{tmp_path}/{{name}}")
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    small, large = map(int, result.stdout.split())
    assert table.nbytes > 150e6
    assert large - small < 60


def test_a_model_file_is_noted_and_another_is_refused(model, X, bank, files, expected, tmp_path):
    one, same, other = (tmp_path / f"{name}.model" for name in ("one", "same", "other"))
    save_model(model, one, X)
    save_model(model, same, X, note="approved")  # the same scores, but not the same file
    save_model(clone(model).set_params(sessionizer__session_gap="2h").fit(X, bank.y), other, X)
    hashes = {path: read_manifest(path)["sha256"] for path in (one, same, other)}
    scores = score_table(one, files, tmp_path / "scores")
    check(pd.read_parquet(scores), expected)
    for part in scores.iterdir():
        metadata = pq.read_schema(part).metadata
        assert metadata[b"skhuihen_model"].decode() == hashes[one]
    assert score_table(str(one), files, scores) == scores
    with pytest.raises(FileExistsError, match=f"model file {hashes[one]}.* is a model in memory"):
        score_table(model, files, scores)
    scores.rename(tmp_path / "scores.unfinished")
    (tmp_path / "scores.unfinished" / "part-00001.parquet").unlink()
    for wrong in (same, other):
        with pytest.raises(FileExistsError, match=f"{hashes[one]}.* is .*{hashes[wrong]}"):
            score_table(wrong, files, scores)
    score_table(one, files, scores)
    check(pd.read_parquet(scores), expected)
    of_memory = score_table(model, files, tmp_path / "of_memory")
    with pytest.raises(
        FileExistsError, match=r"scored by a model in memory, but .* is the model file"
    ):
        score_table(one, files, of_memory)
    with pytest.raises(ValueError, match="not a model file"):
        score_table(next(scores.iterdir()), files, tmp_path / "new")
