"""Explanations: what they add up to, what they leave at 0, and that both paths say the same."""

from __future__ import annotations

import copy
import importlib
import json
import sys
import types

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from lightgbm import LGBMClassifier
from scipy.special import expit
from sklearn.calibration import CalibratedClassifierCV
from sklearn.dummy import DummyClassifier
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.pipeline import make_pipeline, make_union

from skhuihen import (
    BehaviorAbstractor,
    HUIHENClassifier,
    ProfileEncoder,
    Sessionizer,
    WindowStatistics,
    attach_behaviors,
)
from skhuihen.datasets import make_loan_data
from skhuihen.inspection import explain
from skhuihen.inspection._scores import HUIHENScores, TableScores, log_odds
from skhuihen.inspection._table import PlayersTable
from tests.models import trees

module = importlib.import_module("skhuihen.inspection._explain")

FEW = {"n_sessions": 2, "n_background": 2, "max_exact": 3, "n_orders": 2}
SMALL = {
    "max_epochs": 1,
    "lr": 0.05,
    "net_params": {"module__behavior_dim": 4, "module__intention_dim": 4, "module__habit_dim": 4},
}


@pytest.fixture(scope="module")
def bank():
    data = make_loan_data(n_new=120, n_old=0, overdue_rate=0.3, random_state=0)
    X = attach_behaviors(data.applications, data.events, lookback="20D")
    keep = ["user__age", "user__education", "user__debt_ratio", "user__owns_home"]
    keep += ["device__system", "item__product", "item__amount"]
    keys = ["application_id", "user_id", "applied_at", "behaviors"]
    return X[[*keys, *keep]], data.y


def fitted(bank, **params):
    X, y = bank
    network = HUIHENClassifier(**{**SMALL, "n_estimators": 1, "random_state": 0, **params})
    return make_pipeline(BehaviorAbstractor(), Sessionizer(), network).fit(X, y)


@pytest.fixture(scope="module")
def huihen(bank):
    return fitted(bank)


@pytest.fixture(scope="module")
def forest(bank):
    X, y = bank
    features = make_union(ProfileEncoder(), WindowStatistics(n_operations=5))
    model = LGBMClassifier(n_estimators=10, n_jobs=1, verbose=-1, random_state=0)
    return make_pipeline(features, model).fit(X, y)


def longest(X, n=2):
    """Return the applications with most events, and one that has none."""
    lengths = X["behaviors"].array.list_lengths
    order = np.argsort(-lengths, kind="stable")
    return X.iloc[[*order[:n], order[-1]]]


def check_sums(explanation):
    for row in range(len(explanation)):
        players = explanation.of(row)
        own = players.set_index("player")["value"]
        total = explanation.log_odds[row] - explanation.base[row]
        for parent, value in players.groupby("parent")["value"].sum().items():
            assert value == pytest.approx(own[parent] if parent else total, abs=1e-9)


# ---- Both paths.

KINDS = {
    "one network": {},
    "two networks": {"n_estimators": 2},
    "double precision": {"dtype": "float64"},
    "topics": {"n_topics": 2},
    "the paper's form": {"event_numbers": None, "net_params": {"module__mean_intention": False}},
    "plain GRUs": {"net_params": {"module__time_aware": False, "module__user_item_aware": False}},
    "on a base model": {"base_estimator": "trees"},
}


@pytest.mark.filterwarnings("ignore:.*so all topics are 0")
@pytest.mark.parametrize("kind", KINDS)
def test_the_fast_path_gives_the_values_of_tables(bank, kind, monkeypatch):
    params = KINDS[kind]
    if "base_estimator" in params:
        params = {"base_estimator": trees(), "n_estimators": 2}
    X, y = bank
    model = fitted(bank, **params)
    some = longest(X, 1)
    asked = []
    depths = (1, 2, 3) if kind == "one network" else (3,)
    for depth in depths:
        fast = explain(model, some, X[y == 0], depth=depth, **FEW)
        with monkeypatch.context() as patch:

            def by_tables(rest, table, others, as_array):
                scores = TableScores(rest, table, as_array)
                asked.append(scores)
                return scores

            patch.setattr(module, "_find_scores", by_tables)
            slow = explain(model, some, X[y == 0], depth=depth, **FEW)
        for a, b in zip(fast.values, slow.values, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-6)
        np.testing.assert_allclose(fast.base, slow.base, atol=1e-6)
        check_sums(fast)
        check_sums(slow)
    assert len(asked) == len(depths)


def test_the_fast_path_is_the_one_that_is_taken(bank, huihen, monkeypatch):
    X, y = bank
    monkeypatch.setattr(TableScores, "scores", None)
    monkeypatch.setattr(HUIHENScores, "scores", HUIHENScores.scores)
    assert len(explain(huihen, X[:2], X[y == 0], depth=1, **FEW)) == 2
    assert len(explain(FrozenEstimator(huihen), X[:2], X[y == 0], depth=1, **FEW)) == 2


# ---- What is explained.


def test_values_add_up_to_the_probability_of_the_whole_pipeline(bank, huihen, forest):
    X, y = bank
    calibrated = CalibratedClassifierCV(FrozenEstimator(forest), method="sigmoid").fit(X, y)
    flat = fitted(bank, net_params={"module__hierarchical": False})
    for model in (huihen, forest, calibrated, flat):
        explanation = explain(model, longest(X, 1), X[y == 0], **FEW)
        check_sums(explanation)
        probability = model.predict_proba(longest(X, 1))[:, 1]
        top = explanation.matrix("top").sum(axis=1).to_numpy() + explanation.base
        assert expit(top) == pytest.approx(probability, abs=1e-9)


def test_a_linear_model_has_its_own_terms():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(60, 8)), columns=list("abcdefgh"))
    y = (X["a"] - X["b"] + rng.normal(size=60) > 0).astype(int)
    model = LogisticRegression().fit(X, y)
    explanation = explain(model, X[:5], X[20:23], n_orders=2)
    wanted = (X[:5] - X[20:23].mean()) * model.coef_[0]
    np.testing.assert_allclose(explanation.matrix(), wanted, atol=1e-9)
    # The same of an array.
    of_array = explain(
        LogisticRegression().fit(X.to_numpy(), y), X[:5].to_numpy(), X[20:23].to_numpy(), n_orders=2
    )
    np.testing.assert_allclose(of_array.matrix(), wanted, atol=1e-9)


@pytest.mark.parametrize("name", ["huihen", "forest"])
def test_fields_against_tables_made_by_hand(bank, name, request):
    """Two background rows, four players: all 16 tables of each are written out here."""
    model = request.getfixturevalue(name)
    X, y = bank
    one, others = longest(X, 1)[:1], X[y == 0][:2]
    fields = {
        field: [c for c in X.columns if c.startswith(f"{field}__")]
        for field in ("user", "device", "item")
    }
    names = [*fields, "history"]
    score = {}
    for number in range(16):
        present = {field for i, field in enumerate(names) if number >> i & 1}
        rows = []
        for k in range(2):
            row = one.copy()
            for field, columns in fields.items():
                if field not in present:
                    row = row.assign(**{c: others[c].iloc[[k]].array for c in columns})
            if "history" not in present:
                row = row.assign(behaviors=None)
            rows.append(log_odds(model, row)[0])
        score[frozenset(present)] = np.mean(rows)
    explanation = explain(model, one, others, depth=1)
    found = explanation.of(0).set_index("player")["value"]
    weight = {0: 1 / 4, 1: 1 / 12, 2: 1 / 12, 3: 1 / 4}
    for player in names:
        wanted = sum(
            weight[len(of)] * (score[of | {player}] - score[of]) for of in score if player not in of
        )
        assert found[player] == pytest.approx(wanted, abs=2e-6)
    assert explanation.base[0] == pytest.approx(score[frozenset()], abs=2e-6)


def test_what_the_model_does_not_see_has_no_part(bank):
    X, y = bank
    X = X.assign(user__unseen=np.random.default_rng(0).normal(size=len(X)))
    network = HUIHENClassifier(
        **SMALL, n_estimators=1, random_state=0,
        profile_encoder=ProfileEncoder({"user": ["user__age"], "item": ["item__product"]}),
    )  # fmt: skip
    model = make_pipeline(BehaviorAbstractor(), Sessionizer(), network).fit(X, y)
    explanation = explain(model, X[:4], X[y == 0], n_orders=4)
    values = explanation.matrix()
    assert (values["profile/user__unseen"].abs() < 1e-7).all()
    assert (values["profile/device__system"].abs() < 1e-7).all()
    assert values["user/user__age"].abs().max() > 1e-4
    of_profile = make_pipeline(ProfileEncoder(), LogisticRegression()).fit(X, y)
    without_history = explain(of_profile, longest(X, 1), X[y == 0], n_orders=4)
    # The product of a matrix may differ in its last digit from one batch to another.
    assert (without_history.matrix("top")["history"].abs() < 1e-12).all()


def test_weights_drawn_anew_change_the_reasons(bank, huihen):
    X, y = bank
    other = copy.deepcopy(huihen)
    other[-1].net_.module_.reset_parameters(torch.Generator().manual_seed(1))
    own, drawn = (
        explain(model, X[:20], X[y == 0], **FEW).matrix().to_numpy() for model in (huihen, other)
    )
    correlations = [np.corrcoef(a, b)[0, 1] for a, b in zip(own, drawn, strict=True)]
    assert np.mean(correlations) < 0.5


# ---- Alone and together.


def test_values_are_the_same_alone_and_in_a_batch_and_again(bank, huihen):
    X, y = bank
    some = longest(X, 3)
    together = explain(huihen, some, X[y == 0], **FEW)
    again = explain(huihen, some, X[y == 0], **FEW)
    for row in range(len(some)):
        alone = explain(huihen, some.iloc[[row]], X[y == 0], **FEW)
        np.testing.assert_allclose(alone.values[0], together.values[row], atol=1e-6)
        np.testing.assert_array_equal(again.values[row], together.values[row])
    assert together.index.tolist() == some.index.tolist()


def test_the_model_and_the_tables_stay_as_they_were(bank, huihen):
    X, y = bank
    before = huihen.predict_proba(X), X.copy()
    state = set(vars(huihen[-1].net_.module_))
    explain(huihen, X[:2], X[y == 0], depth=3, **FEW)
    np.testing.assert_array_equal(huihen.predict_proba(X), before[0])
    pd.testing.assert_frame_equal(X.drop(columns="behaviors"), before[1].drop(columns="behaviors"))
    assert X["behaviors"].array.list_array.equals(before[1]["behaviors"].array.list_array)
    assert set(vars(huihen[-1].net_.module_)) == state


def test_background_rows_are_spread_by_their_score_whatever_their_order(bank, huihen):
    X, y = bank
    others = X[y == 0]
    first = explain(huihen, X[:2], others, depth=1)
    shuffled = explain(huihen, X[:2], others.sample(frac=1, random_state=0), depth=1)
    np.testing.assert_allclose(first.base, shuffled.base, atol=1e-5)
    np.testing.assert_allclose(first.matrix(), shuffled.matrix(), atol=1e-5)
    without_events = explain(huihen, X[:2], others.drop(columns="behaviors"), depth=1)
    np.testing.assert_array_equal(first.matrix(), without_events.matrix())


def test_other_containers_are_taken(bank, forest):
    X, y = bank
    plain = X.drop(columns="behaviors")
    model = make_pipeline(ProfileEncoder(), LogisticRegression()).fit(plain, y)
    own = explain(model, plain[:3], plain[y == 0], n_orders=2)
    of_polars = explain(model, pl.from_pandas(plain[:3]), pl.from_pandas(plain[y == 0]), n_orders=2)
    np.testing.assert_allclose(of_polars.matrix(), own.matrix(), atol=1e-9)
    assert explain(model, plain[:2], depth=1).base.shape == (2,)


# ---- Histories with parts taken out.


def make_history(minutes):
    applications = pd.DataFrame({"user_id": [1], "applied_at": [pd.Timestamp("2024-05-20")]})
    time = pd.Timestamp("2024-05-10 10:00") + pd.to_timedelta(minutes, unit="min")
    events = pd.DataFrame({"user_id": 1, "time": time, "operation": [f"o{m}" for m in minutes]})
    return applications, events


def test_what_is_left_is_the_history_as_if_the_absent_had_never_been():
    minutes = [0, 5, 7, 500, 520, 521, 560, 2000, 2001, 2010]
    applications, events = make_history(minutes)
    step = Sessionizer(min_behaviors=1)
    X = step.fit_transform(attach_behaviors(applications, events))
    others = applications
    rng = np.random.default_rng(0)
    for depth, n_leaves in ((2, 3), (3, 10)):
        table = PlayersTable(X, {}, others, "behaviors", "applied_at", depth, 5)
        for _ in range(20):
            present = rng.random((1, n_leaves)) < 0.6
            left = table.perturbed(np.zeros(1, np.int64), np.zeros(1, np.int64), present)
            found = left["behaviors"].iloc[0]
            kept = present[0][table.leaf_of_event]
            wanted = step.transform(attach_behaviors(applications, events[kept]))["behaviors"]
            columns = ["time", "operation", "interval", "weekday", "monthday"]
            pd.testing.assert_frame_equal(
                found[columns].reset_index(drop=True),
                wanted.iloc[0][columns].reset_index(drop=True),
                check_dtype=False,
            )
        # The last session is the first player.
        only_last = np.zeros((1, n_leaves), dtype=bool)
        only_last[0, : 1 if depth == 2 else 3] = True
        left = table.perturbed(np.zeros(1, np.int64), np.zeros(1, np.int64), only_last)
        assert left["behaviors"].iloc[0]["operation"].tolist() == ["o2000", "o2001", "o2010"]


def test_players_are_named_from_the_last_session_on(bank, huihen):
    X, y = bank
    explanation = explain(huihen, longest(X, 1), X[y == 0], depth=3, **FEW)
    players = explanation.of(0)
    sessions = players.loc[players["kind"] == "session", "player"].tolist()
    assert sessions == ["history/session_1", "history/session_2", "history/older_sessions"]
    history = huihen[:-1].transform(longest(X, 1))["behaviors"].iloc[0]
    last = history[history["session"] == history["session"].max()]
    named = players.loc[players["parent"] == "history/session_1", "player"].tolist()
    assert named == [
        f"history/session_1/{i}:{name}" for i, name in enumerate(last["behavior"], start=1)
    ]
    assert players["player"].is_unique
    # Who has no history has no such player, and 0 in the matrix.
    assert "history" not in explanation.of(1)["player"].tolist()
    assert explanation.matrix("top")["history"].iloc[1] == 0
    every = {player.path for player in explanation.catalog}
    assert set(players.loc[players["kind"] != "behavior", "player"]) <= every


def test_sessions_are_cut_at_an_hour_where_nothing_says_what_they_are():
    applications, events = make_history([0, 30, 90, 151, 160])
    X = attach_behaviors(applications, events)
    table = PlayersTable(X, {}, applications, "behaviors", "applied_at", 2, 5)
    assert table.tree(0) == ((None, None),)
    assert table.leaf_of_event.tolist() == [1, 1, 1, 0, 0]


def test_events_after_the_application_are_no_players():
    applications, events = make_history([0, 5, 60 * 24 * 30])
    X = attach_behaviors(applications, events[:2])
    late = X.assign(applied_at=pd.Timestamp("2024-05-10 10:01"))
    table = PlayersTable(late, {}, applications, "behaviors", "applied_at", 3, 5)
    assert table.leaf_of_event.tolist() == [0]


# ---- Bad input.


def test_models_that_cannot_be_explained(bank, huihen):
    X, y = bank
    with pytest.raises(NotFittedError):
        explain(make_pipeline(Sessionizer(), HUIHENClassifier()), X[:2], X)
    with pytest.raises(TypeError, match="RidgeClassifier, which has no predict_proba"):
        explain(RidgeClassifier(), X[:2], X)
    numbers = X[["user__age", "user__debt_ratio"]].fillna(0)
    three = LogisticRegression().fit(numbers, np.arange(len(X)) % 3)
    with pytest.raises(ValueError, match=r"classes \[.*0.*1.*2.*\], but log-odds require two"):
        explain(three, numbers[:2], numbers)

    class Moody(LogisticRegression):
        def predict_proba(self, X):
            half = np.full(len(X), 0.3 + 0.2 * (len(X) > 2))
            return np.column_stack([1 - half, half])

    moody = Moody().fit(numbers, y)
    with pytest.raises(ValueError, match="do not depend on other rows"):
        explain(moody, numbers[:2], numbers)


def test_tables_that_cannot_be_explained(bank, huihen):
    X, y = bank
    with pytest.raises(ValueError, match="X is empty"):
        explain(huihen, X[:0], X)
    with pytest.raises(ValueError, match="background is empty"):
        explain(huihen, X[:2], X[:0])
    with pytest.raises(ValueError, match="'device__system' of X is missing from background"):
        explain(huihen, X[:2], X.drop(columns="device__system"))
    with pytest.raises(ValueError, match=r"X has only one row, .* Pass background"):
        explain(huihen, X[:1])
    with pytest.raises(ValueError, match=r"has no column|missing"):
        explain(huihen, X[:2].drop(columns="user__age"), X)
    nested = X.assign(behaviors=X["behaviors"].map(lambda frame: frame.to_dict("records")))
    renamed = nested.rename(columns={"behaviors": "log"})
    of_profile = make_pipeline(ProfileEncoder(), LogisticRegression()).fit(renamed, y)
    with pytest.raises(ValueError, match="'log' of X contains events, but behaviors='behaviors'"):
        explain(of_profile, renamed[:2], renamed)
    with pytest.raises(ValueError, match="'depth' parameter"):
        explain(huihen, X[:2], X, depth=4)
    with pytest.raises(ValueError, match="two-dimensional"):
        explain(LogisticRegression().fit([[0.0], [1.0]], [0, 1]), [1.0, 2.0])
    only_keys = X[["user_id", "applied_at"]]
    with pytest.raises(ValueError, match="neither a profile column nor a column 'behaviors'"):
        explain(DummyClassifier().fit(only_keys, y), only_keys[:2])


def test_a_background_of_one_row_and_a_single_application(bank, huihen):
    X, _ = bank
    explanation = explain(huihen, X[:1], X[5:6], **FEW)
    check_sums(explanation)
    # Against itself, of the same profile, nothing but the history matters.
    itself = explain(huihen, X[:1], X[:1], **FEW)
    profile = itself.matrix("top").drop(columns="history")
    np.testing.assert_allclose(profile, 0, atol=1e-6)  # rounding of float32


# ---- Handing it on.


def test_exports(bank, huihen, tmp_path, monkeypatch):
    X, y = bank
    some = longest(X, 1)
    explanation = explain(huihen, some, X[y == 0], **FEW)
    flat = explanation.to_frame()
    assert len(flat) == sum(map(len, explanation.values))
    assert set(flat["index"]) == set(some.index)
    age = flat[(flat["application"] == 0) & (flat["player"] == "user/user__age")]
    assert age["shown"].item() == some["user__age"].iloc[0]

    read = json.loads(explanation.to_json())
    assert [one["log_odds"] for one in read] == explanation.log_odds.tolist()
    assert [of["value"] for of in read[0]["values"]] == explanation.values[0].tolist()
    assert explanation.to_json(tmp_path / "values.json") is None
    assert json.loads((tmp_path / "values.json").read_text()) == read

    second = explanation[1:]
    assert len(second) == 1
    np.testing.assert_array_equal(second.values[0], explanation.values[1])
    assert len(explanation[np.array([True, False])]) == 1
    with pytest.raises(IndexError, match="row=7 is outside"):
        explanation.of(7)
    with pytest.raises(ValueError, match="found 'low'"):
        explanation.matrix("low")

    monkeypatch.setitem(sys.modules, "shap", None)
    with pytest.raises(ImportError, match="pip install shap"):
        explanation.to_shap()
    shap = types.ModuleType("shap")
    shap.Explanation = lambda **parts: parts
    monkeypatch.setitem(sys.modules, "shap", shap)
    parts = explanation.to_shap("top")
    assert parts["feature_names"] == ["user", "device", "item", "history"]
    np.testing.assert_allclose(
        parts["values"].sum(axis=1) + parts["base_values"], explanation.log_odds, atol=1e-9
    )
