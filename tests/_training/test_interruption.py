"""Ctrl-C, callbacks that stop training, and fits that fail: a whole model, or what was there."""

from __future__ import annotations

import inspect
import pickle
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.dummy import DummyClassifier
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted
from skorch.callbacks import Callback, EarlyStopping

from skhuihen import (
    BehaviorAbstractor,
    BehaviorTopics,
    HUIHENClassifier,
    IntervalStatistics,
    ProfileEncoder,
    Sessionizer,
    WindowStatistics,
    attach_behaviors,
)
from skhuihen.datasets import make_loan_data
from skhuihen.utils.estimator_checks import _assert_alike
from tests.models import STOPPED_EARLY

EVENTS = [
    *("on_train_begin", "on_epoch_begin", "on_batch_begin", "on_grad_computed"),
    *("on_batch_end", "on_epoch_end", "on_train_end"),
]


def quick(**params: Any) -> HUIHENClassifier:
    few = {
        **STOPPED_EARLY,
        "max_epochs": 3,
        "random_state": 0,
        "net_params": {"module__hidden_units": (8,)},
    }
    return HUIHENClassifier(**few | params)


@pytest.fixture(scope="module")
def data() -> Any:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 3))
    return X, (X[:, 0] + rng.normal(size=80) > 0).astype(int)


@pytest.fixture
def signals() -> Iterator[None]:
    """Let SIGINT do what it does in a Python of one's own, and SIGTERM what a handler may do."""

    def raise_it(*args: Any) -> None:
        raise KeyboardInterrupt

    before = {
        signal.SIGINT: signal.signal(signal.SIGINT, signal.default_int_handler),
        signal.SIGTERM: signal.signal(signal.SIGTERM, raise_it),
    }
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


class Does(Callback):
    """Does something when an event happens for the n-th time."""

    def __init__(self, event: str, do: Callable[..., None], n: int = 1) -> None:
        self.event, self.do, self.n = event, do, n

    def __getattribute__(self, name: str) -> Any:
        method = super().__getattribute__(name)
        return self.count if name in EVENTS and name == self.event else method

    def count(self, *args: Any, **kwargs: Any) -> None:
        self.n -= 1
        if self.n == 0:
            self.do(self)


def press_ctrl_c(callback: Callback) -> None:
    signal.raise_signal(signal.SIGINT)


def be_told_to_end(callback: Callback) -> None:
    signal.raise_signal(signal.SIGTERM)


def tidy_up(callback: Callback) -> None:
    try:
        signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("tidied up") from None


class TidiesUp(Callback):
    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        tidy_up(self)


class TidiesUpItself(Callback):
    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise KeyboardInterrupt("tidied up") from None


class SitsInC(Callback):
    def on_batch_end(self, net: Any, **kwargs: Any) -> None:
        signal.raise_signal(signal.SIGINT)


@pytest.mark.usefixtures("signals")
@pytest.mark.parametrize("do", [press_ctrl_c, be_told_to_end])
@pytest.mark.parametrize("event", EVENTS)
def test_ctrl_c_in_a_callback_reaches_the_user(event, do, data):
    model = quick(callbacks=[Does(event, do)])
    with pytest.raises(KeyboardInterrupt):
        model.fit(*data)
    with pytest.raises(NotFittedError):
        model.predict_proba(data[0])


@pytest.mark.usefixtures("signals")
@pytest.mark.parametrize("callback", [TidiesUp, TidiesUpItself, SitsInC])
def test_so_it_does_if_the_callback_handles_it(callback, data):
    with pytest.raises(KeyboardInterrupt):
        quick(callbacks=[callback()]).fit(*data)


class Stops(Callback):
    """Stops training as skorch's own callbacks do."""

    def __init__(self, event: str, n: int) -> None:
        self.event, self.n = event, n

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        self.happens("on_train_begin")

    def on_batch_end(self, net: Any, training: bool, **kwargs: Any) -> None:
        if training:
            self.happens("on_batch_end")

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        self.happens("on_epoch_end")

    def on_train_end(self, net: Any, **kwargs: Any) -> None:
        self.happens("on_train_end")

    def happens(self, event: str) -> None:
        if event == self.event:
            self.n -= 1
            if self.n == 0:
                raise KeyboardInterrupt


class Counts(Callback):
    n_epochs = n_ends = 0

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        self.n_epochs += 1

    def on_train_end(self, net: Any, **kwargs: Any) -> None:
        self.n_ends += 1


@pytest.mark.parametrize(
    ("stopping", "n_epochs"),
    [
        (Stops("on_epoch_end", 2), 2),
        (Stops("on_batch_end", 4), 1),  # two batches an epoch
        (Stops("on_train_end", 1), 4),
        (EarlyStopping("train_loss", patience=2, threshold=100, threshold_mode="abs"), 3),
    ],
)
@pytest.mark.parametrize("early_stopping", [True, False])
def test_a_callback_may_stop_training(stopping, n_epochs, early_stopping, data):
    counts = Counts()
    model = quick(
        max_epochs=4, early_stopping=early_stopping, callbacks=[clone_of(stopping), counts]
    )
    model.fit(*data)
    assert model.n_iter_ == len(model.history_) == n_epochs
    assert model.history_["train_loss"].notna().all()
    assert np.isfinite(model.predict_proba(data[0])).all()
    assert (counts.n_epochs, counts.n_ends) == (n_epochs, 1), "every callback hears of it"
    assert len(pickle.loads(pickle.dumps(model)).history_) == n_epochs


def clone_of(callback: Callback) -> Callback:
    return pickle.loads(pickle.dumps(callback))


@pytest.mark.parametrize("stopping", [Stops("on_train_begin", 1), Stops("on_batch_end", 1)])
def test_stopped_before_an_epoch_has_ended(stopping, data):
    model = quick(callbacks=[clone_of(stopping)])
    with pytest.raises(ValueError, match="before the end of the first epoch"):
        model.fit(*data)
    with pytest.raises(NotFittedError):
        model.predict_proba(data[0])


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (
            {"net_params": {"iterator_train__drop_last": True}, "batch_size": 100},
            "training rows do not fill one batch of batch_size=100.*iterator_train__drop_last",
        ),
        (
            {"net_params": {"iterator_valid__drop_last": True}},
            "held-out rows do not fill one batch of batch_size=256.*iterator_valid__drop_last",
        ),
    ],
)
@pytest.mark.parametrize("is_warm", [False, True])
def test_fewer_rows_than_a_batch(params, message, is_warm, data):
    X, y = data
    model = quick(**params)
    if is_warm:
        net_params = model.net_params
        model.set_params(net_params=None).warm_start_from(X, y, teacher=None)
        model.set_params(net_params=net_params)
    with pytest.raises(ValueError, match=message):
        model.fit(X, y)
    with pytest.raises(NotFittedError):
        model.predict_proba(X)


def test_full_batches_may_be_all_that_counts(data):
    model = quick(net_params={"iterator_train__drop_last": True}, early_stopping=False)
    assert model.fit(*data).history_["train_loss"].notna().all()
    with pytest.raises(ValueError, match="not fill one batch of batch_size=64"):
        model.partial_fit(data[0][:20], data[1][:20])
    assert model.n_iter_ == len(model.net_.history) == 3


# --------------------------------------------------------------------------------------------------
# Whatever goes wrong, and wherever.


def calls_of(function: Callable[[], Any], interrupt_at: int | None = None) -> int:
    """Count the calls of functions of this package and of skorch; press Ctrl-C at one of them."""
    n = 0

    def watch(frame: Any, event: str, argument: Any) -> None:
        nonlocal n
        if event != "call" or frame.f_code.co_flags & inspect.CO_GENERATOR:
            return  # Python swallows what is raised while it tidies a generator up
        if frame.f_globals.get("__name__", "").startswith(("skhuihen.", "skorch.")):
            n += 1
            if n == interrupt_at:
                raise KeyboardInterrupt

    before = sys.getprofile()
    sys.setprofile(watch)
    try:
        function()
    finally:
        sys.setprofile(before)
    return n


def assert_safe(
    method: Callable[[Any], Any], make: Callable[[], Any], n_places: int = 5
) -> list[Any]:
    """Interrupt a method at places all over it; the estimators must stay as they were."""
    method(make())  # what is done but once is done now
    untouched = make()
    n_calls = calls_of(lambda: method(untouched))
    estimators = []
    for place in np.unique(np.linspace(1, n_calls, n_places).astype(int)).tolist():
        estimator = make()
        before = dict(vars(estimator))
        with pytest.raises(KeyboardInterrupt):
            calls_of(lambda estimator=estimator: method(estimator), interrupt_at=place)
        after = vars(estimator)
        assert list(after) == list(before), place
        assert all(after[name] is value for name, value in before.items()), place
        estimators.append(estimator)
    return estimators


@pytest.fixture(scope="module")
def tables() -> Any:
    """Return two tables of other columns and histories, and labels."""
    bank = make_loan_data(n_new=60, n_old=0, overdue_rate=0.4, random_state=0)
    X = Sessionizer().fit_transform(attach_behaviors(bank.applications, bank.events))
    return X, X[30:].drop(columns="user__age"), np.arange(60) % 2


ESTIMATORS = [
    Sessionizer(),
    BehaviorAbstractor(n_behaviors=10, n_items=5),
    WindowStatistics(n_operations=5),
    IntervalStatistics(n_operations=3),
    BehaviorTopics(n_topics=3),
    ProfileEncoder(),
    quick(max_epochs=2, teacher=DummyClassifier(), base_estimator=DummyClassifier()),
]


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda estimator: type(estimator).__name__)
def test_an_interrupted_fit_leaves_all_as_it_was(estimator, tables):
    X, other, y = tables
    fitted = clone(estimator).fit(X, y)
    pickled = pickle.dumps(fitted)

    def fit(model: Any) -> None:
        model.fit(other, y[30:])

    for model in assert_safe(fit, lambda: pickle.loads(pickled)):
        _assert_alike(model.transform(X), fitted.transform(X), "interrupted")
    assert_safe(fit, lambda: clone(estimator), n_places=3)
    if isinstance(estimator, Sessionizer):  # the only one that does not call fit for it
        assert_safe(lambda model: model.fit_transform(other), lambda: clone(estimator), n_places=3)


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda estimator: type(estimator).__name__)
def test_so_does_a_fit_that_fails(estimator, tables):
    X, _, y = tables
    bad = X.assign(behaviors="none")
    if isinstance(estimator, ProfileEncoder):
        bad = X.assign(
            user__age=X["application_id"].astype(str) + "!"
        )  # one of its own in each row
    model = clone(estimator)
    with pytest.raises((TypeError, ValueError)):
        model.fit(bad, y)
    with pytest.raises(NotFittedError):
        check_is_fitted(model, "n_features_in_")
    before = dict(vars(model.fit(X, y)))
    with pytest.raises((TypeError, ValueError)):
        model.fit(bad, y)
    assert all(vars(model)[name] is value for name, value in before.items())
    assert len(vars(model)) == len(before)


def test_nothing_of_an_earlier_fit_stays_behind(tables):
    X, _, y = tables
    model = quick(max_epochs=1, base_estimator=DummyClassifier()).fit(X, y)
    assert {"base_estimator_", "feature_names_in_"} <= set(vars(model))
    model.set_params(base_estimator=None).fit(np.eye(60), y)
    fresh = quick(max_epochs=1).fit(np.eye(60), y)
    assert set(vars(model)) == set(vars(fresh))
    assert not {"base_estimator_", "feature_names_in_"} & set(vars(model))


class InterruptsSecond(Callback):
    """Presses Ctrl-C in the second network's second batch of `partial_fit`."""

    n = 0
    is_on = False

    def on_batch_end(self, net: Any, **kwargs: Any) -> None:
        self.n += self.is_on
        if self.is_on and self.n == 4:
            signal.raise_signal(signal.SIGINT)


@pytest.mark.usefixtures("signals")
@pytest.mark.parametrize("failure", ["ctrl-c", "divergence"])
def test_a_failed_partial_fit_is_undone_to_the_bit(failure, data, monkeypatch):
    X, y = data
    callback = InterruptsSecond()
    model = quick(n_estimators=2, dropout=0.5, verbose=1, callbacks=[callback]).fit(X, y)
    twin = pickle.loads(pickle.dumps(model))
    before, history = model.predict_proba(X), model.history_
    callbacks = [list(net.callbacks_) for net in model.estimators_]
    if failure == "ctrl-c":
        callback.is_on = True
        with pytest.raises(KeyboardInterrupt):
            model.partial_fit(X, y)
        callback.is_on = False
    else:
        with pytest.raises(ValueError, match="diverged"):
            model.set_params(lr=1e30).partial_fit(X, y)
        model.set_params(lr=1e-3)
    np.testing.assert_array_equal(model.predict_proba(X), before)
    pd.testing.assert_frame_equal(model.history_, history)
    assert [net.callbacks_ for net in model.estimators_] == callbacks
    pickle.dumps(model)
    # It goes on as if nothing had been.
    model.partial_fit(X, y)
    np.testing.assert_array_equal(model.predict_proba(X), twin.partial_fit(X, y).predict_proba(X))
    assert model.net_.history[-1, "epoch"] == 4


def test_an_interrupted_first_partial_fit_leaves_it_unfitted(data):
    assert_safe(lambda model: model.partial_fit(*data), quick)


def test_an_interrupted_warm_start_leaves_the_earlier_one(data):
    X, y = pd.DataFrame(data[0], columns=list("abc")), data[1]
    model = quick().warm_start_from(X, y, teacher=None)
    pickled = pickle.dumps(model)

    def again(model: Any) -> None:
        model.warm_start_from(X[:60], y[:60], teacher=None)

    for interrupted in assert_safe(again, lambda: pickle.loads(pickled)):
        found = interrupted.warm_start_student_.predict_proba(X)
        np.testing.assert_array_equal(found, model.warm_start_student_.predict_proba(X))
