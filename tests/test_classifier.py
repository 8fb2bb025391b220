"""HUIHENClassifier on nested frames, on frames without behaviors and on plain arrays."""

from __future__ import annotations

import pickle
import warnings
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from scipy.special import expit
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.exceptions import NotFittedError
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from skorch.callbacks import Callback

from skhuihen import (
    BehaviorAbstractor,
    BehaviorTopics,
    HUIHENClassifier,
    ProfileEncoder,
    Sessionizer,
    attach_behaviors,
)
from skhuihen._events.behaviors import Behaviors
from skhuihen.datasets import make_loan_data
from skhuihen.inspection import explain
from skhuihen.monitoring._measures import Columns
from tests.models import STOPPED_EARLY


@pytest.fixture(scope="module")
def bank() -> Any:
    return make_loan_data(n_new=300, n_old=0, overdue_rate=0.3, random_state=0)


@pytest.fixture(scope="module")
def raw(bank: Any) -> pd.DataFrame:
    return attach_behaviors(bank.applications, bank.events)


@pytest.fixture(scope="module")
def X(raw: pd.DataFrame) -> pd.DataFrame:
    sessionizer = Sessionizer(max_sessions=10)
    return sessionizer.fit_transform(BehaviorAbstractor().fit_transform(raw))


def quick(**params: Any) -> HUIHENClassifier:
    return HUIHENClassifier(**{**STOPPED_EARLY, "max_epochs": 3, "random_state": 0, **params})


@pytest.fixture(scope="module")
def fitted(X: pd.DataFrame, bank: Any) -> HUIHENClassifier:
    return quick().fit(X, bank.y)


def test_learns_a_planted_pattern() -> None:
    """A label that is written into the behaviors alone is found."""
    bank = make_loan_data(n_new=400, n_old=0, overdue_rate=0.3, random_state=1)
    X = attach_behaviors(bank.applications[["user_id", "applied_at"]], bank.events)
    X = Sessionizer(max_sessions=5).fit_transform(X)
    behaviors = Behaviors.from_column(X["behaviors"])
    length = np.zeros(len(X))
    last = behaviors.integers("session")[behaviors.offsets[1:][behaviors.lengths > 0] - 1]
    owner = np.flatnonzero(behaviors.lengths)
    for row, session in zip(owner, last, strict=True):
        events = X["behaviors"].iloc[row]
        length[row] = (events["session"] == session).sum()
    y = (length > np.median(length)).astype(int)
    model = HUIHENClassifier(max_epochs=40, n_estimators=1, dropout=0.0, random_state=0)
    model.fit(X.iloc[:300], y[:300])
    assert roc_auc_score(y[300:], model.predict_proba(X.iloc[300:])[:, 1]) > 0.9


def test_scores(fitted: HUIHENClassifier, X: pd.DataFrame) -> None:
    probability = fitted.predict_proba(X)
    assert probability.shape == (len(X), 2)
    np.testing.assert_allclose(probability.sum(axis=1), 1, rtol=1e-6)
    log_odds = fitted.decision_function(X)
    np.testing.assert_allclose(
        np.log(probability[:, 1] / probability[:, 0]), log_odds, rtol=1e-3, atol=1e-4
    )
    np.testing.assert_array_equal(fitted.predict(X), (log_odds > 0).astype(int))


def test_history(fitted: HUIHENClassifier) -> None:
    assert fitted.n_iter_ == len(fitted.history_) == 3
    assert list(fitted.history_.index) == [1, 2, 3]
    assert {"network", "train_loss", "valid_loss", "valid_auc", "dur"} == set(
        fitted.history_.columns
    )


def test_transform_gives_intention_and_habit(fitted: HUIHENClassifier, X: pd.DataFrame) -> None:
    vectors = fitted.transform(X)
    names = fitted.get_feature_names_out()
    assert vectors.shape == (len(X), 60)
    assert (names[0], names[29], names[30], names[59]) == (
        *("intention_0", "intention_29"),
        *("habit_0", "habit_29"),
    )
    empty = Behaviors.from_column(X["behaviors"]).lengths == 0
    assert empty.any()
    np.testing.assert_array_equal(vectors[empty], 0)
    assert (np.abs(vectors[~empty]).sum(axis=1) > 0).all()
    framed = clone(fitted).set_output(transform="pandas").fit_transform(X, np.arange(len(X)) % 2)
    assert list(framed.columns) == list(names)
    assert framed.index.equals(X.index)


@pytest.mark.parametrize("n", [1, 7, 300])
def test_score_does_not_depend_on_the_batch(
    fitted: HUIHENClassifier, X: pd.DataFrame, n: int
) -> None:
    X = X.iloc[:60] if n == 1 else X
    whole = fitted.predict_proba(X)
    order = np.random.default_rng(n).permutation(len(X))
    parts = [fitted.predict_proba(X.iloc[order[i : i + n]]) for i in range(0, len(X), n)]
    np.testing.assert_allclose(np.concatenate(parts), whole[order], atol=1e-6, rtol=0)


def test_empty_history_is_scored_from_the_profile_alone(
    fitted: HUIHENClassifier, X: pd.DataFrame
) -> None:
    without = X.assign(behaviors=X["behaviors"].array.take([-1] * len(X), allow_fill=True))
    probability = fitted.predict_proba(without)
    assert len(np.unique(probability[:, 1])) > len(X) / 2
    two = without.iloc[[0, 0]].copy()
    two["behaviors"] = X["behaviors"].array.take([-1, 5], allow_fill=True)
    scores = fitted.predict_proba(two)[:, 1]
    assert scores[0] == pytest.approx(probability[0, 1], abs=1e-6)
    assert scores[0] != pytest.approx(scores[1], abs=1e-6)


def test_frame_without_behaviors_and_array(bank: Any) -> None:
    model = quick().fit(bank.applications, bank.y)
    assert model.predict_proba(bank.applications).shape == (300, 2)
    assert not model.transform(bank.applications).any()
    data, y = make_classification(300, random_state=0)
    plain = HUIHENClassifier(n_estimators=1, random_state=0).fit(data[:200], y[:200])
    assert roc_auc_score(y[200:], plain.decision_function(data[200:])) > 0.85


def test_behaviors_alone_without_any_profile(X: pd.DataFrame, bank: Any) -> None:
    bare = X[["user_id", "applied_at", "behaviors"]]
    assert quick().fit(bare, bank.y).predict_proba(bare).shape == (300, 2)


@pytest.mark.parametrize(
    "switch",
    ["time_aware", "user_item_aware", "field_aware", "hierarchical", "log_interval"],
)
def test_switches_change_the_network(
    switch: str, fitted: HUIHENClassifier, X: pd.DataFrame, bank: Any
) -> None:
    model = quick(net_params={f"module__{switch}": False}).fit(X, bank.y)
    assert not np.allclose(model.predict_proba(X), fitted.predict_proba(X))
    width = 30 if switch == "hierarchical" else 60
    assert model.transform(X).shape == (300, width)


def test_the_mean_intention_joins_the_others_but_is_no_part_of_transform(
    fitted: HUIHENClassifier, X: pd.DataFrame, bank: Any
) -> None:
    plain = clone(fitted).set_params(net_params={"module__mean_intention": False}).fit(X, bank.y)
    widths = [model.net_.module_.interaction.joint.of_vectors.shape[1] for model in (fitted, plain)]
    assert widths[0] == widths[1] + fitted.net_.module_.intention_dim
    assert fitted.transform(X).shape == plain.transform(X).shape


def test_topics_join_the_others_but_are_no_part_of_transform(
    fitted: HUIHENClassifier, X: pd.DataFrame, bank: Any
) -> None:
    model = clone(fitted).set_params(n_topics=4).fit(X, bank.y)
    widths = [one.net_.module_.interaction.joint.of_vectors.shape[1] for one in (model, fitted)]
    assert widths[0] == widths[1] + 4
    assert model.transform(X).shape == fitted.transform(X).shape
    score = model.predict_proba(X)
    np.testing.assert_allclose(model.predict_proba(X[::-1])[::-1], score, atol=1e-6, rtol=0)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict_proba(X), score)
    np.testing.assert_array_equal(clone(model).fit(X, bank.y).predict_proba(X), score)
    # Of what is fitted, no parameter is asked.
    model.set_params(n_topics=7)
    np.testing.assert_array_equal(model.predict_proba(X), score)
    without = X.assign(behaviors=X["behaviors"].array.take([-1] * len(X), allow_fill=True))
    assert np.isfinite(model.predict_proba(without)).all()
    model.topics_.loadings_[:] = 0
    assert not np.allclose(model.predict_proba(X), score), "they reach the network"


def test_topics_come_by_themselves_where_there_are_many_behaviors(
    X: pd.DataFrame, bank: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ten, none, usual = (quick(n_topics=n, max_epochs=1).fit(X, bank.y) for n in (10, 0, "auto"))
    in_use = np.abs(ten.topics_.loadings_).any(axis=1).sum()
    alike = ten if in_use >= 100 else none
    np.testing.assert_array_equal(usual.predict_proba(X), alike.predict_proba(X))
    for fewest, alike in ((in_use, ten), (in_use + 1, none)):
        monkeypatch.setattr("skhuihen._encoding.applications.MANY_BEHAVIORS", fewest)
        usual.fit(X, bank.y)
        np.testing.assert_array_equal(usual.predict_proba(X), alike.predict_proba(X))
    # Nobody asked for topics, so nobody is told that there are none.
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*topics are 0.*")
        quick(n_topics="auto", early_stopping=False, max_epochs=1).fit(X[:15], bank.y[:15])


def test_topics_are_those_of_the_transformer(bank: Any) -> None:
    # Without amounts, no behavior is two by its sign.
    X = attach_behaviors(bank.applications, bank.events.drop(columns="amount"))
    X = Sessionizer().fit_transform(BehaviorAbstractor().fit_transform(X))
    model, topics = quick(n_topics=4).fit(X, bank.y), BehaviorTopics(4, group_by="behavior").fit(X)
    of_name = dict(zip(topics.loadings_.index, topics.loadings_.to_numpy(), strict=True))
    names = [name for _, name, _ in model.vocabulary_.behaviors_]
    assert len(names) == len(of_name)
    wanted = [of_name[name] for name in names]
    np.testing.assert_allclose(model.topics_.loadings_, wanted, atol=1e-8)
    assert np.any(wanted)


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_events_without_any_topic_are_told(X: pd.DataFrame, bank: Any, method: str) -> None:
    model = quick(n_topics=3, early_stopping=False)
    with pytest.warns(UserWarning, match="so all topics are 0") as told:
        getattr(model, method)(X[:15], bank.y[:15])
    assert {warning.filename for warning in told} == {__file__}


def test_topics_without_behaviors_are_zero(bank: Any) -> None:
    model = quick(n_topics=4).fit(bank.applications, bank.y)
    assert np.isfinite(model.predict_proba(bank.applications)).all()
    assert model.topics_.loadings_.shape == (0, 4)


def test_without_sessions_only_if_not_hierarchical(raw: pd.DataFrame, bank: Any) -> None:
    with pytest.raises(ValueError, match=r"no subfield 'session'.*Sessionizer"):
        quick().fit(raw, bank.y)
    quick(net_params={"module__hierarchical": False}).fit(raw.iloc[:100], bank.y[:100])


def test_raw_operations_have_vectors_of_their_own(raw: pd.DataFrame, bank: Any) -> None:
    X = Sessionizer(max_sessions=5).fit_transform(raw)
    model = quick().fit(X, bank.y)
    behaviors = Behaviors.from_column(X["behaviors"])
    seen = set(behaviors.texts("operation")[1])
    assert {name for _, name, _ in model.vocabulary_.behaviors_} == seen


def test_same_seed_same_bits_and_no_global_state(X: pd.DataFrame, bank: Any) -> None:
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    first = quick().fit(X, bank.y).predict_proba(X)
    assert torch.equal(torch_state, torch.get_rng_state())
    np.testing.assert_array_equal(numpy_state, np.random.get_state()[1])
    assert torch.get_num_threads() == threads
    assert torch.are_deterministic_algorithms_enabled() == deterministic
    torch.rand(7)
    np.testing.assert_array_equal(quick().fit(X, bank.y).predict_proba(X), first)
    other = quick(random_state=1).fit(X, bank.y).predict_proba(X)
    assert not np.allclose(other, first)


def test_pickle_and_clone(fitted: HUIHENClassifier, X: pd.DataFrame, bank: Any) -> None:
    stored = pickle.dumps(fitted)
    np.testing.assert_array_equal(pickle.loads(stored).predict_proba(X), fitted.predict_proba(X))
    np.testing.assert_array_equal(
        clone(fitted).fit(X, bank.y).predict_proba(X), fitted.predict_proba(X)
    )
    assert len(stored) < 1_000_000, "a fitted classifier holds no row"


def test_early_stopping_keeps_the_best_epoch(X: pd.DataFrame, bank: Any) -> None:
    model = quick(max_epochs=60, n_iter_no_change=3, lr=0.01).fit(X, bank.y)
    best = int(model.history_["valid_auc"].idxmax())
    assert model.n_iter_ < 60
    shorter = quick(max_epochs=best, n_iter_no_change=60, lr=0.01).fit(X, bank.y)
    np.testing.assert_array_equal(shorter.predict_proba(X), model.predict_proba(X))


def test_class_weight_moves_the_probabilities(X: pd.DataFrame, bank: Any) -> None:
    plain = quick().fit(X, bank.y).predict_proba(X)[:, 1].mean()
    balanced = quick(class_weight="balanced").fit(X, bank.y).predict_proba(X)[:, 1].mean()
    assert plain == pytest.approx(0.3, abs=0.15)
    assert balanced == pytest.approx(0.5, abs=0.15)
    assert balanced > plain + 0.1


@pytest.mark.parametrize("params", [{}, {"class_weight": {0: 1.0, 1: 5.0}}])
@pytest.mark.parametrize("batch_size", [-1, 64])
def test_weights_of_rows_and_classes_are_in_the_loss(
    params: dict[str, Any], batch_size: int, X: pd.DataFrame, bank: Any
) -> None:
    """Of a network that does not move, the loss of an epoch is that of its scores."""
    weight = np.random.default_rng(0).uniform(0.1, 4, len(X))
    still = {"lr": 1e-12, "dropout": 0.0, "weight_decay": 0.0, "dtype": "float64"}
    model = quick(max_epochs=1, early_stopping=False, batch_size=batch_size, **still, **params)
    model.fit(X, bank.y, sample_weight=100 * weight)
    of_rows = weight * model.class_weight_[bank.y]
    log_odds = model.decision_function(X)
    loss = np.average(np.logaddexp(0, log_odds) - bank.y * log_odds, weights=of_rows)
    assert model.history_["train_loss"].iloc[0] == pytest.approx(loss, rel=1e-6)


@pytest.mark.parametrize("way", ["fit", "partial_fit", "Parquet"])
def test_balancing_takes_weights_into_account(way: str, tmp_path: Any) -> None:
    """Ten of weight nine are as many as ninety of weight one."""
    y, rng = np.arange(100) % 10 == 0, np.random.default_rng(0)
    frame = pd.DataFrame({"age": rng.normal(size=100), "overdue": y, "weight": 1.0 + 8 * y})
    given: Any = (frame[["age"]], y)
    weight: Any = frame["weight"]
    if way == "Parquet":
        frame.to_parquet(tmp_path / "X.parquet")
        given, weight = (tmp_path / "X.parquet", "overdue"), "weight"
    balanced = quick(class_weight="balanced", early_stopping=False)
    fit = getattr(balanced, "partial_fit" if way == "partial_fit" else "fit")
    fit(*given, sample_weight=weight)
    np.testing.assert_allclose(balanced.class_weight_, [1, 1])
    plain = quick(early_stopping=False)
    getattr(plain, fit.__name__)(*given, sample_weight=weight)
    np.testing.assert_array_equal(
        plain.predict_proba(frame[["age"]]), balanced.predict_proba(frame[["age"]])
    )


def test_balancing_counts_a_weight_of_two_as_two_rows(X: pd.DataFrame, bank: Any) -> None:
    rows = np.append(np.arange(300), np.flatnonzero(bank.y))
    weight = 1.0 + bank.y
    whole = quick(class_weight="balanced", max_epochs=1, early_stopping=False)
    repeated = clone(whole).fit(X.iloc[rows], bank.y[rows])
    whole.fit(X, bank.y, sample_weight=weight)
    # But for a factor of both, which is divided out.
    np.testing.assert_allclose(np.divide(*whole.class_weight_), np.divide(*repeated.class_weight_))


def test_the_odds_of_balanced_classes_are_put_back() -> None:
    """The cure in the docstring: probabilities of the population as it is."""
    age = np.random.default_rng(0).normal(size=(2000, 1))
    y = np.random.default_rng(1).random(2000) < expit(age[:, 0] - 2.5)
    model = quick(class_weight="balanced", max_epochs=30, lr=0.01, dropout=0.0).fit(age, y)
    shift = np.log(model.class_weight_[1] / model.class_weight_[0])
    assert y.mean() < 0.15
    assert model.predict_proba(age)[:, 1].mean() > 0.35
    as_it_is = expit(model.decision_function(age) - shift)
    assert as_it_is.mean() == pytest.approx(y.mean(), abs=0.03)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_probabilities_are_float64(dtype: str, X: pd.DataFrame, bank: Any) -> None:
    model = quick(max_epochs=1, dtype=dtype).fit(X, bank.y)
    for table in (X, X.iloc[:0]):
        scores = model.predict_proba(table)
        assert scores.dtype == np.float64
        assert model.decision_function(table).dtype == dtype
        np.testing.assert_allclose(scores.sum(axis=1), 1, rtol=0, atol=1e-15)
        assert model.transform(table).dtype == dtype
    array = X[["user__age"]].to_numpy(dtype=np.float32)
    assert quick(max_epochs=1).fit(array, bank.y).predict_proba(array).dtype == np.float64


def test_a_score_far_out_is_no_certainty(X: pd.DataFrame, bank: Any) -> None:
    """In single precision both probabilities would be 0 and 1."""
    model = quick(max_epochs=1).fit(X, bank.y)
    with torch.no_grad():
        model.net_.module_.interaction.logits.bias += torch.tensor([-15.0, 15.0])
    scores = model.predict_proba(X)
    assert (scores[:, 0] > 0).all()
    np.testing.assert_allclose(np.log(scores[:, 0]), -model.decision_function(X), rtol=1e-6)


def test_zero_weight_rows_are_left_out(X: pd.DataFrame, bank: Any) -> None:
    half = np.arange(300) < 150
    weighted = quick().fit(X, bank.y, sample_weight=half.astype(float))
    cut = quick().fit(X[half], bank.y[half])
    np.testing.assert_array_equal(weighted.predict_proba(X), cut.predict_proba(X))


def test_string_labels(X: pd.DataFrame, bank: Any) -> None:
    labels = np.where(bank.y == 1, "overdue", "good")
    model = quick().fit(X, labels)
    assert list(model.classes_) == ["good", "overdue"]
    assert set(model.predict(X)) <= {"good", "overdue"}


def test_net_params_and_callbacks_reach_skorch(X: pd.DataFrame, bank: Any) -> None:
    model = quick(net_params={"optimizer__betas": (0.8, 0.9)}).fit(X, bank.y)
    assert model.net_.optimizer_.param_groups[0]["betas"] == (0.8, 0.9)


@pytest.mark.parametrize(
    ("n_rows", "n_rare", "expected"),
    [
        (2_000, 50, 15),  # few rows
        (4_000, 20, 10),  # 40,000 rows are passed
        (8_192, 448, 7),  # 128 for each row of the rarer class
        (20_000, 4_000, 15),  # many of both classes
        (100_000, 20, 3),  # all rows three times
    ],
)
def test_many_rows_with_few_overdue_are_passed_fewer_times(
    n_rows: int, n_rare: int, expected: int
) -> None:
    label = np.zeros(n_rows, dtype=np.int64)
    label[:n_rare] = 1
    for rows in (label, 1 - label):
        assert quick(max_epochs="auto")._trainer().n_epochs(rows) == expected
    assert quick(max_epochs=4)._trainer().n_epochs(label) == 4


def test_fit_passes_that_often_and_partial_fit_once(
    X: pd.DataFrame, bank: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    params: dict[str, Any] = {"max_epochs": "auto", "early_stopping": False}
    rule = "skhuihen._training.trainer."
    monkeypatch.setattr(rule + "EPOCHS", 6)
    assert quick(**params).fit(X, bank.y).n_iter_ == 6
    monkeypatch.setattr(rule + "FEWEST_ROWS", 0)
    share = bank.y.mean()
    monkeypatch.setattr(rule + "ROWS_FOR_EACH", 4.2 / share)
    assert quick(**params).fit(X, bank.y).n_iter_ == 4
    history = quick(**params, n_estimators=3).fit(X, bank.y).history_
    assert list(history.groupby("network").size()) == [4, 4, 4]
    stopped = quick(**params | {"early_stopping": True, "n_iter_no_change": 9}).fit(X, bank.y)
    assert stopped.n_iter_ == 4
    monkeypatch.setattr(rule + "ROWS_FOR_EACH", 1.0 / share)
    assert quick(**params).fit(X, bank.y).n_iter_ == 3
    # `partial_fit` is one epoch for each call.
    assert quick(**params).partial_fit(X, bank.y).n_iter_ == 1


@pytest.mark.filterwarnings("ignore:Profile column.*outside the range")
def test_step_one_counts_the_old_rows(
    X: pd.DataFrame, bank: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule = "skhuihen._training.trainer."
    monkeypatch.setattr(rule + "EPOCHS", 6)
    monkeypatch.setattr(rule + "FEWEST_ROWS", 0)
    monkeypatch.setattr(rule + "ROWS_FOR_EACH", 4.2 / bank.y.mean())
    model = quick(max_epochs="auto", early_stopping=False)
    model.warm_start_from(bank.applications, bank.y, teacher=None)
    assert model.warm_start_student_.n_iter_ == 4
    half = np.concatenate([np.flatnonzero(bank.y == 1)[::2], np.flatnonzero(bank.y == 0)])
    assert model.fit(X.iloc[half], bank.y[half]).n_iter_ == 3
    model.set_params(max_epochs=2)
    model.warm_start_from(bank.applications, bank.y, teacher=None, max_epochs="auto")
    assert model.warm_start_student_.n_iter_ == 4


@pytest.mark.filterwarnings("ignore:Profile column.*outside the range")
def test_weight_decay_falls_with_the_number_of_rows(
    X: pd.DataFrame, bank: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def of(model: Any) -> float:
        return model.net_.optimizer_.param_groups[-1]["weight_decay"]

    def penalty(**params: Any) -> float:
        return of(quick(**params).fit(X, bank.y))

    assert penalty(weight_decay=0.02) == 0.02
    assert penalty() == penalty(early_stopping=False) == 0.1
    monkeypatch.setattr("skhuihen._training.trainer.DECAY_ROWS", len(X) / 4)
    assert penalty(weight_decay=0.02) == 0.02
    assert penalty(early_stopping=False) == pytest.approx(0.1 / 4)
    # What is held out is not trained on.
    assert penalty(validation_fraction=0.5) == pytest.approx(0.1 / 2, rel=0.04)
    # The rows of the first `partial_fit` count, and those of step one for step one.
    parted = quick(early_stopping=False).partial_fit(X[:20], bank.y[:20])
    assert of(parted) == of(parted.partial_fit(X, bank.y)) == 0.1
    warm = quick(early_stopping=False).warm_start_from(bank.applications, bank.y, teacher=None)
    assert of(warm.warm_start_student_) == pytest.approx(0.1 / 4)
    assert of(warm.fit(X[:20], bank.y[:20])) == 0.1


def test_progress_bar_only_when_verbose(
    X: pd.DataFrame, bank: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    quick().fit(X, bank.y)
    assert capfd.readouterr() == ("", "")
    quick(verbose=1).fit(X, bank.y)
    assert "HUIHENClassifier" in capfd.readouterr().err


@pytest.mark.parametrize("container", ["arrow", "polars", "arrow_dtype", "objects"])
def test_every_container_scores_alike(
    container: str, fitted: HUIHENClassifier, X: pd.DataFrame
) -> None:
    if container == "arrow_dtype":
        other: Any = X.assign(behaviors=X["behaviors"].array.to_arrow_ext_array(list_struct=True))
    elif container == "objects":
        lists = X["behaviors"].array.list_array.to_pylist()
        other = X.assign(behaviors=pd.Series(lists, index=X.index, dtype=object))
    else:
        table = pa.table({name: pa.array(X[name]) for name in X if name != "behaviors"})
        table = table.append_column("behaviors", X["behaviors"].array.list_array)
        other = pl.from_arrow(table) if container == "polars" else table
    np.testing.assert_allclose(
        fitted.predict_proba(other), fitted.predict_proba(X), rtol=0, atol=1e-7
    )


def pipeline(order: str, **params: Any) -> Pipeline:
    steps = [BehaviorAbstractor(n_behaviors=20), Sessionizer(max_sessions=5)]
    return make_pipeline(*(steps if order == "abstract first" else steps[::-1]), quick(**params))


@pytest.mark.parametrize("order", ["abstract first", "sessions first"])
def test_no_future_event_moves_a_score(order: str, raw: pd.DataFrame, bank: Any) -> None:
    """Events at or after the application: added, removed or altered, in fit and in predict."""
    applications = bank.applications.iloc[:150]
    users = applications["user_id"]
    events = bank.events[bank.events["user_id"].isin(users)]
    every = attach_with_future(applications, events)
    events_of = Behaviors.from_column(every["behaviors"])
    limit = applications["applied_at"].to_numpy().astype("datetime64[us]").astype(np.int64)
    future = events_of.times() >= limit[events_of.rows]
    assert future.sum() > 100

    rng = np.random.default_rng(0)
    names = np.asarray(events_of.fields["operation"].to_pylist(), dtype=object)
    names[future] = rng.choice(["never_seen", "fund_buy", "x"], future.sum())
    amount = events_of.numbers("amount").copy()
    amount[future] = np.where(rng.random(future.sum()) < 0.5, np.inf, -1e9)
    time = events_of.times().copy()
    time[future] = limit[events_of.rows[future]]  # the very instant of the application
    altered = events_of.with_fields(
        operation=pa.array(names, pa.string()),
        amount=pa.array(amount),
        time=pa.array(time, pa.timestamp("us")),
    )
    variants = [
        every,
        every.assign(behaviors=altered.to_array()),
        every.assign(behaviors=events_of.filter(~future).to_array()),
    ]
    y = bank.y[:150]
    models = [pipeline(order, max_epochs=2).fit(variant, y) for variant in variants]
    expected = models[0].predict_proba(variants[2])
    for model in models:
        for variant in variants:
            np.testing.assert_array_equal(model.predict_proba(variant), expected)
    # The test must be able to fail: an event just before the application does move scores.
    time[future] -= 1
    past = altered.with_fields(
        time=pa.array(time, pa.timestamp("us")),
        amount=pa.array(np.where(future, 1e6, events_of.numbers("amount"))),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        moved = models[0].predict_proba(every.assign(behaviors=past.to_array()))
    assert not np.array_equal(moved, expected)


def attach_with_future(applications: pd.DataFrame, events: pd.DataFrame) -> pd.DataFrame:
    """Nest all events, those after the application included, as a careless user would."""
    late = applications.assign(applied_at=events["time"].max() + pd.Timedelta("1D"))
    return applications.assign(behaviors=attach_behaviors(late, events)["behaviors"].array)


def test_both_transformer_orders_score_alike(raw: pd.DataFrame, bank: Any) -> None:
    # Abstracting changes no time and sessionizing no operation; only what is frequent may differ.
    one = pipeline("abstract first").fit(raw, bank.y)
    rules = one[0].rules_
    other = make_pipeline(Sessionizer(max_sessions=5), BehaviorAbstractor(rules), quick())
    np.testing.assert_allclose(
        other.fit(raw, bank.y).predict_proba(raw), one.predict_proba(raw), atol=1e-6
    )


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_cross_validation_and_search(raw: pd.DataFrame, bank: Any) -> None:
    model = pipeline("abstract first")
    serial = cross_val_score(model, raw, bank.y, cv=2, scoring="roc_auc")
    assert np.isfinite(serial).all()
    search = GridSearchCV(
        model,
        {"sessionizer__session_gap": ["30min", "1h"], "huihenclassifier__dropout": [0.4, 0.6]},
        cv=2,
        scoring="roc_auc",
        error_score="raise",
    ).fit(raw, bank.y)
    assert len(search.cv_results_["mean_test_score"]) == 4
    assert search.predict_proba(raw).shape == (300, 2)


def test_refusals(X: pd.DataFrame, bank: Any, fitted: HUIHENClassifier) -> None:
    y = bank.y
    with pytest.raises(ValueError, match="only one class"):
        quick().fit(X, np.zeros(300))
    with pytest.raises(ValueError, match="Only binary classification"):
        quick().fit(X, np.arange(300) % 3)
    with pytest.raises(ValueError, match="requires y"):
        quick().fit(X, None)
    with pytest.raises(ValueError, match="inconsistent numbers"):
        quick().fit(X, y[:-1])
    with pytest.raises(NotFittedError):
        quick().predict_proba(X)
    with pytest.raises(ValueError, match="no column 'applied_at'"):
        quick().fit(X.drop(columns="applied_at"), y)
    with pytest.raises(ValueError, match="behaviors='events'"):
        quick().fit(X.rename(columns={"behaviors": "events"}), y)
    with pytest.raises(ValueError, match="yet now missing"):
        fitted.predict_proba(X.drop(columns="user__age"))
    with pytest.raises(ValueError, match="'user__age' contains 1 infinite"):
        fitted.predict_proba(X.iloc[:1].assign(user__age=np.inf))
    with pytest.raises(TypeError, match="set_output"):
        fitted.predict_proba(np.array([[1, [{"time": 1}]]], dtype=object))
    with pytest.raises(TypeError, match="one row per application"):
        Sessionizer().fit([1, 2])
    with pytest.raises(ValueError, match="only one row"):
        quick().fit(X.iloc[:10], np.arange(10) == 0)
    with pytest.raises(ValueError, match="distinct texts"):
        quick().fit(X.assign(user__phone=[f"p{i}" for i in range(300)]), y)
    with pytest.warns(UserWarning, match="'user__number' is an integer with a distinct value"):
        quick().fit(X.assign(user__number=np.arange(300)), y)


def test_refusals_of_parameters(X: pd.DataFrame, bank: Any) -> None:
    for params, message in [
        ({"net_params": {"module__hidden_units": (2.5,)}}, "hidden_units"),
        ({"device": "banana"}, "device='banana'"),
        ({"net_params": {"max_epochs": 3}}, "net_params contains 'max_epochs'"),
        ({"class_weight": {0: 0, 1: 1}}, "gives class 0 no weight"),
        ({"profile_encoder": ProfileEncoder({"user": "user__age"})}, "a list of columns"),
        ({"lr": 1e30}, "diverged"),
    ]:
        with pytest.raises(ValueError, match=message):
            quick(**params).fit(X, bank.y)
    with pytest.raises(TypeError, match="callbacks contains 'x'"):
        quick(callbacks=["x"]).fit(X, bank.y)
    with pytest.raises(ValueError, match="neither a profile column nor an event"):
        quick().fit(X[["user_id", "applied_at"]], bank.y)
    with pytest.raises(ValueError, match="more than one column 'user__age'"):
        quick().fit(pd.concat([X, X[["user__age"]]], axis=1), bank.y)


class PressesCtrlC(Callback):
    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        net.train_step_single = self.interrupt

    def interrupt(self, *args: Any, **kwargs: Any) -> None:
        raise KeyboardInterrupt


def test_interruption_is_passed_on(X: pd.DataFrame, bank: Any) -> None:
    with pytest.raises(KeyboardInterrupt):
        quick(callbacks=[PressesCtrlC()]).fit(X, bank.y)


@pytest.mark.parametrize("container", ["pandas", "polars"])
def test_global_output_setting_changes_nothing(
    container: str, fitted: HUIHENClassifier, X: pd.DataFrame, bank: Any
) -> None:
    with config_context(transform_output=container):
        model = quick().fit(X, bank.y)
        scores = model.predict_proba(X)
    np.testing.assert_array_equal(scores, fitted.predict_proba(X))


def test_histories_after_training_without_any(X: pd.DataFrame, bank: Any) -> None:
    none: Any = X.assign(behaviors=None)
    model = quick().fit(none, bank.y)
    assert "behaviors" not in model.profile_encoder_.feature_names_in_
    with pytest.warns(UserWarning, match="had no event in fit"):
        scores = model.predict_proba(X)
    np.testing.assert_array_equal(scores, model.predict_proba(none))


def test_integer_categories_with_a_missing_value_stay_what_they_are(bank: Any) -> None:
    whole = bank.applications.assign(user__segment=pd.Categorical(np.arange(300) % 3))
    parted = whole.assign(user__segment=pd.Categorical(np.arange(300) % 3 * 1.0))
    model = quick().fit(whole, bank.y)
    np.testing.assert_array_equal(model.predict_proba(whole), model.predict_proba(parted))


def test_identifiers_may_be_absent_when_scoring(fitted: HUIHENClassifier, X: pd.DataFrame) -> None:
    fewer = X.drop(columns=["application_id", "user_id"])
    np.testing.assert_array_equal(fitted.predict_proba(fewer), fitted.predict_proba(X))
    assert "user_id" not in fitted.feature_names_in_


def test_unknown_behaviors_add_time_but_no_vector(
    fitted: HUIHENClassifier, X: pd.DataFrame
) -> None:
    events = Behaviors.from_column(X["behaviors"])
    renamed = events.with_fields(behavior=pa.array(["never seen"] * events.n_events))
    other = X.assign(behaviors=renamed.to_array())
    scores = fitted.predict_proba(other)
    assert np.isfinite(scores).all()
    assert not np.allclose(scores, fitted.predict_proba(X))


def test_device_auto_takes_the_cpu_where_there_is_no_gpu(X: pd.DataFrame, bank: Any) -> None:
    if torch.cuda.is_available():
        pytest.skip("this test requires a machine without a GPU")
    scores = [quick(device=device).fit(X, bank.y).predict_proba(X) for device in ("auto", "cpu")]
    np.testing.assert_array_equal(*scores)


def test_a_gpu_gives_what_the_cpu_gives(X: pd.DataFrame, bank: Any) -> None:
    if not torch.cuda.is_available():
        pytest.skip("this test requires a GPU")
    model = quick().fit(X, bank.y)
    on_cpu = model.predict_proba(X)
    model.net_.module_.to("cuda")
    np.testing.assert_allclose(model.predict_proba(X), on_cpu, rtol=0, atol=1e-5)
    # Weights and dropout are drawn differently on each device.
    trained_there = quick(device="cuda").fit(X, bank.y).predict_proba(X)
    assert np.isfinite(trained_there).all()


def test_the_key_of_the_join_is_no_profile(bank: Any) -> None:
    applications = bank.applications.rename(columns={"user_id": "customer"})
    applications = applications.drop(columns="application_id").rename(
        columns=lambda name: name.removeprefix("user__").removeprefix("device__")
    ).rename(columns=lambda name: name.removeprefix("item__"))  # fmt: skip
    X = attach_behaviors(applications, bank.events, by=("customer", "user_id"))
    X = Sessionizer().fit_transform(BehaviorAbstractor().fit_transform(X))
    model = quick().fit(X, bank.y)
    assert "customer" in X
    assert "customer" not in model.feature_names_in_
    assert "customer" not in model.profile_encoder_.feature_names_in_
    # What was learned in fit counts, wherever the rows come from.
    plain = X.copy()
    plain.attrs = {}
    for other in (plain, plain.drop(columns="customer"), pa.table(plain)):
        np.testing.assert_array_equal(model.predict_proba(other), model.predict_proba(X))
    # It is no player of an explanation, and no monitor watches it.
    explanation = explain(model, X.iloc[:1], X.iloc[1:3], max_exact=1, n_orders=1)
    assert not any("customer" in player.path for player in explanation.players[0])
    assert "customer" not in Columns.find(X, "behaviors", "applied_at", ()).numbers
    # Like a column of id_columns, it tells whose rows are held out together.
    named = quick(id_columns=("customer",)).fit(plain, bank.y)
    np.testing.assert_array_equal(named.predict_proba(plain), model.predict_proba(X))
    with pytest.warns(UserWarning, match="'customer' is an integer with a distinct value in near"):
        assert "customer" in quick().fit(plain, bank.y).feature_names_in_
