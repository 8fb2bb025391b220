"""What the join warns of, on every engine: keys that hardly match, times that cannot be right."""

from __future__ import annotations

import warnings

import ibis
import numpy as np
import pandas as pd
import polars as pl
import pytest

from skhuihen import ProfileEncoder, attach_behaviors
from tests.containers import in_microseconds

# Ibis 12 still calls DuckDB's Arrow output by its old name.
pytestmark = pytest.mark.filterwarnings("ignore:fetch_arrow_table:DeprecationWarning")

N = 40
HOUR = 3_600_000_000


def draw_bank(zone=None):
    """Return 40 applications of May and June 2024, and events from April to July of their users."""
    random = np.random.default_rng(0)
    start = pd.Timestamp("2024-05-01 00:00:01")
    applied_at = start + pd.to_timedelta(random.integers(0, 60 * 24 * HOUR, N), "us")
    applications = pd.DataFrame({"user_id": np.arange(N) % 30, "applied_at": applied_at})
    time = start + pd.to_timedelta(random.integers(-30 * 24 * HOUR, 80 * 24 * HOUR, 400), "us")
    events = pd.DataFrame(
        {"user_id": random.integers(0, 30, 400), "time": time, "operation": "login"}
    )
    applications["applied_at"] = applications["applied_at"].dt.tz_localize(zone)
    events["time"] = events["time"].dt.tz_localize(zone)
    return applications, events


def as_pandas(applications, events, folder, **options):
    return attach_behaviors(applications, events, **options)


def as_polars(applications, events, folder, **options):
    return attach_behaviors(pl.from_pandas(applications), pl.from_pandas(events), **options)


def as_parquet(applications, events, folder, **options):
    applications.to_parquet(folder / "applications.parquet")
    events.to_parquet(folder / "events.parquet")
    paths = folder / "applications.parquet", folder / "events.parquet"
    return attach_behaviors(*paths, output=folder / "attached", n_partitions=3, **options)


def as_ibis(applications, events, folder, **options):
    connection = ibis.duckdb.connect()
    zone = getattr(applications["applied_at"].dtype, "tz", None)
    connection.raw_sql(f"SET TimeZone = '{zone or 'UTC'}'")
    for name, frame in (("applications", applications), ("events", events)):
        connection.con.register(name, in_microseconds(frame))
    tables = connection.table("applications"), connection.table("events")
    attached = attach_behaviors(*tables, output=folder / "attached", **options)
    connection.disconnect()
    return attached


ENGINES = [as_pandas, as_polars, as_parquet, as_ibis]
on_every_engine = pytest.mark.parametrize("attach", ENGINES)


def told(attach, folder, applications, events, **options):
    """Return what is warned of, which must point to this file."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        attach(applications, events, folder, **options)
    found = [warning for warning in found if warning.category is UserWarning]
    assert {warning.filename for warning in found} <= {__file__}
    return [str(warning.message) for warning in found]


@on_every_engine
@pytest.mark.parametrize("zone", [None, "Europe/Berlin"])
def test_a_sound_bank_draws_no_warning(attach, zone, tmp_path):
    assert told(attach, tmp_path, *draw_bank(zone)) == []


# --------------------------------------------------------------------------------------------------
# Units.


def misread(times, is_in, taken_for):
    """Return times that were exported as integers of one unit and read as those of another."""
    unit = {"s": 10**6, "ms": 10**3, "us": 1}[is_in]
    numbers = times.dt.as_unit("us").astype("int64") // unit
    return pd.to_datetime(numbers, unit=taken_for).dt.as_unit("us")


@pytest.mark.parametrize("report", [False, True])
@pytest.mark.parametrize(
    ("is_in", "taken_for"), [("ms", "ns"), ("s", "ns"), ("us", "ns"), ("s", "ms"), ("ms", "us")]
)
def test_numbers_of_a_smaller_unit_land_in_january_1970(is_in, taken_for, report, tmp_path):
    applications, events = draw_bank()
    events["time"] = misread(events["time"], is_in, taken_for)
    (message,) = told(as_pandas, tmp_path, applications, events, return_report=report)
    assert "400 of 400 times in column 'time' of events are in January 1970" in message
    assert "unit='s'" in message
    assert "unit='ms'" in message


@on_every_engine
def test_every_engine_tells_times_in_1970(attach, tmp_path):
    applications, events = draw_bank()
    events["time"] = misread(events["time"], "ms", "ns")
    (message,) = told(attach, tmp_path, applications, events)
    assert "400 of 400 times in column 'time' of events are in January 1970" in message


def test_the_other_clocks_may_be_in_1970_too(tmp_path):
    applications, events = draw_bank()
    events["seen"] = misread(events["time"], "s", "ms")
    (message,) = told(as_pandas, tmp_path, applications, events, known_at="seen")
    assert "400 of 400 times in column 'seen' of events are in January 1970" in message
    applications["applied_at"] = misread(applications["applied_at"], "s", "ms")
    (message, *_) = told(as_pandas, tmp_path, applications, events)
    assert "40 of 40 times in column 'applied_at' of applications are in January" in message


def test_one_applicant_in_1970_is_told_and_a_stray_event_is_not(tmp_path):
    applications, events = draw_bank()
    own = events.assign(time=misread(events["time"], "ms", "ns"))
    (message,) = told(as_pandas, tmp_path, applications.iloc[[3]], own[own["user_id"] == 3])
    assert "January 1970" in message
    events.loc[:2, "time"] = pd.Timestamp(0)  # fewer than one of a hundred
    assert told(as_pandas, tmp_path, applications, events) == []
    events.loc[:3, "time"] = pd.Timestamp(0)
    assert "4 of 400" in told(as_pandas, tmp_path, applications, events)[0]


# --------------------------------------------------------------------------------------------------
# Ranges.


@on_every_engine
@pytest.mark.parametrize("zone", [None, "UTC"])
def test_a_log_that_ends_long_before_is_told(attach, zone, tmp_path):
    applications, events = draw_bank(zone)
    events["time"] -= pd.Timedelta("365D")
    (message,) = told(attach, tmp_path, applications, events, return_report=True)
    assert "40 of 40 applications are more than 60 days after the last event" in message
    assert "'time' from 2023-04-02" in message


def test_applications_of_a_far_year_are_told(tmp_path):
    applications, events = draw_bank()
    # Milliseconds, read as seconds: year 56,000, which a frame holds but no calendar shows.
    numbers = applications["applied_at"].dt.as_unit("ms").astype("int64")
    applications["applied_at"] = numbers.to_numpy().astype("datetime64[s]")
    (message,) = told(as_pandas, tmp_path, applications, events)
    assert "40 of 40 applications are more than 60 days after" in message


def test_a_log_that_ends_the_night_before_is_ordinary(tmp_path):
    applications, events = draw_bank()
    today = applications.assign(
        applied_at=pd.Timestamp("2024-07-01 09:00") + pd.to_timedelta(np.arange(N), "min")
    )
    events = events[events["time"] < "2024-07-01"]
    assert told(as_pandas, tmp_path, today, events) == []
    month_later = today.assign(applied_at=today["applied_at"] + pd.Timedelta("31D"))
    assert told(as_pandas, tmp_path, month_later, events) == []
    few = month_later.assign(applied_at=month_later["applied_at"] + pd.Timedelta("365D"))
    assert told(as_pandas, tmp_path, few.iloc[:19], events) == []


# --------------------------------------------------------------------------------------------------
# Midnights.

ZONES = [None, "UTC", "Europe/London", "Asia/Shanghai", "Asia/Kolkata", "+05:30"]


@on_every_engine
@pytest.mark.parametrize("zone", ZONES[:4])
def test_events_of_which_only_the_date_is_known_leak(attach, zone, tmp_path):
    applications, events = draw_bank(zone)
    events["time"] = events["time"].dt.floor("D")
    (message,) = told(attach, tmp_path, applications, events, return_report=True)
    assert "400 of 400 times in column 'time' of events are midnight" in message
    assert "on the same day are then used" in message


@on_every_engine
@pytest.mark.parametrize("zone", ZONES[:4])
def test_applications_of_which_only_the_date_is_known_lose_that_day(attach, zone, tmp_path):
    applications, events = draw_bank(zone)
    applications["applied_at"] = applications["applied_at"].dt.floor("D")
    (message,) = told(attach, tmp_path, applications, events, return_report=True)
    assert "40 of 40 times in column 'applied_at' of applications are midnight" in message
    assert "no event on the day of the application is used" in message


@pytest.mark.parametrize("zone", ZONES)
def test_midnight_is_that_of_the_zone(zone, tmp_path):
    applications, events = draw_bank(zone)
    events["time"] = events["time"].dt.floor("D")
    # Before 1970, and across changes of the clock.
    events.loc[:200, "time"] = (
        events["time"].dt.tz_localize(None) - pd.Timedelta(60 * 365 + 120, "D")
    ).dt.tz_localize(zone)
    (message,) = told(as_pandas, tmp_path, applications, events)
    assert "400 of 400 times in column 'time'" in message
    events["time"] += pd.Timedelta("9h")
    assert told(as_pandas, tmp_path, applications, events) == []
    events["time"] += pd.Timedelta("14:59:59.999")  # as balances at the end of a day have it
    assert told(as_pandas, tmp_path, applications, events) == []


def test_which_clock_counts_for_the_leak(tmp_path):
    applications, events = draw_bank()
    events["seen"] = events["time"] + pd.Timedelta("3h")
    events["day_of_load"] = events["seen"].dt.floor("D")
    known = {"known_at": "day_of_load"}
    (message,) = told(as_pandas, tmp_path, applications, events, **known)
    assert "400 of 400 times in column 'day_of_load' of events are midnight" in message
    # What was known when is known to the second.
    booked = events.assign(time=events["time"].dt.floor("D"))
    assert told(as_pandas, tmp_path, applications, booked, known_at="seen") == []
    # The cure that the warning names.
    assert told(as_pandas, tmp_path, applications, booked, known_after="1D") == []
    assert len(told(as_pandas, tmp_path, applications, booked, known_after="23h")) == 1


def test_midnights_that_are_ordinary(tmp_path):
    applications, events = draw_bank()
    dates = events.assign(time=events["time"].dt.floor("D"))
    by_day = applications.assign(applied_at=applications["applied_at"].dt.floor("D"))
    # Days in both tables: nothing of the day itself is used.
    assert told(as_pandas, tmp_path, by_day, dates) == []
    # One day on which everything is cut off, as in a yearly study.
    one_day = applications.assign(applied_at=pd.Timestamp("2024-06-30"))
    assert told(as_pandas, tmp_path, one_day, events) == []
    noon = applications.assign(applied_at=pd.Timestamp("2024-06-30 12:00"))
    assert told(as_pandas, tmp_path, noon, dates) == []
    # Dates among times, such as days on which something is due.
    mixed = events.assign(time=events["time"].where(events.index % 2 == 0, dates["time"]))
    assert told(as_pandas, tmp_path, applications, mixed) == []
    # A few rows.
    assert told(as_pandas, tmp_path, by_day.iloc[:19], events) == []
    assert told(as_pandas, tmp_path, applications.iloc[:19], dates) == []


def test_few_times_of_day_among_dates_change_nothing(tmp_path):
    applications, events = draw_bank()
    dates = events.assign(time=events["time"].dt.floor("D"))
    dates.loc[:15, "time"] += pd.Timedelta("7h")
    (message,) = told(as_pandas, tmp_path, applications, dates)
    assert "384 of 400" in message


# --------------------------------------------------------------------------------------------------
# Keys.


@on_every_engine
def test_a_batch_joined_with_the_whole_log_is_ordinary(attach, tmp_path):
    applications, events = draw_bank()
    others = events.assign(user_id=events["user_id"] + 1000)
    log = pd.concat([events, *[others] * 9], ignore_index=True)
    assert told(attach, tmp_path, applications, log) == []


@on_every_engine
def test_keys_that_match_by_chance_alone_are_told(attach, tmp_path):
    applications, events = draw_bank()
    applications["user_id"] = np.arange(N) + 1000
    applications.loc[0, "user_id"] = 3
    applications.loc[0, "applied_at"] = pd.Timestamp("2024-06-30 10:00")
    (message,) = told(attach, tmp_path, applications, events)
    assert "only 1 of 40 applications have earlier events and " in message
    assert "of 400 events belong to no application" in message
    applications.loc[1:2, "user_id"] = 3  # three of forty
    applications.loc[1:2, "applied_at"] = pd.Timestamp("2024-06-30 10:00")
    assert told(as_pandas, tmp_path, applications, events) == []


def test_a_new_customer_without_events_is_ordinary(tmp_path):
    applications, events = draw_bank()
    new = applications.iloc[[0]].assign(user_id=999)
    assert told(as_pandas, tmp_path, new, events) == []
    assert told(as_pandas, tmp_path, new, events.iloc[:0]) == []
    late = events[events["user_id"] == 0].assign(time=pd.Timestamp("2025-01-01"))
    (message,) = told(as_pandas, tmp_path, applications.iloc[[0]], late)
    assert "no application has an earlier event" in message
    assert "'time' from 2025-01-01T00:00:00 to 2025-01-01T00:00:00" in message


@on_every_engine
@pytest.mark.parametrize("by", [("customer", "client"), [("customer", "client")]])
def test_a_pair_names_a_key_that_is_named_differently(attach, by, tmp_path):
    applications, events = draw_bank()
    _, expected = attach_behaviors(applications, events, return_report=True)
    applications = applications.rename(columns={"user_id": "customer"})
    events = events.rename(columns={"user_id": "client"})
    X, report = attach(applications, events, tmp_path, by=by, return_report=True)
    pd.testing.assert_series_equal(report, expected)
    assert report["pairs_used"] > 100
    if attach in (as_pandas, as_polars):
        assert list(X.columns) == ["customer", "applied_at", "behaviors"]
        assert X["behaviors"].array.field_names == ["seq", "time", "operation"]


def test_pairs_and_names_mix(tmp_path):
    applications, events = draw_bank()
    expected = attach_behaviors(applications, events)
    applications = applications.rename(columns={"user_id": "customer"}).assign(bank="A")
    # An event's column may be called as the other table's key is.
    events = events.rename(columns={"user_id": "client"}).assign(bank="A", customer=7)
    X = attach_behaviors(applications, events, by=["bank", ("customer", "client")], n_partitions=3)
    assert X["behaviors"].array.field_names == ["seq", "time", "operation", "customer"]
    assert X["behaviors"].array.list_lengths.tolist() == (
        expected["behaviors"].array.list_lengths.tolist()
    )
    # Two names that both tables have are two keys, in a tuple as in a list.
    both = events.assign(customer=events["client"])
    two = attach_behaviors(applications, both, by=("bank", "customer"))
    assert two["behaviors"].array.list_lengths.tolist() == (
        expected["behaviors"].array.list_lengths.tolist()
    )


@pytest.mark.parametrize(
    ("by", "error", "message"),
    [
        ([("customer", "client", "id")], ValueError, "which is not a pair of names"),
        ([("customer", 5)], TypeError, "by contains 5 of type int"),
        ([("user_id", "user_id"), "user_id"], ValueError, "is not a valid choice of columns"),
        ([("user_id", "a"), ("user_id", "b")], ValueError, "is not a valid choice of columns"),
        ([("user_id", "client")], ValueError, "events has no column 'client'"),
        ([("customer", "user_id")], ValueError, "applications has no column 'customer'"),
        (("customer", "client"), ValueError, "applications has no column 'customer', 'client'"),
        ([("user_id", "operation")], TypeError, "Key 'user_id' = 'operation' is int64 in appl"),
    ],
)
def test_refuses_keys(by, error, message):
    with pytest.raises(error, match=message):
        attach_behaviors(*draw_bank(), by=by)


# --------------------------------------------------------------------------------------------------
# A feed that is always late.


@on_every_engine
@pytest.mark.parametrize("lookback", [None, "20D"])
def test_a_fixed_lag_is_a_second_clock(attach, lookback, tmp_path):
    applications, events = draw_bank()
    # One event is known right at the application, and one a microsecond before.
    events.loc[:1, "user_id"] = 0
    events.loc[0, "time"] = applications["applied_at"][0] - pd.Timedelta("2D")
    events.loc[1, "time"] = applications["applied_at"][0] - pd.Timedelta("2D") - pd.Timedelta("1us")
    options = {"lookback": lookback, "return_report": True}
    seen = events.assign(seen=events["time"] + pd.Timedelta("2D"))
    _, expected = attach_behaviors(applications, seen, known_at="seen", **options)
    X, report = attach(applications, events, tmp_path, known_after="2D", **options)
    pd.testing.assert_series_equal(report, expected)
    assert report["pairs_known_too_late"] > 0
    if attach is as_pandas:
        last = X["behaviors"].iloc[0]["time"].max()
        assert last == events.loc[1, "time"]
        none = attach_behaviors(applications, events, known_after="0s")
        assert none["behaviors"].equals(attach_behaviors(applications, events)["behaviors"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"known_after": "10min", "known_at": "time"}, "known_at='time' and known_after='10min'"),
        ({"known_after": "-1h"}, "known_after='-1h' must be a positive"),
        ({"known_after": 10}, "known_after=10 is not a valid duration"),
        ({"known_after": "2D", "lookback": "1D"}, "known_after='2D' is not shorter than lookback"),
    ],
)
def test_refuses_lags(options, message):
    with pytest.raises(ValueError, match=message):
        attach_behaviors(*draw_bank(), **options)


@pytest.mark.parametrize("attach", [as_pandas, as_ibis])
@pytest.mark.parametrize("table", ["applications", "events"])
def test_numbers_as_times_name_both_units(attach, table, tmp_path):
    applications, events = draw_bank()
    if table == "events":
        events["time"] = events["time"].astype("int64")
    else:
        applications["applied_at"] = applications["applied_at"].astype("int64")
    with pytest.raises(TypeError, match=r"must hold timestamps.*unit='s'.*unit='ms'"):
        attach(applications, events, tmp_path)


# --------------------------------------------------------------------------------------------------
# Keys are no profile.


def test_keys_are_no_profile(tmp_path):
    applications, events = draw_bank()
    applications = applications.assign(age=30).rename(columns={"user_id": "customer"})
    applications.attrs["source"] = "core"
    by = ("customer", "user_id")
    X = attach_behaviors(applications, events, by=by)
    assert applications.attrs == {"source": "core"}
    assert X.attrs["source"] == "core"
    written = attach_behaviors(applications, events, by=by, output=tmp_path / "out")
    for frame in (X, X.iloc[::2], X[X["age"] > 3].reset_index(drop=True), pd.read_parquet(written)):
        encoder = ProfileEncoder().fit(frame)
        assert encoder.feature_names_in_.tolist() == ["age"]
    # What was learned does not hang on the note.
    plain = X.copy()
    plain.attrs = {}
    assert encoder.transform(plain).shape == (N, 1)
    named = ProfileEncoder({"user": ["customer", "age"]}).fit(X)
    assert named.feature_names_in_.tolist() == ["customer", "age"]
