"""How the network is trained."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import BaseEstimator, ClassifierMixin, is_classifier
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import accuracy_score, log_loss, make_scorer, roc_auc_score
from skorch.callbacks import BatchScoring, Callback, EarlyStopping, EpochScoring
from torch.nn.functional import cross_entropy

import skhuihen._training.callbacks
from skhuihen import HUIHENClassifier
from skhuihen._training.callbacks import BestEpochOrStart, ValidationAUC
from skhuihen._training.guided import GuidedLoss
from skhuihen.metrics import ks_score
from tests.models import STOPPED_EARLY


@pytest.fixture(scope="module")
def data() -> Any:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 3))
    return X, (X[:, 0] + rng.normal(size=200) > 0).astype(int)


# --------------------------------------------------------------------------------------------------
# Threads and processes.


def run(program: str) -> str:
    """Run a program in a process of its own, with two threads where it does not say."""
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_threads_of_the_caller_are_left_as_they_were():
    """Threads that start inside `fit` inherit how it computes, and outlive it."""
    found = run("""
        import numpy as np, torch
        from skhuihen import HUIHENClassifier

        torch.set_num_threads(2)
        for flushes in (False, True):
            torch.set_flush_denormal(flushes)
            X = np.random.default_rng(0).normal(size=(2_000, 40))
            wide = {"module__hidden_units": (200, 50)}
            few = {"max_epochs": 1, "n_estimators": 1, "teacher": None}
            model = HUIHENClassifier(**few, batch_size=-1, net_params=wide)
            model.fit(X, np.arange(2_000) % 2).predict_proba(X)
            one = torch.full((1,), 1e-39) * 1
            many = torch.full((4_000_000,), 1e-39) * 1
            print(bool(one == 0), int((many == 0).sum()) if not flushes else "")
    """)
    assert found.split() == ["False", "0", "True"]


@pytest.mark.slow
def test_processes_score_after_a_parent_that_used_two_threads():
    """As docs/composition.md says: spawned, or forked with one thread in the child."""
    found = run("""
        import multiprocessing, pickle, sys, warnings
        import numpy as np, torch
        from skhuihen import HUIHENClassifier

        warnings.simplefilter("ignore", DeprecationWarning)  # Python's, of forks beside threads
        X = np.random.default_rng(0).normal(size=(2_000, 40))
        wide = {"module__hidden_units": (200, 50)}
        few = {"max_epochs": 1, "n_estimators": 1, "teacher": None}
        model = HUIHENClassifier(**few, batch_size=-1, net_params=wide)
        model.fit(X, np.arange(2_000) % 2)
        (torch.ones(4_000_000) * 2).sum()
        wanted = model.predict_proba(X)
        for method, initializer, arguments in [
            ("spawn", None, ()), ("fork", torch.set_num_threads, (1,))
        ]:
            context = multiprocessing.get_context(method)
            with context.Pool(1, initializer, arguments) as pool:
                found = pool.apply(model.predict_proba, (X,))
            print(method, np.abs(found - wanted).max() < 1e-5)
    """)
    assert found.split() == ["spawn", "True", "fork", "True"]


# --------------------------------------------------------------------------------------------------
# What is judged, and which epoch is kept.


class Judges(Callback):
    """Keeps logits, labels, weights and guidance of each epoch, and judges them itself."""

    def __init__(self) -> None:
        self.epochs: list[dict[str, float]] = []

    def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
        self.seen: dict[bool, list[Any]] = {True: [], False: []}

    def on_batch_end(
        self, net: Any, batch: Any, training: bool, y_pred: Any, **kwargs: Any
    ) -> None:
        x, y = batch
        guidance = torch.full(y.shape, 0.5) if x.guidance is None else x.guidance
        self.seen[training].append((y_pred.detach(), y, x.weight, guidance))

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        judged = {}
        for name, training in (("train", True), ("valid", False)):
            logits, y, weight, guidance = map(torch.cat, zip(*self.seen[training], strict=True))
            log_odds = (logits[:, 1] - logits[:, 0]).numpy()
            judged[f"{name}_auc"] = roc_auc_score(y, log_odds, sample_weight=weight)
            loss = cross_entropy(logits, y, reduction="none")
            judged[f"{name}_cross_entropy"] = np.average(loss, weights=weight)
            p, q = torch.softmax(logits, 1)[:, 1].double(), guidance.double()
            divergence = (p - q) * (torch.logit(p) - torch.logit(q))
            judged[f"{name}_divergence"] = np.average(divergence, weights=weight)
        self.epochs.append(judged)


def test_scores_of_an_epoch_are_weighted(data):
    X, y = data
    weight = np.random.default_rng(1).exponential(size=200) ** 2 + 0.01
    judges = Judges()
    model = HUIHENClassifier(
        **STOPPED_EARLY, max_epochs=3, validation_fraction=0.4, callbacks=[judges]
    )
    model.fit(X, y, sample_weight=weight)
    expected = pd.DataFrame(judges.epochs)
    np.testing.assert_allclose(model.history_["valid_auc"], expected["valid_auc"])
    # The weighted mean of the loss, which the scale of the weights makes one of the rows.
    n = sum(len(part[1]) for part in judges.seen[False])
    total = sum(float(part[2].sum()) for part in judges.seen[False])
    loss = expected["valid_cross_entropy"] * total / n
    np.testing.assert_allclose(model.history_["valid_loss"], loss, rtol=1e-5)


class Scorecard(ClassifierMixin, BaseEstimator):
    """A teacher that knows the first column."""

    classes_ = np.array([0, 1])

    def fit(self, X: Any, y: Any) -> Any:
        return self

    def predict_proba(self, X: Any) -> Any:
        p = 1 / (1 + np.exp(-2 * np.asarray(X)[:, 0]))
        return np.column_stack([1 - p, p])


def test_parts_of_the_guided_loss_are_weighted(data):
    X, y = data
    weight = np.random.default_rng(1).exponential(size=200) ** 2 + 0.01
    judges = Judges()
    teacher = FrozenEstimator(Scorecard())
    model = HUIHENClassifier(
        **STOPPED_EARLY | {"teacher": teacher}, max_epochs=2, callbacks=[judges], random_state=0
    )
    history = model.fit(X, y, sample_weight=weight).history_
    for name, values in pd.DataFrame(judges.epochs).items():
        if name in history.columns:
            np.testing.assert_allclose(history[name], values, rtol=1e-4, atol=1e-6, err_msg=name)
    assert {"train_divergence", "valid_cross_entropy", "valid_auc"} <= set(history.columns)


def kept_epoch(model: HUIHENClassifier) -> int:
    return dict(model.net_.callbacks_)["early_stopping"].best_epoch_


def test_the_loss_decides_between_epochs_of_equal_auc():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 3))
    X[:, 0] += 6 * np.sign(X[:, 0])
    y = (X[:, 0] > 0).astype(int)
    model = HUIHENClassifier(
        **STOPPED_EARLY | {"lr": 0.01},
        max_epochs=12,
        n_iter_no_change=3,
        dropout=0.0,
        random_state=0,
    )
    history = model.fit(X, y).history_
    assert (history["valid_auc"] == 1).sum() > 6, "all of these are as good by AUC"
    best = history.query("valid_auc == 1")["valid_loss"].idxmin()
    assert kept_epoch(model) == best > (history["valid_auc"] == 1).idxmax(), "and not the first"


def test_the_auc_decides_before_the_loss(data):
    """On labels that are mostly noise, the two disagree."""
    X, _ = data
    y = (0.7 * X[:, 0] + np.random.default_rng(4).normal(size=200) > 1).astype(int)
    params = STOPPED_EARLY | {"max_epochs": 40, "n_iter_no_change": 40, "lr": 0.02, "dropout": 0.0}
    model = HUIHENClassifier(validation_fraction=0.4, random_state=0, **params).fit(X, y)
    auc, loss = model.history_["valid_auc"], model.history_["valid_loss"]
    assert auc[kept_epoch(model)] == auc.max()
    assert auc[(auc - loss).idxmax()] < auc.max()


def test_where_no_epoch_improves_on_a_warm_start_it_is_kept():
    """A warm-started network starts at what its student has learned; this rate destroys it."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(400, 3)), columns=["a", "b", "c"])
    y = (X["a"] + 0.3 * rng.normal(size=400) > 0).astype(int)
    model = HUIHENClassifier(
        **STOPPED_EARLY | {"lr": 0.01}, max_epochs=20, dropout=0.0, random_state=3
    )
    model.warm_start_from(X, y, teacher=None, pretrained_lr=1.0)
    student = model.warm_start_student_.predict_proba(X)
    model.set_params(lr=1.0, max_epochs=2).fit(X, y)
    assert kept_epoch(model) == 0
    model.blend_ = None  # of the network alone
    np.testing.assert_allclose(model.predict_proba(X), student, atol=1e-5)


class Flatters(ValidationAUC):
    """Finds every epoch bad, as held-out rows do that flatter the network as it started."""

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        super().on_epoch_end(net, **kwargs)
        net.history.record("valid_score", -1.0 / net.history[-1, "epoch"])


@pytest.mark.parametrize("teacher", [None, FrozenEstimator(Scorecard())])
def test_a_network_of_random_weights_is_never_kept(data, teacher, monkeypatch):
    monkeypatch.setattr("skhuihen._training.trainer.ValidationAUC", Flatters)
    model = HUIHENClassifier(
        **STOPPED_EARLY | {"n_estimators": 2, "teacher": teacher}, max_epochs=3, random_state=0
    )
    model.fit(*data)
    for net in model.estimators_:
        stopping = dict(net.callbacks_)["early_stopping"]
        assert not isinstance(stopping, BestEpochOrStart)
        assert stopping.best_epoch_ == 3
    student = (
        HUIHENClassifier(**STOPPED_EARLY, max_epochs=3).warm_start_from(*data).warm_start_student_
    )
    assert kept_epoch(student) == 3, "step one starts from random weights too"


@pytest.mark.parametrize("form", ["learned", "literal"])
def test_weight_decay_leaves_the_weight_of_the_guidance_alone(form, data):
    """It would pull alpha of equation 16 to a place of its own: here to 1, or to 0."""
    X, y = data
    model = HUIHENClassifier(
        max_epochs=150, schedule="constant", lr=0.02, weight_decay=10.0, n_estimators=1
    )
    model.warm_start_from(X, y, teacher="lightgbm", guidance_weight=form)
    history = model.warm_start_student_.history_
    alpha, divergence = history[["guidance_weight", "train_divergence"]].iloc[-1]
    if form == "learned":
        assert alpha == pytest.approx(1 / (divergence + 0.01), rel=0.2)
        assert alpha > 2
    else:
        assert alpha < -1, "as printed it falls without bound"


# --------------------------------------------------------------------------------------------------
# What callbacks see.


def half_the_gini(net: Any, X: Any, y: Any) -> float:
    return roc_auc_score(y, net.predict_proba(X)[:, 1]) - 0.5


@pytest.mark.parametrize("teacher", [None, FrozenEstimator(Scorecard())])
def test_scoring_callbacks(teacher, data):
    X, y = data
    scorings = {
        "roc_auc": "roc_auc",
        "accuracy": "accuracy",
        "neg_log_loss": "neg_log_loss",
        "own": None,  # the net's own `score`
        "ks": make_scorer(ks_score, response_method="predict_proba"),
        "gini": half_the_gini,
    }
    callbacks: list[Any] = [
        (name, EpochScoring(scoring, lower_is_better=False, name=f"of_{name}"))
        for name, scoring in scorings.items()
    ]
    callbacks.append(EpochScoring("roc_auc", on_train=True, name="of_train"))
    callbacks.append(BatchScoring("accuracy", name="of_batches"))
    judges = Judges()
    model = HUIHENClassifier(
        **STOPPED_EARLY | {"teacher": teacher},
        max_epochs=3,
        callbacks=[*callbacks, judges],
        random_state=0,
    )
    history = model.fit(X, y).history_
    np.testing.assert_allclose(history["of_roc_auc"], history["valid_auc"])
    np.testing.assert_allclose(history["of_gini"], history["valid_auc"] - 0.5)
    np.testing.assert_allclose(
        history["of_train"], pd.DataFrame(judges.epochs)["train_auc"], atol=1e-6
    )
    np.testing.assert_array_equal(history["of_own"], history["of_accuracy"])
    np.testing.assert_allclose(history["of_batches"], history["of_accuracy"])
    logits, label = (torch.cat(part) for part in list(zip(*judges.seen[False], strict=True))[:2])
    probability = torch.softmax(logits, 1)[:, 1]
    last = history.iloc[-1]
    assert last["of_accuracy"] == pytest.approx(accuracy_score(label, probability > 0.5))
    assert last["of_neg_log_loss"] == pytest.approx(-log_loss(label, probability), rel=1e-5)
    assert last["of_ks"] == pytest.approx(ks_score(label, probability))
    assert is_classifier(model.net_)
    assert model.net_.classes_.tolist() == [0, 1]
    assert "valid_acc" not in history.columns


def test_stopping_by_a_score_of_ones_own(data):
    callbacks = [
        EpochScoring("roc_auc", lower_is_better=False),
        EarlyStopping("roc_auc", lower_is_better=False, patience=1, threshold=10),
    ]
    model = HUIHENClassifier(
        **STOPPED_EARLY, max_epochs=9, callbacks=callbacks, random_state=0
    ).fit(*data)
    assert model.n_iter_ == 2


def test_scoring_callbacks_without_held_out_rows(data):
    model = HUIHENClassifier(
        **STOPPED_EARLY, max_epochs=1, callbacks=[EpochScoring("roc_auc")], random_state=0
    )
    model.fit(*data).partial_fit(*data)
    assert model.history_["roc_auc"].notna().tolist() == [True, False]
    model.set_params(early_stopping=False).fit(*data)
    assert "roc_auc" not in model.history_.columns


def test_the_criterion_sees_guidance_beside_labels(data):
    model = HUIHENClassifier(
        **STOPPED_EARLY | {"teacher": FrozenEstimator(Scorecard())}, max_epochs=1
    ).fit(*data)
    assert isinstance(model.net_.criterion_, GuidedLoss)


# --------------------------------------------------------------------------------------------------
# The progress bar.


class Bar(skhuihen._training.callbacks.tqdm):  # type: ignore[misc, name-defined]
    """A bar by which every epoch takes ten seconds, and that keeps what it showed."""

    shown: list[str]
    all: list[Bar] = []

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.shown = []
        Bar.all.append(self)
        super().__init__(*args, ncols=200, mininterval=0, miniters=1, **kwargs)

    @property
    def format_dict(self) -> Any:
        return {**super().format_dict, "elapsed": 10.0 * (self.n + 1)}

    def display(self, *args: Any, **kwargs: Any) -> Any:
        self.shown.append(str(self))
        return super().display(*args, **kwargs)


@pytest.fixture
def bars(monkeypatch: pytest.MonkeyPatch) -> list[Bar]:
    monkeypatch.setattr("skhuihen._training.callbacks.tqdm", Bar)
    monkeypatch.setattr(Bar, "all", [])
    return Bar.all


def test_the_bar_says_how_long_the_rest_takes_at_most(data, bars):
    model = HUIHENClassifier(**STOPPED_EARLY | {"n_estimators": 2}, max_epochs=4, verbose=1).fit(
        *data
    )
    first, second = bars
    assert "network 1 of 2" in first.shown[-1]
    assert "network 2 of 2" in second.shown[-1]
    assert "| 1/4 " in first.shown[1]
    assert "time left: at most 01:10" in first.shown[1], "three epochs, and four of the second"
    assert "time left: at most 00:30" in second.shown[1]
    assert "valid_auc=" in first.shown[1]
    for bar in bars:
        assert "100%" in bar.shown[-1]
        assert "4/4" in bar.shown[-1]
        assert "stopped" not in bar.shown[-1]
    assert "rest" not in second.shown[-1]
    model.partial_fit(*data)
    assert "1/1" in bars[-1].shown[-1]


def test_the_bar_of_a_training_that_stopped_early(data, bars):
    stopping = EarlyStopping("train_loss", patience=2, threshold=100, threshold_mode="abs")
    HUIHENClassifier(**STOPPED_EARLY, max_epochs=50, verbose=1, callbacks=[stopping]).fit(*data)
    (bar,) = bars
    assert "time left: at most 08:10" in bar.shown[1]
    assert "100%" in bar.shown[-1]
    assert "3/3" in bar.shown[-1]
    assert "stopped early, after 3 of 50 epochs" in bar.shown[-1]
    assert "rest" not in bar.shown[-1]


class Interrupts(Callback):
    def on_batch_end(self, net: Any, **kwargs: Any) -> None:
        interrupt()


def interrupt() -> None:
    raise KeyboardInterrupt


def test_the_bar_of_an_interrupted_training_is_closed(data, bars):
    with pytest.raises(KeyboardInterrupt):
        HUIHENClassifier(max_epochs=50, verbose=1, callbacks=[Interrupts()]).fit(*data)
    (bar,) = bars
    assert bar.disable
    assert "0/50" in bar.shown[-1]
