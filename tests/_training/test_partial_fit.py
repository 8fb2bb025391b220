"""HUIHENClassifier.partial_fit: labelled applications that arrive week by week."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from sklearn import config_context
from sklearn.base import clone
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from skorch.callbacks import Callback, EarlyStopping

from skhuihen import (
    BehaviorAbstractor,
    HUIHENClassifier,
    ProfileEncoder,
    Sessionizer,
    attach_behaviors,
)
from skhuihen._events.behaviors import Behaviors
from skhuihen.datasets import make_loan_data
from tests.models import STOPPED_EARLY


@pytest.fixture(scope="module")
def bank() -> Any:
    return make_loan_data(n_new=300, n_old=400, overdue_rate=0.3, random_state=0)


@pytest.fixture(scope="module")
def X(bank: Any) -> pd.DataFrame:
    sessionizer = Sessionizer(max_sessions=5)
    raw = attach_behaviors(bank.applications, bank.events)
    return sessionizer.fit_transform(BehaviorAbstractor().fit_transform(raw))


def quick(**params: Any) -> HUIHENClassifier:
    return HUIHENClassifier(**{**STOPPED_EARLY, "max_epochs": 3, "random_state": 0, **params})


def assert_equal(one: HUIHENClassifier, other: HUIHENClassifier, X: pd.DataFrame) -> None:
    np.testing.assert_array_equal(one.predict_proba(X), other.predict_proba(X))
    assert one.n_iter_ == other.n_iter_
    pd.testing.assert_frame_equal(
        one.history_.drop(columns="dur"), other.history_.drop(columns="dur")
    )


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"class_weight": "balanced", "dtype": "float64"},
        {"net_params": {"optimizer": torch.optim.SGD, "optimizer__momentum": 0.9}},
    ],
    ids=["as shipped", "balanced", "other optimizer"],
)
def test_calls_on_the_same_rows_are_epochs_of_fit(
    params: dict[str, Any], X: pd.DataFrame, y: np.ndarray
) -> None:
    """Optimizer, shuffling and dropout go on where they were."""
    weight = np.linspace(0, 2, len(X))
    whole = quick(early_stopping=False, **params).fit(X, y, sample_weight=weight)
    steps = quick(**params)
    for n in range(1, 4):
        assert steps.partial_fit(X, y, sample_weight=weight) is steps
        assert steps.n_iter_ == len(steps.history_) == n
    assert_equal(steps, whole, X)
    parted = quick(early_stopping=False, **params).set_params(max_epochs=2)
    parted.fit(X, y, sample_weight=weight).partial_fit(X, y, sample_weight=weight)
    assert_equal(parted, whole, X)
    # The test must be able to fail: a new optimizer would go another way.
    assert not np.array_equal(
        quick(**params).partial_fit(X, y, sample_weight=weight).predict_proba(X),
        whole.predict_proba(X),
    )


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("copied", [lambda model: pickle.loads(pickle.dumps(model)), copy.deepcopy])
def test_a_copy_goes_on_to_the_bit(
    copied: Any, early_stopping: bool, X: pd.DataFrame, y: np.ndarray
) -> None:
    old, new = slice(0, 200), slice(200, 300)
    model = quick(early_stopping=early_stopping).fit(X[old], y[old])
    twin = copied(model)
    for _ in range(2):
        model.partial_fit(X[new], y[new])
        twin = copied(twin).partial_fit(X[new], y[new])
    assert_equal(twin, model, X)
    assert model.n_iter_ == 5
    assert list(model.history_.index) == [1, 2, 3, 4, 5]
    assert len(pickle.dumps(model)) < 1_000_000, "a fitted classifier holds no row"


def test_scoring_in_between_changes_nothing(X: pd.DataFrame, y: np.ndarray) -> None:
    state = torch.get_rng_state(), np.random.get_state()[1].copy()
    model, other = (quick().partial_fit(X[:200], y[:200]) for _ in range(2))
    other.predict_proba(X)
    assert_equal(model.partial_fit(X[200:], y[200:]), other.partial_fit(X[200:], y[200:]), X)
    assert torch.equal(state[0], torch.get_rng_state())
    np.testing.assert_array_equal(state[1], np.random.get_state()[1])


def test_learns_week_by_week() -> None:
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"age": rng.normal(size=2400), "os": rng.choice(["a", "b"], 2400)})
    y = (X["age"] + (X["os"] == "a") + rng.normal(size=2400) > 0.5).astype(int).to_numpy()
    model = HUIHENClassifier(n_estimators=1, lr=0.1, dropout=0.0, random_state=0)
    for week in range(20):
        rows = slice(100 * week, 100 * (week + 1))
        model.partial_fit(X[rows], y[rows])
    assert roc_auc_score(y[2000:], model.predict_proba(X[2000:])[:, 1]) > 0.8
    # What has changed in the world is learned over what was there.
    before = model.predict_proba(X[2000:])[:, 1]
    for week in range(20):
        rows = slice(100 * week, 100 * (week + 1))
        model.partial_fit(X[rows], 1 - y[rows])
    assert roc_auc_score(1 - y[2000:], model.predict_proba(X[2000:])[:, 1]) > 0.8
    assert roc_auc_score(1 - y[2000:], before) < 0.2


def test_what_the_first_call_learned_stays(X: pd.DataFrame, y: np.ndarray) -> None:
    model = quick(n_topics=3).partial_fit(X[:200], y[:200])
    encoder, vocabulary = model.profile_encoder_, model.vocabulary_
    loadings = model.topics_.loadings_.copy()
    encoded = encoder.transform(X)
    events = Behaviors.from_column(X["behaviors"][200:])
    renamed = events.with_fields(behavior=pa.array(["never seen"] * events.n_events))
    with pytest.warns(UserWarning, match="'user__age' holds 100 of 100 values outside the range"):
        model.partial_fit(X[200:].assign(behaviors=renamed.to_array(), user__age=99), y[200:])
    assert model.profile_encoder_ is encoder
    assert model.vocabulary_ is vocabulary
    assert loadings.any()
    np.testing.assert_array_equal(model.topics_.loadings_, loadings)
    np.testing.assert_array_equal(encoder.transform(X), encoded)


def test_a_batch_of_one_class(X: pd.DataFrame, y: np.ndarray) -> None:
    model = quick(lr=0.01).fit(X, y)
    rate = model.predict_proba(X)[:, 1].mean()
    for _ in range(5):
        model.partial_fit(X[y == 1], y[y == 1])
    assert model.predict_proba(X)[:, 1].mean() > rate + 0.05
    one_row = X.iloc[[0]]
    assert np.isfinite(model.partial_fit(one_row, y[:1]).predict_proba(X)).all()


def test_classes_of_the_first_call(X: pd.DataFrame, y: np.ndarray) -> None:
    good = X[y == 0]
    labels = np.where(y == 1, "overdue", "good")
    with pytest.raises(ValueError, match=r"y contains only one class, 0\. .*classes=\[\.\.\.\]"):
        quick().partial_fit(good, y[y == 0])
    model = quick().partial_fit(good, labels[y == 0], classes=["overdue", "good"])
    assert model.classes_.tolist() == ["good", "overdue"]
    assert np.isfinite(model.predict_proba(X)).all()
    assert (model.predict(X) == "good").all()
    model.partial_fit(X, labels, classes=["good", "overdue"])
    with pytest.raises(ValueError, match=r"classes=.* differs from the first call"):
        model.partial_fit(X, labels, classes=["good", "bad"])
    with pytest.raises(ValueError, match=r"y contains \[0, 1\], but the classes are \['good'"):
        model.partial_fit(X, y)
    with pytest.raises(ValueError, match=r"y contains \[2\]"):
        quick().partial_fit(X, y + 1, classes=[0, 1])
    with pytest.raises(ValueError, match="classes contains only one class, 1"):
        quick().partial_fit(X, y, classes=[1])
    with pytest.raises(ValueError, match="Only binary classification"):
        quick().partial_fit(X, y, classes=[0, 1, 2])
    with pytest.raises(ValueError, match="'balanced' requires rows of both classes"):
        quick(class_weight="balanced").partial_fit(good, y[y == 0], classes=[0, 1])
    # Nothing of a refused first call is in the way of the next one.
    model = quick()
    with pytest.raises(ValueError, match="X has neither"):
        model.partial_fit(X[["user_id", "applied_at"]], labels)
    assert_equal(model.partial_fit(X, y), quick().partial_fit(X, y), X)


def test_weights_mean_the_same_in_every_call(X: pd.DataFrame, y: np.ndarray) -> None:
    """A row of weight w is a step w times as long, whatever stands beside it in its call."""
    sgd = {"optimizer": torch.optim.SGD}
    params: dict[str, Any] = {"net_params": sgd, "dropout": 0.0, "batch_size": -1}
    start = quick(weight_decay=0.0, lr=1e-3, **params).partial_fit(X, y, sample_weight=y + 2.0)

    def step(weight: float) -> np.ndarray:
        model = copy.deepcopy(start)
        before = [p.detach().clone() for p in model.net_.module_.parameters()]
        model.partial_fit(X[:50], y[:50], sample_weight=np.full(50, weight))
        after = model.net_.module_.parameters()
        moves = [(a - b).flatten() for a, b in zip(after, before, strict=True)]
        return torch.cat(moves).detach().numpy()

    np.testing.assert_allclose(step(6.0), 3 * step(2.0), atol=1e-7)
    assert np.abs(step(2.0)).max() > 1e-5
    # So twice all weights from the first call on are no change; and one class keeps its weight.
    plain = quick().partial_fit(X, y).partial_fit(X[:50], y[:50])
    twice = quick()
    for part in (slice(None), slice(50)):
        twice.partial_fit(X[part], y[part], sample_weight=np.full(len(X[part]), 2.0))
    assert_equal(twice, plain, X)
    overdue = X[y == 1], y[y == 1]
    weighted = quick(class_weight={0: 1, 1: 3}).partial_fit(X, y).partial_fit(*overdue)
    by_hand = quick().partial_fit(X, y, sample_weight=1 + 2 * y)
    by_hand.partial_fit(*overdue, sample_weight=np.full(len(overdue[1]), 3.0))
    np.testing.assert_array_equal(weighted.predict_proba(X), by_hand.predict_proba(X))


def test_rows_of_weight_zero_are_left_out(X: pd.DataFrame, y: np.ndarray) -> None:
    model, other = (quick().fit(X, y) for _ in range(2))
    model.partial_fit(X, y, sample_weight=np.arange(300) < 100)
    assert_equal(model, other.partial_fit(X[:100], y[:100]), X)
    with pytest.raises(ValueError, match=r"0 in every row|at least one non-zero"):
        model.partial_fit(X, y, sample_weight=np.zeros(300))


def test_after_a_warm_start(X: pd.DataFrame, bank: Any, y: np.ndarray) -> None:
    start = quick().warm_start_from(bank.old_applications, bank.old_y, max_epochs=1)
    model = clone(start).partial_fit(X, y)
    assert model.profile_encoder_ is start.warm_start_student_.profile_encoder_
    fitted = clone(start).set_params(max_epochs=1, early_stopping=False).fit(X, y)
    assert_equal(model, fitted, X)
    good = clone(start).partial_fit(X[y == 0], y[y == 0], classes=[0, 1])
    assert np.isfinite(good.predict_proba(X)).all()
    # What was learned from old data is shared by all clones, and none of them changes it.
    student = copy.deepcopy(start.warm_start_student_)
    model.partial_fit(X, y)
    assert_equal(student, start.warm_start_student_, bank.old_applications)


def test_changed_columns_are_refused_and_change_nothing(X: pd.DataFrame, y: np.ndarray) -> None:
    X = X.assign(user__segment=np.where(np.arange(300) % 2, "1", "2"))
    model = quick().fit(X, y)
    before = model.predict_proba(X), pickle.dumps(model.net_.optimizer_.state_dict())
    for table, kind, message in [
        (X.drop(columns="user__age"), ValueError, "user__age"),
        (X.assign(user__new=1), ValueError, "user__new"),
        (X[[*X.columns[::-1]]], ValueError, "same order"),
        (X.drop(columns="behaviors"), ValueError, "behaviors"),
        (X.drop(columns="applied_at"), ValueError, "no column 'applied_at'"),
        (X.assign(user__age="old"), TypeError, "'user__age' held numbers or booleans in fit"),
        (X.assign(user__segment=1), TypeError, "'user__segment' held texts or categories in fit"),
        (X.iloc[:0], ValueError, "X is empty"),
        (X.assign(user__age=np.inf), ValueError, "infinite"),
    ]:
        with pytest.raises(kind, match=message):
            model.partial_fit(table, y[: len(table)])
    np.testing.assert_array_equal(model.predict_proba(X), before[0])
    assert pickle.dumps(model.net_.optimizer_.state_dict()) == before[1]
    assert model.n_iter_ == 3
    # Missing values are of any type.
    model.partial_fit(X.assign(user__segment=None, user__age=np.nan), y)


def test_containers_and_absent_identifiers(X: pd.DataFrame, y: np.ndarray) -> None:
    model, other = (quick().partial_fit(X[:200], y[:200]) for _ in range(2))
    X = X.drop(columns=["user_id", "application_id"], errors="ignore")
    lists = X["behaviors"].array.to_arrow_ext_array(list_struct=True)
    polars = pl.from_pandas(X.drop(columns="behaviors")).with_columns(
        behaviors=pl.from_arrow(lists.__arrow_array__())
    )
    model.partial_fit(X[200:], y[200:])
    other.partial_fit(polars[200:].select(X.columns), pl.Series(y[200:]))
    np.testing.assert_allclose(other.predict_proba(X), model.predict_proba(X), atol=1e-6)


def test_parameters_changed_between_calls(X: pd.DataFrame, y: np.ndarray) -> None:
    model = quick(net_params={"module__hidden_units": (50, 25)}).fit(X, y)
    for params in [
        {"net_params": {"module__habit_dim": 5}},
        {"net_params": {"module__hidden_units": (20,)}},
        {"dropout": 0.1},
        {"net_params": {"module__hierarchical": False}},
        {"weight_decay": 0.1},
        {"dtype": "float64"},
        {"class_weight": "balanced"},
        {"net_params": {"optimizer": torch.optim.SGD}},
        {"callbacks": [Callback()]},
        {"applied_at": None},
        {"profile_encoder": ProfileEncoder({"user": ["user__age"]})},
    ]:
        (name,) = params
        kept = model.get_params()[name]
        with pytest.raises(ValueError, match=f"{name}=.* was changed.* a network made with"):
            model.set_params(**params).partial_fit(X, y)
        model.set_params(**{name: kept})
    # A list that says the same is no change.
    model.set_params(
        max_epochs=1,
        n_iter_no_change=1,
        random_state=7,
        id_columns=["user_id", "application_id"],
    )
    model.set_params(early_stopping=False).partial_fit(X, y)
    with pytest.raises(ValueError, match="'lr' parameter"):
        model.set_params(lr=-1).partial_fit(X, y)


def test_learning_rate_and_batch_size_count_from_then_on(X: pd.DataFrame, y: np.ndarray) -> None:
    def moved(**params: Any) -> tuple[float, int]:
        model = quick().fit(X, y)
        before = model.decision_function(X)
        model.set_params(**params).partial_fit(X, y)
        n_batches = len(model.net_.history[-1, "batches"])
        return float(np.abs(model.decision_function(X) - before).max()), n_batches

    move, n_batches = moved()
    assert n_batches == 5
    assert moved(lr=1e-6)[0] < move / 100
    assert moved(batch_size=100)[1] == 3


class CountsEpochs(Callback):
    n_epochs = 0

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        self.n_epochs += 1


def test_callbacks_are_called(X: pd.DataFrame, y: np.ndarray) -> None:
    counter = CountsEpochs()
    model = quick(callbacks=[counter]).fit(X, y).partial_fit(X, y)
    assert counter.n_epochs == 4
    stopping = ("own_stopping", EarlyStopping("valid_loss"))
    quick(callbacks=[stopping]).fit(X, y).partial_fit(X, y)  # no held-out part is asked for
    assert pickle.loads(pickle.dumps(model)).partial_fit(X, y).n_iter_ == 5


def test_history_has_no_held_out_part(X: pd.DataFrame, y: np.ndarray) -> None:
    model = quick().fit(X, y).partial_fit(X, y)
    assert model.history_["valid_auc"].isna().tolist() == [False, False, False, True]
    assert model.history_["train_loss"].notna().all()
    assert quick().partial_fit(X, y).history_.columns.tolist() == ["network", "dur", "train_loss"]


def test_fit_begins_anew(X: pd.DataFrame, y: np.ndarray) -> None:
    model = quick().partial_fit(X[:100], y[:100]).fit(X, y)
    assert_equal(model, quick().fit(X, y), X)


def test_events_after_a_first_call_without_any(X: pd.DataFrame, y: np.ndarray) -> None:
    none: Any = X.assign(behaviors=None)
    model, other = (quick().partial_fit(none, y) for _ in range(2))
    with pytest.warns(UserWarning, match="had no event in fit") as caught:
        model.partial_fit(X, y)
    assert caught[0].filename == __file__
    assert_equal(model, other.partial_fit(none, y), none)


def test_progress_bar_only_when_verbose(
    X: pd.DataFrame, y: np.ndarray, capfd: pytest.CaptureFixture[str]
) -> None:
    model = quick(verbose=1).fit(X, y)
    capfd.readouterr()
    model.partial_fit(X, y)
    assert "1/1" in capfd.readouterr().err
    model.set_params(verbose=0).partial_fit(X, y)
    assert capfd.readouterr() == ("", "")


def test_diverging_is_said(X: pd.DataFrame, y: np.ndarray) -> None:
    model = quick().fit(X, y).set_params(lr=1e30)
    with pytest.raises(ValueError, match="diverged"):
        model.partial_fit(X, y)


def test_on_plain_arrays() -> None:
    rng = np.random.default_rng(0)
    data = rng.normal(size=(200, 3))
    y = (data[:, 0] + 0.1 * data[:, 1] > 0).astype(int)
    model = HUIHENClassifier(n_estimators=1, lr=0.5, dropout=0.0, random_state=0)
    for _ in range(20):
        model.partial_fit(data, y)
    assert model.score(data, y) > 0.9
    with pytest.raises(ValueError, match="X has 2 features"):
        model.partial_fit(data[:, :2], y)


def test_behind_the_steps_of_a_pipeline(bank: Any) -> None:
    X = attach_behaviors(bank.applications, bank.events)
    model = make_pipeline(BehaviorAbstractor(), Sessionizer(), quick()).fit(X[:200], bank.y[:200])
    classifier = model[-1]
    classifier.partial_fit(model[:-1].transform(X[200:]), bank.y[200:])
    assert classifier.n_iter_ == 4
    assert model.predict_proba(X).shape == (300, 2)


def test_metadata_routing(X: pd.DataFrame, y: np.ndarray) -> None:
    with config_context(enable_metadata_routing=True):
        asked = quick().set_partial_fit_request(sample_weight=True, classes=True)
        request = asked.get_metadata_routing().partial_fit.requests
        assert request == {"sample_weight": True, "classes": True}


def test_a_changed_rate_keeps_the_rates_of_a_warm_start_apart() -> None:
    bank = make_loan_data(n_new=80, n_old=200, overdue_rate=0.4, random_state=0)
    model = HUIHENClassifier(max_epochs=1, n_estimators=1, random_state=0)
    model.warm_start_from(bank.old_applications, bank.old_y, teacher=None)
    model.partial_fit(bank.applications, bank.y)
    model.set_params(lr=0.1).partial_fit(bank.applications, bank.y)
    rates = [group["lr"] for group in model.net_.optimizer_.param_groups]
    assert sorted(set(np.round(rates, 12))) == [0.001, 0.01]
