"""How networks learn by default: one cycle, a fold left out by each, calibrated by these folds."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import expit
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from skorch.callbacks import Callback
from torch.optim.lr_scheduler import OneCycleLR

from skhuihen import HUIHENClassifier
from skhuihen._companions.blending import Blend, fit_blend, weigh_networks
from skhuihen._training.schedule import FIRST, RISING, share_of_peak
from skhuihen._training.trainer import Trainer


@pytest.fixture(scope="module")
def X() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(rng.normal(size=(150, 3)), columns=["a", "b", "c"])


@pytest.fixture(scope="module")
def y(X: pd.DataFrame) -> np.ndarray:
    noise = np.random.default_rng(1).normal(size=len(X))
    return np.asarray(X["a"] + 0.5 * noise > 0.3).astype(int)


def quick(**params: Any) -> HUIHENClassifier:
    few = {"n_estimators": 3, "max_epochs": 4, "lr": 0.01, "random_state": 0}
    return HUIHENClassifier(**few | params)


class Rates(Callback):
    """Note the rates of all groups of weights at each step."""

    def __init__(self, seen: list[list[float]]) -> None:
        self.seen = seen

    def on_batch_end(self, net: Any, training: bool, **kwargs: Any) -> None:
        if training:
            self.seen.append([group["lr"] for group in net.optimizer_.param_groups])


# The schedule.


def test_the_cycle_is_that_of_torch() -> None:
    n_steps = 4000
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    cycle = OneCycleLR(optimizer, 1.0, n_steps, pct_start=RISING, div_factor=1 / FIRST)
    by_torch = []
    for _ in range(n_steps):
        by_torch.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        cycle.step()
    ours = [share_of_peak(step / n_steps) for step in range(n_steps)]
    np.testing.assert_allclose(ours, by_torch, atol=2e-3)


def test_each_group_of_weights_has_a_peak_of_its_own(X: pd.DataFrame, y: np.ndarray) -> None:
    seen: list[list[float]] = []
    model = quick(n_estimators=1, batch_size=16, lr=0.01, callbacks=[Rates(seen)])
    model.warm_start_from(X[:100], y[:100], teacher=None, max_epochs=1, pretrained_lr=0.2)
    model.fit(X, y)
    rates = np.array(seen)
    assert len(rates) == 4 * 10
    np.testing.assert_allclose(rates[0], FIRST * rates.max(axis=0))
    assert rates[-1].max() < 0.01 * rates.max()
    assert sorted(set(rates.max(axis=0).round(9))) == [0.002, 0.01]
    at_the_end = [group["lr"] for group in model.net_.optimizer_.param_groups]
    assert sorted(set(at_the_end)) == [0.002, 0.01]


def test_constant_is_constant(X: pd.DataFrame, y: np.ndarray) -> None:
    seen: list[list[float]] = []
    quick(schedule="constant", callbacks=[Rates(seen)]).fit(X, y)
    assert {rate for rates in seen for rate in rates} == {0.01}


@pytest.mark.parametrize(("schedule", "share"), [("one_cycle", 0.1), ("constant", 1.0)])
def test_partial_fit_goes_on_at_a_rate_that_does_not_undo(X, y, schedule, share) -> None:
    seen: list[list[float]] = []
    model = quick(schedule=schedule, callbacks=[Rates(seen)]).fit(X, y)
    seen.clear()
    model.partial_fit(X, y)
    assert max(rate for rates in seen for rate in rates) == pytest.approx(0.01 * share)
    assert model.n_iter_ == 5


# Rows that networks leave out.


def test_each_row_is_scored_by_the_network_that_left_it_out(X, y, monkeypatch) -> None:
    parts: list[np.ndarray] = []
    original = Trainer.hold_out

    def note(self: Any, *args: Any) -> list[np.ndarray]:
        found = original(self, *args)
        parts.extend(found)
        return found

    monkeypatch.setattr(Trainer, "hold_out", note)
    model = quick().fit(X, y)
    assert np.sort(np.concatenate(parts)).tolist() == list(range(len(X)))
    alone = clone(model).fit(X, y)
    alone.blend_ = None
    scores = np.empty(len(X))
    for net, rows in zip(model.estimators_, parts[:3], strict=True):
        alone.estimators_ = [net]
        scores[rows] = alone.decision_function(X.iloc[rows])
    # Their order is that of the calibrated ones, whose slope is positive.
    assert np.corrcoef(scores, model.oof_log_odds_)[0, 1] == pytest.approx(1)


def test_out_of_fold_scores_know_nothing_of_the_labels() -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(200, 30)), rng.integers(0, 2, 200)
    model = quick(max_epochs=60, dropout=0.0, weight_decay=0.0).fit(X, y)
    assert roc_auc_score(y, model.decision_function(X)) > 0.9  # it knows its rows by heart
    assert 0.35 < roc_auc_score(y, model.oof_log_odds_) < 0.65


def test_rows_without_weight_have_no_out_of_fold_score(X: pd.DataFrame, y: np.ndarray) -> None:
    weight = np.ones(len(X))
    weight[[3, 77]] = 0
    model = quick().fit(X, y, sample_weight=weight)
    assert np.flatnonzero(np.isnan(model.oof_log_odds_)).tolist() == [3, 77]


def test_applications_of_one_user_are_left_out_together(X, y, monkeypatch) -> None:
    parts: list[np.ndarray] = []
    original = Trainer.hold_out
    monkeypatch.setattr(
        Trainer,
        "hold_out",
        lambda self, *args: parts.extend(found := original(self, *args)) or found,
    )
    users = np.arange(len(X)) // 3
    quick().fit(X.assign(user_id=users), y)
    assert sum(len(np.unique(users[rows])) for rows in parts) == len(np.unique(users))


def test_a_single_network_learns_from_all_rows(X: pd.DataFrame, y: np.ndarray) -> None:
    model = quick(n_estimators=1).fit(X, y)
    assert model.blend_ is None
    assert not hasattr(model, "oof_log_odds_")
    base = quick(n_estimators=1, base_estimator=LogisticRegression()).fit(X, y)
    assert base.blend_ == Blend(0.0, 0.65, 0.35)


def test_few_rows_of_a_class_make_few_folds() -> None:
    X = np.random.default_rng(0).normal(size=(30, 2))
    y = np.zeros(30, dtype=int)
    y[0] = 1
    assert quick().fit(X, y).blend_ is None  # nothing can be left out
    y[1] = 1
    assert not np.isnan(quick(n_estimators=5).fit(X, y).oof_log_odds_).any()


def test_clones_and_repetitions_are_equal_to_the_bit(X: pd.DataFrame, y: np.ndarray) -> None:
    model = quick().fit(X, y)
    twin = clone(model).fit(X, y)
    assert (model.oof_log_odds_ == twin.oof_log_odds_).all()
    assert (model.predict_proba(X) == twin.predict_proba(X)).all()


# Calibration.


def scattered(n: int, scatter: float, n_estimators: int) -> tuple[np.ndarray, ...]:
    """Return labels, scores of one network, and of the average of several, of the same odds."""
    rng = np.random.default_rng(0)
    odds = rng.normal(-1, 1, n)
    y = (rng.random(n) < expit(odds)).astype(int)
    one = odds + rng.normal(0, scatter, n)
    average = odds + rng.normal(0, scatter, (n_estimators, n)).mean(axis=0)
    base = 0.5 * odds + rng.normal(0, 0.5, n)
    return y, one, average, base


@pytest.mark.parametrize("with_base", [False, True])
def test_weights_of_one_network_become_those_of_the_average(with_base: bool) -> None:
    y, one, average, base = scattered(200_000, 0.8, 5)
    weight = np.ones(len(y))
    of_base = base if with_base else None
    blend = fit_blend(of_base, one, y, weight).for_average(of_base, one, weight, 0.8**2, 5)
    wanted = fit_blend(of_base, average, y, weight)
    np.testing.assert_allclose(blend, wanted, atol=0.06)
    assert abs(fit_blend(of_base, one, y, weight).network - wanted.network) > 0.12


def test_what_networks_have_in_common_is_found_although_they_have_learned_the_labels() -> None:
    """On rows that it has seen, a network follows the label, and differs less from the others."""
    rng = np.random.default_rng(1)
    n, n_networks = 20_000, 5
    odds = rng.normal(-1, 1, n)
    y = (rng.random(n) < expit(odds)).astype(int)
    held_out = np.array_split(rng.permutation(n), n_networks)
    nets, unseen = [], []
    for rows in held_out:
        own = rng.normal(0, 0.8, n)
        unseen.append(odds + own)
        score = odds + own / 2 + 1.5 * (y - expit(odds))
        score[rows] = unseen[-1][rows]
        nets.append(SimpleNamespace(log_odds=lambda dataset, score=score: score))
    dataset, weight = np.rec.fromarrays([y], names="y"), np.ones(n)
    blend, _ = weigh_networks(nets, dataset, None, weight, held_out, 0.0)
    wanted = fit_blend(None, np.mean(unseen, axis=0), y, weight)
    assert blend.network == pytest.approx(wanted.network, abs=0.07)
    own = np.concatenate([score[rows] for score, rows in zip(unseen, held_out, strict=True)])
    of_one = fit_blend(None, own, y[np.concatenate(held_out)], weight)
    told = of_one.for_average(None, own, weight, 0.8**2, n_networks)
    assert blend.network == pytest.approx(told.network, abs=0.02)
    # A row that no network has seen says nothing of what they have in common.
    held_out = [np.append(rows, n - 1) for rows in held_out]
    assert weigh_networks(nets, dataset, None, weight, held_out, 0.0)[0] == pytest.approx(
        blend, abs=0.01
    )


@pytest.mark.parametrize("correlation", [0.7, 0.8, 0.95])
def test_a_base_that_is_much_like_the_networks_keeps_its_weight(correlation: float) -> None:
    rng = np.random.default_rng(2)
    base = rng.normal(size=2000)
    network = correlation * base + np.sqrt(1 - correlation**2) * rng.normal(size=2000)
    blend = Blend(0.0, 0.65, 0.35).for_average(base, network, np.ones(2000), 1e9, 5)
    assert 0.25 < blend.base < 0.65
    assert 0.35 < blend.network < 0.75


def test_scatter_takes_no_more_than_there_is() -> None:
    y, one, _, base = scattered(500, 0.8, 5)
    weight = np.ones(len(y))
    blend = fit_blend(None, one, y, weight)
    assert blend.for_average(None, one, weight, 0.0, 5) == pytest.approx(blend)
    # Networks with nothing in common: their average has a fifth of the variance.
    assert blend.for_average(None, one, weight, 1e9, 5).network == pytest.approx(5 * blend.network)
    # Behind a base, at most half of the variance counts that the base does not explain.
    both = fit_blend(base, one, y, weight)
    half = one.var() * (1 - np.corrcoef(base, one)[0, 1] ** 2) / 2 / (1 - 1 / 5)
    most = both.for_average(base, one, weight, 1e9, 5)
    assert most == pytest.approx(both.for_average(base, one, weight, half, 5))
    assert most.network > both.network
    assert most.network <= 2 * both.network + 1e-9
    same = np.full(500, 0.3)
    flat = fit_blend(None, same, y, weight)
    assert flat.for_average(None, same, weight, 0.0, 5) == pytest.approx(flat)


@pytest.mark.parametrize(("factor", "least", "most"), [(3.0, 0.3, 0.38), (1.0, 0.9, 1.1)])
def test_few_rows_press_scores_together_that_lie_too_far_apart(factor, least, most) -> None:
    # 300 rows of calibrated scores; the same scores three times as far apart.
    y, one, _, _ = scattered(300, 0.0, 5)
    assert least < fit_blend(None, factor * one, y, np.ones(len(y))).network < most


def test_luck_of_few_rows_does_not_change_weak_scores() -> None:
    """Scores that lie close together say little of their weight, whatever the labels are."""
    y, one, _, _ = scattered(300, 0.0, 5)
    for label in (y, 1 - y):
        assert fit_blend(None, 0.1 * one, label, np.ones(len(y))).network == pytest.approx(
            1, abs=0.2
        )


def test_few_rows_leave_the_weights_near_where_they_were() -> None:
    y, one, _, base = scattered(20, 0.8, 5)
    blend = fit_blend(base, one, y, np.ones(20))
    np.testing.assert_allclose(blend[1:], (0.65, 0.35), atol=0.15)


def test_overconfident_networks_are_calibrated() -> None:
    y, one, _, _ = scattered(20_000, 0.0, 5)
    blend = fit_blend(None, 3 * one + 2, y, np.ones(len(y)))
    assert blend.network == pytest.approx(1 / 3, abs=0.02)
    assert blend.intercept == pytest.approx(-2 / 3, abs=0.05)
