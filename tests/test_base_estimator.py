"""Standing on a model that is there already: `base_estimator`."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
from lightgbm import LGBMClassifier
from scipy.special import logit
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neighbors import KNeighborsClassifier
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


@pytest.fixture(scope="module")
def bank() -> Any:
    return make_loan_data(n_new=240, n_old=400, overdue_rate=0.3, random_state=0)


@pytest.fixture(scope="module")
def X(bank: Any) -> pd.DataFrame:
    attached = attach_behaviors(bank.applications, bank.events, known_at="recorded_at")
    return make_pipeline(BehaviorAbstractor(), Sessionizer()).fit_transform(attached)


def trees() -> Any:
    features = make_union(ProfileEncoder(), WindowStatistics(by="behavior"))
    model = LGBMClassifier(n_estimators=10, n_jobs=1, verbose=-1, random_state=0)
    return make_pipeline(features, model)


def standing(base: Any, **parameters: Any) -> HUIHENClassifier:
    parameters = {"max_epochs": 2, "random_state": 0, **parameters}
    return HUIHENClassifier(base_estimator=base, **parameters)


def test_a_network_that_learns_nothing_gives_the_scores_of_its_base(X, bank):
    model = standing(trees(), lr=1e-12, early_stopping=False, dtype="float64").fit(X, bank.y)
    by_hand = trees().fit(X, bank.y).predict_proba(X)
    np.testing.assert_allclose(model.predict_proba(X), by_hand, atol=1e-9)
    np.testing.assert_array_equal(model.base_estimator_.predict_proba(X), by_hand)


def test_what_the_network_adds_is_what_is_left(X, bank):
    """Log-odds are those of the base, plus those of the network without one."""
    model = standing(trees(), early_stopping=False, dtype="float64", lr=0.01).fit(X, bank.y)
    base = logit(model.base_estimator_.predict_proba(X)[:, 1])
    alone = clone(model).set_params(base_estimator=None).fit(X, bank.y)
    alone.net_.module_.load_state_dict(model.net_.module_.state_dict())
    added = alone.decision_function(X)
    assert np.ptp(added) > 0.01
    np.testing.assert_allclose(model.decision_function(X), base + added, atol=1e-9)


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


def test_the_margins_of_training_come_from_models_that_did_not_see_the_row(X, bank):
    Noted.seen.clear()
    model = standing(Noted(), early_stopping=False).fit(X, bank.y)
    assert len(Noted.seen) == 6
    assert [len(rows) for rows in Noted.seen] == [192] * 5 + [240]
    # A row that was seen scores 0.9, so the network learned from margins of log(1 / 9).
    assert model.base_estimator_.predict_proba(X)[:, 1].min() == 0.9
    first = standing(Noted(), early_stopping=False, max_epochs=1, lr=1e-12).fit(X, bank.y)
    loss = -np.mean(bank.y * np.log(0.1) + (1 - bank.y) * np.log(0.9))
    assert first.history_["train_loss"].iloc[0] == pytest.approx(loss, rel=1e-5)


def test_where_no_epoch_helps_the_base_is_kept(X, bank):
    """The true log-odds cannot be improved on by a rate that destroys them."""

    class Oracle(ClassifierMixin, BaseEstimator):
        def fit(self, X, y):
            self.classes_ = np.unique(y)
            return self

        def predict_proba(self, X):
            return np.column_stack([1 - 0.98 * X["label"] - 0.01, 0.98 * X["label"] + 0.01])

    told = X.assign(label=bank.y)
    model = standing(Oracle(), profile_fields={"user": ["user__age"]}, lr=10.0).fit(told, bank.y)
    assert model.n_iter_ == 2
    np.testing.assert_allclose(
        model.predict_proba(told), Oracle().fit(told, bank.y).predict_proba(told), atol=1e-6
    )


def test_a_frozen_model_is_taken_as_it_is(X, bank):
    scorecard = make_pipeline(ProfileEncoder(), LogisticRegression(max_iter=1000))
    scorecard.fit(bank.old_applications, bank.old_y)
    model = standing(FrozenEstimator(scorecard), lr=1e-12).fit(X, bank.y)
    np.testing.assert_allclose(model.predict_proba(X), scorecard.predict_proba(X), atol=1e-5)
    scores = cross_val_score(model, X, bank.y, cv=2, scoring="roc_auc")
    assert np.isfinite(scores).all()


def test_a_frozen_model_gets_the_columns_that_it_knows(X, bank):
    columns = ["user__age", "item__amount"]
    scorecard = LogisticRegression(max_iter=1000).fit(bank.old_applications[columns], bank.old_y)
    model = standing(FrozenEstimator(scorecard), lr=1e-12).fit(X, bank.y)
    expected = scorecard.predict_proba(X[columns])
    np.testing.assert_allclose(model.predict_proba(X), expected, atol=1e-5)
    with pytest.raises(ValueError, match="base_estimator LogisticRegression was fitted with col"):
        standing(FrozenEstimator(scorecard)).fit(X.drop(columns="user__age"), bank.y)


def test_string_labels_and_arrays(X, bank):
    labels = np.where(bank.y, "overdue", "fine")
    model = standing(trees()).fit(X, labels)
    assert model.base_estimator_.classes_.tolist() == ["fine", "overdue"]
    array = ProfileEncoder().fit_transform(X)
    of_array = standing(LogisticRegression(max_iter=1000), lr=1e-12).fit(array, bank.y)
    by_hand = LogisticRegression(max_iter=1000).fit(array, bank.y)
    np.testing.assert_allclose(
        of_array.predict_proba(array), by_hand.predict_proba(array), atol=1e-5
    )


def test_clones_pickles_and_searches(X, bank):
    model = standing(trees()).fit(X, bank.y)
    scores = model.predict_proba(X)
    np.testing.assert_array_equal(clone(model).fit(X, bank.y).predict_proba(X), scores)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict_proba(X), scores)
    grid = {"base_estimator__lgbmclassifier__num_leaves": [3, 7], "base_estimator": [trees()]}
    search = GridSearchCV(standing(None), grid, cv=2, error_score="raise").fit(X, bank.y)
    assert search.best_estimator_.base_estimator_[-1].num_leaves in (3, 7)


def test_weights_reach_the_base(X, bank):
    weight = np.where(bank.y, 5.0, 1.0)
    model = standing(trees()).fit(X, bank.y, sample_weight=weight)
    by_hand = trees().fit(X, bank.y, lgbmclassifier__sample_weight=weight)
    np.testing.assert_array_equal(model.base_estimator_.predict_proba(X), by_hand.predict_proba(X))


def test_partial_fit_goes_on_with_the_base_of_the_first_call(X, bank):
    model = standing(trees(), early_stopping=False).partial_fit(X[:120], bank.y[:120])
    base = model.base_estimator_
    model.partial_fit(X[120:], bank.y[120:])
    assert model.base_estimator_ is base
    whole = standing(trees(), early_stopping=False, max_epochs=2).fit(X, bank.y)
    twice = standing(trees(), early_stopping=False)
    for _ in range(2):
        base_once = twice.partial_fit(X, bank.y).base_estimator_
    assert base_once is twice.base_estimator_
    assert np.isfinite(whole.predict_proba(X)).all()
    with pytest.raises(ValueError, match="base_estimator=Pipeline"):
        model.set_params(base_estimator=trees()).partial_fit(X, bank.y)


def test_with_a_warm_start_the_base_is_the_start(X, bank):
    model = standing(trees(), lr=1e-12)
    model.warm_start_from(bank.old_applications, bank.old_y, teacher=None, max_epochs=1)
    model.fit(X, bank.y)
    base = model.base_estimator_.predict_proba(X)
    np.testing.assert_allclose(model.predict_proba(X), base, atol=1e-5)
    assert model.warm_start_student_.base_estimator is None


def test_refusals(X, bank):
    with pytest.raises(ValueError, match="dtypes must be int") as caught:
        standing(LGBMClassifier(verbose=-1)).fit(X, bank.y)
    assert "ProfileEncoder(), or make_union" in caught.value.__notes__[0]
    with pytest.raises(ValueError, match="two rows of each class at least; y has 1 of one"):
        standing(trees(), early_stopping=False).fit(X, np.arange(len(X)) == 0)
    neighbors = make_pipeline(ProfileEncoder(), KNeighborsClassifier())
    with pytest.raises(ValueError, match="Pipeline has no sample_weight"):
        standing(neighbors).fit(X, bank.y, sample_weight=bank.y + 1.0)
    with pytest.raises(ValueError, match="'base_estimator' parameter"):
        standing("lightgbm").fit(X, bank.y)
