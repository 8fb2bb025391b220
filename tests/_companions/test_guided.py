"""The guided loss, and the guidance probabilities of all kinds of teachers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, rel_entr
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import KFold, ShuffleSplit
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skhuihen._companions.cross_fitting import MARGIN, cross_fit, make_teacher, score
from skhuihen._training.guided import EPSILON, GuidedLoss


def both(p: float) -> np.ndarray:
    return np.array([1 - p, p])


@given(
    logits=st.lists(st.floats(-20, 20), min_size=2, max_size=2),
    label=st.sampled_from([0, 1]),
    guidance=st.floats(MARGIN, 1 - MARGIN),
    weight=st.floats(0, 3),
)
def test_loss_is_equation_16(
    logits: list[float], label: int, guidance: float, weight: float
) -> None:
    log_odds = logits[1] - logits[0]
    # 1 - p would lose all digits of a p that is nearly 1.
    p, q = expit(np.array([-log_odds, log_odds])), both(guidance)
    divergence = rel_entr(p, q).sum() + rel_entr(q, p).sum()
    wanted = np.log1p(np.exp((1 - 2 * label) * log_odds)) + weight / 2 * divergence
    outputs = torch.tensor([logits], dtype=torch.float64)
    target = torch.tensor([[label, guidance]], dtype=torch.float64)
    assert GuidedLoss(weight)(outputs, target).item() == pytest.approx(wanted, rel=1e-5, abs=1e-8)
    unlabeled = torch.tensor([[np.nan, guidance]], dtype=torch.float64)
    loss = GuidedLoss(weight, labeled=False)(outputs, unlabeled)
    assert loss.item() == pytest.approx(weight / 2 * divergence, rel=1e-5, abs=1e-8)


def run_away(form: str, n_steps: int) -> tuple[float, float, float]:
    """Train the weight of the guidance and a tiny network; return alpha, loss and divergence."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(50, 2, generator=generator, requires_grad=True)
    label = (torch.rand(50, generator=generator) < 0.3).float()
    guidance = torch.rand(50, generator=generator) * 0.8 + 0.1
    target = torch.stack([label, guidance], dim=1)
    loss = GuidedLoss(form)
    optimizer = torch.optim.Adam([logits, *loss.parameters()], lr=0.01)
    for _ in range(n_steps):
        optimizer.zero_grad()
        value = loss(logits, target).mean()
        value.backward()
        optimizer.step()
    return loss.alpha.item(), value.item(), loss.parts(logits, target)[1].mean().item()


def test_the_literal_weight_runs_away() -> None:
    loss = GuidedLoss("literal")
    assert loss.alpha.item() == 1
    logits, target = torch.tensor([[0.0, 1.0]]), torch.tensor([[1.0, 0.2]])
    loss(logits, target).mean().backward()
    assert loss.guidance_parameter.grad is not None
    # Half of a divergence, which is never negative: only ever downwards.
    assert loss.guidance_parameter.grad.item() == pytest.approx(
        loss.parts(logits, target)[1].item() / 2
    )
    alphas, losses, divergences = zip(
        *(run_away("literal", n) for n in (50, 300, 900)), strict=True
    )
    assert alphas[0] > 0 > alphas[1] > alphas[2]
    assert losses[1] < 0
    assert losses[2] < 5 * losses[1], "without bound"
    assert divergences[2] > divergences[1] > divergences[0], "away from the teacher"


def test_the_learned_weight_settles() -> None:
    assert GuidedLoss("learned").alpha.item() == 1
    alpha, loss, divergence = run_away("learned", 1500)
    assert alpha == pytest.approx(1 / (EPSILON + divergence), rel=0.01)  # the least of the loss
    assert run_away("learned", 2000) == pytest.approx((alpha, loss, divergence), rel=0.02, abs=1e-6)


@given(
    parameter=st.floats(-20, 20),
    log_odds=st.floats(-20, 20),
    label=st.sampled_from([0, 1]),
    guidance=st.floats(MARGIN, 1 - MARGIN),
)
def test_the_loss_with_a_learned_weight_has_a_floor(
    parameter: float, log_odds: float, label: int, guidance: float
) -> None:
    loss = GuidedLoss("learned")
    loss.guidance_parameter.data.fill_(parameter)
    logits = torch.tensor([[0.0, log_odds]], dtype=torch.float64)
    target = torch.tensor([[label, guidance]], dtype=torch.float64)
    assert loss.alpha.item() > 0
    assert loss(logits, target).item() > (1 + np.log(EPSILON)) / 2 - 1e-5


def test_a_fixed_weight_is_not_learned() -> None:
    loss = GuidedLoss(0.5)
    assert not loss.guidance_parameter.requires_grad
    assert loss.alpha.item() == 0.5


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 4))
    return X, (X[:, 0] + rng.normal(size=300) > 0.8).astype(np.int64), np.ones(300)


def random() -> np.random.RandomState:
    return np.random.RandomState(0)


def test_cross_fitted_guidance_has_not_seen_the_label(data: Any) -> None:
    X, _, weight = data
    y = random().randint(2, size=300)  # nothing to learn
    memory = KNeighborsClassifier(1)
    in_sample = cross_fit(memory, X, y, weight, None, random())
    assert roc_auc_score(y, in_sample) == 1
    assert roc_auc_score(y, cross_fit(memory, X, y, weight, 5, random())) < 0.6
    # Exactly 0 and 1 would make the divergence infinite.
    assert set(np.unique(in_sample)) == {MARGIN, 1 - MARGIN}


def test_each_fold_is_scored_by_a_teacher_of_the_others(data: Any) -> None:
    X, y, weight = data
    guidance = cross_fit(LogisticRegression(), X, y, weight, KFold(3), random())
    for train, test in KFold(3).split(X):
        fitted = LogisticRegression().fit(X[train], y[train])
        np.testing.assert_allclose(guidance[test], fitted.predict_proba(X[test])[:, 1])
    weight = np.where(y == 1, 5.0, 0.5)
    assert cross_fit(LogisticRegression(), X, y, weight, 3, random()).mean() > guidance.mean() + 0.2


@pytest.mark.parametrize("name", ["xgboost", "lightgbm"])
def test_named_teachers_learn_and_repeat(name: str, data: Any) -> None:
    X, y, weight = data
    one, other = (cross_fit(make_teacher(name, 3), X, y, weight, 5, random()) for _ in range(2))
    np.testing.assert_array_equal(one, other)
    assert roc_auc_score(y, one) > 0.7


def test_refusals_of_cross_fitting(data: Any) -> None:
    X, y, weight = data
    with pytest.raises(ValueError, match="at least 5 rows of each class in old_y, but one"):
        cross_fit(LogisticRegression(), X, np.arange(300) == 0, weight, 5, random())
    with pytest.raises(ValueError, match="in no test fold"):
        cross_fit(LogisticRegression(), X, y, weight, ShuffleSplit(2, random_state=0), random())
    with pytest.raises(ValueError, match=r"fitted on the classes .* the labels are \[0, 1\]"):
        cross_fit(DummyClassifier(), X, np.sort(y), weight, KFold(2), random())
    pipeline = make_pipeline(StandardScaler(), KNeighborsClassifier())
    with pytest.raises(ValueError, match="Pipeline has no parameter sample_weight"):
        cross_fit(pipeline, X, y, weight + y, 3, random())
    assert np.isfinite(cross_fit(pipeline, X, y, weight, 3, random())).all()


def test_weights_reach_the_last_step_of_a_pipeline(data: Any) -> None:
    X, y, weight = data
    pipeline = make_pipeline(StandardScaler(), LogisticRegression())
    plain, weighted = (cross_fit(pipeline, X, y, w, 3, random()) for w in (weight, weight + 9 * y))
    assert weighted.mean() > plain.mean() + 0.1


class Scorecard(ClassifierMixin, BaseEstimator):
    """A model that came from elsewhere: fitted already, its classes in an order of its own."""

    def __init__(self, classes: Any, probability: Any) -> None:
        self.classes_ = np.array(classes)
        self.probability = probability

    def predict_proba(self, X: Any) -> Any:
        return np.tile(self.probability, (len(X), 1))


def test_classes_in_another_order_are_found_by_name() -> None:
    X = np.zeros((3, 1))
    assert score(Scorecard([0, 1], [0.9, 0.1]), X, [0, 1])[0] == pytest.approx(0.1)
    assert score(Scorecard([1, 0], [0.1, 0.9]), X, [0, 1])[0] == pytest.approx(0.1)
    labels = ["good", "overdue"]
    assert score(Scorecard(labels[::-1], [0.1, 0.9]), X, labels)[0] == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("classes", "probability", "message"),
    [
        ([0], [1.0], "fitted on the classes"),
        ([0, 1, 2], [0.5, 0.2, 0.3], "fitted on the classes"),
        (["good", "overdue"], [0.5, 0.5], "fitted on the classes"),
        ([0, 1], [0.5, 0.2, 0.3], "array of shape"),
        ([0, 1], [0.5, np.nan], "not finite"),
    ],
)
def test_other_teachers_are_refused(classes: Any, probability: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        score(Scorecard(classes, probability), np.zeros((3, 1)), [0, 1])
