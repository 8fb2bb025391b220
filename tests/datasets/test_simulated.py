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

from skhuihen import attach_behaviors
from skhuihen.datasets import _simulated as simulated
from skhuihen.datasets import make_loan_data
from skhuihen.datasets._simulation.profile import profile_effects
from skhuihen.datasets._simulation.risk import behavior_measures
from skhuihen.metrics import expected_auc

BANK_A = 1402 / 26602
PROFILE = ("user__", "device__", "item__")
EFFECTS = ["profile", "nonlinear", "impulsive", "hesitant", "month_end", "habit"]


@pytest.fixture(scope="module")
def data():
    return make_loan_data(6000, 12000, overdue_rate=BANK_A, random_state=7)


@pytest.fixture(scope="module")
def log(data):
    """Give every event of an applicant its last application, and the events before it."""
    last = data.applications.groupby("user_id")["applied_at"].max().rename("applied_at")
    events = data.events.join(last, on="user_id", how="inner")
    return events.assign(before=events["time"] < events["applied_at"])


def assert_same(one, other):
    for name in ("applications", "events", "old_applications", "effects", "operation_groups"):
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
    # The app itself does not depend on who uses it.
    assert_frame_equal(one.operation_groups, other.operation_groups)


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


def before_applications(data):
    last = data.applications.groupby("user_id")["applied_at"].max()
    events = data.events[data.events["time"] < data.events["user_id"].map(last)]
    return events.reset_index(drop=True)


@pytest.mark.parametrize(
    "params", [{f"{name}_effect": size} for name in EFFECTS for size in (0.0, 3.0)], ids=str
)
def test_effects_change_labels_but_not_what_happened_before(params):
    one = make_loan_data(300, 100, random_state=0)
    other = make_loan_data(300, 100, random_state=0, overdue_rate=0.3, **params)
    assert_frame_equal(one.applications, other.applications)
    assert_frame_equal(one.old_applications, other.old_applications)
    assert_frame_equal(before_applications(one), before_applications(other))
    changed = next(iter(params)).removesuffix("_effect")
    assert_frame_equal(one.effects.drop(columns=changed), other.effects.drop(columns=changed))
    np.testing.assert_allclose(
        one.effects[changed] * params[f"{changed}_effect"], other.effects[changed], rtol=1e-12
    )
    assert (one.y != other.y).any()


# ---- the probability and the best AUC


@pytest.mark.parametrize("rate", [0.01, BANK_A, 0.5, 0.97])
def test_mean_probability_is_the_overdue_rate(rate):
    data = make_loan_data(500, 500, overdue_rate=rate, random_state=1)
    assert data.probability.mean() == pytest.approx(rate, abs=1e-9)
    assert data.old_probability.mean() == pytest.approx(rate, abs=1e-9)


@pytest.mark.parametrize(
    ("bank", "rate", "old_rate"),
    [("A", 1402 / 26602, 9501 / 142521), ("B", 734 / 12765, 982 / 14272)],
)
def test_each_bank_has_its_rates(bank, rate, old_rate):
    data = make_loan_data(200, 200, bank=bank, random_state=1)
    assert data.probability.mean() == pytest.approx(rate, abs=1e-9)
    assert data.old_probability.mean() == pytest.approx(old_rate, abs=1e-9)


def test_none_takes_the_sizes_of_table_1():
    old = make_loan_data(2, None, random_state=0)
    assert len(old.old_applications) == len(old.old_y) == 142_521
    # A few visits are enough to count applications.
    data = make_loan_data(None, None, bank="B", max_sessions=1, random_state=0)
    assert (len(data.applications), len(data.old_applications)) == (12_765, 14_272)
    assert abs(data.y.sum() - 734) < 4 * math.sqrt(734)
    assert abs(data.old_y.sum() - 982) < 4 * math.sqrt(982)
    assert simulated._BANKS["A"].n_new == 26_602


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


@settings(max_examples=20)
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
    assert 0.73 < data.best_auc < 0.77
    assert 0.68 < data.profile_auc < 0.72


@pytest.mark.parametrize("effect", EFFECTS)
def test_an_effect_switched_off_lowers_the_best_auc(data, effect):
    def best_auc(size):
        scaled = data.effects.assign(**{effect: size * data.effects[effect]})
        return expected_auc(simulated._probability(scaled, BANK_A)[1])

    assert best_auc(1.0) == data.best_auc
    assert best_auc(0.0) < data.best_auc - 0.003
    assert best_auc(2.0) > data.best_auc + 0.003


def test_without_effects_everybody_has_the_same_probability():
    off = dict.fromkeys((f"{name}_effect" for name in EFFECTS), 0)
    data = make_loan_data(300, 300, overdue_rate=0.0527, random_state=0, **off)
    assert (data.effects == 0).all(axis=None)
    np.testing.assert_allclose(data.probability, 0.0527)
    np.testing.assert_allclose(data.old_probability, 0.0527)
    assert data.best_auc == pytest.approx(0.5)
    assert data.profile_auc == pytest.approx(0.5)


def test_profile_says_nothing_about_behavior(data):
    correlation = data.effects.corr().loc[["profile", "nonlinear"], EFFECTS[2:]].to_numpy()
    assert np.abs(correlation).max() < 4.5 / math.sqrt(6000)


def test_mechanisms_bear_on_the_probability_as_the_paper_says(data):
    cash = data.applications["item__product"] == "cash"
    advance = data.applications["item__product"] == "salary_advance"
    log_odds = np.log(data.probability / (1 - data.probability))
    for name in EFFECTS[:5]:
        assert np.corrcoef(log_odds, data.effects[name])[0, 1] > 0.1
    # The same appetite bears to one side on cash and to the other on an advance.
    clicks = before_applications(data).merge(data.products[data.products["risky"]], on="item")
    n_risky = data.applications["user_id"].map(clicks.groupby("user_id").size()).fillna(0)
    for rows, side in ((cash, 1), (advance, -1)):
        assert side * np.corrcoef(n_risky[rows], data.effects["habit"][rows])[0, 1] > 0.1


# ---- the effects, by a plain reading of the tables


def expit(x):
    return 1 / (1 + math.exp(-x))


def slow_effects(data, known=True):
    """Measure each application by a loop over what was known of its user."""
    risky = set(data.products.loc[data.products["risky"], "item"])
    groups = data.operation_groups
    kind = dict(zip(groups["operation"], groups["behavior"], strict=True))
    events = defaultdict(list)
    for row in data.events.itertuples():
        events[row.user_id].append(row)
    for application in data.applications.itertuples():
        at = application.applied_at
        history = [
            event
            for event in events[application.user_id]
            if event.time < at and (not known or event.recorded_at < at)
        ]
        clicks = [
            event.item
            for event in history
            if kind[event.operation] in ("fund_click", "wealth_click")
        ]
        share = (sum(item in risky for item in clicks) + 3 * 0.4) / (len(clicks) + 3)
        matters = {"cash": 1.5, "installment": 0.7, "salary_advance": -0.7}
        late = sum(event.time.day >= 24 for event in history)
        effects = {
            "impulsive": 0.215,
            "hesitant": 0.277,
            "month_end": (late + 20 * 0.37) / (len(history) + 20) - 0.37,
            "habit": (share - 0.4) * matters[application.item__product],
        }
        if history:
            session = [history[-1].time]
            for event in reversed(history[:-1]):
                if session[-1] - event.time > pd.Timedelta("1h"):
                    break
                session.append(event.time)
            logs = sorted(math.log1p((b - a).total_seconds()) for b, a in pairwise(session))
            typical = sum(logs) / max(len(logs), 1)
            others = sum(logs[:-1]) / max(len(logs) - 1, 1)
            longest = max(logs, default=0.0)
            effects["impulsive"] = expit((8.5 - len(session)) / 1.5) * expit(
                (math.log(7) - typical) / 0.25
            )
            effects["hesitant"] = expit((longest - math.log(240)) / 0.3) * expit(
                (math.log(12) - others) / 0.3
            )
        yield effects


@pytest.mark.parametrize("bank", ["A", "B"])
def test_behavior_effects_can_be_read_from_the_tables(bank):
    data = make_loan_data(200, 0, bank=bank, late_share=0.3, random_state=11)
    sizes = pd.Series(simulated._BANKS[bank].sizes)
    slow = pd.DataFrame(slow_effects(data)) * sizes[EFFECTS[2:]]
    assert_frame_equal(data.effects[EFFECTS[2:]], slow, rtol=1e-9)
    # What was recorded too late would have made a difference.
    careless = pd.DataFrame(slow_effects(data, known=False)) * sizes[EFFECTS[2:]]
    assert (np.abs(careless - slow) > 0.01).any(axis=1).mean() > 0.1
    # The last session is known in any case.
    assert_frame_equal(careless[["impulsive", "hesitant"]], slow[["impulsive", "hesitant"]])


def test_the_future_does_not_bear_on_the_risk():
    """Neither later events nor what was recorded later changes a measure."""
    bank = make_loan_data(300, 0, late_share=0.2, random_state=3)
    app = simulated.App(simulated.Catalog("A", 1.0), 0.2)
    people = simulated.make_people(1, 291, np.random.default_rng(0))
    history = simulated.make_history(app, bank.applications, people, 20, np.random.default_rng(1))
    measures = behavior_measures(bank.applications, history, app.catalog)
    applied = bank.applications["applied_at"].to_numpy().astype("datetime64[s]").astype(int)
    last = pd.Series(applied).groupby(bank.applications["user_id"]).max()
    at = last[history.user].to_numpy()
    future = (history.time >= at) | (history.recorded >= at)
    assert future.sum() > 50
    without = history._make(column[~future] for column in history)
    assert_frame_equal(behavior_measures(bank.applications, without, app.catalog), measures)


def test_applicants_without_known_events_are_average(data, log):
    silent = ~data.applications["user_id"].isin(log.loc[log["before"], "user_id"])
    behavior = data.effects.loc[silent, EFFECTS[2:]] / pd.Series(simulated._BANKS["A"].sizes)
    np.testing.assert_allclose(behavior["month_end"], 0, atol=1e-12)
    np.testing.assert_allclose(behavior["habit"], 0, atol=1e-12)
    of_others = data.effects.loc[~silent] / pd.Series(simulated._BANKS["A"].sizes)
    for name in ("impulsive", "hesitant"):
        average = pytest.approx(of_others[name].mean(), abs=0.02)
        assert behavior[name].to_list() == [average] * silent.sum()
    assert of_others[["month_end", "habit"]].mean().abs().max() < 0.02


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
    names = ["user_id", "time", "operation", "item", "amount", "recorded_at"]
    assert events.columns.to_list() == names
    assert events["time"].dtype == events["recorded_at"].dtype == "datetime64[us]"
    assert events[["user_id", "time", "operation"]].notna().all(axis=None)
    assert events["operation"].isin(data.operation_groups["operation"]).all()
    by_user = events.groupby("user_id")["time"]
    assert events["user_id"].is_monotonic_increasing
    assert (by_user.diff().dropna() >= pd.Timedelta(0)).all()


def test_some_applicants_have_no_events_and_some_users_never_apply(data, log):
    silent = ~data.applications["user_id"].isin(log.loc[log["before"], "user_id"])
    assert 0.02 < silent.mean() < 0.06
    never = ~data.events["user_id"].isin(data.applications["user_id"])
    assert 0 < never.mean() < 0.02


def test_events_after_the_application_tell_the_label(data, log):
    assert 0.05 < (~log["before"]).mean() < 0.35
    log = log.merge(data.operation_groups, on="operation")
    notices = log[log["behavior"] == "overdue_notice"]
    assert len(notices) > 10
    assert not notices["before"].any()
    last = data.applications.assign(y=data.y).drop_duplicates("user_id", keep="last")
    overdue = last.set_index("user_id")["y"]
    assert (overdue[notices["user_id"]] == 1).all()
    assert (overdue[log.loc[log["behavior"] == "loan_repayment", "user_id"]] == 0).all()


def test_every_history_ends_in_the_visit_of_the_application(log):
    last = log[log["before"]].groupby("user_id").tail(1)
    wait = (last["applied_at"] - last["time"]).dt.total_seconds()
    assert wait.between(5, 600).all()


@pytest.mark.parametrize("max_sessions", [1, 3])
def test_max_sessions_bounds_visits(max_sessions):
    data = make_loan_data(400, 0, max_sessions=max_sessions, random_state=0)
    last = data.applications.groupby("user_id")["applied_at"].agg(["max", "size"])
    events = data.events.join(last[last["size"] == 1], on="user_id", how="inner")
    events = events[events["time"] < events["max"]]
    new = ~(events.groupby("user_id")["time"].diff() <= pd.Timedelta("1h"))
    assert new.groupby(events["user_id"]).sum().max() == max_sessions


# ---- timing, against the figures of a real bank's app log in one month

REAL = {
    "interval": {0.5: 7, 0.75: 36, 0.9: 4.7 * 3600},
    "length": {0.5: 5, 0.9: 15, 0.95: 21, 0.99: 39},
    "sessions": {0.5: 7, 0.9: 26, 0.99: 58},
}


def timing(log):
    """Return the values that `REAL` has quantiles of."""
    interval = log.groupby("user_id")["time"].diff().dt.total_seconds()
    new = ~(interval <= 3600)
    return {
        "interval": interval,
        "length": new.groupby(new.cumsum()).size(),
        "sessions": new.groupby(log["user_id"]).sum(),
    }


@pytest.fixture(scope="module")
def month(log):
    return log[log["before"] & (log["time"] >= log["applied_at"] - pd.Timedelta("30D"))]


@pytest.mark.parametrize(
    ("name", "factor"), [("interval", 1.5), ("length", 1.25), ("sessions", 1.25)]
)
def test_timing_is_that_of_a_real_app(month, name, factor):
    values = timing(month)[name]
    for quantile, real in REAL[name].items():
        assert real / factor < values.quantile(quantile) < real * factor


def test_sessions_long_enough_to_count(month):
    assert (timing(month)["length"] >= 3).mean() == pytest.approx(0.70, abs=0.03)


def test_the_figures_of_the_real_app(data_folder):
    log = pd.read_csv(
        data_folder("cmb2020") / "beh_b.csv",
        skiprows=1,
        usecols=[0, 2],
        names=["user_id", "page", "time"],
        parse_dates=["time"],
    ).sort_values(["user_id", "time"])
    for name, values in timing(log).items():
        for quantile, real in REAL[name].items():
            assert values.quantile(quantile) == pytest.approx(real, rel=0.01)


def test_hours_of_the_day(month):
    share = month["time"].dt.hour.value_counts(normalize=True).sort_index()
    assert share.loc[[9, 10, 11, 15, 16]].min() > 1.3 / 24
    assert share.loc[[1, 2, 3, 4, 5]].max() < 0.5 / 24


def test_salaries_come_early_in_the_month_and_applications_late(data):
    events = data.events.merge(data.operation_groups, on="operation")
    salary = events[events["behavior"] == "salary"]
    assert len(salary) > 500
    # Visits may run past midnight of the last payday, salaries may not.
    assert salary["time"].dt.day.max() == 5
    assert 0.35 < (data.applications["applied_at"].dt.day >= 24).mean() < 0.5
    # Who uses the app late in the month applies late in the month.
    late = data.applications["applied_at"].dt.day >= 24
    usage = data.effects["month_end"]
    assert usage[late].mean() > usage[~late].mean() + 0.1


# ---- the second clock


def test_most_events_are_known_at_once_and_some_much_later(data):
    delay = (data.events["recorded_at"] - data.events["time"]).dt.total_seconds()
    assert delay.min() == 0
    assert (delay <= 4).mean() > 0.85
    assert 0.08 < (delay > 3600).mean() < 0.13
    assert delay.max() > 5 * 86_400
    assert 0.003 < delay.isna().mean() < 0.008


def test_the_last_session_is_known_at_the_application(log):
    last = log[log["before"]].groupby("user_id").tail(1)
    assert (last["recorded_at"] < last["applied_at"]).all()


def test_the_join_leaves_out_what_was_known_too_late(data):
    report = attach_behaviors(
        data.applications.loc[:1000, ["user_id", "applied_at"]],
        data.events,
        known_at="recorded_at",
        return_report=True,
    )[1]
    share = report["pairs_known_too_late"] / report["pairs_used"]
    assert 0.005 < share < 0.03


def test_without_late_events_all_is_known_at_once():
    one = make_loan_data(200, 50, random_state=0)
    other = make_loan_data(200, 50, late_share=0.0, random_state=0)
    delay = (other.events["recorded_at"] - other.events["time"]).dt.total_seconds()
    assert delay.between(0, 4).all()
    # What happened is the same, except that another risk may give another label.
    assert_frame_equal(one.applications, other.applications)
    assert_frame_equal(one.old_applications, other.old_applications)
    clock = ["recorded_at"]
    assert_frame_equal(
        before_applications(one).drop(columns=clock), before_applications(other).drop(columns=clock)
    )


# ---- old data, and its drift


def test_old_data_has_the_same_profile_earlier_and_no_events(data):
    assert_frame_equal(data.old_applications.iloc[:0], data.applications.iloc[:0])
    assert data.old_applications["applied_at"].max() < data.applications["applied_at"].min()
    assert data.old_applications["applied_at"].max() < data.events["time"].min()
    for name in ("user_id", "application_id"):
        assert not data.old_applications[name].isin(data.applications[name]).any()
    assert not data.events["user_id"].isin(data.old_applications["user_id"]).any()
    assert len(data.old_y) == len(data.old_probability) == len(data.old_applications) == 12000


def test_old_profile_carries_the_same_signal(data):
    assert old_auc(data) == pytest.approx(data.profile_auc, abs=0.02)


def old_auc(data):
    """Score the old applications by what is true of the new ones."""
    sizes = pd.Series(simulated._BANKS["A"].sizes)[EFFECTS[:2]]
    score = (profile_effects(data.old_applications) * sizes).sum(axis=1)
    return expected_auc(data.old_probability, score.to_numpy())


def test_drift_changes_the_old_data_alone(data):
    half, full = (make_loan_data(300, 6000, drift=drift, random_state=7) for drift in (0.5, 1.0))
    none = make_loan_data(300, 6000, random_state=7)
    for name in ("applications", "events", "effects"):
        assert_frame_equal(none[name], full[name])
    np.testing.assert_array_equal(none.y, full.y)
    assert_frame_equal(none.old_applications.iloc[:0], full.old_applications.iloc[:0])

    def shares(bank):
        old = bank.old_applications
        return np.array(
            [
                old["user__monthly_income"].median() / -1e4,
                (old["user__education"] == "primary").mean(),
                (old["device__system"] == "android").mean(),
                (old["item__product"] == "installment").mean(),
                old["user__credit_inquiries"].mean() / 10,
            ]
        )

    assert (shares(none) + 0.02 < shares(half)).all()
    assert (shares(half) + 0.02 < shares(full)).all()
    assert old_auc(none) - 0.02 > old_auc(half) > old_auc(full) + 0.01
    assert old_auc(full) > 0.5
    assert full.old_probability.mean() == pytest.approx(9501 / 142521)


def test_no_old_data():
    data = make_loan_data(50, 0, random_state=0)
    assert data.old_applications.shape == (0, 22)
    assert data.old_y.shape == data.old_probability.shape == (0,)


@pytest.mark.parametrize("seed", range(8))
def test_the_smallest_bank(seed):
    data = make_loan_data(2, 1, random_state=seed)
    assert len(data.applications) == 2
    assert data.probability.mean() == pytest.approx(BANK_A)
    assert 0.5 <= data.best_auc < 1


# ---- users without a label


@pytest.fixture(scope="module")
def waiting():
    return make_loan_data(60, 40, n_unlabelled=300, max_sessions=20, random_state=5)


def test_users_without_a_label_change_nothing_else(waiting):
    without = make_loan_data(60, 40, max_sessions=20, random_state=5)
    for name in ("applications", "old_applications", "effects"):
        assert_frame_equal(without[name], waiting[name])
    for name in ("y", "probability", "old_y", "old_probability"):
        np.testing.assert_array_equal(without[name], waiting[name])
    others = ~waiting.events["user_id"].isin(waiting.unlabelled["user_id"])
    assert_frame_equal(without.events, waiting.events[others].reset_index(drop=True))
    assert "Without a label: 300 other users of the app, 60 of whom" in waiting.DESCR
    assert "Without a label" not in without.DESCR


def test_without_them_a_generator_is_where_it_was():
    """One more draw would change everything that the caller draws later."""
    rng, other = np.random.default_rng(3), np.random.default_rng(3)
    make_loan_data(2, 0, random_state=rng)
    other.integers(2**63, size=8)
    assert rng.integers(2**63) == other.integers(2**63)


@pytest.mark.parametrize("n", [0, 1, 4])
def test_a_few_users_without_a_label(waiting, n):
    few = make_loan_data(2, 0, n_unlabelled=n, random_state=0).unlabelled
    assert len(few) == n
    assert few.dtypes.equals(waiting.unlabelled.dtypes)


def test_a_fifth_of_them_have_applied_and_the_others_have_no_credit(waiting):
    table, data = waiting.unlabelled, waiting.applications
    assert table.columns.equals(data.columns)
    assert table["applied_at"].is_monotonic_increasing
    applied = table["application_id"].notna()
    assert applied.sum() == 60
    credit = [name for name in table if name.startswith("item__")]
    assert table.loc[applied, credit].notna().all(axis=None)
    assert table.loc[~applied, credit].isna().all(axis=None)
    assert (table.loc[applied, "applied_at"] > data["applied_at"].max()).all()
    for name in ("user_id", "application_id"):
        known = table[name].dropna()
        assert known.is_unique
        for one in (data, waiting.old_applications):
            assert not known.isin(one[name]).any()
    # Their profile is that of everybody.
    assert table["user__age"].mean() == pytest.approx(data["user__age"].mean(), abs=5)


def test_they_behave_as_everybody_but_for_the_last_visit(waiting):
    table = waiting.unlabelled
    events = waiting.events.merge(table[["user_id", "applied_at", "application_id"]], on="user_id")
    before = events[events["time"] < events["applied_at"]]
    assert len(before) < len(events)
    first = (before["applied_at"] - before["time"]).max()
    assert pd.Timedelta("100D") < first < pd.Timedelta("106D")
    last = before.groupby("user_id").tail(1)
    wait = (last["applied_at"] - last["time"]).dt.total_seconds()
    applied = last["application_id"].notna()
    assert wait[applied].between(5, 600).all()
    assert (wait[~applied] > 600).mean() > 0.9
    silent = 1 - before["user_id"].nunique() / len(table)
    assert 0.02 < silent < 0.4
    of_labelled = before_applications(waiting)
    for name, behavior in waiting.operation_groups.groupby("field"):
        shares = [
            log["operation"].isin(behavior["operation"]).mean() for log in (before, of_labelled)
        ]
        assert shares[0] == pytest.approx(shares[1], abs=0.05), name


def test_their_histories_join_as_those_of_applications(waiting):
    X, report = attach_behaviors(
        waiting.unlabelled, waiting.events, known_at="recorded_at", return_report=True
    )
    pairs = waiting.events.merge(waiting.unlabelled[["user_id", "applied_at"]], on="user_id")
    early = pairs["time"] < pairs["applied_at"]
    known = early & (pairs["recorded_at"] < pairs["applied_at"])
    assert report["pairs_used"] == known.sum() < early.sum()
    assert_frame_equal(X.drop(columns="behaviors"), waiting.unlabelled)


# ---- parameters


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_new", 1),
        ("n_new", 10.5),
        ("n_old", -1),
        ("bank", "C"),
        ("impulsive_effect", -0.1),
        ("hesitant_effect", "none"),
        ("month_end_effect", None),
        ("habit_effect", math.nan),
        ("profile_effect", math.inf),
        ("nonlinear_effect", -1),
        ("name_noise", 1.1),
        ("late_share", -0.1),
        ("drift", 2.0),
        ("overdue_rate", 0.0),
        ("overdue_rate", 1.0),
        ("overdue_rate", "low"),
        ("max_sessions", 0),
        ("n_unlabelled", -1),
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
    assert "452 transform operations and function widgets, which are 42 behaviors" in data.DESCR
    assert "planted" in data.DESCR
