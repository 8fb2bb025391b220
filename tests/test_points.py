"""Points against their definition, and a PointsScaler against the model inside."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import logit
from sklearn import config_context
from sklearn.base import clone
from sklearn.dummy import DummyClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

from skhuihen import (
    BehaviorAbstractor,
    HUIHENClassifier,
    OnlineScorer,
    PointsScaler,
    Sessionizer,
    load_model,
    save_model,
)
from skhuihen.inspection import explain
from skhuihen.metrics import gini_scorer, ks_scorer

scales = st.builds(
    PointsScaler,
    points=st.floats(200, 800),
    odds=st.floats(0.5, 100),
    pdo=st.floats(5, 100),
    digits=st.integers(0, 3),
    limits=st.just((-1e6, 1e6)),
)
probabilities = st.floats(1e-9, 1 - 1e-9)


@pytest.fixture(scope="module")
def numbers() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 3))
    return X, (X[:, 0] + rng.normal(size=300) > 1).astype(int)


@given(scales)
def test_the_points_at_the_odds_and_what_doubles_them(card: PointsScaler) -> None:
    odds = card.odds * 2.0 ** np.arange(-3, 4)
    wanted = card.points + card.pdo * np.arange(-3, 4)
    np.testing.assert_allclose(
        card.to_points(1 / (1 + odds)), wanted, atol=0.500001 * 10.0**-card.digits
    )


@given(scales, st.lists(probabilities, min_size=2, max_size=20))
def test_points_fall_with_risk_and_lead_back_to_it(card: PointsScaler, p: list[float]) -> None:
    p = np.sort(p)
    points = card.to_points(p)
    assert (np.diff(points) <= 0).all()
    np.testing.assert_allclose(points, np.round(points, card.digits), atol=1e-7)
    back = card.to_probability(points)
    half = 0.5 * 10.0**-card.digits * np.log(2) / card.pdo
    np.testing.assert_allclose(logit(back), logit(p), atol=half + 1e-5)


def test_limits_hold_what_is_certain() -> None:
    card = PointsScaler(limits=(300.5, 850))
    np.testing.assert_array_equal(card.to_points([0, 1e-12, 0.999999, 1]), [850, 850, 300.5, 300.5])
    assert PointsScaler().to_points(np.full((2, 3), 1 / 51)).shape == (2, 3)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"odds": 0}, "'odds' parameter"),
        ({"odds": np.inf}, "'odds' parameter"),
        ({"pdo": -20}, "'pdo' parameter"),
        ({"points": "600"}, "'points' parameter"),
        ({"digits": 0.5}, "'digits' parameter"),
        ({"limits": 850}, "'limits' parameter"),
        ({"limits": (850, 300)}, "limits is (850, 300). It must be two finite numbers"),
        ({"limits": (0, np.nan)}, "must be two finite numbers"),
        ({"limits": (0, 1, 2)}, "must be two finite numbers"),
        ({"limits": ("low", "high")}, "must be two finite numbers"),
        ({"estimator": LinearSVC()}, "'estimator' parameter"),
    ],
)
def test_wrong_parameters_are_refused(params: dict[str, Any], message: str, numbers: Any) -> None:
    params = {"estimator": LogisticRegression()} | params
    for use in (lambda card: card.fit(*numbers), lambda card: card.to_points(0.5)):
        with pytest.raises(ValueError, match=re.escape(message)):
            use(PointsScaler(**params))


def test_what_is_no_probability_or_point_is_refused() -> None:
    card = PointsScaler()
    with pytest.raises(ValueError, match=r"2 of 3 values are outside.*predict_proba"):
        card.to_points([0.5, 1.5, -1])
    for method, name in ((card.to_points, "probability"), (card.to_probability, "points")):
        with pytest.raises(ValueError, match=f"{name} must be finite.*1 of 2 values are missing"):
            method([0.5, np.nan])


def test_y_must_have_two_labels(numbers: Any) -> None:
    X, _ = numbers
    for y in (np.zeros(300), np.arange(300) % 3):
        with pytest.raises(ValueError, match=r"Only binary.*y has [13] labels"):
            PointsScaler(DummyClassifier()).fit(X, y)


@pytest.mark.parametrize("scoring", ["roc_auc", "neg_log_loss", gini_scorer, ks_scorer])
def test_scorers_see_the_model_inside(scoring: Any, numbers: Any) -> None:
    model = LogisticRegression()
    for estimator in (PointsScaler(model), make_pipeline(PointsScaler(model))):
        np.testing.assert_array_equal(
            cross_val_score(estimator, *numbers, scoring=scoring, cv=3),
            cross_val_score(model, *numbers, scoring=scoring, cv=3),
        )


def test_high_points_mean_low_risk(numbers: Any) -> None:
    X, y = numbers
    card = PointsScaler(LogisticRegression(), digits=6)
    points = card.fit(X, y).transform(X).ravel()
    score = LogisticRegression().fit(X, y).decision_function(X)
    np.testing.assert_array_equal(np.argsort(-points), np.argsort(score))
    assert roc_auc_score(y, -points) == roc_auc_score(y, score) > 0.7


def test_a_frame_of_points_keeps_the_index(numbers: Any) -> None:
    X, y = numbers
    frame = pd.DataFrame(X, columns=list("abc"), index=np.arange(300) + 7)
    card = PointsScaler(LogisticRegression()).set_output(transform="pandas").fit(frame, y)
    found = card.transform(frame)
    assert list(found.columns) == ["points"]
    assert found.index.equals(frame.index)
    assert card.feature_names_in_.tolist() == list("abc")
    with pytest.raises(ValueError, match="input_features"):
        card.get_feature_names_out(["a", "b"])


def test_weights_reach_the_model(numbers: Any) -> None:
    X, y = numbers
    weight = np.random.default_rng(1).integers(0, 3, size=300)
    repeated = clone(LogisticRegression()).fit(X.repeat(weight, axis=0), y.repeat(weight))
    by_hand = PointsScaler(LogisticRegression()).fit(X, y, sample_weight=weight)
    with config_context(enable_metadata_routing=True):
        asking = LogisticRegression().set_fit_request(sample_weight=True)
        routed = PointsScaler(asking).fit(X, y, sample_weight=weight)
    for card in (by_hand, routed):
        np.testing.assert_allclose(card.predict_proba(X), repeated.predict_proba(X), atol=1e-3)
    with pytest.raises(TypeError, match="nonsense"):
        PointsScaler(LogisticRegression()).fit(X, y, nonsense=1)


def test_without_a_model_it_is_huihen(numbers: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HUIHENClassifier, "fit", lambda self, X, y: DummyClassifier().fit(X, y))
    assert isinstance(PointsScaler().fit(*numbers).estimator_, DummyClassifier)


def test_in_and_around_a_pipeline_of_applications(
    X: pd.DataFrame, y: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = HUIHENClassifier(max_epochs=1, n_estimators=1, random_state=0)
    steps = BehaviorAbstractor(n_behaviors=10), Sessionizer(max_sessions=2)
    inside = make_pipeline(*steps, PointsScaler(tiny)).fit(X, y)
    model = make_pipeline(*inside[:-1], inside[-1].estimator_)
    around = PointsScaler(FrozenEstimator(model)).fit(X, y)
    probability = model.predict_proba(X)
    for card in (inside, around):
        np.testing.assert_array_equal(card.predict_proba(X), probability)
        np.testing.assert_array_equal(card.predict(X), model.predict(X))
        points = PointsScaler().to_points(probability[:, 1])
        np.testing.assert_array_equal(card.transform(X).ravel(), points)
    # Stored, and one applicant at a time, in the fast way.
    save_model(around, tmp_path / "card.model", X, y)
    loaded = load_model(tmp_path / "card.model")
    np.testing.assert_array_equal(loaded.transform(X), around.transform(X))
    scorer = OnlineScorer(around)
    assert scorer.is_fast_
    one = X.iloc[[0]]
    application = one.drop(columns="behaviors").iloc[0].to_dict()
    application["behaviors"] = one["behaviors"].iloc[0].to_dict("records")
    assert scorer.probability(application) == pytest.approx(probability[0, 1], abs=1e-6)
    # Reasons are those of the model inside.
    found, wanted = (explain(m, one, X.iloc[1:2], depth=1).values[0] for m in (around, model))
    np.testing.assert_allclose(found, wanted)
