"""Standing on a model that is there already: `base_estimator`."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
from lightgbm import LGBMClassifier
from scipy.special import expit, logit
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline

from skhuihen import (
    BehaviorAbstractor,
    HUIHENClassifier,
    ProfileEncoder,
    Sessionizer,
    attach_behaviors,
)
from skhuihen.base_model import fit_blend
from skhuihen.datasets import make_loan_data
from skhuihen.metrics import expected_auc
from tests.models import trees


@pytest.fixture(scope="module")
def bank() -> Any:
    return make_loan_data(n_new=240, n_old=400, overdue_rate=0.3, random_state=0)


@pytest.fixture(scope="module")
def X(bank: Any) -> pd.DataFrame:
    attached = attach_behaviors(bank.applications, bank.events, known_at="recorded_at")
    return make_pipeline(BehaviorAbstractor(), Sessionizer()).fit_transform(attached)


def standing(base: Any, **parameters: Any) -> HUIHENClassifier:
    parameters = {"max_epochs": 2, "random_state": 0, **parameters}
    return HUIHENClassifier(base_estimator=base, **parameters)


@pytest.mark.parametrize("n_networks", [1, 3])
def test_log_odds_are_a_weighted_sum(X, bank, n_networks):
    model = standing(trees(), n_networks=n_networks, dtype="float64").fit(X, bank.y)
    alone = clone(model).set_params(base_estimator=None).fit(X, bank.y).decision_function(X)
    base = logit(trees().fit(X, bank.y).predict_proba(X)[:, 1])
    intercept, of_base, of_network = model.blend_
    by_hand = intercept + of_base * base + of_network * alone
    np.testing.assert_allclose(model.decision_function(X), by_hand, atol=1e-9)
    scores = model.predict_proba(X)
    np.testing.assert_allclose(scores[:, 1], expit(by_hand), atol=1e-9)
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-12)


class Noted(ClassifierMixin, BaseEstimator):
    """Learns every row by heart, and notes which rows it was fitted on."""

    seen: list[set[int]] = []

    def fit(self, X, y):
        self.classes_, self.rows_ = np.unique(y), set(X["application_id"])
        Noted.seen.append(self.rows_)
        return self

    def predict_proba(self, X):
        known = X["application_id"].isin(self.rows_).to_numpy()
        return np.column_stack([1 - 0.9 * known, 0.9 * known]).clip(0.1, 0.9)


def test_weights_come_from_rows_that_the_base_did_not_see(X, bank):
    Noted.seen.clear()
    X = X.drop(columns="user_id")  # a fold of users has about as many rows
    model = standing(Noted()).fit(X, bank.y)
    assert [len(rows) for rows in Noted.seen] == [192] * 5 + [240]
    # Of a row that it has seen it says 0.9, of others 0.1: of those held out, always the same.
    log_odds = logit(model.base_estimator_.predict_proba(X)[:, 1])
    assert (log_odds == logit(0.9)).all()
    overdue = expit(model.blend_.intercept + model.blend_.base * logit(0.1))
    assert overdue == pytest.approx(bank.y.mean(), abs=0.15)
    # Had it been asked for rows that it has seen, it would count for nothing.
    assert model.blend_.base > 0.2


def draw_two(n, seed=0):
    """Draw log-odds of two models, of which each knows half of what there is to know."""
    rng = np.random.default_rng(seed)
    base, network = rng.normal(size=(2, n)) * 1.5
    label = (rng.random(n) < expit(-1 + base + network)).astype(int)
    return base, network, label


def test_weights_are_those_of_a_logistic_regression():
    base, network, label = draw_two(4000)
    blend = fit_blend(base, network, label, np.ones(len(label)))
    X = np.column_stack([base - 0, network])
    oracle = LogisticRegression(C=np.inf).fit(X, label)
    np.testing.assert_allclose(blend, [*oracle.intercept_, *oracle.coef_[0]], atol=0.02)
    np.testing.assert_allclose(blend, [-1, 1, 1], atol=0.15)
    twice = fit_blend(
        *(np.repeat(array, 2) for array in (base, network, label)), np.full(2 * len(label), 0.5)
    )
    np.testing.assert_allclose(twice, blend, atol=1e-4)


def test_a_model_that_knows_nothing_or_the_wrong_thing_is_left_out():
    base, network, label = draw_two(4000)
    assert fit_blend(base, -network, label, np.ones(4000)).network == 0
    assert fit_blend(-base, network, label, np.ones(4000)).base == 0
    noise = np.random.default_rng(1).normal(size=4000)
    assert fit_blend(base, noise, label, np.ones(4000)).network < 0.1


def test_without_rows_the_base_is_left_as_it_is():
    nothing = np.empty(0)
    assert fit_blend(nothing, nothing, nothing.astype(int), nothing) == (0, 1, 0)
    base, network, label = draw_two(3)
    few = fit_blend(base, network, label, np.ones(3))
    assert abs(few.base - 1) < 0.7
    assert few.network < 0.7


def test_it_stays_near_a_base_that_knows_all(X, bank):
    """The network cannot add to true probabilities, and does little harm to them."""

    class Oracle(ClassifierMixin, BaseEstimator):
        def fit(self, X, y):
            self.classes_ = np.unique(y)
            return self

        def predict_proba(self, X):
            return np.column_stack([1 - X["truth"], X["truth"]])

    told = X.assign(truth=bank.probability)
    model = standing(Oracle(), profile_fields={"user": ["user__age"]}, n_networks=5)
    model.set_params(validation_fraction=0.2).fit(told, bank.y)
    known = expected_auc(bank.probability, model.decision_function(told))
    assert known > expected_auc(bank.probability) - 0.02


def test_a_frozen_model_is_taken_as_it_is(X, bank):
    scorecard = make_pipeline(ProfileEncoder(), LogisticRegression(max_iter=1000))
    scorecard.fit(bank.old_applications, bank.old_y)
    model = standing(FrozenEstimator(scorecard)).fit(X, bank.y)
    of_base = model.base_estimator_.predict_proba(X)
    np.testing.assert_array_equal(of_base, scorecard.predict_proba(X))
    scores = cross_val_score(model, X, bank.y, cv=2, scoring="roc_auc")
    assert np.isfinite(scores).all()


def test_a_frozen_model_gets_the_columns_that_it_knows(X, bank):
    columns = ["user__age", "item__amount"]
    scorecard = LogisticRegression(max_iter=1000).fit(bank.old_applications[columns], bank.old_y)
    model = standing(FrozenEstimator(scorecard), dtype="float64").fit(X, bank.y)
    alone = clone(model).set_params(base_estimator=None).fit(X, bank.y).decision_function(X)
    base = logit(scorecard.predict_proba(X[columns])[:, 1])
    np.testing.assert_allclose(
        model.decision_function(X), model.blend_.log_odds(base, alone), atol=1e-9
    )
    with pytest.raises(ValueError, match="base_estimator LogisticRegression was fitted with col"):
        standing(FrozenEstimator(scorecard)).fit(X.drop(columns="user__age"), bank.y)


def test_string_labels_and_arrays(X, bank):
    labels = np.where(bank.y, "overdue", "fine")
    model = standing(trees()).fit(X, labels)
    assert model.base_estimator_.classes_.tolist() == ["fine", "overdue"]
    array = ProfileEncoder().fit_transform(X)
    of_array = standing(LogisticRegression(max_iter=1000)).fit(array, bank.y)
    by_hand = LogisticRegression(max_iter=1000).fit(array, bank.y)
    np.testing.assert_array_equal(
        of_array.base_estimator_.predict_proba(array), by_hand.predict_proba(array)
    )
    assert of_array.predict_proba(array).shape == (240, 2)


def test_clones_pickles_and_searches(X, bank):
    model = standing(trees()).fit(X, bank.y)
    scores = model.predict_proba(X)
    np.testing.assert_array_equal(clone(model).fit(X, bank.y).predict_proba(X), scores)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict_proba(X), scores)
    grid = {"base_estimator__lgbmclassifier__num_leaves": [3, 7], "base_estimator": [trees()]}
    search = GridSearchCV(standing(None), grid, cv=2, error_score="raise").fit(X, bank.y)
    assert search.best_estimator_.base_estimator_[-1].num_leaves in (3, 7)


def test_what_was_fitted_counts_not_what_is_set_later(X, bank):
    model = standing(trees()).fit(X, bank.y)
    scores = model.predict_proba(X)
    np.testing.assert_array_equal(model.set_params(base_estimator=None).predict_proba(X), scores)
    alone = model.fit(X, bank.y)
    assert alone.blend_ is None
    assert (alone.predict_proba(X) != scores).any()


def test_weights_reach_the_base(X, bank):
    weight = np.where(bank.y, 5.0, 1.0)
    model = standing(trees()).fit(X, bank.y, sample_weight=weight)
    by_hand = trees().fit(X, bank.y, lgbmclassifier__sample_weight=weight)
    np.testing.assert_array_equal(model.base_estimator_.predict_proba(X), by_hand.predict_proba(X))


def test_partial_fit_goes_on_with_base_and_weights(X, bank):
    # So few rows leave a network out at some seeds, and what is left out changes no score.
    model = standing(trees(), random_state=2).fit(X[:160], bank.y[:160])
    base, blend = model.base_estimator_, model.blend_
    assert blend.network > 0
    before = model.predict_proba(X)
    model.partial_fit(X[160:], bank.y[160:])
    assert model.base_estimator_ is base
    assert model.blend_ == blend
    assert (model.predict_proba(X) != before).any()
    with pytest.raises(ValueError, match="base_estimator=Pipeline"):
        model.set_params(base_estimator=trees()).partial_fit(X, bank.y)
    unfitted = standing(trees())
    assert not hasattr(unfitted, "partial_fit")
    with pytest.raises(AttributeError, match="no attribute 'partial_fit'") as refused:
        unfitted.partial_fit(X, bank.y)
    assert "Call fit first" in str(refused.value.__cause__)


def test_with_a_warm_start_the_student_has_no_base(X, bank):
    model = standing(trees())
    model.warm_start_from(bank.old_applications, bank.old_y, teacher=None, max_epochs=1)
    model.fit(X, bank.y)
    assert model.warm_start_student_.base_estimator is None
    assert model.warm_start_student_.blend_ is None
    assert model.predict_proba(X).shape == (240, 2)


def test_refusals(X, bank):
    with pytest.raises(ValueError, match="dtypes must be int") as caught:
        standing(LGBMClassifier(verbose=-1)).fit(X, bank.y)
    assert "ProfileEncoder(), or make_union" in caught.value.__notes__[0]
    with pytest.raises(ValueError, match="two users of each class at least; y has 1 of one"):
        standing(trees()).fit(X, np.arange(len(X)) == 0)
    with pytest.raises(ValueError, match="early_stopping=False holds none out"):
        standing(trees(), early_stopping=False).fit(X, bank.y)
    neighbors = make_pipeline(ProfileEncoder(), KNeighborsClassifier())
    with pytest.raises(ValueError, match="Pipeline has no sample_weight"):
        standing(neighbors).fit(X, bank.y, sample_weight=bank.y + 1.0)
    with pytest.raises(ValueError, match="'base_estimator' parameter"):
        standing("lightgbm").fit(X, bank.y)
