"""Whatever container a table comes in, every estimator gives the same result."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import duckdb
import ibis
import nested_pandas as npd
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sklearn
from packaging.version import Version
from sklearn import config_context
from sklearn.base import clone
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline

from skhuihen import (
    BehaviorAbstractor,
    BehaviorTopics,
    HUIHENClassifier,
    IntervalStatistics,
    ProfileEncoder,
    Sessionizer,
    WindowStatistics,
    attach_behaviors,
    score_table,
)
from skhuihen._events.behaviors import Behaviors
from skhuihen._events.frames import as_frame
from skhuihen._events.nested import is_nested
from skhuihen.model_selection import OutOfTimeSplit
from skhuihen.plotting import SessionTimelineDisplay
from skhuihen.utils import containers
from tests.preprocessing.strategies import HOUR, ZERO, applications, event, plain

Container = Callable[[pd.DataFrame], Any]

TRANSFORMERS = [
    BehaviorAbstractor(n_behaviors=10, n_items=5),
    Sessionizer(min_behaviors=2),
    WindowStatistics(n_operations=5),
    IntervalStatistics(n_operations=3),
    BehaviorTopics(n_topics=3),
    ProfileEncoder(),
]
transformers = pytest.mark.parametrize(
    "transformer", TRANSFORMERS, ids=lambda transformer: type(transformer).__name__
)


@pytest.fixture(scope="module")
def X(bank: Any) -> pd.DataFrame:
    """Applications among which one history is null and one is empty."""
    X = attach_behaviors(bank.applications, bank.events[::3])
    histories = X["behaviors"].array.list_array.to_pylist()
    kind = X["behaviors"].array.list_array.type
    histories[3], histories[5] = None, []
    return X.assign(behaviors=pd.Series(pa.array(histories, kind), dtype=X["behaviors"].dtype))


def model(**params: Any) -> Any:
    sizes = {
        "net_params": {
            "module__behavior_dim": 4,
            "module__intention_dim": 4,
            "module__habit_dim": 4,
        }
    }
    return make_pipeline(
        BehaviorAbstractor(n_behaviors=10),
        Sessionizer(max_sessions=3),
        HUIHENClassifier(max_epochs=2, n_estimators=1, random_state=0, **sizes, **params),
    )


@pytest.fixture(scope="module")
def fitted(X: pd.DataFrame, y: np.ndarray) -> Any:
    return model().fit(X, y)


def assert_same(result: Any, expected: Any) -> None:
    """Compare frames value by value, whatever dtypes passed through, or arrays."""
    assert type(result) is type(expected)
    if isinstance(expected, np.ndarray):
        np.testing.assert_array_equal(result, expected)
        return
    assert list(result.columns) == list(expected.columns)
    if "behaviors" in expected and is_nested(expected["behaviors"]):
        assert plain(result) == plain(expected)
        result, expected = result.drop(columns="behaviors"), expected.drop(columns="behaviors")
        result, expected = (pd.DataFrame(X).astype(object) for X in (result, expected))
        result, expected = (X.where(X.notna(), None) for X in (result, expected))
    pd.testing.assert_frame_equal(result, expected, check_dtype=False, rtol=0, atol=0)


# ---- every container through every estimator


@transformers
def test_transformers(transformer: Any, container: Container, X: pd.DataFrame) -> None:
    other = container(X)
    expected = transformer.fit(X).transform(X)
    # Learned on one container, applied to another.
    assert_same(transformer.transform(other), expected)
    result = transformer.fit(other).transform(other)
    assert_same(result, expected)
    assert_same(transformer.transform(X), expected)
    assert isinstance(
        result, np.ndarray if isinstance(transformer, ProfileEncoder) else pd.DataFrame
    )
    if hasattr(transformer, "report"):
        assert transformer.report(other).equals(transformer.report(X))


def test_pipeline(container: Container, X: pd.DataFrame, y: np.ndarray, fitted: Any) -> None:
    other = container(X)
    expected = fitted.predict_proba(X)
    np.testing.assert_array_equal(fitted.predict_proba(other), expected)
    again = model().fit(other, y)
    np.testing.assert_array_equal(again.predict_proba(X), expected)
    np.testing.assert_array_equal(again.transform(other), fitted.transform(X))


def test_classifier(container: Container, X: pd.DataFrame, y: np.ndarray, fitted: Any) -> None:
    sessions = fitted[:-1].transform(X)
    expected = fitted[-1].predict_proba(sessions)
    again = model()[-1].fit(container(sessions), y)
    np.testing.assert_array_equal(again.predict_proba(sessions), expected)
    np.testing.assert_array_equal(fitted[-1].predict_proba(container(sessions)), expected)


# A third of the events is so few that each fold has some that the other has not.
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    "convert",
    [
        containers.as_polars,
        pytest.param(
            containers.as_arrow,
            marks=pytest.mark.skipif(
                Version(sklearn.__version__) < Version("1.7"),
                reason="scikit-learn 1.6 cannot select rows of a pyarrow table",
            ),
        ),
    ],
)
def test_cross_validation(convert: Container, X: pd.DataFrame, y: np.ndarray) -> None:
    expected = cross_val_score(model(), X, y, cv=2, error_score="raise")
    result = cross_val_score(model(), convert(X), y, cv=2, error_score="raise")
    np.testing.assert_array_equal(result, expected)


# ---- times, and tables with little in them

UNITS = ("s", "ms", "us", "ns")
ZONES = (None, "UTC", "Asia/Kathmandu", "America/St_Johns")


@pytest.mark.parametrize(("unit", "zone"), [*zip(UNITS, ZONES, strict=True), ("ns", None)])
def test_units_and_zones(unit: str, zone: str | None, container: Container) -> None:
    histories = [[event(h, "ab"[h % 2]) for h in hours] for hours in ([0, 1, 2, 9], [0], [3, 4])]
    at = [ZERO + 5 * HOUR, ZERO + 5 * HOUR, ZERO + 4 * HOUR]

    def build(unit: str) -> pd.DataFrame:
        X = applications(histories, at, unit=unit, tz=zone).reset_index(drop=True)
        return X.assign(applied_at=X["applied_at"].astype(X["applied_at"].dtype).dt.as_unit(unit))

    expected = build("us")
    for transformer in (
        Sessionizer(session_gap="90min", min_behaviors=1),
        WindowStatistics(["2h"]),
    ):
        result = transformer.fit_transform(container(build(unit)))
        want = transformer.fit_transform(expected)
        if isinstance(transformer, Sessionizer):
            assert plain(result) == plain(want)  # weekday and day of month too
            assert [len(history) for history in plain(result)] == [3, 1, 1]
        else:
            assert_same(result, want)


@pytest.mark.filterwarnings("ignore:.*so all topics are 0")
@pytest.mark.parametrize(
    "rows",
    [
        slice(0, 0),  # no row
        [3],  # a null row alone
        [3, 5],  # no event
        [5, 5, 3, 0],
    ],
)
def test_little_in_them(rows: Any, container: Container, X: pd.DataFrame, fitted: Any) -> None:
    few = X.iloc[rows].reset_index(drop=True)
    other = container(few)
    for transformer in TRANSFORMERS:
        if len(few) or not isinstance(transformer, ProfileEncoder):
            assert_same(
                transformer.fit(other).transform(other), transformer.fit(few).transform(few)
            )
    for transformer in TRANSFORMERS:
        assert len(transformer.fit(X).transform(other)) == len(few)
    result = fitted.predict_proba(other)
    assert result.shape == (len(few), 2)
    np.testing.assert_array_equal(result, fitted.predict_proba(few))


# ---- files


def write_by_pandas(X: pd.DataFrame, path: str) -> None:
    X.to_parquet(path)


def write_by_duckdb(X: pd.DataFrame, path: str) -> None:
    with duckdb.connect() as connection:
        connection.register("X", pa.table(X))
        connection.execute(f"COPY X TO '{path}' (FORMAT parquet)")


def by_duckdb(method: str) -> Callable[[str], Any]:
    def read(path: str) -> Any:
        with duckdb.connect() as connection:
            return getattr(connection.read_parquet(path), method)()

    return read


READERS: dict[str, Callable[[str], Any]] = {
    "pandas": pd.read_parquet,
    "pandas, Arrow": lambda path: pd.read_parquet(path, dtype_backend="pyarrow"),
    "nested_pandas": npd.read_parquet,
    "pyarrow": pq.read_table,
    "polars": pl.read_parquet,
    "duckdb, Arrow": by_duckdb("to_arrow_table"),
    "duckdb, pandas": by_duckdb("df"),
    "duckdb, polars": by_duckdb("pl"),
}


@pytest.mark.parametrize("write", [write_by_pandas, write_by_duckdb])
@pytest.mark.parametrize("reader", READERS)
def test_parquet(write: Any, reader: str, X: pd.DataFrame, fitted: Any, tmp_path: Any) -> None:
    path = str(tmp_path / "X.parquet")
    write(X, path)
    other = READERS[reader](path)
    for transformer in TRANSFORMERS:
        assert_same(transformer.fit(other).transform(other), transformer.fit(X).transform(X))
    np.testing.assert_array_equal(fitted.predict_proba(other), fitted.predict_proba(X))


# ---- what comes out


@transformers
def test_set_output(transformer: Any, container: Container, X: pd.DataFrame) -> None:
    other = container(X)
    transformer.fit(other)
    expected = transformer.transform(X)
    names = transformer.get_feature_names_out()
    with config_context(transform_output="pandas"):
        result = transformer.transform(other)
        assert isinstance(result, pd.DataFrame)
        assert list(result.columns) == list(names)
    with config_context(transform_output="polars"):
        result = transformer.transform(other)
        assert isinstance(result, pl.DataFrame)
        assert result.columns == list(names)
        if "behaviors" in names:
            expected = Behaviors.from_column(expected["behaviors"])
            found = Behaviors.from_column(as_frame(result, "behaviors")["behaviors"])
            np.testing.assert_array_equal(found.offsets, expected.offsets)
            assert found.fields.keys() == expected.fields.keys()
        else:
            np.testing.assert_array_equal(result.to_numpy(), np.asarray(expected))


def test_pipeline_with_polars_between_its_steps(
    X: pd.DataFrame, y: np.ndarray, fitted: Any
) -> None:
    other = model().set_output(transform="polars").fit(containers.as_polars(X), y)
    np.testing.assert_array_equal(other.predict_proba(X), fitted.predict_proba(X))


# ---- what is no table in memory

STREAMS: dict[str, tuple[Callable[[pa.Table], Any], str]] = {
    "LazyFrame": (lambda table: pl.from_arrow(table).lazy(), "collect"),
    "RecordBatchReader": (lambda table: table.to_reader(), "read_all"),
    "DuckDBPyRelation": (lambda table: duckdb.from_arrow(table), "to_arrow_table"),
    "Table": (lambda table: ibis.memtable(table), "to_pyarrow"),
}


@pytest.mark.parametrize("kind", STREAMS)
def test_streams_are_refused_with_their_cure(
    kind: str, X: pd.DataFrame, y: np.ndarray, fitted: Any
) -> None:
    make, cure = STREAMS[kind]
    stream = make(containers.as_arrow(X))
    message = rf"X is a {kind}, .*Load it with \.{cure}\(\)"
    for transformer in TRANSFORMERS:
        with pytest.raises(TypeError, match=message):
            transformer.fit(stream)
    with pytest.raises(TypeError, match=message):
        fitted[-1].predict_proba(stream)
    # The cure works.
    again = getattr(stream, cure)()
    np.testing.assert_array_equal(fitted.predict_proba(again), fitted.predict_proba(X))


# ---- the join

PLAIN: dict[str, Callable[[pd.DataFrame], Any]] = {
    "pandas": lambda frame: frame,
    "pandas, Arrow": lambda frame: pa.table(frame).to_pandas(types_mapper=pd.ArrowDtype),
    "polars": pl.from_pandas,
    "pyarrow": lambda frame: pa.Table.from_pandas(frame, preserve_index=False),
    "pyarrow, record batch": lambda frame: pa.RecordBatch.from_pandas(frame, preserve_index=False),
    "pyarrow, chunks": lambda frame: pa.concat_tables([pa.table(frame)[:2], pa.table(frame)[2:]]),
    "pyarrow, slice": lambda frame: pa.Table.from_pandas(
        pd.concat([frame[-2:], frame]), preserve_index=False
    ).slice(2),
}


@pytest.mark.parametrize("kind", [*PLAIN, "parquet", "parquet, several"])
@pytest.mark.parametrize("side", ["applications", "events"])
def test_attach_behaviors(kind: str, side: str, bank: Any, tmp_path: Any) -> None:
    tables = {"applications": bank.applications.head(12), "events": bank.events}
    expected = attach_behaviors(**tables, return_report=True)
    for name, table in list(tables.items()):
        if side != name:
            continue
        if kind in PLAIN:
            tables[name] = PLAIN[kind](table)
        else:
            folder = tmp_path / name
            folder.mkdir()
            for part in (table[:5], table[5:]) if "several" in kind else (table,):
                part.to_parquet(folder / f"{part.index[0]}.parquet")
            files = sorted(folder.iterdir(), key=lambda path: int(path.stem))
            tables[name] = files if "several" in kind else files[0]
    X, report = attach_behaviors(**tables, return_report=True)
    assert report.equals(expected[1])
    assert_same(X.reset_index(drop=True), expected[0].reset_index(drop=True))


@pytest.mark.parametrize(("unit", "zone"), list(zip(UNITS, ZONES, strict=True)))
def test_attach_behaviors_units_and_zones(unit: str, zone: str | None) -> None:
    def stamps(hours: list[int], unit: str = unit) -> pa.Array:
        ticks = pa.array([ZERO + h * HOUR for h in hours], pa.timestamp("us", zone))
        return ticks.cast(pa.timestamp(unit, zone))

    def attach(unit: str) -> list[Any]:
        return [
            plain(attach_behaviors(convert(left), convert(right)))
            for left in [pa.table({"user_id": [1, 2], "applied_at": stamps([4, 4], unit)})]
            for right in [
                pa.table(
                    {
                        "user_id": [1, 1, 2, 2],
                        "time": stamps([5, 3, 1, 4], unit),
                        "operation": list("abcd"),
                    }
                )
            ]
            for convert in (lambda t: t, pl.from_arrow, lambda t: t.to_pandas())
        ]

    results = attach(unit)
    assert results[0] == results[1] == results[2] == attach("us")[0]
    assert [[e["operation"] for e in history] for history in results[0]] == [["b"], ["c"]]


# ---- one row that is no table


METHODS = ("transform", "predict", "predict_proba", "report")


@pytest.mark.parametrize(
    "estimator",
    [
        *TRANSFORMERS,
        model(),
        HUIHENClassifier(max_epochs=1, net_params={"module__hierarchical": False}),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_one_row_as_a_series_is_refused_with_the_cure(
    estimator: Any, X: pd.DataFrame, y: np.ndarray
) -> None:
    fitted = clone(estimator).fit(X, y)
    asked = [getattr(fitted, method) for method in METHODS if hasattr(fitted, method)]
    asked += [lambda row: clone(estimator).fit(row, y[:1])]
    if isinstance(estimator, HUIHENClassifier):
        asked += [
            lambda row: clone(estimator).partial_fit(row, y[:1], classes=[0, 1]),
            lambda row: clone(estimator).warm_start_from(row, y[:1]).fit(X, y),
        ]
    for ask in asked:
        with pytest.raises(TypeError, match=r"X\.iloc\[\[3\]\]"):
            ask(X.iloc[3])


def test_functions_refuse_one_row_as_a_series(bank: Any, X: pd.DataFrame, fitted: Any) -> None:
    for ask in (
        lambda: attach_behaviors(bank.applications.iloc[3], bank.events),
        lambda: attach_behaviors(bank.applications, bank.events.iloc[3]),
        lambda: score_table(fitted, X.iloc[3]),
        lambda: next(OutOfTimeSplit(n_splits=2).split(X.iloc[3])),
        lambda: SessionTimelineDisplay.from_frame(X.iloc[3]),
    ):
        with pytest.raises(TypeError, match=r"\.iloc\[\[3\]\]"):
            ask()
