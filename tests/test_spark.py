"""The join on the caller's engine: DuckDB and Spark give what frames give."""

from __future__ import annotations

import random
from datetime import date, timedelta
from decimal import Decimal

import ibis
import nested_pandas as npd
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skhuihen import attach_behaviors
from skhuihen._tables.spark import spark_frame
from tests._assembly.test_attach import (
    FULL_APPLICATION,
    FULL_EVENT,
    HOUR,
    NOON,
    cut,
    event_frame,
    full_frame,
    lists,
    many,
    since,
    slowly,
    utc,
)

pytestmark = [
    pytest.mark.slow,
    # One worker starts Spark, not each.
    pytest.mark.xdist_group("spark"),
    # Ibis 12 still calls DuckDB's Arrow output by its old name.
    pytest.mark.filterwarnings("ignore:fetch_arrow_table:DeprecationWarning"),
]


class DuckDB:
    def __init__(self):
        self.connection = ibis.duckdb.connect()

    def execute(self, table):
        return table.to_pyarrow()


class Spark:
    def __init__(self, session):
        self.connection = ibis.pyspark.connect(session)

    def execute(self, table):
        # Ibis would go through pandas, which makes floats of integers among nulls.
        return spark_frame(self.connection, table).toArrow()


@pytest.fixture(params=["duckdb", "spark"])
def engine(request):
    if request.param == "spark":
        return Spark(request.getfixturevalue("spark"))
    return DuckDB()


def in_microseconds(frame):
    """Return a table in microseconds: pandas 2 has nanoseconds, which Spark 4.0 cannot read."""
    table = pa.table(frame)
    kinds = [
        pa.timestamp("us", kind.tz) if pa.types.is_timestamp(kind) else kind
        for kind in table.schema.types
    ]
    schema = pa.schema(zip(table.column_names, kinds, strict=True), table.schema.metadata)
    return table.cast(schema)


@pytest.fixture
def tables(engine, tmp_path):
    """Show frames to the engine as Parquet, whose types need no translation."""

    def show(*frames):
        shown = []
        for number, frame in enumerate(frames):
            path = tmp_path / f"{number}-{random.random()}.parquet"
            pq.write_table(in_microseconds(frame), path)
            shown.append(engine.connection.read_parquet(path))
        return shown

    return show


# Each with its time zone and its century, since a query on Spark takes a second.
@pytest.mark.parametrize(("zone", "start"), [(None, -NOON), ("UTC", NOON)])
@pytest.mark.parametrize(
    ("lookback", "known", "order"),
    [
        (None, False, ("seen", "item")),
        (24 * HOUR // 1000, True, ()),
        (24 * HOUR // 1000 + 1, True, ("rank",)),
    ],
)
def test_agrees_with_two_plain_loops(engine, tables, zone, start, lookback, known, order):
    generator = random.Random(0)
    applications = since(start, many(FULL_APPLICATION, 12, generator))
    events = since(start, many(FULL_EVENT, 150, generator))
    blank = [{**r, "user_id": None, "time": None, "seen": None} for r in events]
    numbers = pd.DataFrame({"application_id": np.arange(len(applications))})
    frames = [
        full_frame(numbers, applications, zone, "us", ["applied_at"]),
        full_frame(event_frame(blank), events, zone, "us", ["time", "seen"]),
    ]
    options = {
        "by": ("user_id", "bank"),
        "lookback": None if lookback is None else timedelta(microseconds=lookback),
        "known_at": "seen" if known else None,
        "order": order or None,
        "return_report": True,
    }
    attached, report = attach_behaviors(*tables(*frames), **options)
    assert isinstance(attached, ibis.Table)
    rows = engine.execute(attached).sort_by("application_id").to_pylist()
    histories, counts = slowly(
        [cut(r) for r in applications],
        [cut(r) for r in events],
        lookback=lookback,
        known=known,
        order=order,
    )
    assert [[utc(e) for e in row.pop("behaviors") or ()] for row in rows] == histories
    assert sum(map(len, histories)) > 20
    assert report.to_dict() == counts
    assert rows == pa.table(frames[0]).to_pylist()
    frame, _ = attach_behaviors(*frames, **options)
    assert [[utc(e) for e in row] for row in lists(frame)] == histories


@pytest.fixture
def bank():
    """Return two tables in which an event has every type that engines share."""
    day = pd.Timestamp("2024-05-01").as_unit("us")
    applications = pd.DataFrame(
        {
            "user_id": [2**62, 2**62 + 1, 2**62],
            "applied_at": pd.Series([day + pd.Timedelta(5, "D")] * 3, dtype="datetime64[us]"),
            "income": pd.array([2**60 + 1, None, 3], "Int64"),
            "city": ["Jos", None, "Kanó"],
        }
    )
    n = 12
    events = pa.table(
        {
            "user_id": pa.array([2**62, 2**62 + 1, None] * 4),
            "time": pa.array([day] * n, pa.timestamp("us")),
            "operation": pa.array(["a", "B", "é", "", None, "b"] * 2),
            "amount": pa.array([0.0, -0.0, np.nan, None, np.inf, -np.inf] * 2),
            "flag": pa.array([True, None, False] * 4),
            "small": pa.array([1, -128, None] * 4, pa.int8()),
            "single": pa.array([1.5, np.nan, None] * 4, pa.float32()),
            "price": pa.array([Decimal("1.10"), None, Decimal(-3)] * 4, pa.decimal128(20, 2)),
            "day": pa.array([date(2024, 5, 1), None, date(1900, 1, 1)] * 4),
            "bytes": pa.array([b"\x00", None, b""] * 4),
            "tags": pa.array([["x", None], [], None] * 4),
            "detail": pa.array([{"a": 1, "b": None}, None, {"a": None, "b": "x"}] * 4),
            "a.b `c` \"d\" 'e'": pa.array(range(n)),
        }
    )
    return applications, events


def test_every_type_comes_through_in_the_same_order(engine, tables, bank):
    applications, events = bank
    attached = engine.execute(attach_behaviors(*tables(applications, events)))
    rows = attached.to_pylist()
    X = attach_behaviors(applications, events)
    expected = [
        {**row, "behaviors": history}
        for row, history in zip(pa.table(applications).to_pylist(), lists(X), strict=True)
    ]
    # NaN is not equal to itself; -0.0 is equal to 0.0, but ordered alike.
    assert sorted(map(repr, rows)) == sorted(map(repr, expected))
    ours, theirs = (
        {field.name: field.type for field in table.schema.field("behaviors").type.value_type}
        for table in (pa.table(X), attached)
    )
    assert list(theirs) == list(ours)
    for name in set(ours) - {"tags", "detail"}:
        assert theirs[name] in (ours[name], pa.int32()) or pa.types.is_large_binary(theirs[name])


def test_little_or_nothing(engine, tables, bank):
    applications, events = bank
    nobody, nothing = applications.iloc[:0], events.slice(0, 0)
    attached, report = attach_behaviors(*tables(applications, nothing), return_report=True)
    assert engine.execute(attached)["behaviors"].to_pylist() == [None] * 3
    assert (report["applications"], report.sum()) == (3, 3)
    attached = attach_behaviors(*tables(nobody, events))
    assert len(engine.execute(attached)) == 0


def test_missing_keys_and_times_are_refused_where_something_runs(engine, tables, bank, tmp_path):
    applications, events = bank
    keyless = applications.assign(user_id=pd.array([1, None, None], "Int64"))
    timeless = events.set_column(1, "time", pa.nulls(12, pa.timestamp("us")))
    shown = tables(applications, events, keyless, timeless)
    for options in ({"return_report": True}, {"output": tmp_path / "out"}):
        with pytest.raises(ValueError, match="'user_id' of applications has 2 missing values"):
            attach_behaviors(shown[2], shown[1], **options)
        with pytest.raises(ValueError, match="'time' of events has 12 missing times"):
            attach_behaviors(shown[0], shown[3], **options)
    assert not (tmp_path / "out").exists()
    # Where nothing runs such rows have nothing.
    rows = engine.execute(attach_behaviors(shown[2], shown[1]))
    assert rows["behaviors"].null_count == 3


@pytest.mark.parametrize("zone", [None, "UTC"])
def test_output_is_written_by_the_engine(engine, tables, bank, tmp_path, zone):
    applications, events = bank
    applications["applied_at"] = applications["applied_at"].dt.tz_localize(zone)
    clock = pa.timestamp("us", zone)
    events = events.set_column(1, "time", events["time"].cast("int64").cast(clock))
    X = attach_behaviors(applications, events)
    folder, report = attach_behaviors(
        *tables(applications, events), output=tmp_path / "out [2024]%20", return_report=True
    )
    assert folder == tmp_path / "out [2024]%20"
    read = npd.read_parquet(sorted(folder.glob("*.parquet")))
    order = read["income"].map({2**60 + 1: 0, 3: 2}).fillna(1).argsort()
    assert repr(lists(read.iloc[order])) == repr(lists(X))
    assert report["pairs_used"] == X["behaviors"].array.flat_length == 12
    assert read["behaviors"].nest["time"].dtype.pyarrow_dtype == clock
    assert str(read["applied_at"].dt.tz) == str(zone)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
    with pytest.raises(FileExistsError, match="already exists"):
        attach_behaviors(*tables(applications, events), output=folder)


def test_output_warns_of_strangers_and_leaves_nothing_of_a_failure(
    engine, tables, bank, tmp_path, monkeypatch
):
    applications, events = bank
    shown = tables(applications.assign(user_id=[1, 2, 3]), events)
    with pytest.warns(UserWarning, match="no application has an .* 12 of 12 events") as found:
        attach_behaviors(*shown, output=tmp_path / "out")
    assert next(w for w in found if w.category is UserWarning).filename == __file__

    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    if isinstance(engine, DuckDB):
        monkeypatch.setattr(type(engine.connection), "to_parquet", fail)
    else:
        monkeypatch.setattr("pyspark.sql.DataFrameWriter.parquet", fail)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(OSError, match="No space left"):
        attach_behaviors(*shown, output=tmp_path / "again")
    assert sorted(tmp_path.iterdir()) == before


def test_warns_of_times_that_cannot_be_right(engine, tables, tmp_path):
    days = np.arange(40)
    noon = pd.Timestamp("2024-05-01 12:00").as_unit("us")
    later = noon + pd.to_timedelta(days, "D").as_unit("us")
    applications = pd.DataFrame({"customer": days, "applied_at": later, "number": days})
    events = pd.DataFrame(
        {
            "client": days.repeat(3),
            "time": noon + pd.to_timedelta(np.arange(120) * 6, "h").as_unit("us"),
            "operation": "login",
        }
    )
    options = {"by": ("customer", "client"), "return_report": True}
    _, expected = attach_behaviors(applications, events, known_after="6h", **options)
    _, report = attach_behaviors(*tables(applications, events), known_after="6h", **options)
    pd.testing.assert_series_equal(report, expected)
    assert report["pairs_known_too_late"] > 0
    # Milliseconds, read as nanoseconds.
    old = events.assign(
        time=pd.to_datetime(events["time"].astype("int64") // 1000).dt.as_unit("us")
    )
    with pytest.warns(UserWarning, match="120 of 120 times in column 'time' .* January 1970") as (
        found
    ):
        attach_behaviors(*tables(applications, old), **options)
    assert found[-1].filename == __file__
    dates = events.assign(time=events["time"].dt.floor("D"))
    with pytest.warns(UserWarning, match="120 of 120 times in column 'time' .* are midnight"):
        attach_behaviors(*tables(applications, dates), **options)
    ended = events.assign(time=events["time"] - pd.Timedelta("200D"))
    with pytest.warns(UserWarning, match="40 of 40 applications are more than 60 days after"):
        attach_behaviors(*tables(applications, ended), **options)


def test_an_output_elsewhere_is_left_to_the_engine(engine, tables, bank):
    with pytest.raises(ValueError, match=r"not a local folder.* \.to_parquet"):
        attach_behaviors(*tables(*bank), output="hdfs://bank/attached")


def test_an_instant_is_no_time_on_a_clock_of_unknown_zone(engine, tables, bank):
    # Ibis shows both of Spark's types alike, and Spark would take the clock's zone for UTC.
    applications, events = bank
    instant = applications.assign(applied_at=applications["applied_at"].dt.tz_localize("UTC"))
    message = "in time zone UTC, but column 'time' of events is without a time zone"
    with pytest.raises(ValueError, match=message):
        attach_behaviors(*tables(instant, events))


def test_maps_are_refused_by_spark_alone(engine, tables, bank):
    applications, events = bank
    maps = pa.array([[("a", 1)]] * 12, pa.map_(pa.string(), pa.int64()))
    shown = tables(applications, events.append_column("labels", maps))
    if isinstance(engine, DuckDB):
        assert len(engine.execute(attach_behaviors(*shown))) == 3
        return
    with pytest.raises(TypeError, match=r"'labels' of events is of type map<.*Drop it, or convert"):
        attach_behaviors(*shown)
