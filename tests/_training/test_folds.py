"""What is held out: alike in its classes, and the applications of one user together."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier

from skhuihen import HUIHENClassifier, attach_behaviors
from skhuihen._companions.blending import fit_base
from skhuihen._companions.cross_fitting import cross_fit
from skhuihen._training.folds import folds, hold_out, n_of_rarest, users_of
from skhuihen._training.trainer import Trainer
from tests.models import STOPPED_EARLY

IDS = ("user_id", "application_id")


def random(seed: int = 0) -> np.random.RandomState:
    return np.random.RandomState(seed)


def population(n_users: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draw users with one to five applications, and labels."""
    rng = np.random.default_rng(seed)
    users = np.repeat(np.arange(n_users), rng.integers(1, 6, n_users))
    return rng.permutation(users), (rng.random(len(users)) < 0.2).astype(np.int64)


# ---- whose an application is


def test_the_first_column_that_repeats_names_the_user() -> None:
    frame = pd.DataFrame({"application_id": range(4), "user_id": list("abab"), "age": [1, 1, 2, 2]})
    for ids in (IDS, IDS[::-1], ("absent", "user_id")):
        users = users_of(frame, ids)
        assert users is not None
        assert users.tolist() == [0, 1, 0, 1]
    assert users_of(frame, ("application_id",)) is None
    assert users_of(frame.drop(columns="user_id"), IDS) is None
    assert users_of(frame.assign(user_id=7), IDS) is None, "one value tells no one apart"
    assert users_of(frame.iloc[:2], IDS) is None


def test_without_such_a_column_the_keys_of_the_join_name_the_user() -> None:
    applications = pd.DataFrame(
        {
            "bank": ["x", "x", "y", "y", "x", None],
            "customer": [1, 2, 1, 1, 1, 1],
            "applied_at": pd.date_range("2024-05-01", periods=6),
        }
    )
    events = pd.DataFrame(
        {"bank": "x", "client": [1], "time": pd.to_datetime(["2024-04-30"]), "operation": "login"}
    )
    keyed = attach_behaviors(applications[:5], events, by=["bank", ("customer", "client")])
    users = users_of(keyed, IDS)
    assert users is not None
    assert users.tolist() == [0, 1, 2, 2, 0]
    assert users_of(keyed.assign(user_id=[1, 2, 3, 4, 4]), IDS).tolist() == [0, 1, 2, 3, 3]
    assert users_of(keyed.drop(columns="bank"), IDS) is None
    assert users_of(keyed[:3], IDS) is None
    kept = keyed.attrs
    missing = pd.concat([keyed, applications[5:]], ignore_index=True)
    missing.attrs = kept
    users = users_of(missing, IDS)
    assert users is not None
    assert users[:5].tolist() == [0, 1, 2, 2, 0]
    assert users[5] not in users[:5], "a missing value is a user of its own"


@pytest.mark.parametrize("dtype", [object, "Int64", "int64[pyarrow]", "category", "string"])
def test_a_missing_value_is_a_user_of_its_own(dtype: Any) -> None:
    frame = pd.DataFrame({"user_id": pd.Series([5, None, 5, None], dtype=object).astype(dtype)})
    users = users_of(frame, IDS)
    assert users is not None
    assert users[0] == users[2]
    assert len(set(users.tolist())) == 3


# ---- folds


@settings(deadline=None)
@given(n_users=st.integers(20, 80), n_folds=st.integers(2, 4), seed=st.integers(0, 99))
def test_folds_part_the_rows_and_no_user(n_users: int, n_folds: int, seed: int) -> None:
    users, y = population(n_users, seed)
    if n_of_rarest(y, users) < n_folds:
        return
    found = folds(y, users, n_folds, random(seed))
    np.testing.assert_array_equal(np.sort(np.concatenate(found)), np.arange(len(y)))
    of_folds = [set(users[part]) for part in found]
    assert sum(map(len, of_folds)) == n_users
    assert all((np.diff(part) > 0).all() for part in found)
    assert all(set(np.delete(y, part)) == {0, 1} for part in found)


def test_folds_have_like_shares_of_the_classes() -> None:
    users, y = population(600)
    for part in folds(y, users, 5, random()):
        assert len(part) == pytest.approx(len(y) / 5, rel=0.05)
        assert y[part].mean() == pytest.approx(y.mean(), abs=0.02)


def test_without_users_folds_are_those_of_scikit_learn() -> None:
    _, y = population(50)
    oracle = StratifiedKFold(4, shuffle=True, random_state=random()).split(y, y)
    for users in (None, np.arange(len(y))):  # also where each comes once
        found = folds(y, users, 4, random())
        oracle = StratifiedKFold(4, shuffle=True, random_state=random()).split(y, y)
        for part, (_, wanted) in zip(found, oracle, strict=True):
            np.testing.assert_array_equal(part, wanted)


def test_rarest_class() -> None:
    y, users = np.array([0, 0, 0, 1, 1, 1]), np.array([0, 1, 2, 3, 3, 4])
    assert n_of_rarest(y) == 3
    assert n_of_rarest(y, users) == 2


# ---- early stopping


@settings(deadline=None)
@given(
    n_users=st.integers(40, 120),
    fraction=st.sampled_from([0.1, 0.2, 0.5]),
    n_parts=st.integers(1, 5),
    seed=st.integers(0, 99),
)
def test_whole_users_are_held_out(n_users: int, fraction: float, n_parts: int, seed: int) -> None:
    users, y = population(n_users, seed)
    if n_of_rarest(y, users) < 6:
        return
    parts = hold_out(y, [0, 1], users, fraction, n_parts, random(seed))
    assert len(parts) == n_parts
    for part in parts:
        assert not set(users[part]) & set(np.delete(users, part))
        for label in (0, 1):
            n_held = (y[part] == label).sum()
            assert 0 < n_held < (y == label).sum()
            # The cut falls between two users, of whom none has more than five applications.
            assert abs(n_held - fraction * (y == label).sum()) <= 5


def test_networks_hold_out_users_of_their_own_as_long_as_there_are_some() -> None:
    users, y = population(300)
    parts = hold_out(y, [0, 1], users, 0.18, 5, random())
    seen = [set(users[part]) for part in parts]
    assert sum(map(len, seen)) == len(set().union(*seen))
    again = hold_out(y, [0, 1], users, 0.5, 5, random())
    assert all(0.4 < len(part) / len(y) < 0.6 for part in again)


def test_without_users_rows_are_drawn_as_ever() -> None:
    """The same seed held these rows out before users were looked at."""
    y = np.array([0, 1] * 10)
    wanted = []
    drawn = random(3)
    for label in (0, 1):
        rows = drawn.permutation(np.flatnonzero(y == label))
        wanted.append([rows[:2], rows[2:4]])
    parts = hold_out(y, [0, 1], None, 0.2, 2, random(3))
    for number, part in enumerate(parts):
        np.testing.assert_array_equal(part, np.sort(np.concatenate([w[number] for w in wanted])))


def test_one_class_alone_is_held_out_too() -> None:
    users, _ = population(50)
    (part,) = hold_out(np.zeros(len(users), dtype=np.int64), ["none"], users, 0.2, 1, random())
    assert len(part) == pytest.approx(0.2 * len(users), abs=5)


def test_refusals() -> None:
    X = pd.DataFrame({"user_id": np.arange(20) // 2, "age": np.arange(20.0)})
    y = np.append(np.zeros(18, dtype=int), [1, 1])  # of the last user alone
    with pytest.raises(ValueError, match=r"whole users, but too few have class 1.*id_columns"):
        HUIHENClassifier(**STOPPED_EARLY).fit(X, y)
    with pytest.raises(ValueError, match=r"base_estimator is cross-fitted, .* two users"):
        HUIHENClassifier(**STOPPED_EARLY, base_estimator=LogisticRegression()).fit(X, y)
    with pytest.raises(ValueError, match=r"5 users of each class in old_y, but one class has 1"):
        HUIHENClassifier(**STOPPED_EARLY).warm_start_from(X, y, teacher="lightgbm")
    HUIHENClassifier(max_epochs=1).fit(X, y)


# ---- users who come back


class Noted(ClassifierMixin, BaseEstimator):
    """Notes whom it is asked for though it was fitted on them."""

    fitted: list[set[int]] = []
    asked: list[tuple[int, set[int]]] = []

    def fit(self, X: Any, y: Any) -> Noted:
        self.classes_, self.number_ = np.unique(y), len(Noted.fitted)
        Noted.fitted.append(set(X["customer"]))
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        Noted.asked.append((self.number_, set(X["customer"])))
        return np.full((len(X), 2), 0.5)


@pytest.fixture
def table() -> tuple[pd.DataFrame, np.ndarray]:
    users, y = population(90)
    rng = np.random.default_rng(1)
    data = {"customer": users, "age": rng.normal(size=len(y)), "income": rng.normal(size=len(y))}
    return pd.DataFrame(data), y


@pytest.fixture
def held_out(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """Collect what networks hold out."""
    found: list[np.ndarray] = []
    original = Trainer.hold_out

    def note(self: Any, *args: Any) -> list[np.ndarray]:
        found.extend(original(self, *args))
        return found

    monkeypatch.setattr(Trainer, "hold_out", note)
    return found


def quick(**params: Any) -> HUIHENClassifier:
    ids = {"id_columns": ("customer",)}
    return HUIHENClassifier(
        **{**STOPPED_EARLY, "max_epochs": 1, "random_state": 0, **ids, **params}
    )


def assert_apart(rows: np.ndarray, users: np.ndarray) -> None:
    assert not set(users[rows]) & set(np.delete(users, rows))


def test_early_stopping_keeps_users_together(table: Any, held_out: Any, tmp_path: Any) -> None:
    X, y = table
    users = X["customer"].to_numpy()
    quick(n_estimators=3).fit(X, y)
    in_memory = list(held_out)
    for rows in in_memory:
        assert_apart(rows, users)
    assert len(set().union(*(users[rows] for rows in in_memory))) == sum(
        len(set(users[rows])) for rows in in_memory
    )
    # Rows of weight 0 are left out before.
    held_out.clear()
    used = np.arange(len(y)) % 4 > 0
    quick().fit(X, y, sample_weight=used.astype(float))
    assert_apart(held_out[0], users[used])
    # The same rows where the table is a file.
    held_out.clear()
    X.assign(overdue=y).to_parquet(tmp_path / "X.parquet")
    quick(n_estimators=3).fit(tmp_path / "X.parquet", "overdue")
    for rows, wanted in zip(held_out, in_memory, strict=True):
        np.testing.assert_array_equal(rows, wanted)


@pytest.mark.parametrize("role", ["base_estimator", "teacher"])
def test_models_beside_are_not_asked_for_users_that_they_have_seen(table: Any, role: str) -> None:
    X, y = table
    Noted.fitted.clear(), Noted.asked.clear()
    quick(**{role: Noted()}, n_estimators=2).fit(X, y)
    assert len(Noted.asked) >= 5
    assert all(not users & Noted.fitted[number] for number, users in Noted.asked)


def test_step_one_keeps_users_together(table: Any, held_out: Any) -> None:
    X, y = table
    quick().warm_start_from(X, y, teacher=None)
    assert_apart(held_out[0], X["customer"].to_numpy())


def test_guidance_of_step_one_comes_from_other_users() -> None:
    """Labels that are a user's own, and a teacher that recognizes the user."""
    users = np.repeat(np.arange(60), 4)
    y = random().randint(2, size=60)[users]
    X = np.column_stack([users * 10.0 + random().normal(size=240)])
    memory, weight = KNeighborsClassifier(1), np.ones(240)
    for cv in (4, GroupKFold(4)):
        guidance = cross_fit(memory, X, y, weight, cv, random(), users=users)
        assert roc_auc_score(y, guidance) < 0.65
    assert roc_auc_score(y, cross_fit(memory, X, y, weight, 4, random())) > 0.95
    _, log_odds = fit_base(memory, X, y, weight, random(), users=users)
    assert roc_auc_score(y, log_odds) < 0.65


def test_the_teacher_of_step_one_is_fitted_on_other_users() -> None:
    users = np.repeat(np.arange(60), 4)
    y = random().randint(2, size=60)[users]
    X = pd.DataFrame({"customer": users, "place": users * 10.0 + random().normal(size=240)})
    model = quick().warm_start_from(X, y, teacher=KNeighborsClassifier(1), cv=4)
    assert model.old_data is not None
    (guidance,) = model.old_data._learned.guidance.values()
    assert roc_auc_score(y, guidance) < 0.65


def test_where_nobody_comes_back_nothing_changes(table: Any) -> None:
    X, y = table
    numbered = X.assign(customer=np.arange(len(X)))
    base = {"base_estimator": FROM_AGE, "n_estimators": 2}
    for params in ({}, base):
        without = quick(**params).fit(X.drop(columns="customer"), y)
        unique = quick(**params).fit(numbered, y)
        np.testing.assert_array_equal(without.predict_proba(X), unique.predict_proba(X))
        together = quick(**params).fit(X, y)
        assert not np.array_equal(together.predict_proba(X), unique.predict_proba(X))


class FromAge(LogisticRegression):
    """A model of one column, whatever table it is given."""

    def fit(self, X: Any, y: Any) -> Any:
        return super().fit(X[["age"]], y)

    def predict_proba(self, X: Any) -> np.ndarray:
        return super().predict_proba(X[["age"]])


FROM_AGE = FromAge()
