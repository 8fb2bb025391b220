"""Several networks in one classifier: `n_estimators`."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.metrics import roc_auc_score

from skhuihen import HUIHENClassifier
from tests.models import STOPPED_EARLY


@pytest.fixture(scope="module")
def data() -> Any:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 5))
    return X, (X[:, 0] + rng.normal(size=300) > 0).astype(int)


def three(**parameters: Any) -> HUIHENClassifier:
    return HUIHENClassifier(
        **STOPPED_EARLY | {"n_estimators": 3, "max_epochs": 4, "random_state": 0} | parameters
    )


def test_log_odds_are_averaged(data):
    X, y = data
    model = three().fit(X, y)
    alone = []
    for net in model.estimators_:
        one = clone(model).set_params(n_estimators=1).fit(X, y)
        one.estimators_ = [net]
        one.blend_ = None
        alone.append(one.decision_function(X))
    assert np.ptp(alone, axis=0).min() > 0
    average = model.blend_.log_odds(0.0, np.mean(alone, axis=0))
    np.testing.assert_allclose(model.decision_function(X), average, atol=1e-6)
    assert model.net_ is model.estimators_[0]


def test_the_first_is_the_one_that_there_would_be_alone(data):
    X, y = data
    model, one = three().fit(X, y), three().set_params(n_estimators=1).fit(X, y)
    np.testing.assert_array_equal(model.transform(X), one.transform(X))
    of_first = model.history_.query("network == 0").drop(columns="dur")
    np.testing.assert_array_equal(of_first, one.history_.drop(columns="dur"))
    assert model.history_["network"].unique().tolist() == [0, 1, 2]
    assert model.n_iter_ == 4


@pytest.mark.parametrize(("n_estimators", "fraction"), [(3, 0.1), (5, 0.2), (4, 0.3)])
def test_networks_hold_out_rows_of_their_own_as_long_as_there_are_some(
    data, n_estimators, fraction
):
    X, y = data
    model = HUIHENClassifier(
        early_stopping=True, n_estimators=n_estimators, validation_fraction=fraction, max_epochs=1
    )
    model.fit(X, y)
    held_out = model._trainer().hold_out(y, None, np.random.RandomState(0), [0, 1])
    for label in (0, 1):
        found = np.concatenate([rows[y[rows] == label] for rows in held_out])
        times = np.bincount(found, minlength=len(y))[y == label]
        size = round(fraction * (y == label).sum())
        assert [(y[rows] == label).sum() for rows in held_out] == [size] * n_estimators
        assert times.max() == -(-n_estimators * size // (y == label).sum())


def test_repeats_to_the_bit_and_survives_a_pickle(data):
    X, y = data
    model = three().fit(X, y)
    scores = model.predict_proba(X)
    np.testing.assert_array_equal(clone(model).fit(X, y).predict_proba(X), scores)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict_proba(X), scores)


def test_partial_fit_trains_all_on(data):
    X, y = data
    model = three(early_stopping=False).fit(X, y)
    before = [net.module_.interaction.logits.weight.clone() for net in model.estimators_]
    model.partial_fit(X, y)
    after = [net.module_.interaction.logits.weight for net in model.estimators_]
    assert all((one != other).any() for one, other in zip(before, after, strict=True))
    whole = three(early_stopping=False).set_params(max_epochs=4)
    for _ in range(5):
        whole.partial_fit(X, y)
    assert whole.blend_ is None
    assert not hasattr(whole, "oof_log_odds_")
    fitted = three(early_stopping=False).set_params(n_estimators=1, max_epochs=5).fit(X, y)
    once = three(early_stopping=False).set_params(n_estimators=1)
    for _ in range(5):
        once.partial_fit(X, y)
    np.testing.assert_array_equal(once.predict_proba(X), fitted.predict_proba(X))


def test_a_warm_start_is_shared(data):
    X, y = data
    model = three(early_stopping=False, lr=0.01).warm_start_from(X, y, teacher=None, max_epochs=5)
    model.set_params(max_epochs=1, lr=1e-12).fit(X, y)
    assert model.warm_start_student_.n_estimators == 1
    named = pd.DataFrame(X, columns=[f"x{i}" for i in range(5)])
    student = model.warm_start_student_.decision_function(named)
    blended = model.blend_.log_odds(0.0, student)
    np.testing.assert_allclose(model.decision_function(X), blended, atol=1e-5)
    assert roc_auc_score(y, model.predict_proba(X)[:, 1]) > 0.6
