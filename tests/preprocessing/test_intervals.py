"""IntervalStatistics against a plain loop over sessions, and its promises."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lightgbm import LGBMClassifier
from sklearn.pipeline import make_pipeline
from sklearn.utils._param_validation import InvalidParameterError
from xgboost import XGBClassifier

from skhuihen import BehaviorAbstractor, IntervalStatistics, Sessionizer, attach_behaviors
from tests.oracles import interval_statistics, known, operations_told_apart
from tests.preprocessing.strategies import HOUR, applications, drawn, event, tables


@given(
    old=tables(max_rows=4),
    new=tables(max_rows=3),
    n_operations=st.integers(2, 5),
    gap=st.sampled_from([1, HOUR, 6 * HOUR]),
    session=st.sampled_from([None, "loan"]),
    lookback=st.sampled_from([None, 9 * HOUR]),
    by=st.sampled_from(["operation", "operation", "item"]),
)
@settings(max_examples=20)
def test_agrees_with_the_slow_reading(old, new, n_operations, gap, session, lookback, by):
    limit = lookback and timedelta(microseconds=lookback)
    model = IntervalStatistics(
        n_operations, by, timedelta(microseconds=gap), session, lookback=limit
    ).fit(drawn(*old))
    events = [known(h, at, lookback) for h, at in zip(*old, strict=True)]
    operations, _ = operations_told_apart(events, n_operations, by)
    assert model.operations_ == operations
    for histories, applied_at in (old, new):
        X = drawn(histories, applied_at)
        table = model.transform(X)
        assert table.index.tolist() == X.index.tolist()
        rows = [
            interval_statistics(known(h, at, lookback), operations, gap, session, by)
            for h, at in zip(histories, applied_at, strict=True)
        ]
        for k, row in enumerate(rows):
            assert len(row) == table.shape[1]
            for found, value in zip(table.iloc[k], row.values(), strict=True):
                assert found == pytest.approx(value, rel=1e-12, abs=1e-12, nan_ok=True)


def test_early_is_negative_and_the_last_session_with_both_counts():
    log = [
        {**event(0, "due"), "loan": "a"},
        {**event(72, "repaid"), "loan": "a"},
        {**event(80, "repaid"), "loan": "b"},
        {**event(104, "due"), "loan": "b"},
        {**event(110, "due"), "loan": "c"},
    ]
    table = IntervalStatistics(session="loan").fit_transform(applications([log, None]))
    assert table.columns.tolist() == [f"days_{w}_due_to_repaid" for w in ("mean", "last", "most")]
    assert table.iloc[0].tolist() == [1.0, -1.0, 3.0]
    assert table.iloc[1].isna().all()


def test_the_first_of_several_in_a_long_session():
    kinds = ["x", "a", "b", "a", "b"]
    log = [event(k / 10, kinds[k % 5]) for k in range(500)]
    table = IntervalStatistics(2).fit_transform(applications([log[::-1], log]))
    assert table.columns[0] == "days_mean_a_to_b"
    np.testing.assert_allclose(table, 0.1 / 24, rtol=1e-9)


def test_names_stand_over_their_values():
    X = applications([[event(0, "a"), event(0.25, "b"), event(0.75, "c")]])
    table = IntervalStatistics().fit_transform(X)
    wanted = {"a_to_b": 0.25, "a_to_c": 0.75, "b_to_c": 0.5}
    for pair, hours in wanted.items():
        assert table[f"days_last_{pair}"].iloc[0] == pytest.approx(hours / 24)


@pytest.mark.filterwarnings("ignore:.*January 1970")
@pytest.mark.parametrize("name", ["session", "interval"])
def test_a_subfield_of_a_sessionizers_name_is_read_as_it_is(name):
    log = {"time": [0, 1, 2], name: ["a", "b", "a"], "operation": ["o"] * 3}
    events = pd.DataFrame(log).assign(user_id=1)
    events["time"] = pd.to_datetime(events["time"], unit="D")
    table = pd.DataFrame({"user_id": [1], "applied_at": pd.to_datetime(["1970-02-01"])})
    X = attach_behaviors(table, events)
    found = IntervalStatistics(group_by=name, session_gap="3D").fit_transform(X)
    assert found["days_mean_a_to_b"].tolist() == [1.0]


def test_behind_a_sessionizer_the_sessions_are_its_own():
    histories = [[event(0, "a"), event(0.5, "b"), event(3, "a"), event(3.25, "b")], [event(0)]]
    X = applications(histories)
    wanted = IntervalStatistics(session_gap="1h").fit_transform(X)
    sessions = Sessionizer(session_gap="1h", min_behaviors=1).fit_transform(X)
    found = IntervalStatistics(session="session").fit_transform(sessions)
    pd.testing.assert_frame_equal(found, wanted)
    assert found.iloc[0].tolist() == [0.375 / 24, 0.25 / 24, 0.5 / 24]


def test_sums_of_pieces_are_those_of_the_whole(monkeypatch):
    X = applications([[event(0, "a"), event(0.5, "b")], None, [event(0, "b"), event(0.25, "a")]])
    model = IntervalStatistics().fit(X)
    whole = model.transform(X)
    monkeypatch.setattr("skhuihen._events.as_of.PIECE", 1)
    pd.testing.assert_frame_equal(model.transform(X), whole)


def test_trees_take_it_behind_a_behavior_abstractor():
    log = [event(0, "page: one"), event(0.5, "fund_detail", item="A17")]
    X = applications([log, log[:1]] * 10)
    model = make_pipeline(
        BehaviorAbstractor(),
        IntervalStatistics(group_by="behavior"),
        LGBMClassifier(n_estimators=2, min_child_samples=1, verbose=-1, n_jobs=1),
    )
    assert model.fit(X, [0, 1] * 10).predict(X).tolist() == [0, 1] * 10


@pytest.mark.parametrize("histories", [[None, None], [[event(0)], None], []])
def test_without_a_pair_there_is_no_column(histories):
    X = applications(histories)
    assert IntervalStatistics().fit_transform(X).shape == (len(X), 0)
    two = applications([[event(0, "a"), event(0.5, "b")]])
    table = IntervalStatistics().fit(two).transform(X)
    assert table.shape == (len(X), 3)
    assert table.isna().all(axis=None)


@pytest.mark.parametrize("wrong", [{"n_operations": 1}, {"group_by": None}, {"session": 3}])
def test_refuses_parameters(wrong):
    with pytest.raises(InvalidParameterError, match=f"The '{next(iter(wrong))}' parameter"):
        IntervalStatistics(**wrong).fit(applications([[event(0)]]))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"session_gap": 3600}, "session_gap=3600 is not a valid duration"),
        ({"session": "loan"}, "no subfield 'loan'; they have"),
        ({"group_by": "behavior"}, "no subfield 'behavior'; they have"),
    ],
)
def test_refuses_values(wrong, message):
    with pytest.raises(ValueError, match=message):
        IntervalStatistics(**wrong).fit(applications([[event(0)]]))


def test_operations_are_frequent_by_the_weights_of_their_applications():
    histories = [[event(0, operation=o) for o in row] for row in ("aab", "bcc", "d", "e")]
    X = applications(histories)
    weight = [1, 3, 2, 0]
    weighted = IntervalStatistics(n_operations=3).fit(X, sample_weight=weight)
    repeated = IntervalStatistics(n_operations=3).fit(X.iloc[np.repeat(range(4), weight)])
    assert weighted.operations_ == repeated.operations_ == ["c", "b", "a"]
    assert IntervalStatistics(n_operations=3).fit(X).operations_ == ["a", "b", "c"]
    with pytest.raises(ValueError, match=r"0 in every row|at least one non-zero"):
        IntervalStatistics().fit(X, sample_weight=np.zeros(4))


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
    table = IntervalStatistics(n_operations=9).set_output(transform="pandas").fit_transform(X)
    assert table.columns.is_unique
    model.fit(table, np.arange(30) % 2).predict_proba(table)
