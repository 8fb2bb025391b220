"""Sessionizer against a slow reading of its documentation, and its promises."""

from __future__ import annotations

import pickle
from collections import Counter
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal
from sklearn.base import clone
from sklearn.utils._param_validation import InvalidParameterError

from skhuihen import Sessionizer, attach_behaviors
from skhuihen._events.behaviors import Behaviors
from tests.oracles import amount_of, fates, known, sessionize
from tests.preprocessing.strategies import (
    HOUR,
    MINUTE,
    ZERO,
    applications,
    drawn,
    event,
    plain,
    subfields_of,
    tables,
)

ADDED = ["session", "interval", "weekday", "monthday"]


# ---- against the slow reading

parameters = st.fixed_dictionaries(
    {
        "min_behaviors": st.integers(1, 3),
        "max_sessions": st.sampled_from([None, 1, 2, 50]),
        "max_behaviors": st.sampled_from([None, 3, 4, 25]),
    }
)


@given(
    table=tables(max_events=16, last=30),
    kept=parameters,
    gap=st.sampled_from([1, 20 * MINUTE, HOUR]),
    session=st.sampled_from([None, "loan"]),
    zones=st.sampled_from(
        [(None, None), ("UTC", None), ("Asia/Shanghai", None), ("UTC", "America/New_York")]
    ),
    lookback=st.sampled_from([None, 4 * HOUR]),
    nanoseconds=st.sampled_from([None, 1, 999]),
)
@settings(max_examples=30)
def test_agrees_with_the_slow_reading(table, kept, gap, session, zones, lookback, nanoseconds):
    histories, applied_at = table
    tz, time_zone = zones
    X = drawn(histories, applied_at, tz=tz)
    if nanoseconds is not None:
        X = in_nanoseconds(histories, applied_at, nanoseconds, tz)
    model = Sessionizer(
        timedelta(microseconds=gap),
        session,
        time_zone=time_zone,
        lookback=lookback and timedelta(microseconds=lookback),
        **kept,
    )
    wanted, counts = [], Counter()
    for h, at in zip(histories, applied_at, strict=True):
        rows, more = sessionize(
            known(h, at, lookback),
            gap=gap,
            session=session,
            zone=ZoneInfo(time_zone or tz or "UTC"),
            **kept,
        )
        wanted.append(rows)
        counts.update(more + fates(h, at, lookback))
    found = plain(model.transform(X))
    assert found == [[{**e, "amount": amount_of(e)} for e in row] for row in wanted]

    report = model.report(X)
    for name in report.index:
        assert report[name] == counts[name], name
    reasons = ["too_late", "before_lookback", "in_short_sessions", "in_older_sessions"]
    reasons += ["truncated", "kept"]
    assert report["events"] == sum(report[f"events_{reason}"] for reason in reasons)
    assert report["sessions"] == sum(
        report[f"sessions_{fate}"] for fate in ("short", "older", "kept")
    )


def in_nanoseconds(histories, applied_at, nanoseconds, tz):
    """Build a drawn table whose times lie some nanoseconds behind their microseconds.

    The latest of them would be rounded to the next.
    """
    later = [h and [{**e, "ns": nanoseconds} for e in h] for h in histories]
    X = drawn(later, applied_at, tz=tz, unit="ns")
    behind = pd.Timedelta(1000 - nanoseconds, "ns")
    return X.assign(applied_at=X["applied_at"].dt.as_unit("ns") + behind)


#: Instants at which the clocks of a zone change: to and from summer time, at two o'clock and at
#: midnight, before 1970, and over the date line, where a day is missing.
CHANGES = [
    ("America/New_York", datetime(2024, 3, 10, 7, tzinfo=UTC)),
    ("America/New_York", datetime(2024, 11, 3, 6, tzinfo=UTC)),
    ("America/Havana", datetime(2024, 3, 10, 5, tzinfo=UTC)),
    ("America/Havana", datetime(2024, 11, 3, 5, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2024, 4, 6, 15, tzinfo=UTC)),
    ("Europe/Berlin", datetime(1945, 4, 2, 1, tzinfo=UTC)),
    ("Pacific/Apia", datetime(2011, 12, 30, 10, tzinfo=UTC)),
]


@given(
    change=st.sampled_from(CHANGES),
    moments=st.lists(
        st.tuples(st.integers(-60, 60), st.sampled_from([0, 30]), st.sampled_from([-1, 0, 1])),
        min_size=1,
    ),
    tz=st.sampled_from(["UTC", "Asia/Shanghai", None]),
)
@settings(max_examples=20)
def test_days_are_those_of_the_zone_where_clocks_change(change, moments, tz):
    zone, changed = change
    instant = int(changed.timestamp()) * 1_000_000
    log = [
        {"time": instant + hours * HOUR + minutes * MINUTE + tick}
        for hours, minutes, tick in moments
    ]
    # Either the times are in the zone, or the model is to read them in it.
    X = applications([[{**e, "operation": "a"} for e in log]], tz=tz or zone)
    model = Sessionizer("9D", None, 1, None, None, tz and zone, applied_at=None)
    wanted, _ = sessionize(
        known(log),
        gap=9 * 24 * HOUR,
        session=None,
        min_behaviors=1,
        max_sessions=None,
        max_behaviors=None,
        zone=ZoneInfo(zone),
    )
    assert [[{k: e[k] for k in ADDED} for e in row] for row in plain(model.transform(X))] == [
        [{k: e[k] for k in ADDED} for e in wanted]
    ]


# ---- the rules, one by one


def sessions(X, **kwargs):
    return [[e["session"] for e in row] for row in plain(Sessionizer(**kwargs).transform(X))]


def test_an_interval_as_long_as_the_gap_does_not_cut():
    at_the_gap = [{"time": ZERO + k, "operation": "a"} for k in (0, HOUR)]
    beyond = [{"time": ZERO + k, "operation": "a"} for k in (0, HOUR + 1)]
    X = applications([at_the_gap, beyond])
    assert sessions(X, min_behaviors=1) == [[0, 0], [0, 1]]
    assert sessions(X, min_behaviors=1, session_gap=timedelta(hours=1, microseconds=1)) == [
        [0, 0],
        [0, 0],
    ]


def test_the_gap_is_between_neighbors_not_from_the_start():
    X = applications([[event(0.9 * k) for k in range(10)]])
    assert sessions(X) == [[0] * 10]


def test_a_row_never_continues_the_row_before():
    X = applications([[event(0), event(0.1)], [event(0.2), event(0.3)]])
    assert sessions(X, min_behaviors=2) == [[0, 0], [0, 0]]
    assert [e["interval"] for row in plain(Sessionizer(min_behaviors=2).transform(X)) for e in row][
        2
    ] == 0


def test_defaults_are_the_papers():
    log = [event(10 * s + k / 100, str(k)) for s in range(52) for k in range(27)]
    log += [event(1000, "short"), event(1000.1, "short")]
    X = applications([log])
    model = Sessionizer()
    report = model.report(X)
    assert report["sessions_kept"] == 50
    assert report["sessions_older"] == 2
    assert report["sessions_short"] == 1
    assert report["events_truncated"] == 50 * 2
    kept = plain(model.transform(X))[0]
    assert len(kept) == 50 * 25
    assert kept[0]["time"] == ZERO + 20 * HOUR + round(0.02 * HOUR)
    assert [kept[0]["session"], kept[-1]["session"]] == [0, 49]
    assert kept[25]["interval"] == 0


def test_a_session_of_just_the_right_length_is_neither_short_nor_truncated():
    X = applications([[event(0)] * 3, [event(0)] * 2, [event(0)] * 4])
    report = Sessionizer(min_behaviors=3, max_behaviors=3).report(X)
    assert report["sessions_kept"] == 2
    assert report["sessions_short"] == report["sessions_truncated"] == 1
    assert report["events_kept"] == 6


def test_the_interval_after_truncation_is_zero_for_the_first_kept():
    X = applications([[event(0), event(0.1), event(0.3), event(0.6)]])
    kept = plain(Sessionizer(min_behaviors=2, max_behaviors=2).transform(X))[0]
    assert [e["interval"] for e in kept] == [0.0, pytest.approx(0.3 * 3600)]


def test_intervals_keep_microseconds():
    X = applications([[{"time": ZERO + k, "operation": "a"} for k in (0, 1, 1_500_001)]])
    assert [e["interval"] for e in plain(Sessionizer().transform(X))[0]] == [0.0, 1e-6, 1.5]


LOANS = [
    [
        event(0, "approved", loan="x"),
        event(1, "approved", loan="y"),
        event(2, "repaid", loan="y"),
        event(3, "call", loan=None),
        event(4, "repaid", loan="x"),
        event(900, "call", loan=None),
    ]
]


def test_known_sessions_may_overlap_and_are_ordered_by_their_last_event():
    X = applications(LOANS)
    kept = plain(Sessionizer(session="loan", min_behaviors=2).transform(X))[0]
    assert [(e["loan"], e["session"], e["operation"]) for e in kept] == [
        ("y", 0, "approved"),
        ("y", 0, "repaid"),
        ("x", 1, "approved"),
        ("x", 1, "repaid"),
        (None, 2, "call"),
        (None, 2, "call"),
    ]
    assert [e["interval"] for e in kept] == [0, 3600, 0, 4 * 3600, 0, 897 * 3600]
    latest = plain(Sessionizer(session="loan", min_behaviors=1, max_sessions=1).transform(X))[0]
    assert {(e["loan"], e["session"]) for e in latest} == {(None, 0)}


def test_known_sessions_are_of_one_application():
    X = applications([[event(0, loan="x")], [event(1, loan="x"), event(2, loan="y")]])
    assert sessions(X, session="loan", min_behaviors=1) == [[0], [0, 1]]


@pytest.mark.parametrize(
    "values",
    [
        pa.array(["x", "y", None, "x", None]),
        pa.array(["x", "y", None, "x", None]).dictionary_encode(),
        pa.array([7, 8, None, 7, None]),
        pa.array([1.5, 2.5, None, 1.5, float("nan")]),
        pa.array([True, False, None, True, None]),
        pa.array([1, 2, None, 1, None], pa.timestamp("us")),
    ],
)
def test_known_sessions_of_any_plain_type(values):
    column = Behaviors.from_column(applications([[event(k) for k in range(5)]])["behaviors"])
    X = applications([None]).assign(behaviors=column.with_fields(number=values).to_array())
    kept = plain(Sessionizer(session="number", min_behaviors=1).transform(X))[0]
    assert [(e["time"] - ZERO) // HOUR for e in kept] == [1, 0, 3, 2, 4]
    assert [e["session"] for e in kept] == [0, 1, 1, 2, 2]


def test_known_sessions_that_are_all_unknown():
    column = Behaviors.from_column(applications([[event(k) for k in range(3)]])["behaviors"])
    X = applications([None]).assign(behaviors=column.with_fields(loan=pa.nulls(3)).to_array())
    assert sessions(X, session="loan") == [[0, 0, 0]]


def test_gap_is_not_used_where_sessions_are_known():
    assert sessions(applications(LOANS), session="loan", session_gap="1us", min_behaviors=2) == [
        [0, 0, 1, 1, 2, 2]
    ]


@pytest.mark.parametrize(
    ("tz", "time_zone", "days"),
    [
        (None, None, [(1, 27), (1, 27), (2, 28), (3, 29), (4, 1)]),
        ("UTC", None, [(1, 27), (1, 27), (2, 28), (3, 29), (4, 1)]),
        ("Asia/Shanghai", None, [(2, 28), (2, 28), (2, 28), (3, 29), (4, 1)]),
        ("UTC", "Asia/Shanghai", [(2, 28), (2, 28), (2, 28), (3, 29), (4, 1)]),
        ("Asia/Shanghai", "America/New_York", [(1, 27), (1, 27), (1, 27), (2, 28), (3, 29)]),
    ],
)
def test_weekday_and_day_of_month_are_read_in_a_zone(tz, time_zone, days):
    # 22:00 and 23:59 of a Tuesday, 0:00 of the next day, of the leap day, and of 1 March.
    hours = (0, 2 - 1 / 60, 2, 26, 50)
    X = applications([[event(h) for h in hours]], tz=tz)
    kept = plain(Sessionizer("3D", time_zone=time_zone).transform(X))[0]
    assert [(e["weekday"], e["monthday"]) for e in kept] == days
    assert [e["time"] for e in kept] == [ZERO + round(h * HOUR) for h in hours]


def test_times_before_1970_fall_on_the_day_before():
    frame = pd.DataFrame({"time": pd.to_datetime([-1], unit="ns"), "operation": "a"})
    X = pd.DataFrame({"behaviors": pd.Series([frame], dtype=object)})
    result = Sessionizer(min_behaviors=1, applied_at=None).transform(X)["behaviors"].iloc[0]
    assert result[["weekday", "monthday"]].to_numpy().tolist() == [[2, 31]]


def test_types_of_the_subfields():
    for histories in ([[event(0)] * 3], [None]):
        result = Sessionizer().transform(applications(histories))
        dtypes = {
            name: pa.table(result)["behaviors"].type.value_type.field(name).type for name in ADDED
        }
        assert dtypes == {
            "session": pa.int32(),
            "interval": pa.float64(),
            "weekday": pa.int8(),
            "monthday": pa.int8(),
        }


# ---- promises


@given(table=tables(max_events=16, last=30), kept=parameters)
@settings(max_examples=20)
def test_applying_it_twice_changes_nothing(table, kept):
    model = Sessionizer("40min", **kept)
    once = model.transform(drawn(*table))
    twice = model.transform(once)
    assert plain(twice) == plain(once)
    assert twice.dtypes.tolist() == once.dtypes.tolist()


@given(table=tables(min_rows=1), session=st.sampled_from([None, "loan"]), data=st.data())
@settings(max_examples=20)
def test_a_row_depends_on_itself_alone(table, session, data):
    X = drawn(*table)
    model = Sessionizer(session=session, min_behaviors=1, max_sessions=3)
    whole = model.transform(X)
    rows = data.draw(st.lists(st.sampled_from(range(len(X))), max_size=4))
    part = model.transform(X.iloc[rows])
    assert plain(part) == [plain(whole)[i] for i in rows]
    assert part.index.tolist() == X.index[rows].tolist()


@given(table=tables(min_rows=1, seq=False), session=st.sampled_from([None, "loan"]), data=st.data())
@settings(max_examples=20)
def test_the_order_of_events_inside_a_row_is_restored(table, session, data):
    histories, applied_at = table
    for h in histories:
        for k, e in enumerate(h or ()):
            e["seq"] = k
    mixed = [h and data.draw(st.permutations(h)) for h in histories]
    model = Sessionizer(session=session, min_behaviors=1)
    assert plain(model.transform(drawn(mixed, applied_at))) == plain(
        model.transform(drawn(histories, applied_at))
    )


@given(table=tables(min_rows=1), late=tables(min_rows=1), session=st.sampled_from([None, "loan"]))
@settings(max_examples=20)
def test_the_future_changes_nothing(table, late, session):
    histories, applied_at = table
    future = [
        [
            *({**e, "time": at + abs(e["time"] - ZERO), "seq": 0} for e in late[0][0] or ()),
            *(e for e in h or () if e["time"] < at),
        ]
        for h, at in zip(histories, applied_at, strict=True)
    ]
    subfields = subfields_of(histories)
    model = Sessionizer(session=session, min_behaviors=1, max_sessions=2, max_behaviors=2)
    past = model.transform(applications(histories, applied_at, subfields=subfields))
    changed = model.transform(applications(future, applied_at, subfields=subfields))
    assert plain(changed) == plain(past)


def test_nothing_is_learned():
    one, other = applications([[event(0)] * 3]), applications([[event(k) for k in range(5)]] * 2)
    model = Sessionizer(min_behaviors=1)
    before = plain(model.transform(one))  # without fit
    assert not hasattr(model, "n_features_in_")
    assert plain(model.fit(other).transform(one)) == before
    assert plain(Sessionizer(min_behaviors=1).fit_transform(one, [1])) == before
    assert model.report(one).equals(Sessionizer(min_behaviors=1).report(one))


def test_the_input_is_left_alone():
    X = applications(LOANS, age=[30])
    before = pickle.dumps(X)
    result = Sessionizer(session="loan").fit_transform(X)
    assert pickle.dumps(X) == before
    assert_frame_equal(result.drop(columns="behaviors"), X.drop(columns="behaviors"))
    assert list(result.columns) == list(X.columns)


@pytest.mark.parametrize("histories", [[None, None], [[], None], []])
@pytest.mark.parametrize("session", [None, "loan"])
def test_no_events(histories, session):
    X = applications(histories)
    model = Sessionizer(session=session)
    assert plain(model.fit_transform(X)) == [[] for _ in histories]
    report = model.report(X)
    assert report["applications"] == report["applications_without_sessions"] == len(histories)
    assert report.drop(["applications", "applications_without_sessions"]).sum() == 0


def test_rows_without_sessions_stay_as_empty_histories():
    X = applications([[event(0)], None, [event(0)] * 3])
    result = Sessionizer().transform(X)
    assert [len(row) for row in plain(result)] == [0, 0, 3]
    assert result.index.tolist() == X.index.tolist()
    assert Sessionizer().report(X)["applications_without_sessions"] == 2


def test_other_tables():
    X = applications(LOANS, age=[30])
    wanted = plain(Sessionizer(min_behaviors=1).transform(X))
    table = pa.table(X.reset_index(drop=True))
    for other in (table, pl.DataFrame(table), X.assign(behaviors=[X["behaviors"].iloc[0]])):
        assert plain(Sessionizer(min_behaviors=1).transform(other)) == wanted


def test_names_of_columns_are_parameters():
    X = applications(LOANS).rename(columns={"behaviors": "log", "applied_at": "at"})
    assert len(plain(Sessionizer(behaviors="log", applied_at="at").transform(X), "log")) == 1
    for step in (Sessionizer(behaviors="log").fit, Sessionizer(behaviors="log").transform):
        with pytest.raises(ValueError, match="no column 'applied_at', so events after"):
            step(X)
    bare = X.drop(columns="at")
    kept = Sessionizer(behaviors="log", applied_at=None, min_behaviors=1).transform(bare)
    assert len(plain(kept, "log")[0]) == 6


# ---- refusals


@pytest.mark.parametrize(
    "wrong",
    [
        {"min_behaviors": 0},
        {"min_behaviors": 2.5},
        {"max_sessions": 0},
        {"max_behaviors": 0},
        {"session": 3},
        {"time_zone": 3},
        {"behaviors": None},
        {"applied_at": 3},
    ],
)
def test_refuses_parameters(wrong):
    X = applications(LOANS)
    for step in (Sessionizer(**wrong).fit, Sessionizer(**wrong).transform):
        with pytest.raises(InvalidParameterError, match=f"The '{next(iter(wrong))}' parameter"):
            step(X)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"max_behaviors": 2}, "max_behaviors=2 is less than min_behaviors=3, so every"),
        ({"session_gap": "x"}, "session_gap='x' is not a valid duration. Pass a pandas offset"),
        ({"session_gap": 3600}, "session_gap=3600 is not a valid duration"),
        ({"session_gap": "-1h"}, "session_gap='-1h' must be a positive duration"),
        ({"lookback": "0D"}, "lookback='0D' must be a positive"),
        ({"lookback": "1D", "applied_at": None}, "lookback requires applied_at"),
        ({"session": "contract"}, "no subfield 'contract'; they have"),
        ({"time_zone": "Mars"}, "time_zone='Mars' is not known. Pass a name such as"),
        ({"time_zone": "Europe"}, "time_zone='Europe' is not known"),
        ({"time_zone": "../UTC"}, "time_zone='../UTC' is not known"),
        ({"time_zone": "UTC"}, "time_zone='UTC' was given, but the events' subfield 'time' has no"),
    ],
)
def test_refuses_values(wrong, message):
    X = applications(LOANS)
    for step in (
        Sessionizer(**wrong).fit,
        Sessionizer(**wrong).transform,
        Sessionizer(**wrong).report,
    ):
        with pytest.raises(ValueError, match=message):
            step(X)


def test_a_zone_is_refused_even_where_there_is_no_event():
    with pytest.raises(ValueError, match="time_zone='Mars' is not known"):
        Sessionizer(time_zone="Mars").fit(applications([None]))


def test_refuses_sessions_that_are_no_plain_values():
    column = Behaviors.from_column(applications([[event(0)]])["behaviors"])
    nested = column.with_fields(loan=pa.array([{"number": 1}])).to_array()
    with pytest.raises(TypeError, match="'loan' is of type struct<number: int64>; texts, numbers"):
        Sessionizer(session="loan").fit(applications([None]).assign(behaviors=nested))


# ---- scikit-learn's conventions


@pytest.mark.parametrize("output", ["default", "pandas", "polars"])
def test_set_output_and_names(output):
    X = applications(LOANS, age=[30])
    model = Sessionizer(min_behaviors=1).set_output(transform=output).fit(X)
    assert model.feature_names_in_.tolist() == ["applied_at", "behaviors", "age"]
    assert model.n_features_in_ == 3
    assert model.get_feature_names_out().tolist() == ["applied_at", "behaviors", "age"]
    assert isinstance(model.transform(X), pl.DataFrame if output == "polars" else pd.DataFrame)


def test_clone_pickle_and_parameters():
    X = applications(LOANS)
    model = Sessionizer("30min", "loan", 1, time_zone=None, lookback="600D")
    assert clone(model).get_params() == model.get_params()
    assert plain(pickle.loads(pickle.dumps(model)).transform(X)) == plain(model.transform(X))
    assert plain(clone(model).set_params(session=None).transform(X)) == plain(
        Sessionizer("30min", min_behaviors=1).transform(X)
    )


# ---- beside attach_behaviors, on drawn and on real tables


def test_behind_attach_behaviors():
    people = pd.DataFrame(
        {
            "user_id": [2, 1, 1],
            "applied_at": pd.to_datetime(["2024-05-09", "2024-05-02", "2024-05-09"]),
        }
    )
    times = pd.to_datetime(["2024-05-03 10:00", "2024-05-01 09:10", "2024-05-01 09:00"])
    events = pd.DataFrame({"user_id": 1, "time": times, "operation": ["c", "b", "a"]})
    X = Sessionizer(min_behaviors=1).fit_transform(attach_behaviors(people, events))
    assert [[(e["operation"], e["session"]) for e in row] for row in plain(X)] == [
        [],
        [("a", 0), ("b", 0)],
        [("a", 0), ("b", 0), ("c", 1)],
    ]


def test_sessions_of_a_real_bank_app(data_folder):
    # Its header is shifted: the time stands in the third column, and the fourth is empty.
    log = pd.read_csv(data_folder("cmb2020") / "beh_b.csv", dtype=str, usecols=[0, 1, 2])
    log.columns = ["user_id", "operation", "time"]
    log["time"] = pd.to_datetime(log["time"])
    people = pd.DataFrame({"user_id": log["user_id"].unique(), "applied_at": datetime(2019, 7, 1)})
    X = attach_behaviors(people, log)
    model = Sessionizer(min_behaviors=1, max_sessions=None, max_behaviors=None)
    report = model.report(X)
    assert report["events"] == report["events_kept"] == len(log)

    # The figures measured for the data's README, by a loop of its own over the file.
    lengths = []
    log = log.sort_values(["user_id", "time"])
    for user, time, user_before, time_before in zip(
        log["user_id"], log["time"], log["user_id"].shift(), log["time"].shift(), strict=True
    ):
        if user == user_before and time - time_before <= timedelta(hours=1):
            lengths[-1] += 1
        else:
            lengths.append(1)
    assert np.quantile(lengths, [0.5, 0.9, 0.95, 0.99]).tolist() == [5, 15, 21, 39]
    assert report["sessions_kept"] == len(lengths)
    kept = np.asarray(lengths)[np.asarray(lengths) >= 3]
    assert len(kept) / len(lengths) == pytest.approx(0.70, abs=0.01)
    report = Sessionizer(max_sessions=None).report(X)
    assert report["sessions_kept"] == len(kept)
    assert report["events_kept"] == np.minimum(kept, 25).sum()
