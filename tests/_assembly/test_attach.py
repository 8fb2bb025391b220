from __future__ import annotations

import math
import os
import random
import time as clock
import warnings
from datetime import UTC, datetime, timedelta

import duckdb
import ibis
import nested_pandas
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skhuihen import attach_behaviors
from skhuihen._compat import TEXT
from skhuihen._events.as_of import read_as_of
from tests.containers import in_microseconds

# Ibis 12 still calls DuckDB's Arrow output by its old name.
ibis_on_duckdb = pytest.mark.filterwarnings("ignore:fetch_arrow_table:DeprecationWarning")

BASE = datetime(2024, 5, 1)


def at(microseconds):
    return None if microseconds is None else BASE + timedelta(microseconds=microseconds)


def lists(X, name="behaviors"):
    return X[name].array.list_array.to_pylist()


# --------------------------------------------------------------------------------------------------
# The oracle: applications and events as plain records, one loop inside another.

COUNTS = (
    "applications",
    "applications_with_events",
    "events",
    "events_of_nobody",
    "events_with_null_key",
    "pairs_used",
    "pairs_too_late",
    "pairs_known_too_late",
    "pairs_before_lookback",
)
TIE_BREAKERS = ["operation", "item", "amount", "page", "seen", "rank"]


def nulls_last(value):
    missing = value is None or (isinstance(value, float) and math.isnan(value))
    return (missing, 0 if missing else value)


def slowly(applications, events, *, lookback=None, known=False, order=()):
    counts = dict.fromkeys(COUNTS, 0)
    counts |= {"applications": len(applications), "events": len(events)}
    users = {application["user_id"] for application in applications}
    for event in events:
        counts["events_with_null_key"] += event["user_id"] is None
        counts["events_of_nobody"] += event["user_id"] not in users
    histories = []
    for application in applications:
        limit = application["applied_at"]
        kept = []
        for event in events:
            if event["user_id"] != application["user_id"]:
                continue
            if event["time"] >= limit:
                counts["pairs_too_late"] += 1
            elif known and (event["seen"] is None or event["seen"] >= limit):
                counts["pairs_known_too_late"] += 1
            elif lookback is not None and event["time"] < limit - lookback:
                counts["pairs_before_lookback"] += 1
            else:
                counts["pairs_used"] += 1
                kept.append(event)
        kept.sort(key=lambda e: (e["time"], [nulls_last(e[c]) for c in [*order, *TIE_BREAKERS]]))
        counts["applications_with_events"] += bool(kept)
        histories.append(
            [
                {
                    "seq": seq,
                    "time": at(event["time"]),
                    "operation": event["operation"],
                    "item": event["item"],
                    "amount": None if nulls_last(event["amount"])[0] else event["amount"],
                    "page": event["page"],
                    "seen": at(event["seen"]),
                    "rank": event["rank"],
                }
                for seq, event in enumerate(kept)
            ]
        )
    return histories, counts


def application_frame(records):
    return pd.DataFrame(
        {
            "user_id": pd.array([r["user_id"] for r in records], dtype="Int64"),
            "applied_at": pd.Series([at(r["applied_at"]) for r in records], dtype="datetime64[us]"),
            "application_id": np.arange(len(records)),
        }
    )


def event_frame(records):
    return pd.DataFrame(
        {
            "page": pd.array([r["page"] for r in records], dtype="Int64"),
            "user_id": pd.array([r["user_id"] for r in records], dtype="Int64"),
            "amount": np.array([r["amount"] for r in records], dtype=float),
            "time": pd.Series([at(r["time"]) for r in records], dtype="datetime64[us]"),
            "item": pd.Series([r["item"] for r in records], dtype="str"),
            "operation": pd.Series([r["operation"] for r in records], dtype="str"),
            "seen": pd.Series([at(r["seen"]) for r in records], dtype="datetime64[us]"),
            "rank": pd.array([r["rank"] for r in records], dtype="Int64"),
        }
    )


# Few values each, so that ties, nulls and twins are the rule.
APPLICATION = {"user_id": range(3), "applied_at": range(4, 10)}
EVENT = {
    "user_id": [0, 1, 2, 7, None],
    "time": range(11),
    "operation": ["a", "B", "é", None],
    "item": ["x", "y", None],
    "amount": [-1.0, 0.0, 2.5, math.inf, math.nan, None],
    "page": [1, 2, None],
    "seen": [0, 4, 5, 9, None],
    "rank": [1, 2, None],
}


def some(choices, max_size):
    record = st.fixed_dictionaries({k: st.sampled_from(values) for k, values in choices.items()})
    return st.lists(record, max_size=max_size)


def many(choices, size, random):
    return [{k: random.choice(values) for k, values in choices.items()} for _ in range(size)]


def check_against_loops(applications, events, lookback, known, order):
    X, report = attach_behaviors(
        application_frame(applications),
        event_frame(events),
        lookback=None if lookback is None else timedelta(microseconds=lookback),
        known_at="seen" if known else None,
        order=order or None,
        return_report=True,
    )
    histories, counts = slowly(applications, events, lookback=lookback, known=known, order=order)
    assert lists(X) == histories
    assert report.to_dict() == counts


lookbacks = [None, 1, 3]
orders = [(), ("rank",), ("page", "rank")]


@given(
    some(APPLICATION, 6),
    some(EVENT, 25),
    st.sampled_from(lookbacks),
    st.booleans(),
    st.sampled_from(orders),
)
@settings(max_examples=20)
def test_agrees_with_two_plain_loops_on_few_rows(applications, events, lookback, known, order):
    check_against_loops(applications, events, lookback, known, order)


@pytest.mark.parametrize("lookback", lookbacks)
@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("order", orders)
def test_agrees_with_two_plain_loops_on_many_rows(lookback, known, order):
    generator = random.Random(0)
    applications, events = many(APPLICATION, 30, generator), many(EVENT, 500, generator)
    check_against_loops(applications, events, lookback, known, order)


def test_neither_shuffling_nor_the_future_changes_anything():
    generator = random.Random(0)
    applications, events = many(APPLICATION, 30, generator), many(EVENT, 500, generator)
    frame = application_frame(applications)
    X = attach_behaviors(frame, event_frame(events))
    future = many(EVENT | {"time": range(9, 20)}, 200, generator)
    events = [event for event in events if event["time"] < 9] + future
    generator.shuffle(events)
    assert lists(attach_behaviors(frame, event_frame(events))) == lists(X)


# The same loops over what tables of banks have besides: keys of two columns, either of which may be
# missing, nanoseconds, and time zones in which a day has 23 or 25 hours.

#: Before clocks go forward in Berlin, in nanoseconds since 1970, and so far back before 1970.
NOON = 1_711_796_400_000_000_000
HOUR = 3_600_000_000_000


BESIDE = [0, 0, 1, 999, -1, -1000, 1000]
FULL_APPLICATION = {
    "user_id": ["a", "a", "b"],
    "bank": [1, 1, 2],
    "applied_at": [hour * HOUR + ns for hour in (24, 25) for ns in BESIDE],
}
FULL_EVENT = EVENT | {
    "user_id": ["a", "a", "b", "", None],
    "bank": [1, 1, 2, 3, None],
    "time": [hour * HOUR + ns for hour in (0, 1, 24, 25) for ns in BESIDE],
    "seen": [None] + [hour * HOUR + ns for hour in (1, 24, 25) for ns in BESIDE],
}


def since(start, records):
    """Shift the clocks of records, which count from some instant."""
    clocks = ("applied_at", "time", "seen")
    return [
        {k: v + start if k in clocks and v is not None else v for k, v in record.items()}
        for record in records
    ]


def cut(record):
    """Return a record as the loops want it: one key, null if a part is, and microseconds."""
    base = int(BASE.replace(tzinfo=UTC).timestamp()) * 1_000_000
    clocks = {
        name: None if record[name] is None else record[name] // 1000 - base
        for name in ("applied_at", "time", "seen")
        if name in record
    }
    parts = record["user_id"], record["bank"]
    return {**record, **clocks, "user_id": None if None in parts else parts}


def full_frame(frame, records, zone, unit, clocks):
    """Replace the keys and clocks of a frame; units coarser than nanoseconds cut them."""
    frame["user_id"] = pd.Series([r["user_id"] for r in records], dtype="str")
    frame["bank"] = pd.array([r["bank"] for r in records], dtype="Int64")
    for name in clocks:
        column = pd.Series([r[name] for r in records], dtype="Int64").astype("datetime64[ns, UTC]")
        column = column.dt.floor("us").dt.as_unit(unit) if unit == "us" else column
        frame[name] = column.dt.tz_convert(zone) if zone else column.dt.tz_localize(None)
    return frame


def utc(event):
    """Return an event with its times in UTC, and without their zone."""
    return {
        k: v.astimezone(UTC).replace(tzinfo=None) if getattr(v, "tzinfo", None) else v
        for k, v in event.items()
    }


@ibis_on_duckdb
@pytest.mark.parametrize("start", [NOON, -NOON])
@pytest.mark.parametrize("unit", ["us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Berlin", "+05:30"])
@pytest.mark.parametrize("engine", ["frames", "ibis"])
def test_agrees_with_two_plain_loops_whatever_keys_and_clocks(engine, zone, unit, start):
    if engine == "ibis" and unit == "ns" and zone is not None:
        pytest.skip("Ibis does not support nanoseconds with a time zone")
    generator = random.Random(0)
    applications = since(start, many(FULL_APPLICATION, 12, generator))
    events = since(start, many(FULL_EVENT, 120, generator))
    blank = [{**r, "user_id": None, "time": None, "seen": None} for r in events]
    numbers = pd.DataFrame({"application_id": np.arange(len(applications))})
    tables = [
        full_frame(numbers, applications, zone, unit, ["applied_at"]),
        full_frame(event_frame(blank), events, zone, unit, ["time", "seen"]),
    ]
    for lookback, known, order in (
        (None, False, ("seen", "item")),
        (24 * HOUR // 1000, True, ()),
        (24 * HOUR // 1000 + 1, False, ("rank",)),
    ):
        options = {
            "by": ("user_id", "bank"),
            "lookback": None if lookback is None else timedelta(microseconds=lookback),
            "known_at": "seen" if known else None,
            "order": order or None,
            "return_report": True,
        }
        if engine == "ibis":
            connection = ibis.duckdb.connect()
            attached, report = attach_behaviors(*ibis_tables(connection, *tables), **options)
            rows = attached.to_pyarrow().sort_by("application_id")["behaviors"].to_pylist()
            connection.disconnect()
        else:
            X, report = attach_behaviors(*tables, **options)
            rows = lists(X)
        histories, counts = slowly(
            [cut(r) for r in applications],
            [cut(r) for r in events],
            lookback=lookback,
            known=known,
            order=order,
        )
        assert [[utc(e) for e in row or ()] for row in rows] == histories
        assert report.to_dict() == counts
        assert report.filter(like="pairs_").sum() == sum(
            (a["user_id"], a["bank"]) == (e["user_id"], e["bank"])
            for a in applications
            for e in events
        )


@pytest.mark.parametrize("known", [False, True])
def test_a_row_is_what_its_application_gets_alone_from_its_past(known):
    generator = random.Random(1)
    applications, events = many(APPLICATION, 8, generator), many(EVENT, 150, generator)
    options = {"known_at": "seen" if known else None, "lookback": timedelta(microseconds=4)}
    whole = attach_behaviors(
        application_frame(applications), event_frame(events), **options, return_report=True
    )
    alone = []
    for application in applications:
        limit = application["applied_at"]
        altered = []
        for event in events:
            if event["time"] >= limit:  # another event, or none
                altered += many(
                    EVENT | {"time": [event["time"]]}, generator.choice([0, 1, 2]), generator
                )
            elif known and (event["seen"] is None or event["seen"] >= limit):
                altered += many(
                    EVENT | {"seen": [event["seen"]]}, generator.choice([0, 1]), generator
                )
            else:
                altered.append(event)
        generator.shuffle(altered)
        part = attach_behaviors(
            application_frame([application]), event_frame(altered), **options, return_report=True
        )
        alone.append(part)
    assert [lists(part)[0] for part, _ in alone] == lists(whole[0])
    used = ["applications", "applications_with_events", "pairs_used", "pairs_before_lookback"]
    assert sum(report[used] for _, report in alone).tolist() == whole[1][used].tolist()


# --------------------------------------------------------------------------------------------------
# A small bank, for everything else.


@pytest.fixture
def applications():
    return pd.DataFrame(
        {
            "user_id": [2, 1, 2, 3, 2],
            "applied_at": pd.to_datetime(
                ["2024-05-03", "2024-05-02", "2024-05-01", "2024-05-03", "2024-05-03"]
            ),
            "city": pd.Categorical(["Jos", "Kano", "Jos", None, "Lagos"]),
            "income": pd.array([10, None, 2**60 + 1, 4, 5], dtype="Int64"),
            "score": np.array([1, 2, 3, 4, np.nan], dtype="float32"),
        },
        index=pd.Index([10, 7, 7, 3, 1], name="row"),
    )


@pytest.fixture
def events():
    return pd.DataFrame(
        {
            "user_id": [2, 1, 2, 2, 1, 9],
            "time": pd.to_datetime(
                [
                    "2024-05-02 08:00",
                    "2024-05-01 23:59:59.999999",
                    "2024-04-30 12:00",
                    "2024-05-02 08:00",
                    "2024-05-02 00:00",
                    "2024-04-01",
                ],
                format="ISO8601",
            ),
            "channel": ["app", "web", None, "app", "app", "app"],
            "operation": ["transfer", "login", None, "login", "login", "login"],
            "amount": [-5.0, np.nan, 0.0, np.nan, np.nan, np.nan],
        }
    )


EXPECTED_OPERATIONS = [
    [None, "login", "transfer"],
    ["login"],
    [None],
    [],
    [None, "login", "transfer"],
]


def operations(X, name="behaviors"):
    return [[event["operation"] for event in row] for row in lists(X, name)]


def test_rows_index_and_dtypes_stay(applications, events):
    before, events_before = applications.copy(deep=True), events.copy(deep=True)
    X = attach_behaviors(applications, events)
    pd.testing.assert_frame_equal(X.drop(columns="behaviors"), applications)
    pd.testing.assert_frame_equal(applications, before)
    pd.testing.assert_frame_equal(events, events_before)
    assert list(X.columns) == [*applications.columns, "behaviors"]
    assert operations(X) == EXPECTED_OPERATIONS


def test_column_is_nested_pandas_own_and_empty_histories_are_frames(applications, events):
    X = attach_behaviors(applications, events, behaviors="history")
    assert isinstance(X["history"].dtype, nested_pandas.NestedDtype)
    assert not X["history"].isna().any()
    assert [len(row) for row in X["history"]] == [3, 1, 1, 0, 3]


def test_subfields_stand_in_their_order(applications, events):
    events = events.rename(columns={"time": "clock"}).assign(item="A1", session=[1, 1, 1, 2, 2, 2])
    X = attach_behaviors(applications, events, time="clock")
    assert X["behaviors"].array.field_names == [
        "seq",
        "time",
        "operation",
        "item",
        "amount",
        "channel",
        "session",
    ]


def test_transformers_find_nothing_left_to_cut(applications, events):
    X = attach_behaviors(applications, events, lookback="3D")
    read = read_as_of(X, "behaviors", "applied_at", int(3 * 86400e6))
    assert read.n_events == X["behaviors"].array.flat_length
    assert read.n_too_late == read.n_before_lookback == 0
    seq = read.behaviors.integers("seq")
    assert seq.tolist() == [0, 1, 2, 0, 0, 0, 1, 2]


@pytest.mark.parametrize("lookback", ["1D", timedelta(days=1), pd.Timedelta(1, "D")])
def test_bounds_are_strict_above_and_closed_below(lookback):
    limit = pd.Timestamp("2024-05-03")
    day, tick = pd.Timedelta("1D"), pd.Timedelta("1us")
    events = pd.DataFrame(
        {
            "user_id": 1,
            "time": [limit - day - tick, limit - day, limit - tick, limit, limit + tick],
            "operation": list("abcde"),
        }
    )
    applications = pd.DataFrame({"user_id": [1], "applied_at": [limit]})
    assert operations(attach_behaviors(applications, events, lookback=lookback)) == [["b", "c"]]


def test_lookback_is_a_length_of_time_not_of_calendar():
    # Clocks went forward in Berlin on 31 March 2024: the day before noon had 23 hours.
    noon = pd.Timestamp("2024-03-31 12:00", tz="Europe/Berlin")
    applications = pd.DataFrame({"user_id": [1], "applied_at": [noon]})
    time = [pd.Timestamp(f"2024-03-30 {hour}:00", tz="Europe/Berlin") for hour in (10, 11, 12)]
    events = pd.DataFrame({"user_id": 1, "time": time, "operation": ["10", "11", "12"]})
    assert operations(attach_behaviors(applications, events, lookback="1D")) == [["11", "12"]]


@pytest.mark.parametrize("zone", [None, "Asia/Shanghai", "+05:30"])
def test_nanoseconds_are_cut_not_rounded(tmp_path, zone):
    limits = ["2024-05-03 00:00:00.000001", "1969-12-31 23:59:59.999999"]
    applications = pd.DataFrame({"user_id": [1, 2], "applied_at": pd.to_datetime(limits)})
    # Each would be rounded to its application's time, or past it.
    time = ["2024-05-03 00:00:00.000000999", "1969-12-31 23:59:59.999998999"]
    events = pd.DataFrame(
        {
            "user_id": [1, 2, 1],
            "time": pd.to_datetime([*time, "2024-05-03 00:00:00.000001001"]).as_unit("ns"),
            "operation": ["a", "b", "too late: cut to the application's own time"],
        }
    )
    applications["applied_at"] = applications["applied_at"].dt.tz_localize(zone)
    events["time"] = events["time"].dt.tz_localize(zone)
    events["seen"] = events["time"]
    events.to_parquet(tmp_path / "events.parquet")
    for source in (events, tmp_path / "events.parquet"):
        X = attach_behaviors(applications, source, known_at="seen")
        assert operations(X) == [["a"], ["b"]]
        flat = X["behaviors"].nest.to_flat()
        for column in ("time", "seen"):
            assert flat[column].dtype.pyarrow_dtype == pa.timestamp("us", zone)
            expected = events["time"].iloc[:2].dt.floor("us")
            assert flat[column].astype(expected.dtype).tolist() == expected.tolist()


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "America/New_York"])
def test_units_and_zones_do_not_matter(applications, events, unit, zone):
    events["time"] = events["time"].dt.floor("s").dt.as_unit(unit).dt.tz_localize(zone)
    applications["applied_at"] = applications["applied_at"].dt.tz_localize(zone)
    X = attach_behaviors(applications, events)
    assert operations(X) == EXPECTED_OPERATIONS
    assert X["behaviors"].nest["time"].dtype.pyarrow_dtype == pa.timestamp("us", zone)
    assert X["behaviors"].nest["time"].iloc[0] == events.loc[2, "time"]
    pd.testing.assert_series_equal(X["applied_at"], applications["applied_at"])


@pytest.mark.skipif(not hasattr(clock, "tzset"), reason="this platform cannot change its time zone")
@pytest.mark.parametrize("zone", [None, "Asia/Tokyo"])
def test_result_does_not_depend_on_the_zone_of_the_machine(applications, events, zone):
    events["time"] = events["time"].dt.tz_localize(zone)
    applications["applied_at"] = applications["applied_at"].dt.tz_localize(zone)
    detail = pa.array([{"at": datetime(2024, 5, 1)}] * 6).cast(
        pa.struct({"at": pa.timestamp("us", "UTC")})
    )
    events["detail"] = pd.array(detail, dtype=pd.ArrowDtype(detail.type))
    usual = attach_behaviors(applications, events, lookback="2D")
    before = os.environ.get("TZ")
    try:
        os.environ["TZ"] = "America/Los_Angeles"
        clock.tzset()
        elsewhere = attach_behaviors(applications, events, lookback="2D")
    finally:
        if before is None:
            del os.environ["TZ"]
        else:
            os.environ["TZ"] = before
        clock.tzset()
    assert elsewhere["behaviors"].dtype == usual["behaviors"].dtype
    assert lists(elsewhere) == lists(usual)


# --------------------------------------------------------------------------------------------------
# Keys.


def test_several_columns_make_a_key(applications, events):
    applications["bank"] = ["A", "A", "B", "A", "B"]
    events["bank"] = ["A", "A", "B", "B", None, "A"]
    X, report = attach_behaviors(applications, events, by=["user_id", "bank"], return_report=True)
    assert operations(X) == [["transfer"], ["login"], [None], [], [None, "login"]]
    assert "bank" not in X["behaviors"].array.field_names
    assert report["events_with_null_key"] == 1
    assert report["events_of_nobody"] == 2


def test_integer_keys_meet_the_floats_that_pandas_makes_of_them(applications, events):
    events["user_id"] = events["user_id"].astype(float).where(events["user_id"] != 9)
    X, report = attach_behaviors(applications, events, return_report=True)
    assert operations(X) == EXPECTED_OPERATIONS
    assert report["events_with_null_key"] == report["events_of_nobody"] == 1


def test_float_keys_that_lost_digits_match_nobody(events):
    key = 2**53 + 1
    applications = pd.DataFrame(
        {"user_id": [key, 1], "applied_at": pd.to_datetime(["2024-06-01"] * 2)}
    )
    events["user_id"] = np.array([key, 2**53, key, 1, 1, 1.5])
    X, report = attach_behaviors(applications, events, return_report=True)
    assert [len(row) for row in lists(X)] == [0, 2]
    assert report["events_with_null_key"] == 3
    with pytest.raises(ValueError, match=r"1 missing values \(or floats of 2\*\*53 and above"):
        attach_behaviors(applications.astype({"user_id": float}), events)


def test_long_integer_keys_are_exact():
    key = 2**62
    applications = pd.DataFrame(
        {"user_id": [key, key + 1], "applied_at": pd.to_datetime(["2024-06-01"] * 2)}
    )
    events = pd.DataFrame(
        {
            "user_id": np.array([key + 1], dtype="uint64"),
            "time": pd.to_datetime(["2024-05-01"]),
            "operation": "a",
        }
    )
    assert operations(attach_behaviors(applications, events)) == [[], ["a"]]


@pytest.mark.parametrize("kind", ["str", "category", "large_string[pyarrow]", "object"])
def test_text_keys_of_any_dtype_match(applications, events, kind):
    applications["user_id"] = applications["user_id"].astype(str).astype(kind)
    # Categories in another order than the text's, which must not order the ties.
    events["operation"] = pd.Categorical(events["operation"], ["transfer", "login"])
    events["user_id"] = events["user_id"].astype(str)
    X = attach_behaviors(applications, events)
    assert operations(X) == EXPECTED_OPERATIONS
    assert X["user_id"].dtype == applications["user_id"].dtype


# --------------------------------------------------------------------------------------------------
# Sources.


def test_every_container_gives_the_same(applications, events, tmp_path):
    applications = applications.drop(columns="city")
    expected = lists(attach_behaviors(applications, events))
    parts = tmp_path / "events"
    parts.mkdir()
    events.iloc[:2].to_parquet(parts / "1.parquet")
    events.iloc[2:].to_parquet(parts / "2.parquet")
    files = sorted(parts.iterdir())
    applications.to_parquet(tmp_path / "applications.parquet")
    tables = [applications, pl.from_pandas(applications), pa.table(applications)]
    tables += [tmp_path / "applications.parquet", str(tmp_path / "applications.parquet")]
    for table in tables:
        X = attach_behaviors(table, events)
        assert isinstance(X, pd.DataFrame)
        assert lists(X) == expected
    sources = [pl.from_pandas(events), pa.table(events), parts, files, tuple(map(str, files))]
    for source in [*sources, str(parts / "*.parquet"), parts / "?.parquet"]:
        X = attach_behaviors(applications, source)
        assert lists(X) == expected
        pd.testing.assert_frame_equal(X.drop(columns="behaviors"), applications)


def test_amounts_that_are_not_numbers_become_missing_before_they_are_ordered():
    day = datetime(2024, 5, 1)
    applications = pl.DataFrame({"user_id": [1], "applied_at": [day + timedelta(1)]})
    # polars tells NaN from null; here both are missing, so that the page settles the order.
    amount = [math.nan, None, math.nan, 7.0]
    events = pl.DataFrame(
        {"user_id": 1, "time": day, "operation": "a", "amount": amount, "page": [3, 2, 1, 4]}
    )
    (row,) = lists(attach_behaviors(applications, events))
    assert [(event["amount"], event["page"]) for event in row] == [
        (7.0, 4),
        (None, 1),
        (None, 2),
        (None, 3),
    ]


def test_parquet_keeps_what_pandas_noted(applications, events, tmp_path):
    applications.to_parquet(tmp_path / "applications.parquet")
    X = attach_behaviors(tmp_path / "applications.parquet", events)
    pd.testing.assert_frame_equal(X.drop(columns="behaviors"), applications.reset_index())
    X.to_parquet(tmp_path / "attached.parquet")
    # An index without a name is dropped, in both tables as in frames.
    applications.rename_axis(None).to_parquet(tmp_path / "applications.parquet")
    events.sample(frac=1, random_state=0).to_parquet(tmp_path / "events.parquet")
    X = attach_behaviors(tmp_path / "applications.parquet", tmp_path / "events.parquet")
    pd.testing.assert_frame_equal(X.drop(columns="behaviors"), applications.reset_index(drop=True))
    assert lists(X) == lists(attach_behaviors(applications, events))
    again = attach_behaviors(tmp_path / "attached.parquet", events, behaviors="again")
    assert lists(again, "again") == lists(X)
    assert again.columns[-2:].tolist() == ["behaviors", "again"]


def test_parquet_files_may_have_different_columns(applications, events, tmp_path):
    events.iloc[:3].drop(columns="channel").to_parquet(tmp_path / "1.parquet")
    events.iloc[3:].to_parquet(tmp_path / "2.parquet")
    X = attach_behaviors(applications, tmp_path / "*.parquet")
    assert [e["channel"] for e in lists(X)[0]] == [None, "app", None]


def test_parquet_folders_may_be_partitioned(applications, events, tmp_path):
    for month, part in events.groupby(events["time"].dt.month):
        folder = tmp_path / f"month={month}"
        folder.mkdir()
        part.to_parquet(folder / "part.parquet")
    X = attach_behaviors(applications, tmp_path)
    assert operations(X) == EXPECTED_OPERATIONS
    assert [e["month"] for e in lists(X)[0]] == [4, 5, 5]


def test_further_columns_pass_through_untouched(applications, events):
    n = len(events)
    further = {
        "flag": pd.array([True, None] * (n // 2), dtype="boolean"),
        "small": np.arange(n, dtype="int8"),
        "single": np.linspace(0, 1, n, dtype="float32"),
        "seen": pd.date_range("2024-01-01", periods=n, tz="Asia/Tokyo", unit="us"),
        "tags": pd.Series([["a"], [], None, ["b", "c"], ["d"], ["e"]]),
        "day": [d.date() for d in events["time"]],
        'quoted "name"': list("abcdef"),
        "user": list("abcdef"),
    }
    events = events.assign(**further)
    X = attach_behaviors(applications, events)
    types = {
        name: X["behaviors"].array.list_array.type.value_type.field(name).type for name in further
    }
    assert types == {
        "flag": pa.bool_(),
        "small": pa.int8(),
        "single": pa.float32(),
        "seen": pa.timestamp("us", "Asia/Tokyo"),
        "tags": pa.list_(pa.string()),
        "day": pa.date32(),
        'quoted "name"': pa.string(),
        "user": pa.string(),
    }
    transfer = lists(X)[0][2]
    for name in further:
        given_value = pa.array(events[name], from_pandas=True)[0].as_py()
        assert transfer[name] == given_value


# --------------------------------------------------------------------------------------------------
# Ibis tables.


def ibis_tables(connection, applications, events):
    for name, frame in (("applications", applications), ("events", events)):
        connection.con.register(name, in_microseconds(frame))
    return connection.table("applications"), connection.table("events")


@ibis_on_duckdb
@pytest.mark.parametrize("zone", [None, "UTC"])
def test_ibis_in_is_frames_in(applications, events, zone):
    applications = applications.reset_index(drop=True).assign(number=range(5)).drop(columns="city")
    applications["applied_at"] = applications["applied_at"].dt.tz_localize(zone)
    events["time"] = events["time"].dt.tz_localize(zone)
    events["seen"] = events["time"] + pd.Timedelta("6h")
    options = {"lookback": "2D", "known_at": "seen", "order": "channel", "return_report": True}
    X, report = attach_behaviors(applications, events, **options)
    assert 0 < report["pairs_used"] < sum(report.filter(like="pairs_"))
    connection = ibis.duckdb.connect()
    tables = ibis_tables(connection, applications, events)
    attached, ibis_report = attach_behaviors(*tables, **options)
    pd.testing.assert_series_equal(ibis_report, report)
    assert isinstance(attached, ibis.Table)
    assert list(attached.columns) == list(X.columns)
    rows = sorted(attached.to_pyarrow().to_pylist(), key=lambda row: row["number"])
    assert [row["behaviors"] or [] for row in rows] == lists(X)
    plain = [{k: v for k, v in row.items() if k != "behaviors"} for row in rows]
    assert plain == pa.table(applications).to_pylist()
    connection.disconnect()


@ibis_on_duckdb
def test_ibis_on_nanoseconds_cuts_them(applications, events):
    events["time"] = events["time"].dt.as_unit("ns") + pd.Timedelta("999ns")
    connection = ibis.duckdb.connect()
    attached = attach_behaviors(*ibis_tables(connection, applications, events)).to_pyarrow()
    user = [row for row in attached.to_pylist() if row["user_id"] == 1]
    assert [[e["time"] for e in row["behaviors"]] for row in user] == [
        [datetime(2024, 5, 1, 23, 59, 59, 999999)]
    ]
    connection.disconnect()


def unbound(zone=None):
    timestamp = ibis.expr.datatypes.Timestamp(timezone=zone, scale=6)
    return (
        ibis.table({"user_id": "int64", "applied_at": timestamp, "age": "int64"}, "applications"),
        ibis.table({"user_id": "int64", "time": timestamp, "operation": "string"}, "events"),
    )


def test_ibis_executes_nothing_and_keeps_the_default_backend():
    # Tables of no connection could not be executed.
    attached = attach_behaviors(*unbound(), lookback="30D")
    assert attached.columns == ("user_id", "applied_at", "age", "behaviors")
    assert attached.schema()["behaviors"].value_type.names == ("seq", "time", "operation")
    assert ibis.options.default_backend is None


@ibis_on_duckdb
def test_ibis_report_refuses_nulls_too(applications, events):
    events.loc[0, "time"] = pd.NaT
    connection = ibis.duckdb.connect()
    tables = ibis_tables(connection, applications, events)
    with pytest.raises(ValueError, match="'time' of events has 1 missing times"):
        attach_behaviors(*tables, return_report=True)
    rows = attach_behaviors(*tables).to_pyarrow().to_pylist()
    assert sum(len(row["behaviors"] or []) for row in rows) == 6
    connection.disconnect()


@ibis_on_duckdb
def test_ibis_tables_must_be_of_one_kind_and_connection(applications, events):
    one, other = ibis.duckdb.connect(), ibis.duckdb.connect()
    table, _ = ibis_tables(one, applications, events)
    _, stranger = ibis_tables(other, applications, events)
    with pytest.raises(ValueError, match="different connections"):
        attach_behaviors(table, stranger)
    with pytest.raises(TypeError, match="events is a DataFrame; an Ibis table can only be joined"):
        attach_behaviors(table, events)
    with pytest.raises(TypeError, match="applications is a DataFrame"):
        attach_behaviors(applications, stranger)
    one.disconnect()
    other.disconnect()


# --------------------------------------------------------------------------------------------------
# Little or nothing.


@pytest.mark.parametrize("zone", [None, "Asia/Tokyo"])
def test_no_rows_at_all(applications, events, zone):
    if TEXT is object:  # without any value, objects have no type
        events["channel"] = events["channel"].astype("string")
    events["time"] = events["time"].dt.tz_localize(zone)
    applications["applied_at"] = applications["applied_at"].dt.tz_localize(zone)
    dtype = attach_behaviors(applications, events)["behaviors"].dtype
    nobody = attach_behaviors(applications.iloc[:0], events)
    assert nobody["behaviors"].dtype == dtype
    pd.testing.assert_frame_equal(nobody.drop(columns="behaviors"), applications.iloc[:0])
    X, report = attach_behaviors(applications, events.iloc[:0], return_report=True)
    assert X["behaviors"].dtype == dtype
    assert lists(X) == [[]] * 5
    assert report["applications"] == 5
    assert report.sum() == 5
    X, report = attach_behaviors(applications.iloc[:0], events.iloc[:0], return_report=True)
    assert X["behaviors"].dtype == dtype
    assert report.sum() == 0


@pytest.mark.parametrize("columns", [{}, {"user_id": [], "time": [], "operation": []}])
def test_events_that_were_never_there(applications, columns):
    # pandas makes objects or floats of columns without values.
    events = pd.DataFrame(columns, columns=["user_id", "time", "operation", "item", "amount"])
    X, _ = attach_behaviors(applications, events, return_report=True)
    types = {f.name: f.type for f in X["behaviors"].array.list_array.type.value_type}
    assert types == {
        "seq": pa.int64(),
        "time": pa.timestamp("us"),
        "operation": pa.string(),
        "item": pa.string(),
        "amount": pa.float64(),
    }


def test_a_column_without_values_has_no_type(applications, events):
    events["item"] = np.nan
    events["amount"] = None
    X = attach_behaviors(applications, events)
    assert {e["item"] for row in lists(X) for e in row} == {None}
    assert X["behaviors"].nest["item"].dtype.pyarrow_dtype == pa.string()
    assert X["behaviors"].nest["amount"].dtype.pyarrow_dtype == pa.float64()


def test_warns_if_nobody_has_an_event(applications, events):
    events["time"] += pd.Timedelta("900D")
    with pytest.warns(UserWarning, match="no application has an earlier event") as caught:
        attach_behaviors(applications, events)
    assert caught[0].filename == __file__


def test_says_that_events_belong_to_nobody_only_where_no_application_has_one(applications, events):
    events["user_id"] = [2, 9, 9, 9, 9, 9]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        attach_behaviors(applications, events)
    events["user_id"] = 9
    with pytest.warns(UserWarning, match="6 of 6 events belong to no application"):
        attach_behaviors(applications, events)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        attach_behaviors(applications, events, return_report=True)


def test_leaves_nothing_behind(applications, events, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    attach_behaviors(applications, events)
    assert list(tmp_path.iterdir()) == []
    assert ibis.options.default_backend is None
    shown = "SELECT count(*) FROM duckdb_views() WHERE NOT internal"
    assert duckdb.sql(shown).fetchall() == [(0,)]


# --------------------------------------------------------------------------------------------------
# Refusals.


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda a, e: (a.drop(columns="user_id"), e), ValueError, "applications has no column 'u"),
        (lambda a, e: (a, e.drop(columns="user_id")), ValueError, "events has no column 'user_id'"),
        (lambda a, e: (a.drop(columns="applied_at"), e), ValueError, r"it has \['user_id', 'city"),
        (lambda a, e: (a, e.drop(columns="operation")), ValueError, "no column 'operation'; it ha"),
        (lambda a, e: (a.assign(behaviors=1), e), ValueError, "already has a column 'behaviors'"),
        (lambda a, e: (a.assign(user_id=None), e), ValueError, "'user_id' of applications has 5 m"),
        (
            lambda a, e: (a.assign(applied_at=a["applied_at"].where([True] * 3 + [False] * 2)), e),
            ValueError,
            "'applied_at' of applications has 2 missing values",
        ),
        (
            lambda a, e: (a, e.assign(time=e["time"].where([True] * 4 + [False] * 2))),
            ValueError,
            "'time' of events has 2 missing times",
        ),
        (lambda a, e: (a, e.assign(time=np.nan)), ValueError, "'time' of events has 6 missing tim"),
        (
            lambda a, e: (a, e.assign(time=e["time"].astype(str))),
            TypeError,
            "'time' of events is of type string; it must hold timestamps. .* pandas.to_datetime",
        ),
        (
            lambda a, e: (a.assign(applied_at=20240501), e),
            TypeError,
            "'applied_at' of applications is of type int64; it must hold timestamps",
        ),
        (
            lambda a, e: (a.assign(applied_at=a["applied_at"].dt.date), e),
            TypeError,
            "'applied_at' of applications is of type date",
        ),
        (
            lambda a, e: (a, e.assign(user_id=e["user_id"].astype(str))),
            TypeError,
            "'user_id' is int64 in applications and string in events",
        ),
        (
            lambda a, e: (a, e.assign(time=e["time"].dt.tz_localize("UTC"))),
            ValueError,
            "'applied_at' of applications is without a time zone, but column 'time' of events is "
            "in time zone UTC.*tz_convert.*tz_localize",
        ),
        (lambda a, e: (a, e.assign(seq=1)), ValueError, r"clash as subfields: \['seq', 'seq'\]"),
        (lambda a, e: (a, e.assign(Amount=1)), ValueError, r"clash .* \['amount', 'Amount'\]"),
        (lambda a, e: (a, e.assign(operation=1.5)), TypeError, r"'operation' .* float64.*'Int64'"),
        (lambda a, e: (a, e.assign(item=True)), TypeError, "'item' of events is of type boolean"),
        (lambda a, e: (a, e.assign(amount="5")), TypeError, "'amount' .* string.*to_numeric"),
        (
            lambda a, e: (a, e.assign(gap=pd.Timedelta("1h"))),
            TypeError,
            r"'gap' of events is of type duration\[.*\], which the join cannot use",
        ),
        (
            lambda a, e: (a, e.assign(mixed=[1, "a", 2, "b", 3, "c"])),
            TypeError,
            "'mixed' of events contains values of more than one type",
        ),
        (lambda a, e: (a, e.rename(columns={"channel": 5})), TypeError, "named 5 of type int"),
        (
            lambda a, e: (a, e.rename(columns={"channel": "amount"})),
            ValueError,
            "events has more than one column 'amount'",
        ),
        (lambda a, e: ({"user_id": [1]}, e), TypeError, "applications is a dict; it must be"),
        (lambda a, e: (a, [1, 2]), TypeError, "events is a list; it must be a table"),
        (
            lambda a, e: (a, "no/such.parquet"),
            FileNotFoundError,
            "events: no Parquet file found at",
        ),
        (
            lambda a, e: ("no/*.parquet", e),
            FileNotFoundError,
            "applications: no Parquet file found",
        ),
        (lambda a, e: (a, __file__), ValueError, "events: the file .* cannot be read as Parquet"),
    ],
)
def test_refuses(applications, events, change, error, message):
    with pytest.raises(error, match=message):
        attach_behaviors(*change(applications, events))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"lookback": "soon"}, ValueError, "lookback='soon' is not a valid duration"),
        ({"lookback": "-1D"}, ValueError, "must be a positive duration"),
        ({"by": []}, ValueError, r"by=\[\] is not a valid choice of columns"),
        ({"by": ["user_id", "user_id"]}, ValueError, "is not a valid choice of columns"),
        ({"known_at": "seen"}, ValueError, "events has no column 'seen'"),
        ({"known_at": "channel"}, TypeError, "'channel' of events is of type string; it must hold"),
        ({"order": "tags"}, TypeError, "'tags' of events .* cannot be sorted"),
        ({"time": "clock"}, ValueError, "events has no column 'clock'; it has"),
        ({"time": "opened"}, ValueError, r"clash as subfields: \['time', 'time'\]"),
    ],
)
def test_refuses_options(applications, events, options, error, message):
    events = events.assign(tags=[[1]] * len(events), opened=events["time"])
    with pytest.raises(error, match=message):
        attach_behaviors(applications, events, **options)


def test_refuses_a_second_clock_in_another_zone(applications, events):
    events["seen"] = events["time"].dt.tz_localize("UTC")
    with pytest.raises(ValueError, match="column 'seen' of events is in time zone UTC"):
        attach_behaviors(applications, events, known_at="seen")


# --------------------------------------------------------------------------------------------------
# A real lender.


def test_a_real_lenders_loans(data_folder):
    folder = data_folder("superlender")
    loans = pd.read_csv(folder / "trainperf.csv", parse_dates=["approveddate"])
    earlier = pd.read_csv(
        folder / "trainprevloans.csv",
        parse_dates=["approveddate", "firstduedate", "firstrepaiddate", "closeddate"],
    ).rename(columns={"approveddate": "approved", "closeddate": "closed"})
    events = earlier.melt(
        id_vars=["customerid", "systemloanid"],
        value_vars=["approved", "firstduedate", "firstrepaiddate", "closed"],
        var_name="operation",
        value_name="time",
    )
    X, report = attach_behaviors(
        loans, events, by="customerid", applied_at="approveddate", return_report=True
    )
    # Each customer has one loan here, so a plain merge counts the same pairs.
    merged = loans.merge(events, on="customerid")
    used = merged[merged["time"] < merged["approveddate"]]
    expected = loans["customerid"].map(used.groupby("customerid").size()).fillna(0)
    assert X["behaviors"].array.list_lengths.tolist() == expected.tolist()
    assert report["pairs_used"] == len(used) > 50_000
    assert report["pairs_used"] + report["pairs_too_late"] == len(merged)
    flat = X["behaviors"].nest.to_flat()
    ordered = used.sort_values(["time", "operation"]).groupby("customerid")["time"].agg(list)
    first = loans["customerid"].iloc[0]
    assert flat["time"].loc[0].astype("datetime64[us]").tolist() == ordered[first]


@pytest.mark.parametrize("table", ["applications", "events"])
@pytest.mark.parametrize("other", [None, "UTC"])
def test_zones_mixed_in_one_column_of_objects_are_refused(table, other):
    # Arrow would take the hour of the second for one of UTC, or convert it, without a word.
    times = [pd.Timestamp("2024-06-01 11:00", tz="Europe/Berlin")]
    times.append(pd.Timestamp("2024-06-02 11:00", tz=other))
    one_zone = pd.Series([times[0]] * 2)
    mixed = pd.Series(times, dtype=object)
    applications = pd.DataFrame({"user_id": [1, 2], "applied_at": one_zone})
    events = pd.DataFrame({"user_id": [1, 2], "time": one_zone, "operation": "a"})
    if table == "applications":
        applications["applied_at"] = mixed
    else:
        events["time"] = mixed
    column = "applied_at" if table == "applications" else "time"
    with pytest.raises(ValueError, match=f"column '{column}' of {table}.*several time zones"):
        attach_behaviors(applications, events)
