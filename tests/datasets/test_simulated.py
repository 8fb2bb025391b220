"""The simulated bank: what it promises, and what its tables must show."""

from __future__ import annotations

import math
from collections import defaultdict
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal
from sklearn.metrics import roc_auc_score

from skhuihen import BehaviorAbstractor, attach_behaviors
from skhuihen.datasets import make_loan_data, simulated
from skhuihen.metrics import expected_auc

BANK_A = 1402 / 26602
PROFILE = ("user__", "device__", "item__")


@pytest.fixture(scope="module")
def data():
    return make_loan_data(6000, 12000, random_state=7)


@pytest.fixture(scope="module")
def log(data):
    """Give every event of an applicant its last application, and the events before it."""
    last = data.applications.groupby("user_id")["applied_at"].max().rename("applied_at")
    events = data.events.join(last, on="user_id", how="inner")
    return events.assign(before=events["time"] < events["applied_at"])


def assert_same(one, other):
    for name in ("applications", "events", "old_applications", "effects"):
        assert_frame_equal(one[name], other[name])
    for name in ("y", "probability", "old_y", "old_probability"):
        np.testing.assert_array_equal(one[name], other[name])
    assert one.best_auc == other.best_auc
    assert one.DESCR == other.DESCR


# ---- randomness


@pytest.mark.parametrize(
    "source", [lambda: 3, lambda: np.random.default_rng(3), lambda: np.random.RandomState(3)]
)
def test_same_random_state_same_data(source):
    assert_same(
        make_loan_data(80, 60, random_state=source()), make_loan_data(80, 60, random_state=source())
    )


def test_other_random_state_other_data():
    one, other = (make_loan_data(80, 60, random_state=seed) for seed in (0, 1))
    assert not one.applications["user__age"].equals(other.applications["user__age"])
    assert not one.events["time"].equals(other.events["time"])


def test_none_draws_anew_and_generators_move_on():
    rng = np.random.default_rng(0)
    for source in (None, rng):
        one, other = (make_loan_data(80, 0, random_state=source) for _ in range(2))
        assert not one.events["time"].equals(other.events["time"])


@pytest.mark.parametrize("random_state", [0, None])
def test_global_random_state_is_left_alone(random_state):
    np.random.seed(5)
    before = np.random.get_state()
    make_loan_data(50, 50, random_state=random_state)
    after = np.random.get_state()
    assert before[0] == after[0]
    np.testing.assert_array_equal(before[1], after[1])
    assert before[2:] == after[2:]


def test_effects_change_labels_but_not_what_happened_before():
    one = make_loan_data(1500, 100, random_state=0)
    other = make_loan_data(1500, 100, random_state=0, impulsive_effect=4.0, overdue_rate=0.3)
    assert_frame_equal(one.applications, other.applications)
    assert_frame_equal(one.old_applications, other.old_applications)
    last = one.applications.groupby("user_id")["applied_at"].max()
    before_one, before_other = (
        d.events[d.events["time"] < d.events["user_id"].map(last)].reset_index(drop=True)
        for d in (one, other)
    )
    assert_frame_equal(before_one, before_other)
    assert (one.y != other.y).any()


# ---- the probability and the best AUC


@pytest.mark.parametrize("rate", [0.01, BANK_A, 0.5, 0.97])
def test_mean_probability_is_the_overdue_rate(rate):
    data = make_loan_data(2000, 2000, overdue_rate=rate, random_state=1)
    assert data.probability.mean() == pytest.approx(rate, abs=1e-9)
    spread = data.old_probability.std() / math.sqrt(2000) + data.probability.std() / math.sqrt(2000)
    assert data.old_probability.mean() == pytest.approx(rate, abs=4 * spread)


@pytest.mark.parametrize("labels", ["y", "old_y"])
def test_labels_follow_the_probability(data, labels):
    probability = data[labels.replace("y", "probability")]
    groups = pd.qcut(probability, 8, labels=False)
    for group in range(8):
        p, y = probability[groups == group], data[labels][groups == group]
        standard_error = math.sqrt((p * (1 - p)).sum()) / len(p)
        assert y.mean() == pytest.approx(p.mean(), abs=4.5 * standard_error)


def test_log_odds_are_the_intercept_and_the_effects(data):
    log_odds = data.intercept + data.effects.sum(axis=1)
    np.testing.assert_allclose(data.probability, 1 / (1 + np.exp(-log_odds)), rtol=1e-9)


def slow_auc(score, probability):
    """Weigh every pair of rows by the chance that one is overdue and the other is not."""
    right = pairs = 0.0
    for i, p in enumerate(probability):
        for j, q in enumerate(probability):
            if i != j:
                pairs += p * (1 - q)
                right += (
                    p * (1 - q) * (1.0 if score[i] > score[j] else 0.5 * (score[i] == score[j]))
                )
    return right / pairs


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.floats(0.01, 0.99)), min_size=2, max_size=12))
def test_expected_auc_agrees_with_all_pairs(rows):
    score, probability = np.array(rows).T
    assert expected_auc(probability, score) == pytest.approx(slow_auc(score, probability))


def test_best_auc_is_what_the_true_probability_scores_on_average(data):
    rng = np.random.default_rng(0)
    p = data.probability
    draws = [roc_auc_score(rng.random(len(p)) < p, p) for _ in range(60)]
    assert data.best_auc == pytest.approx(np.mean(draws), abs=4 * np.std(draws) / math.sqrt(60))


def test_defaults_leave_room_above_the_profile(data):
    assert 0.78 < data.best_auc < 0.83
    assert 0.69 < data.profile_auc < 0.74


@pytest.mark.parametrize("effect", ["impulsive_effect", "habit_effect", "profile_effect"])
def test_an_effect_switched_off_lowers_the_best_auc(data, effect):
    off = make_loan_data(6000, 0, random_state=7, **{effect: 0.0})
    double = make_loan_data(6000, 0, random_state=7, **{effect: 2.0})
    assert off.best_auc < data.best_auc - 0.01
    assert double.best_auc > data.best_auc + 0.01
    assert (off.effects[effect.removesuffix("_effect")] == 0).all()


def test_without_effects_everybody_has_the_same_probability():
    data = make_loan_data(
        300, 300, impulsive_effect=0, habit_effect=0, profile_effect=0, random_state=0
    )
    np.testing.assert_allclose(data.probability, 0.0527)
    np.testing.assert_allclose(data.old_probability, 0.0527)
    assert data.best_auc == pytest.approx(0.5)
    assert data.profile_auc == pytest.approx(0.5)


def test_profile_says_nothing_about_behavior(data):
    correlation = data.effects.corr().to_numpy()[np.triu_indices(3, 1)]
    assert np.abs(correlation).max() < 4.5 / math.sqrt(6000)


def test_behavior_effects_can_be_read_from_the_tables():
    """The effects follow from the events before the application: a plain reading of them."""
    data = make_loan_data(250, 0, random_state=11)
    risky = set(data.products.loc[data.products["risky"], "item"])
    kind = dict(
        zip(data.operation_groups["operation"], data.operation_groups["behavior"], strict=True)
    )
    events = defaultdict(list)
    for row in data.events.itertuples():
        events[row.user_id].append((row.time.timestamp(), kind[row.operation], row.item))

    for i, application in enumerate(data.applications.itertuples()):
        applied_at = application.applied_at.timestamp()
        history = [event for event in events[application.user_id] if event[0] < applied_at]
        clicks = [item for _, what, item in history if what in ("fund_click", "wealth_click")]
        share = (sum(item in risky for item in clicks) + 3 * 0.4) / (len(clicks) + 3)
        assert data.effects["habit"][i] == pytest.approx(simulated._HABIT_SIZE * (share - 0.4))

        impulsive = simulated._IMPULSE_WITHOUT_EVENTS
        if history:
            session = [history[-1][0]]
            for time, _, _ in reversed(history[:-1]):
                if session[-1] - time > 3600:
                    break
                session.append(time)
            logs = [math.log1p(b - a) for b, a in pairwise(session)]
            typical = sum(logs) / len(logs)
            short = 1 / (1 + math.exp(-(8.5 - len(session)) / 1.5))
            fast = 1 / (1 + math.exp(-(math.log(7) - typical) / 0.25))
            impulsive = short * fast
        assert data.effects["impulsive"][i] == pytest.approx(simulated._IMPULSIVE_SIZE * impulsive)


# ---- the tables


def test_applications_table(data):
    applications = data.applications
    assert applications.columns[:3].to_list() == ["application_id", "user_id", "applied_at"]
    assert all(name.startswith(PROFILE) for name in applications.columns[3:])
    assert {name.split("__")[0] for name in applications.columns[3:]} == {"user", "device", "item"}
    assert applications["application_id"].is_unique
    assert applications["applied_at"].is_monotonic_increasing
    assert applications["applied_at"].dtype == "datetime64[us]"
    kinds = {dtype.kind for dtype in applications.dtypes[3:]}
    assert kinds >= {"i", "f", "b"}
    assert applications.isna().any().sum() >= 3
    assert applications[["user_id", "applied_at"]].notna().all(axis=None)
    assert applications["item__amount"].skew() > 1


def test_some_users_apply_twice_and_keep_their_profile(data):
    repeated = data.applications[data.applications["user_id"].duplicated(keep=False)]
    assert 0.02 < data.applications["user_id"].duplicated().mean() < 0.04
    of_user = [name for name in repeated if name.startswith(("user__", "device__"))]
    assert len(repeated[["user_id", *of_user]].drop_duplicates()) == repeated["user_id"].nunique()


def test_events_table(data):
    events = data.events
    assert events.columns.to_list() == ["user_id", "time", "operation", "item", "amount"]
    assert events["time"].dtype == "datetime64[us]"
    assert events[["user_id", "time", "operation"]].notna().all(axis=None)
    assert events["operation"].isin(data.operation_groups["operation"]).all()
    by_user = events.groupby("user_id")["time"]
    assert events["user_id"].is_monotonic_increasing
    assert (by_user.diff().dropna() >= pd.Timedelta(0)).all()


def test_true_grouping(data):
    groups = data.operation_groups
    assert groups.columns.to_list() == ["operation", "field", "behavior"]
    assert groups["operation"].is_unique
    assert 60 <= len(groups) <= 120
    assert set(groups["field"]) == {"item_click", "transform_operation", "function_widget"}
    assert not groups[["behavior", "field"]].drop_duplicates()["behavior"].duplicated().any()
    assert groups["behavior"].nunique() < len(groups) / 3
    # All but the rarest are to be seen.
    assert data.events["operation"].nunique() > 0.95 * len(groups)


def test_the_tables_returned_are_copies():
    data = make_loan_data(20, 0, random_state=0)
    data.operation_groups.loc[:, "behavior"] = "spoiled"
    data.products.loc[:, "risky"] = True
    fresh = make_loan_data(20, 0, random_state=0)
    assert (fresh.operation_groups["behavior"] != "spoiled").all()
    assert not fresh.products["risky"].all()


def test_items_and_amounts_stand_where_they_belong(data):
    events = data.events.merge(data.operation_groups, on="operation")
    clicked = events["field"] == "item_click"
    assert events.loc[clicked, "item"].notna().all()
    assert events.loc[events["field"] == "function_widget", "item"].isna().all()
    assert events.loc[events["field"] != "transform_operation", "amount"].isna().all()
    moved = events.loc[events["field"] == "transform_operation", "amount"]
    assert 0 < moved.isna().mean() < 0.03
    assert 0 < (moved == 0).mean() < 0.03
    assert 0.70 < (moved.dropna() <= 0).mean() < 0.90
    signs = events.dropna(subset="amount").groupby("operation")["amount"].agg(["min", "max"])
    assert ((signs["min"] < 0) & (signs["max"] > 0)).sum() >= 3
    clicks = events[clicked].merge(data.products, on="item", suffixes=("", "_of_item"))
    assert len(clicks) == clicked.sum()
    assert (clicks["behavior"] == clicks["behavior_of_item"]).all()


def test_some_applicants_have_no_events_and_some_users_never_apply(data, log):
    silent = ~data.applications["user_id"].isin(log.loc[log["before"], "user_id"])
    assert 0.02 < silent.mean() < 0.06
    never = ~data.events["user_id"].isin(data.applications["user_id"])
    assert 0 < never.mean() < 0.02


def test_events_after_the_application_tell_the_label(data, log):
    assert 0.05 < (~log["before"]).mean() < 0.35
    notices = log[log["operation"] == "loan_overdue_notice"]
    assert len(notices) > 10
    assert not notices["before"].any()
    last = data.applications.assign(y=data.y).drop_duplicates("user_id", keep="last")
    overdue = last.set_index("user_id")["y"]
    assert (overdue[notices["user_id"]] == 1).all()
    assert (overdue[log.loc[log["operation"] == "loan_repay", "user_id"]] == 0).all()


def test_every_history_ends_in_the_visit_of_the_application(log):
    last = log[log["before"]].groupby("user_id").tail(1)
    wait = (last["applied_at"] - last["time"]).dt.total_seconds()
    assert wait.between(1, 600).all()


@pytest.mark.parametrize("max_sessions", [1, 3])
def test_max_sessions_bounds_visits(max_sessions):
    data = make_loan_data(400, 0, max_sessions=max_sessions, random_state=0)
    last = data.applications.groupby("user_id")["applied_at"].agg(["max", "size"])
    events = data.events.join(last[last["size"] == 1], on="user_id", how="inner")
    events = events[events["time"] < events["max"]]
    new = ~(events.groupby("user_id")["time"].diff() <= pd.Timedelta("1h"))
    assert new.groupby(events["user_id"]).sum().max() == max_sessions


# ---- timing, against the figures of a real bank's app log in one month


@pytest.fixture(scope="module")
def month(log):
    events = log[log["before"] & (log["time"] >= log["applied_at"] - pd.Timedelta("30D"))]
    interval = events.groupby("user_id")["time"].diff().dt.total_seconds()
    return events.assign(interval=interval, new=~(interval <= 3600))


@pytest.mark.parametrize(
    ("quantile", "real", "factor"), [(0.5, 7, 1.4), (0.75, 36, 1.5), (0.9, 4.7 * 3600, 1.8)]
)
def test_intervals_between_behaviors(month, quantile, real, factor):
    assert real / factor < month["interval"].quantile(quantile) < real * factor


def test_behaviors_per_session(month):
    length = month.groupby(month["new"].cumsum()).size()
    for quantile, real in [(0.5, 5), (0.9, 15), (0.95, 21), (0.99, 39)]:
        assert real / 1.3 < length.quantile(quantile) < real * 1.3
    assert (length >= 3).mean() == pytest.approx(0.70, abs=0.05)


def test_sessions_per_user_in_a_month(month):
    sessions = month.groupby("user_id")["new"].sum()
    for quantile, real in [(0.5, 7), (0.9, 26), (0.99, 58)]:
        assert real / 1.4 < sessions.quantile(quantile) < real * 1.4


def test_hours_of_the_day(month):
    share = month["time"].dt.hour.value_counts(normalize=True).sort_index()
    assert share.loc[[9, 10, 11, 15, 16]].min() > 1.3 / 24
    assert share.loc[[1, 2, 3, 4, 5]].max() < 0.5 / 24


# ---- old data


def test_old_data_has_the_same_profile_earlier_and_no_events(data):
    assert_frame_equal(data.old_applications.iloc[:0], data.applications.iloc[:0])
    assert data.old_applications["applied_at"].max() < data.applications["applied_at"].min()
    assert data.old_applications["applied_at"].max() < data.events["time"].min()
    for name in ("user_id", "application_id"):
        assert not data.old_applications[name].isin(data.applications[name]).any()
    assert not data.events["user_id"].isin(data.old_applications["user_id"]).any()
    assert len(data.old_y) == len(data.old_probability) == len(data.old_applications) == 12000


def test_old_profile_carries_the_same_signal(data):
    profile = simulated._profile_log_odds(data.old_applications)
    auc = expected_auc(data.old_probability, profile)
    assert auc == pytest.approx(data.profile_auc, abs=0.02)


def test_no_old_data():
    data = make_loan_data(50, 0, random_state=0)
    assert data.old_applications.shape == (0, 22)
    assert data.old_y.shape == data.old_probability.shape == (0,)


@pytest.mark.parametrize("seed", range(8))
def test_the_smallest_bank(seed):
    data = make_loan_data(2, 1, random_state=seed)
    assert len(data.applications) == 2
    assert data.probability.mean() == pytest.approx(0.0527)
    assert 0.5 <= data.best_auc < 1


# ---- parameters


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_new", 1),
        ("n_new", 10.5),
        ("n_old", -1),
        ("impulsive_effect", -0.1),
        ("habit_effect", math.nan),
        ("profile_effect", math.inf),
        ("overdue_rate", 0.0),
        ("overdue_rate", 1.0),
        ("overdue_rate", "low"),
        ("max_sessions", 0),
        ("random_state", "seed"),
    ],
)
def test_a_parameter_out_of_range_is_named(name, value):
    with pytest.raises(ValueError, match=f"'{name}' parameter of make_loan_data"):
        make_loan_data(**{name: value})


def test_description_counts_and_warns(data):
    assert "6,000" in data.DESCR
    assert f"{len(data.events):,}" in data.DESCR
    assert f"{data.best_auc:.3f}" in data.DESCR
    assert "planted" in data.DESCR


def test_true_grouping_is_valid_as_rules():
    data = make_loan_data(150, 0, random_state=0)
    X = attach_behaviors(data.applications, data.events)
    merged = BehaviorAbstractor(rules=data.operation_groups).fit_transform(X)
    behaviors = merged["behaviors"].nest.to_flat()
    true = data.operation_groups.set_index("operation").loc[behaviors["operation"].astype(str)]
    assert (behaviors["field"].to_numpy() == true["field"].to_numpy()).all()
