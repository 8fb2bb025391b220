"""How several networks are taught: nobody learns of a label that it leaves out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline

from skhuihen import (
    BehaviorAbstractor,
    HUIHENClassifier,
    ProfileEncoder,
    Sessionizer,
    attach_behaviors,
)
from skhuihen._companions.teachers import GivenTeacher, Guide, UsualTeacher, usual_statistics
from skhuihen._training.folds import folds
from skhuihen.datasets import make_loan_data
from tests.models import STOPPED_EARLY

N_ROWS = 400


class Counting(ClassifierMixin, BaseEstimator):
    """Notes how many rows each fit has."""

    sizes: list[int] = []

    def fit(self, X, y):
        Counting.sizes.append(len(X))
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X):
        return np.full((len(X), 2), 0.5)


@pytest.fixture(scope="module")
def rows() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N_ROWS, 3))
    return X, (rng.random(N_ROWS) < expit(2 * X[:, 0] - 1)).astype(np.int64)


def make(kind: str, X: np.ndarray, y: np.ndarray) -> Any:
    weight = np.ones(len(y))
    if kind == "given":
        return GivenTeacher(LogisticRegression(), X, y, weight)
    known = 0.5 * X[:, 0] if kind == "warm" else None
    return UsualTeacher(X[:, :2], X[:, 2:], y, weight, 0, known)


def guidance(kind: str, X: np.ndarray, y: np.ndarray, parts: list[np.ndarray], **how: Any) -> Any:
    guide = Guide(make(kind, X, y), y, None, 0.0, 0)
    how = {"is_scored": False, **how}
    return guide.teach(parts, len(parts) or 1, np.random.RandomState(0), **how)


@pytest.mark.parametrize("is_scored", [False, True])
@pytest.mark.parametrize("n_parts", [2, 5])
@pytest.mark.parametrize("kind", ["given", "usual", "warm"])
def test_no_label_that_a_network_leaves_out_moves_what_it_is_taught(rows, kind, n_parts, is_scored):
    X, y = rows
    parts = folds(y, None, n_parts, np.random.RandomState(1))
    before = guidance(kind, X, y, parts, is_scored=is_scored)
    other = y.copy()
    other[parts[0]] = 1 - other[parts[0]]
    after = guidance(kind, X, other, parts, is_scored=is_scored)
    learned = np.setdiff1d(np.arange(N_ROWS), parts[0])
    np.testing.assert_array_equal(after[0][learned], before[0][learned])
    of_others = np.setdiff1d(np.arange(N_ROWS), parts[1])  # these learn of the labels
    assert np.abs(after[1] - before[1])[of_others].max() > 0.01
    assert np.isnan(before[0][parts[0]]).all() != is_scored
    assert not np.isnan(before[0][learned]).any()


@pytest.mark.parametrize("n_parts", [0, 2, 5])
def test_no_row_is_judged_by_a_model_that_has_seen_it(rows, n_parts):
    X, y = rows
    parts = folds(y, None, n_parts, np.random.RandomState(1)) if n_parts else []
    of_given = guidance("given", X, y, parts)[0]
    row = int(parts[-1][3]) if parts else 3
    other = y.copy()
    other[row] = 1 - other[row]
    if n_parts == 5:  # folds of a given cut, so that the cut does not depend on the label
        assert guidance("given", X, other, parts)[0][row] == of_given[row]
    # A label by heart would be a guidance that agrees with pure noise.
    noise = np.random.default_rng(2).integers(0, 2, N_ROWS)
    for kind in ("usual", "warm"):
        taught = guidance(kind, X, noise, parts)[0]
        known = ~np.isnan(taught)
        assert roc_auc_score(noise[known], taught[known]) < 0.6


def test_each_fit_serves_two_networks(rows):
    X, y = rows
    parts = folds(y, None, 5, np.random.RandomState(1))
    Counting.sizes.clear()
    Guide(GivenTeacher(Counting(), X, y, np.ones(N_ROWS)), y, None, 0.0, 0).teach(
        parts, 5, np.random.RandomState(0), is_scored=False
    )
    assert len(Counting.sizes) == 10
    assert set(Counting.sizes) == {N_ROWS * 3 // 5}


def test_networks_that_share_a_fold_share_what_they_are_taught(rows):
    X, y = rows
    parts = folds(y, None, 5, np.random.RandomState(1))
    taught = guidance("given", X, y, [*parts, parts[0]])
    np.testing.assert_array_equal(taught[5], taught[0])


def test_the_odds_are_moved(rows):
    X, y = rows
    fitted = FrozenEstimator(LogisticRegression().fit(X, y))
    teacher = GivenTeacher(fitted, X, y, np.ones(N_ROWS))
    (plain,) = Guide(teacher, y, None, 0.0, 0).teach([], 1, None, is_scored=False)
    (moved,) = Guide(teacher, y, None, np.log(3), 0).teach([], 1, None, is_scored=False)
    np.testing.assert_allclose(moved / (1 - moved), 3 * plain / (1 - plain))
    np.testing.assert_allclose(plain, fitted.predict_proba(X)[:, 1])


def test_the_usual_teacher_finds_what_is_in_profile_and_statistics(rows):
    X, _ = rows
    rng = np.random.default_rng(3)
    of_profile = (rng.random(N_ROWS) < expit(3 * X[:, 0])).astype(np.int64)
    of_statistics = (rng.random(N_ROWS) < expit(4 * np.abs(X[:, 2]) - 2)).astype(np.int64)
    for label in (of_profile, of_statistics):
        (taught,) = guidance("usual", X, label, [])
        assert roc_auc_score(label, taught) > 0.7


def test_after_a_warm_start_the_teacher_knows_what_step_one_knows(rows):
    """Few rows tell little of a sum of many columns, of which step one knows the weights."""
    rng = np.random.default_rng(4)
    X = rng.normal(size=(N_ROWS, 60))
    known = X.sum(axis=1) / np.sqrt(15)
    label = (rng.random(N_ROWS) < expit(known)).astype(np.int64)
    weight = np.ones(N_ROWS)
    found = []
    for of_step_one in (None, known):
        teacher = UsualTeacher(X, np.empty((N_ROWS, 0)), label, weight, 0, of_step_one)
        (taught,) = Guide(teacher, label, None, 0.0, 0).teach(
            [], 1, np.random.RandomState(0), is_scored=False
        )
        found.append(roc_auc_score(label, taught))
    assert found[1] > found[0] + 0.05
    # It is weighed: what step one knows may be wrong.
    teacher = UsualTeacher(X, np.empty((N_ROWS, 0)), 1 - label, weight, 0, known)
    (taught,) = Guide(teacher, 1 - label, None, 0.0, 0).teach(
        [], 1, np.random.RandomState(0), is_scored=False
    )
    assert roc_auc_score(1 - label, taught) > 0.6


# ---- in the classifier


@pytest.fixture(scope="module")
def bank() -> Any:
    return make_loan_data(n_new=360, n_old=300, overdue_rate=0.4, random_state=0)


@pytest.fixture(scope="module")
def X(bank: Any) -> pd.DataFrame:
    attached = attach_behaviors(bank.applications, bank.events, known_at="recorded_at")
    attached["user_id"] = np.arange(len(attached))
    return make_pipeline(BehaviorAbstractor(), Sessionizer()).fit_transform(attached)


def fit(X: Any, y: Any, **parameters: Any) -> HUIHENClassifier:
    parameters = {"n_estimators": 1, "max_epochs": 1, "random_state": 0, **parameters}
    return HUIHENClassifier(**parameters).fit(X, y)


def is_taught(model: HUIHENClassifier) -> bool:
    return "train_divergence" in model.history_


def test_who_is_taught_without_asking(X, bank, tmp_path):
    assert is_taught(fit(X, bank.y))
    assert is_taught(fit(X, bank.y, n_estimators=2))
    assert is_taught(fit(X, bank.y, **STOPPED_EARLY | {"teacher": "auto"}))
    assert is_taught(fit(X, bank.y, base_estimator=make_pipeline(ProfileEncoder(), Counting())))
    assert not is_taught(fit(X, bank.y, teacher=None))
    assert not is_taught(fit(X, bank.y, guidance_weight=0))
    few = np.flatnonzero(bank.y)[: (bank.y.sum() - 99)]
    assert not is_taught(fit(X.drop(X.index[few]), np.delete(bank.y, few)))
    # The loss of a teacher has no such parameter.
    smoothed = {"criterion__label_smoothing": 0.1}
    assert not is_taught(fit(X, bank.y, net_params=smoothed))
    X.assign(y=bank.y).to_parquet(tmp_path / "x.parquet")
    assert not is_taught(fit(tmp_path / "x.parquet", "y"))
    warm = HUIHENClassifier(n_estimators=1, max_epochs=1, random_state=0)
    warm.warm_start_from(bank.old_applications, bank.old_y)
    assert is_taught(warm.fit(X, bank.y))


def test_step_one_judges_new_rows_by_their_profile(X, bank):
    model = HUIHENClassifier(n_estimators=1, max_epochs=1, random_state=0)
    model.warm_start_from(bank.old_applications, bank.old_y).fit(X, bank.y)
    student = model.warm_start_student_
    judged = model.old_data.known(model.get_params(deep=False)).judge(X)
    of_profile = X[student.feature_names_in_]
    np.testing.assert_allclose(judged, student.decision_function(of_profile), atol=1e-6)
    assert "behaviors" not in of_profile
    assert np.ptp(judged) > 0.1


def test_the_teacher_sees_the_topics(X, bank, monkeypatch):
    seen = []

    class Noting(UsualTeacher):
        def __init__(self, profile, statistics, *rest):
            seen.append(statistics)
            super().__init__(profile, statistics, *rest)

    monkeypatch.setattr("skhuihen.classifier.UsualTeacher", Noting)
    model = fit(X, bank.y, n_topics=3)
    fit(X, bank.y, n_topics=0)
    of_topics = seen[0][:, seen[1].shape[1] :]
    np.testing.assert_array_equal(seen[0][:, : -of_topics.shape[1]], seen[1])
    assert of_topics.shape == (len(X), 3)
    table = model._encoder._table_of(model._encoder.read(X))
    np.testing.assert_allclose(of_topics, model.topics_.transform(table), atol=1e-6)


def test_a_user_with_many_rows_is_one(X, bank):
    """The 100 are users, whose rows are on one side of every cut."""
    few_users = X.assign(user_id=np.arange(len(X)) // 4)
    assert not is_taught(fit(few_users, bank.y))


def test_the_same_seed_gives_the_same_bits(X, bank):
    one, other = (fit(X, bank.y, n_estimators=5).predict_proba(X) for _ in range(2))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("applied_at", ["applied_at", None])
def test_statistics_hold_no_future_and_no_label(X, applied_at):
    weight = np.ones(len(X))
    statistics = usual_statistics(X, "behaviors", applied_at, weight)
    assert statistics.shape[0] == len(X)
    assert statistics.shape[1] > (100 if applied_at else 10)
    assert usual_statistics(X, "none", applied_at, weight).shape == (len(X), 0)
    if applied_at:
        early = X.assign(applied_at=X["applied_at"] - pd.Timedelta("30D"))
        counts = usual_statistics(early, "behaviors", applied_at, weight)
        assert np.nansum(counts) != np.nansum(statistics)
