"""Standing on a model that is there already: `base_estimator`."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sklearn
from lightgbm import LGBMClassifier
from scipy.special import expit, logit
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.ensemble import VotingClassifier
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import get_tags
from sklearn.utils.fixes import parse_version

from skhuihen import (
    BehaviorAbstractor,
    HUIHENClassifier,
    ProfileEncoder,
    Sessionizer,
    attach_behaviors,
)
from skhuihen._companions.blending import Blend, base_log_odds, fit_blend
from skhuihen.datasets import make_loan_data
from skhuihen.metrics import expected_auc
from tests.models import STOPPED_EARLY, trees


@pytest.fixture(scope="module")
def bank() -> Any:
    return make_loan_data(n_new=240, n_old=400, overdue_rate=0.3, random_state=0)


@pytest.fixture(scope="module")
def X(bank: Any) -> pd.DataFrame:
    attached = attach_behaviors(bank.applications, bank.events, known_at="recorded_at")
    return make_pipeline(BehaviorAbstractor(), Sessionizer(max_sessions=5)).fit_transform(attached)


def standing(base: Any, **parameters: Any) -> HUIHENClassifier:
    parameters = {**STOPPED_EARLY, "max_epochs": 2, "random_state": 0, **parameters}
    return HUIHENClassifier(base_estimator=base, **parameters)


def networks_of(model: HUIHENClassifier, X: pd.DataFrame, y: Any) -> np.ndarray:
    """Return the log-odds of the networks, before they are weighed."""
    alone = clone(model).set_params(base_estimator=None).fit(X, y)
    alone.blend_ = None
    return alone.decision_function(X)


@pytest.mark.parametrize("n_estimators", [1, 3])
def test_log_odds_are_a_weighted_sum(X, bank, n_estimators):
    model = standing(trees(), n_estimators=n_estimators, dtype="float64").fit(X, bank.y)
    alone = networks_of(model, X, bank.y)
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


def test_a_taught_network_is_held_together_by_its_guidance(X, bank, monkeypatch):
    nothing, label = np.zeros(10), np.arange(10) % 2
    for is_taught, before in ((False, 1.0), (True, 1.2)):
        blend = fit_blend(None, nothing, label, np.ones(10), is_taught=is_taught)
        assert blend.network == pytest.approx(before)

    def weight_of(teacher):
        model = standing(None, teacher=teacher, n_estimators=2)
        return model.fit(X, bank.y).blend_.network

    before = weight_of(None), weight_of(trees())
    monkeypatch.setattr("skhuihen._companions.blending.TAUGHT", 5.0)
    assert weight_of(None) == before[0]
    assert weight_of(trees()) > before[1] + 0.5


def draw_two(n, seed=0):
    """Draw log-odds of two models, of which each knows half of what there is to know."""
    rng = np.random.default_rng(seed)
    base, network = rng.normal(size=(2, n)) * 1.5
    label = (rng.random(n) < expit(-1 + base + network)).astype(int)
    return base, network, label


def test_weights_are_those_of_a_logistic_regression():
    base, network, label = draw_two(4000)
    blend = fit_blend(base, network, label, np.ones(len(label)))
    oracle = LogisticRegression(C=np.inf).fit(np.column_stack([base, network]), label)
    np.testing.assert_allclose(blend, [*oracle.intercept_, *oracle.coef_[0]], atol=0.04)
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


def test_without_rows_the_weights_are_those_before_data():
    nothing = np.empty(0)
    assert fit_blend(nothing, nothing, nothing.astype(int), nothing) == Blend.before_data()
    assert fit_blend(None, nothing, nothing.astype(int), nothing) == (0, 0, 1)


def test_it_stays_near_a_base_that_knows_all(X, bank):
    """The network cannot add to true probabilities, and does little harm to them."""

    class Oracle(ClassifierMixin, BaseEstimator):
        def fit(self, X, y):
            self.classes_ = np.unique(y)
            return self

        def predict_proba(self, X):
            return np.column_stack([1 - X["truth"], X["truth"]])

    told = X.assign(truth=bank.probability)
    model = standing(
        Oracle(), profile_encoder=ProfileEncoder({"user": ["user__age"]}), n_estimators=5
    )
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
    alone = networks_of(model, X, bank.y)
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
    assert alone.blend_.base == 0
    assert (alone.predict_proba(X) != scores).any()


def test_weights_reach_the_base(X, bank):
    weight = np.where(bank.y, 5.0, 1.0)
    model = standing(trees()).fit(X, bank.y, sample_weight=weight)
    by_hand = trees().fit(X, bank.y, lgbmclassifier__sample_weight=weight)
    np.testing.assert_array_equal(model.base_estimator_.predict_proba(X), by_hand.predict_proba(X))


def test_the_scale_of_weights_is_none_of_the_blend(X, bank):
    """A row counts as one against the prior, whatever the unit of its weight."""
    weight = np.random.default_rng(0).uniform(0.1, 4, len(X))
    base = make_pipeline(ProfileEncoder(), GaussianNB())  # to which the unit of weights is nothing
    one, other = (
        standing(base, validation_fraction=0.3).fit(X, bank.y, sample_weight=weight * factor)
        for factor in (1, 64)
    )
    np.testing.assert_allclose(one.blend_, other.blend_, rtol=1e-6)
    plain = standing(base, validation_fraction=0.3).fit(X, bank.y)
    assert np.abs(np.subtract(one.blend_, plain.blend_)).max() > 1e-3


def test_weights_of_rows_and_classes_are_in_the_blend(X, bank, monkeypatch):
    """By hand: the log-odds that went in, and the weights that the loss has."""
    seen: list[Any] = []

    def note(*args, **how):
        seen.append(args)
        return fit_blend(*args, **how)

    monkeypatch.setattr("skhuihen._companions.blending.fit_blend", note)
    weight = np.random.default_rng(0).uniform(0.1, 4, len(X))
    model = standing(trees(), class_weight={0: 1, 1: 4}, random_state=1)
    model.fit(X, bank.y, sample_weight=weight)
    ((_, _, label, of_rows, shift),) = seen
    wanted = weight * np.where(bank.y, 4, 1)
    wanted /= wanted.mean()
    assert np.isin(of_rows, wanted).all()
    assert (np.isin(of_rows, wanted[bank.y == 1]) == (label == 1)).all()
    assert shift == pytest.approx(np.log(4))


@pytest.mark.parametrize("role", [{}, {"teacher": "base"}])
def test_class_weight_moves_what_is_predicted(X, bank, role):
    def share(class_weight):
        model = standing(trees(), class_weight=class_weight, **role).fit(X, bank.y)
        return model.predict(X).mean()

    assert share({0: 100, 1: 1}) == 0
    assert 0 < share(None) < 0.7
    assert share({0: 1, 1: 100}) == 1


def test_class_weights_move_the_intercept_by_their_odds():
    base, network, label = draw_two(4000)
    plain = fit_blend(base, network, label, np.ones(4000))
    factor = 50.0
    weight = np.where(label, factor, 1.0)
    moved = fit_blend(base, network, label, weight / weight.mean(), np.log(factor))
    assert moved.intercept == pytest.approx(plain.intercept + np.log(factor), abs=0.4)
    nothing = np.empty(0)
    alone = fit_blend(nothing, nothing, nothing.astype(int), nothing, 3.0)
    np.testing.assert_allclose(alone, (3 * 0.65, 0.65, 0.35))
    assert alone == pytest.approx(Blend.before_data(3.0))


class Weighed(LogisticRegression):
    """Notes whether it was given weights."""

    given: list[bool] = []

    def fit(self, X, y, sample_weight=None):
        Weighed.given.append(sample_weight is not None)
        return super().fit(X, y, sample_weight)


def weighed(ask: Any, **of_steps: bool) -> Any:
    encoder, model = ProfileEncoder(), Weighed(max_iter=1000)
    if ask is not None:
        model.set_fit_request(sample_weight=ask)
    for request in of_steps.values():
        encoder.set_fit_request(sample_weight=request)
    return make_pipeline(encoder, model)


def roles(model: Any, X: Any, bank: Any, weight: Any) -> dict[str, Any]:
    """Return each way to give a model to a classifier, to be called."""
    X = X[["user__age", "item__amount"]]
    old = bank.old_applications, bank.old_y
    of_old = np.linspace(0.5, 2, len(bank.old_y))
    of_numbers = make_pipeline(StandardScaler(), model[-1])
    return {
        "base": lambda: standing(model, max_epochs=1).fit(X, bank.y, sample_weight=weight),
        "teacher": lambda: standing(None, teacher=model, max_epochs=1).fit(
            X, bank.y, sample_weight=weight
        ),
        "warm start": lambda: standing(None, max_epochs=1).warm_start_from(
            *old, teacher=of_numbers, sample_weight=of_old
        ),
    }


@pytest.mark.parametrize("role", ["base", "teacher", "warm start"])
@pytest.mark.parametrize("ask", [None, True, False])
def test_weights_of_pipelines_with_metadata_routing(X, bank, role, ask):
    """As without routing, unless a request says otherwise."""
    weight = np.linspace(0.5, 2, len(X))
    with config_context(enable_metadata_routing=True):
        model = weighed(ask)
        Weighed.given.clear()
        roles(model, X, bank, weight)[role]()
        assert set(Weighed.given) == {ask is not False}
        nested = make_pipeline(make_pipeline(*[step for _, step in model.steps]))
        Weighed.given.clear()
        if role != "warm start":
            roles(nested, X, bank, weight)[role]()
            assert set(Weighed.given) == {ask is not False}
    # The weights are those that it gets without routing.
    if role == "base" and ask is not False:
        with config_context(enable_metadata_routing=True):
            routed = roles(weighed(ask), X, bank, weight)["base"]()
        plain = roles(weighed(None), X, bank, weight)["base"]()
        profile = X[["user__age", "item__amount"]]
        np.testing.assert_array_equal(routed.predict_proba(profile), plain.predict_proba(profile))


def test_requests_of_steps_are_followed(X, bank):
    weight = np.linspace(0.5, 2, len(X))
    with config_context(enable_metadata_routing=True):
        asked = weighed(True, encoder=True)
        roles(asked, X, bank, weight)["base"]()
        # The encoder asks, and the model says nothing: that is for the user to say.
        with pytest.raises(UnsetMetadataPassedError, match="set_fit_request"):
            roles(weighed(None, encoder=True), X, bank, weight)["base"]()
        if parse_version(sklearn.__version__) < parse_version("1.7"):
            return  # a Pipeline cannot be asked to score with weights
        scored = weighed(True, encoder=False)
        scored[-1].set_score_request(sample_weight=True)
        search = GridSearchCV(scored, {"weighed__C": [1.0]}, cv=2)
        Weighed.given.clear()
        profile = X[["user__age", "item__amount"]]
        standing(search, max_epochs=1).fit(profile, bank.y, sample_weight=weight)
        assert all(Weighed.given)


def test_missing_values_of_arrays_are_refused_where_the_base_does_not_take_them(X, bank):
    array = X[["user__age", "item__amount"]].to_numpy(dtype=float)
    lacking = array.copy()
    lacking[::3, 0] = np.nan
    plain = standing(LogisticRegression(), max_epochs=1)
    assert not get_tags(plain).input_tags.allow_nan
    with pytest.raises(ValueError, match="Input X contains NaN"):
        plain.fit(lacking, bank.y)
    plain.fit(array, bank.y)
    for method in ("predict_proba", "predict", "decision_function", "transform"):
        with pytest.raises(ValueError, match="Input X contains NaN"):
            getattr(plain, method)(lacking)
    taking = standing(LGBMClassifier(verbose=-1, n_estimators=2, n_jobs=1), max_epochs=1)
    assert get_tags(taking).input_tags.allow_nan
    assert get_tags(HUIHENClassifier()).input_tags.allow_nan
    imputing = standing(make_pipeline(SimpleImputer(), LogisticRegression()), max_epochs=1)
    for model in (taking, imputing):
        assert np.isfinite(model.fit(lacking, bank.y).predict_proba(lacking)).all()


def test_partial_fit_goes_on_with_base_and_weights(X, bank):
    # So few rows leave a network out at some seeds, and what is left out changes no score.
    model = standing(trees(), random_state=5).fit(X[:160], bank.y[:160])
    base, blend = model.base_estimator_, model.blend_
    assert blend.network > 0
    before = model.predict_proba(X)
    model.partial_fit(X[160:], bank.y[160:])
    assert model.base_estimator_ is base
    assert model.blend_ == blend
    assert (model.predict_proba(X) != before).any()
    with pytest.raises(ValueError, match="base_estimator=Pipeline"):
        model.set_params(base_estimator=trees().set_params(verbose=True)).partial_fit(X, bank.y)
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
    with pytest.raises(ValueError, match="two users of each class, but one class in y has 1"):
        standing(trees()).fit(X, np.arange(len(X)) == 0)
    neighbors = make_pipeline(ProfileEncoder(), KNeighborsClassifier())
    with pytest.raises(ValueError, match="Pipeline has no parameter sample_weight"):
        standing(neighbors).fit(X, bank.y, sample_weight=bank.y + 1.0)
    with pytest.raises(ValueError, match="'base_estimator' parameter"):
        standing("lightgbm").fit(X, bank.y)


def test_a_model_made_of_pipelines_sees_the_whole_table(X, bank):
    """Its first pipeline, of the profile, does not say which columns the second one needs."""
    of_profile = make_pipeline(ProfileEncoder(), GaussianNB())
    base = VotingClassifier([("profile", of_profile), ("trees", trees())], voting="soft")
    model = standing(base).fit(X, bank.y)
    of_base = base_log_odds(model.base_estimator_, X, model.classes_)
    np.testing.assert_allclose(of_base, logit(clone(base).fit(X, bank.y).predict_proba(X)[:, 1]))
