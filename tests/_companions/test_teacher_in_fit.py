"""Guidance in step two: `teacher`."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from lightgbm import LGBMClassifier
from scipy.special import expit, logit
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline

from skhuihen import (
    BehaviorAbstractor,
    HUIHENClassifier,
    ProfileEncoder,
    Sessionizer,
    attach_behaviors,
)
from skhuihen._training.trainer import Trainer
from skhuihen.datasets import make_loan_data
from tests.models import STOPPED_EARLY, trees


@pytest.fixture(scope="module")
def bank() -> Any:
    return make_loan_data(n_new=160, n_old=300, overdue_rate=0.3, random_state=0)


@pytest.fixture(scope="module")
def X(bank: Any) -> pd.DataFrame:
    attached = attach_behaviors(bank.applications, bank.events, known_at="recorded_at")
    return make_pipeline(BehaviorAbstractor(), Sessionizer(max_sessions=5)).fit_transform(attached)


def taught(teacher: Any, **parameters: Any) -> HUIHENClassifier:
    few = {**STOPPED_EARLY, "max_epochs": 2, "random_state": 0, "teacher": teacher}
    return HUIHENClassifier(**few | parameters)


def weights_of(model: HUIHENClassifier) -> torch.Tensor:
    state = model.net_.module_.state_dict()
    return torch.cat([value.flatten() for value in state.values()])


class Noted(ClassifierMixin, BaseEstimator):
    """Says 0.9 of rows that it was fitted on, 0.2 of others, and notes what it is asked."""

    fitted: list[set[int]] = []
    asked: list[int] = []

    def fit(self, X, y):
        self.classes_, self.rows_ = np.unique(y), set(X["application_id"])
        Noted.fitted.append(self.rows_)
        return self

    def predict_proba(self, X):
        Noted.asked.append(len(X))
        known = X["application_id"].isin(self.rows_).to_numpy()
        return np.column_stack([0.8 - 0.7 * known, 0.2 + 0.7 * known])


#: A network that does not move, whose loss in the first epoch is that of its scores.
STILL = {"lr": 1e-12, "dropout": 0.0, "weight_decay": 0.0, "dtype": "float64", "batch_size": -1}


@pytest.mark.parametrize("alpha", [0.5, 2.0])
def test_loss_is_that_of_equation_16(X, bank, alpha):
    Noted.fitted.clear()
    X = X.drop(columns="user_id")  # a fold of users has about as many rows
    model = taught(Noted(), guidance_weight=alpha, early_stopping=False, max_epochs=1, **STILL)
    weight = np.where(bank.y == 1, 1.5, 0.5)
    with pytest.raises(ValueError, match="Noted has no parameter sample_weight"):
        model.fit(X, bank.y, sample_weight=weight)
    model.set_params(class_weight={0: 0.5, 1: 1.5}).fit(X, bank.y)
    # Each row is judged by one that has not seen it.
    assert [len(rows) for rows in Noted.fitted] == [128] * 5
    # It says 0.2 of rows as they are; among weighed ones the odds of overdue are three times those.
    p, q = expit(model.decision_function(X)), expit(logit(0.2) + np.log(3))
    cross_entropy = -np.where(bank.y == 1, np.log(p), np.log(1 - p))
    of_p = p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))
    of_q = q * np.log(q / p) + (1 - q) * np.log((1 - q) / (1 - p))
    loss = np.average(cross_entropy + alpha / 2 * (of_p + of_q), weights=weight)
    assert model.history_["train_loss"].iloc[0] == pytest.approx(loss, rel=1e-6)
    divergence = np.average(of_p + of_q, weights=weight)
    assert model.history_["train_divergence"].iloc[0] == pytest.approx(divergence, rel=1e-6)
    entropy = np.average(cross_entropy, weights=weight)
    assert model.history_["train_cross_entropy"].iloc[0] == pytest.approx(entropy, rel=1e-6)


@pytest.mark.parametrize("batch_size", [-1, 32])
def test_parts_of_the_loss_are_weighted_means(X, bank, batch_size):
    """Of rows of weights as different as these, no plain mean is near."""
    rng = np.random.default_rng(0)
    weight = np.exp(2 * rng.normal(size=len(X)))
    scorecard = make_pipeline(ProfileEncoder(), GaussianNB()).fit(bank.old_applications, bank.old_y)
    how = {**STILL, "batch_size": batch_size, "max_epochs": 1}
    model = taught(FrozenEstimator(scorecard), **how)
    valid = model.set_params(validation_fraction=0.3)
    rows: list[Any] = []
    original = Trainer.hold_out
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            Trainer,
            "hold_out",
            lambda self, *args: rows.extend(original(self, *args)) or rows,
        )
        valid.fit(X, bank.y, sample_weight=weight)
    model.blend_ = None  # of the network alone
    log_odds = model.decision_function(X)
    q = scorecard.predict_proba(X)[:, 1].clip(1e-5, 1 - 1e-5)
    of_rows = {
        "cross_entropy": np.logaddexp(0, log_odds) - bank.y * log_odds,
        "divergence": (expit(log_odds) - q) * (log_odds - logit(q)),
    }
    is_held_out = np.isin(np.arange(len(X)), rows[0])
    for side, part in (("train", ~is_held_out), ("valid", is_held_out)):
        for name, values in of_rows.items():
            mean = np.average(values[part], weights=weight[part])
            assert model.history_[f"{side}_{name}"].iloc[0] == pytest.approx(mean, rel=1e-6)
            assert abs(values[part].mean() / mean - 1) > 0.01


@pytest.mark.parametrize("n_estimators", [1, 3])
def test_no_held_out_label_comes_near_a_network(X, bank, monkeypatch, n_estimators):
    """Each network has a teacher of its own, fitted on rows that this network learns from."""
    held_out = []
    hold_out = Trainer.hold_out

    def note(self, *args):
        held_out.extend(hold_out(self, *args))
        return held_out

    monkeypatch.setattr(Trainer, "hold_out", note)
    Noted.fitted.clear()
    taught(Noted(), n_estimators=n_estimators).fit(X, bank.y)
    assert len(Noted.fitted) == 6 * n_estimators  # five folds, and all for the rows held out
    for number, rows in enumerate(held_out):
        of_network = Noted.fitted[6 * number : 6 * number + 6]
        learned = set(X["application_id"]) - set(X["application_id"].iloc[rows])
        assert of_network[-1] == learned
        assert set().union(*of_network) == learned


def test_the_first_network_is_the_one_that_there_would_be_alone(X, bank):
    alone, first = (taught(trees(), n_estimators=n).fit(X, bank.y) for n in (1, 2))
    assert torch.equal(weights_of(alone), weights_of(first))


def test_the_teacher_is_not_asked_for_scores(X, bank):
    model = taught(Noted()).fit(X, bank.y)
    Noted.asked.clear()
    model.predict_proba(X), model.decision_function(X), model.transform(X)
    assert Noted.asked == []
    assert not hasattr(model, "base_estimator_")


def test_a_teacher_that_knows_all_is_followed(X, bank):
    def away_from(teacher: Any, weight: float) -> float:
        how = {"max_epochs": 10, "dropout": 0.0, "lr": 3e-3, "early_stopping": False}
        model = taught(teacher, guidance_weight=weight, **how)
        return np.abs(model.fit(X, bank.y).decision_function(X) - sure).mean()

    # Half of the labels, the other way round: what no label would have taught.
    said = np.where(np.arange(len(X)) % 2, bank.y, 1 - bank.y) * 0.8 + 0.1
    sure = logit(said)

    class Knowing(ClassifierMixin, BaseEstimator):
        def fit(self, X, y):
            self.classes_ = np.unique(y)
            return self

        def predict_proba(self, X):
            return np.column_stack([1 - said, said])

    frozen = FrozenEstimator(Knowing().fit(X, bank.y))
    assert away_from(frozen, 20.0) < away_from(frozen, 1.0) < away_from(None, 1.0)


def test_no_weight_is_no_teacher(X, bank):
    Noted.fitted.clear()
    silent = taught(Noted(), guidance_weight=0).fit(X, bank.y)
    assert Noted.fitted == []
    assert torch.equal(weights_of(silent), weights_of(taught(None).fit(X, bank.y)))
    heard = taught(trees()).fit(X, bank.y)
    assert not torch.equal(weights_of(silent), weights_of(heard))


def test_arrays_and_random_states(X, bank):
    table = X.select_dtypes("number").fillna(0).to_numpy()
    how = {"dtype": "float64", "early_stopping": False}
    scores = [
        taught(LGBMClassifier(verbose=-1, n_jobs=1), **how, random_state=np.random.RandomState(3))
        .fit(table, bank.y.astype(str))
        .predict_proba(table)
        for _ in range(2)
    ]
    np.testing.assert_array_equal(*scores)


def test_base_as_teacher(X, bank):
    of_base = taught("base", base_estimator=trees()).fit(X, bank.y)
    apart = taught(trees(), base_estimator=trees()).fit(X, bank.y)
    assert torch.equal(weights_of(of_base), weights_of(apart))
    np.testing.assert_array_equal(of_base.predict_proba(X), apart.predict_proba(X))
    assert of_base.blend_.base > 0
    # Alone, the network is the same.
    alone = taught(trees()).fit(X, bank.y)
    assert torch.equal(weights_of(of_base), weights_of(alone))


def test_a_frozen_teacher_is_taken_as_it_is(X, bank):
    numbers = bank.old_applications.select_dtypes("number")
    known = numbers.columns.drop(["user_id", "application_id"], errors="ignore")
    scorecard = GaussianNB().fit(bank.old_applications[known].fillna(0), bank.old_y)
    frame = X.fillna(dict.fromkeys(known, 0))
    model = taught(FrozenEstimator(scorecard), early_stopping=False, max_epochs=1, **STILL)
    model.fit(frame, bank.y)  # it gets the columns that it knows
    q = scorecard.predict_proba(frame[known])[:, 1].clip(1e-5, 1 - 1e-5)
    log_odds = model.decision_function(frame)
    divergence = np.mean((expit(log_odds) - q) * (log_odds - logit(q)))
    assert model.history_["train_divergence"].iloc[0] == pytest.approx(divergence, rel=1e-6)
    with pytest.raises(ValueError, match="The teacher GaussianNB was fitted with column"):
        taught(FrozenEstimator(scorecard)).fit(frame.drop(columns=known[0]), bank.y)


def test_clones_pickles_and_searches(X, bank):
    few = LGBMClassifier(n_estimators=5, n_jobs=1, verbose=-1)
    teacher = make_pipeline(ProfileEncoder(), few)
    model = taught(teacher, n_estimators=2).fit(X, bank.y)
    again = clone(model).fit(X, bank.y)
    loaded = pickle.loads(pickle.dumps(model))
    for other in (again, loaded):
        np.testing.assert_array_equal(model.predict_proba(X), other.predict_proba(X))
    grid = {"teacher__lgbmclassifier__num_leaves": [3], "guidance_weight": [0.5, 1.0]}
    search = GridSearchCV(taught(teacher, max_epochs=1), grid, cv=2, scoring="roc_auc")
    assert search.fit(X, bank.y).best_estimator_.teacher[-1].num_leaves == 3
    assert loaded.partial_fit(X, bank.y).n_iter_ == model.partial_fit(X, bank.y).n_iter_
    np.testing.assert_array_equal(model.predict_proba(X), loaded.predict_proba(X))


def test_partial_fit_goes_on_by_labels_alone(X, bank):
    unfitted = taught(trees())
    assert not hasattr(unfitted, "partial_fit")
    with pytest.raises(AttributeError, match="no attribute 'partial_fit'") as refused:
        unfitted.partial_fit(X, bank.y)
    assert "partial_fit learns from labels alone" in str(refused.value.__cause__)
    model = taught(trees(), early_stopping=False, **STILL).fit(X, bank.y)
    model.partial_fit(X, bank.y)
    log_odds = model.decision_function(X)
    of_labels = np.mean(np.logaddexp(0, log_odds) - bank.y * log_odds)
    assert model.history_["train_loss"].iloc[-1] == pytest.approx(of_labels, rel=1e-6)
    assert model.history_["train_loss"].iloc[0] > of_labels
    # The teacher has no part in it any more, and can go.
    model.set_params(teacher=None, guidance_weight=0.5).partial_fit(X, bank.y)
    taught(trees(), guidance_weight=0).partial_fit(X, bank.y)  # this is no teacher


def test_with_a_warm_start_only_step_two_has_it(X, bank):
    model = taught(trees(), early_stopping=False)
    model.warm_start_from(bank.old_applications, bank.old_y, teacher=None, max_epochs=1)
    with_it = weights_of(model.fit(X, bank.y))
    assert model.warm_start_student_.teacher is None
    assert not torch.equal(with_it, weights_of(model.set_params(teacher=None).fit(X, bank.y)))


def test_refusals(X, bank):
    with pytest.raises(ValueError, match="teacher='base' refers to base_estimator, which is None"):
        taught("base").fit(X, bank.y)
    with pytest.raises(ValueError, match="'teacher' parameter"):
        taught("lightgbm").fit(X, bank.y)
    with pytest.raises(ValueError, match="'guidance_weight' parameter"):
        taught(trees(), guidance_weight=-1).fit(X, bank.y)
    with pytest.raises(ValueError, match="cross-fitted, which requires at least two users"):
        taught(trees()).fit(X, np.arange(len(X)) < 2)  # one of them is held out
    with pytest.raises(ValueError, match="dtypes must be int") as caught:
        taught(LGBMClassifier(verbose=-1)).fit(X, bank.y)
    assert "from teacher=LGBMClassifier" in caught.value.__notes__[0]
    with pytest.raises(ValueError, match="'criterion__label_smoothing', which the loss"):
        taught(trees(), net_params={"criterion__label_smoothing": 0.1}).fit(X, bank.y)
    neighbors = make_pipeline(ProfileEncoder(), KNeighborsClassifier())
    with pytest.raises(ValueError, match="Pipeline has no parameter sample_weight"):
        taught(neighbors).fit(X, bank.y, sample_weight=bank.y + 1.0)
