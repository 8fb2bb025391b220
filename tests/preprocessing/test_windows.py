"""WindowStatistics against a plain loop over events, and its promises."""

from __future__ import annotations

import math
import pickle
from datetime import timedelta

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lightgbm import LGBMClassifier
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.utils._param_validation import InvalidParameterError
from xgboost import XGBClassifier

from skhuihen import BehaviorAbstractor, ProfileEncoder, WindowStatistics, attach_behaviors
from tests.oracles import DAY, known, operations_told_apart, window_statistics
from tests.preprocessing.strategies import (
    HOUR,
    ZERO,
    applications,
    drawn,
    event,
    plain,
    subfields_of,
    tables,
)

# ---- against the slow reading


def assert_table(table, rows, index):
    assert table.index.tolist() == index.tolist()
    assert set(table.dtypes) <= {np.dtype(np.float64)}
    assert not rows or set(table.columns) == set(rows[0])
    for k, row in enumerate(rows):
        for name, value in row.items():
            found = table[name].iloc[k]
            assert found == pytest.approx(value, rel=1e-12, abs=1e-12, nan_ok=True), name


WINDOWS = {"1D": DAY, "3D": 3 * DAY, "6h": 6 * HOUR}


@given(
    old=tables(max_rows=4, step=6 * HOUR),
    new=tables(max_rows=3, step=6 * HOUR),
    n_operations=st.integers(0, 9),
    windows=st.lists(st.sampled_from(sorted(WINDOWS)), unique=True),
    gap=st.sampled_from([None, 1, 6 * HOUR]),
    lookback=st.sampled_from([None, 4 * DAY]),
    by=st.sampled_from(["operation", "operation", "item"]),
    zone=st.sampled_from([None, None, "Asia/Shanghai"]),
)
@settings(max_examples=20)
def test_agrees_with_the_slow_reading(old, new, n_operations, windows, gap, lookback, by, zone):
    model = WindowStatistics(
        windows,
        by,
        n_operations,
        session_gap=gap and timedelta(microseconds=gap),
        lookback=lookback and timedelta(microseconds=lookback),
    ).fit(drawn(*old, tz=zone))
    lengths = {window: WINDOWS[window] for window in windows}
    operations, with_amount = operations_told_apart(
        [known(h, at, lookback) for h, at in zip(*old, strict=True)], n_operations, by
    )
    assert model.operations_ == operations
    for histories, applied_at in (old, new):
        X = drawn(histories, applied_at, tz=zone)
        table = model.transform(X)
        assert table.columns.tolist() == model.get_feature_names_out().tolist()
        rows = [
            window_statistics(known(h, at, lookback), at, lengths, operations, with_amount, gap, by)
            for h, at in zip(histories, applied_at, strict=True)
        ]
        assert_table(table, rows, X.index)


# ---- the rules, one by one


def test_windows_hold_what_is_as_old_as_they_are_long():
    at = ZERO + 10 * DAY
    log = [{"time": at - 2 * DAY - k, "operation": "a"} for k in (-1, 0, 1)]
    table = WindowStatistics(["2D"]).fit_transform(applications([log], [at]))
    assert table["count_2D"].tolist() == [2]
    assert table["count_all"].tolist() == [3]


def test_what_does_not_exist_is_missing_and_counts_are_zero():
    X = applications([[event(0, amount=5.0), event(1, amount=None)], None, [event(0, amount=None)]])
    table = WindowStatistics().fit_transform(X)
    nothing = table.iloc[1]
    zero = [name for name in table if name.startswith(("count", "days", "amount_sum", "sessions"))]
    assert (nothing[zero] == 0).all()
    assert nothing.drop(zero).isna().all()
    lonely = table.iloc[2]
    assert lonely[["last_length", "last_seconds", "sessions", "session_length"]].tolist() == [
        1,
        0,
        1,
        1,
    ]
    assert (
        lonely[["interval_mean", "interval_std", "last_interval", "amount_mean_all"]].isna().all()
    )
    assert lonely["amount_sum_all"] == 0


def test_the_gap_between_sessions_is_the_sessionizers():
    log = [{"time": ZERO + k, "operation": "a"} for k in (0, HOUR, 2 * HOUR + 1)]
    table = WindowStatistics().fit_transform(applications([log]))
    assert table[["sessions", "session_length", "last_length"]].iloc[0].tolist() == [2, 1.5, 1]


@pytest.mark.parametrize("month", ["2024-02", "2023-12", "1969-01"])
def test_parts_of_the_month_begin_on_the_1st_11th_and_21st(month):
    days = pd.to_datetime([f"{month}-{day:02} 23:59:59" for day in (1, 10, 11, 20, 21, 28)])
    events = pd.DataFrame({"user_id": 1, "time": [*days, days[-1]], "operation": "a"})
    X = attach_behaviors(
        pd.DataFrame({"user_id": [1], "applied_at": [pd.Timestamp("2024-03-05")]}), events
    )
    table = WindowStatistics().fit_transform(X)
    found = table[["monthdays_1", "monthdays_11", "monthdays_21"]].iloc[0]
    np.testing.assert_allclose(found, [2 / 7, 2 / 7, 3 / 7])


def test_sessions_can_be_left_out():
    X = applications([[event(0)]])
    names = WindowStatistics(session_gap=None).fit_transform(X).columns
    assert not set(names) & {"sessions", "session_length", "last_length", "last_interval"}
    assert names[-1] == "monthdays_21"


def test_what_fit_did_not_see_is_other():
    model = WindowStatistics([], n_operations=1).fit(applications([[event(0, "a")]]))
    log = [event(0, "a"), event(1, "new"), event(2, None)]
    table = model.transform(applications([log]))
    assert table[["count_all", "count_all_a", "count_all_other"]].iloc[0].tolist() == [3, 1, 2]
    assert table["recency_other"].iloc[0] == 100 - 2 / 24


def test_amounts_by_operation_where_there_were_any_in_fit():
    names = WindowStatistics([], n_operations=1).fit(
        applications([[event(0, "a"), event(1, "a"), event(2, "b", amount=1.0)]])
    )
    assert [n for n in names.get_feature_names_out() if n.startswith("amount_sum_all")] == [
        "amount_sum_all",
        "amount_sum_all_other",
    ]


def test_by_another_subfield():
    X = applications([[event(0, "login"), event(1, "fund_detail", item="A17")]])
    table = make_pipeline(
        BehaviorAbstractor(), WindowStatistics([], group_by="behavior")
    ).fit_transform(X)
    assert table[["count_all_login", "count_all_fund_detail_A17"]].iloc[0].tolist() == [1, 1]
    with pytest.raises(ValueError, match="no subfield 'behavior'; they have"):
        WindowStatistics(group_by="behavior").fit(X)


def test_windows_may_be_timedeltas():
    X = applications([[event(0)]], [ZERO + 2 * DAY])
    table = WindowStatistics([timedelta(days=2), pd.Timedelta("1D")]).fit_transform(X)
    assert table.filter(regex=r"^count_2.days.*_00$").iloc[0].tolist() == [1]
    assert table.filter(regex=r"^count_1.days.*_00$").iloc[0].tolist() == [0]


# ---- names


@pytest.mark.parametrize(
    "operations",
    [
        ["a:", "a,", "a__2"],
        ["a__2", "a:", "a,"],
        ["a b", "a_b", "a\tb", "a\nb", "a\u00a0b"],
        ["other", "a"],
        ['"', ",", ":", "[", "]", "{", "}"],
        ["", " ", "_"],
        ["é", "转账", "🙂"],
    ],
)
@pytest.mark.parametrize("amount", [None, 2.0])
def test_names_are_unique_and_lightgbm_takes_them(operations, amount):
    log = [event(k, name, amount=amount) for k, name in enumerate(operations)]
    X = applications([log, log[:1]] * 10)
    model = WindowStatistics(["2D", timedelta(days=2)], n_operations=len(operations))
    table = model.fit_transform(X)
    names = table.columns
    assert names.is_unique
    assert not names.str.contains(r'[",:\[\]{}]|\s').any()
    booster = LGBMClassifier(n_estimators=2, min_child_samples=1, verbose=-1, n_jobs=1)
    booster.fit(table, [0, 1] * 10)
    assert booster.booster_.feature_name() == names.tolist()
    assert booster.predict(table).tolist() == [0, 1] * 10


@given(operations=st.lists(st.text('ab_2:" ', max_size=3), unique=True, max_size=5))
@settings(max_examples=20)
def test_names_are_unique(operations):
    X = applications([[event(k, name) for k, name in enumerate(operations)]])
    names = WindowStatistics(["2D"]).fit(X).get_feature_names_out()
    assert len(set(names)) == len(names)
    assert names.dtype == object


# ---- promises


@given(table=tables(min_rows=1), data=st.data())
@settings(max_examples=20)
def test_a_row_depends_on_itself_alone(table, data):
    X = drawn(*table)
    model = WindowStatistics(["6h"]).fit(X)
    rows = data.draw(st.lists(st.sampled_from(range(len(X))), max_size=4))
    part = model.transform(X.iloc[rows])
    pd.testing.assert_frame_equal(part, model.transform(X).iloc[rows], check_exact=True)


@given(table=tables(min_rows=1, seq=False), data=st.data())
@settings(max_examples=20)
def test_the_order_of_rows_and_events_does_not_matter(table, data):
    histories, applied_at = table
    rows = data.draw(st.permutations(range(len(histories))))
    mixed = [histories[i] and data.draw(st.permutations(histories[i])) for i in rows]
    one = WindowStatistics(["6h"], n_operations=3).fit_transform(drawn(histories, applied_at))
    other = WindowStatistics(["6h"], n_operations=3).fit_transform(
        drawn(mixed, [applied_at[i] for i in rows])
    )
    np.testing.assert_allclose(other.to_numpy(), one.iloc[rows].to_numpy(), rtol=1e-9)
    assert other.columns.tolist() == one.columns.tolist()


@given(table=tables(min_rows=1), late=tables(min_rows=1))
@settings(max_examples=20)
def test_the_future_changes_nothing(table, late):
    histories, applied_at = table
    future = [
        [
            *({**e, "time": at + abs(e["time"] - ZERO), "seq": 0} for e in late[0][0] or ()),
            *(e for e in h or () if e["time"] < at),
        ]
        for h, at in zip(histories, applied_at, strict=True)
    ]
    subfields = subfields_of(histories)
    past = applications(histories, applied_at, subfields=subfields)
    changed = applications(future, applied_at, subfields=subfields)
    one = WindowStatistics(["6h"]).fit_transform(past)
    pd.testing.assert_frame_equal(WindowStatistics(["6h"]).fit_transform(changed), one)


def test_transform_never_learns_and_the_input_is_left_alone():
    X = applications([[event(0, amount=1.0), event(1, "b")], None])
    model = WindowStatistics().fit(X, [0, 1])
    before = pickle.dumps(X), pickle.dumps(model)
    model.transform(X)
    model.transform(applications([[event(0, "new", amount=2.0)]]))
    assert (pickle.dumps(X), pickle.dumps(model)) == before
    pd.testing.assert_frame_equal(WindowStatistics().fit(X).transform(X), model.transform(X))


@pytest.mark.parametrize("histories", [[None, None], [[], None], []])
def test_no_events(histories):
    X = applications(histories)
    model = WindowStatistics(["2D"]).fit(X)
    assert model.operations_ == []
    table = model.transform(X)
    assert len(table) == len(histories)
    assert "count_2D_other" in table
    assert table["count_2D"].tolist() == [0] * len(histories)
    assert len(WindowStatistics().fit(applications([[event(0)]])).transform(X)) == len(histories)


def test_other_tables():
    X = applications([[event(0, amount=1.0), event(1, "b", amount=None)], None])
    wanted = WindowStatistics().fit_transform(X).to_numpy()
    table = pa.table(X.reset_index(drop=True))
    for other in (table, pl.DataFrame(table)):
        np.testing.assert_array_equal(WindowStatistics().fit_transform(other).to_numpy(), wanted)


# ---- refusals


@pytest.mark.parametrize(
    "wrong",
    [
        {"windows": "2D"},
        {"windows": 2},
        {"group_by": None},
        {"n_operations": -1},
        {"n_operations": 1.5},
        {"behaviors": 3},
        {"applied_at": None},
    ],
)
def test_refuses_parameters(wrong):
    with pytest.raises(InvalidParameterError, match=f"The '{next(iter(wrong))}' parameter"):
        WindowStatistics(**wrong).fit(applications([[event(0)]]))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            {"windows": ["2 moons"]},
            "windows='2 moons' is not a valid duration. Pass a pandas offset",
        ),
        ({"windows": ["2D", 3]}, "windows=3 is not a valid duration"),
        ({"windows": ["0D"]}, "windows='0D' must be a positive duration"),
        ({"session_gap": "x"}, "session_gap='x' is not a valid duration"),
        ({"session_gap": 3600}, "session_gap=3600 is not a valid duration"),
        ({"lookback": 3}, "lookback=3 is not a valid duration"),
        ({"applied_at": "at"}, "no column 'at', so events after"),
        ({"behaviors": "log"}, "no column 'log'; it has"),
    ],
)
def test_refuses_values(wrong, message):
    with pytest.raises(ValueError, match=message):
        WindowStatistics(**wrong).fit(applications([[event(0)]]))


def test_refuses_infinite_amounts_and_what_is_not_fitted():
    X = applications([[event(0, amount=math.inf)]])
    with pytest.raises(ValueError, match="'amount' contains 1 infinite values; only finite"):
        WindowStatistics().fit(X)
    for method in ("transform", "get_feature_names_out"):
        with pytest.raises(NotFittedError):
            getattr(WindowStatistics(), method)(X)


# ---- scikit-learn's conventions


@pytest.mark.parametrize("output", ["default", "pandas", "polars"])
def test_set_output(output):
    X = applications([[event(0)], None])
    model = WindowStatistics().set_output(transform=output).fit(X)
    table = model.transform(X)
    assert isinstance(table, pl.DataFrame if output == "polars" else pd.DataFrame)
    assert list(table.columns) == model.get_feature_names_out().tolist()
    assert model.feature_names_in_.tolist() == ["applied_at", "behaviors"]
    assert model.n_features_in_ == 2
    assert output == "polars" or table.index.tolist() == X.index.tolist()


def test_clone_pickle_and_parameters():
    X = applications([[event(0)], None])
    model = WindowStatistics(("1D",), "operation", 3, None, lookback="9D")
    assert clone(model).get_params() == model.get_params()
    restored = pickle.loads(pickle.dumps(model.fit(X)))
    pd.testing.assert_frame_equal(restored.transform(X), model.transform(X))
    assert "count_5D" in model.set_params(windows=["5D"]).fit_transform(X)


@pytest.mark.parametrize("output", ["default", "pandas"])
def test_beside_the_profile(output):
    X = applications([[event(0)], None, None], age=[30.0, 40.0, 50.0], city=["x", "y", "x"])
    union = FeatureUnion([("profile", ProfileEncoder()), ("windows", WindowStatistics())])
    union.set_output(transform=output)
    table = union.fit_transform(X)
    parts = [ProfileEncoder().fit_transform(X), WindowStatistics().fit_transform(X)]
    np.testing.assert_array_equal(np.asarray(table), np.hstack(parts))
    names = union.get_feature_names_out().tolist()
    assert names[:2] == ["profile__age_from_30", "profile__age_from_40"]
    assert names[2:5] == ["profile__city_x", "profile__city_y", "windows__count_2D"]
    if output == "pandas":
        assert table.columns.tolist() == names
        assert table.index.tolist() == X.index.tolist()


def test_a_real_lender_at_full_length(data_folder):
    folder = data_folder("superlender")
    loans = pd.read_csv(folder / "trainperf.csv", parse_dates=["approveddate"]).head(300)
    people = loans.rename(columns={"approveddate": "applied_at"})[["customerid", "applied_at"]]
    earlier = pd.read_csv(folder / "trainprevloans.csv", parse_dates=["approveddate"])
    events = earlier.rename(columns={"approveddate": "time", "loanamount": "amount"})
    events = events.assign(operation="approved")[["customerid", "time", "operation", "amount"]]
    X = attach_behaviors(people, events, by="customerid", return_report=True)[0]
    table = WindowStatistics(["30D", "180D"]).fit_transform(X)

    for k in range(0, 300, 7):
        customer, at = people.iloc[k]
        mine = events[(events["customerid"] == customer) & (events["time"] < at)]
        recent = mine[at - mine["time"] <= pd.Timedelta("180D")]
        assert table["count_180D"].iloc[k] == len(recent)
        assert table["amount_sum_180D_approved"].iloc[k] == pytest.approx(recent["amount"].sum())
        assert table["amount_mean_all"].iloc[k] == pytest.approx(mine["amount"].mean(), nan_ok=True)
        assert table["days_all"].iloc[k] == mine["time"].dt.date.nunique()
    assert len(plain(X)) == len(table) == 300


def test_operations_are_frequent_by_the_weights_of_their_applications():
    histories = [[event(0, operation=o) for o in row] for row in ("aab", "bcc", "d", "e")]
    X = applications(histories)
    weight = [1, 3, 2, 0]
    weighted = WindowStatistics(n_operations=3).fit(X, sample_weight=weight)
    repeated = WindowStatistics(n_operations=3).fit(X.iloc[np.repeat(range(4), weight)])
    assert weighted.operations_ == repeated.operations_ == ["c", "b", "a"]
    assert WindowStatistics(n_operations=3).fit(X).operations_ == ["a", "b", "c"]
    with pytest.raises(ValueError, match=r"0 in every row|at least one non-zero"):
        WindowStatistics().fit(X, sample_weight=np.zeros(4))


@pytest.mark.parametrize(
    "model", [LGBMClassifier(n_estimators=2, verbosity=-1), XGBClassifier(n_estimators=2)]
)
def test_trees_take_the_names_whatever_operations_are_called(model):
    operations = [
        "balance<100",
        "balance>100",
        "balance 100",
        "a[0]",
        'say "x"',
        "a:b",
        "a\\b",
        "",
        "x,y",
    ]
    X = applications(
        [[event(5 * k, operation=o) for k, o in enumerate(operations)] for _ in range(30)]
    )
    table = WindowStatistics(n_operations=9).set_output(transform="pandas").fit_transform(X)
    assert table.columns.is_unique
    model.fit(table, np.arange(30) % 2).predict_proba(table)
