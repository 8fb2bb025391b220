"""Training on prepared Parquet: the same network as in memory, or a stated other order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from numpy.testing import assert_array_equal
from sklearn.metrics import roc_auc_score
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline

import skhuihen._encoding.streaming
import skhuihen._tables.parquet
from skhuihen import (
    BehaviorAbstractor,
    HUIHENClassifier,
    ProfileEncoder,
    Sessionizer,
    attach_behaviors,
    prepare_parquet,
)
from skhuihen._encoding.streaming import Batches, PreparedParquet, StreamedApplications
from skhuihen._training.trainer import Trainer
from skhuihen.datasets import make_loan_data
from skhuihen.network.batch import ApplicationDataset
from tests.models import STOPPED_EARLY


@pytest.fixture(scope="module")
def bank() -> Any:
    return make_loan_data(n_new=240, n_old=300, overdue_rate=0.3, random_state=0)


@pytest.fixture(scope="module")
def steps(bank: Any) -> Any:
    X = attach_behaviors(bank.applications, bank.events)
    return make_pipeline(BehaviorAbstractor().fit(X), Sessionizer(max_sessions=5))


@pytest.fixture(scope="module")
def X(bank: Any, steps: Any) -> pd.DataFrame:
    """Return the prepared applications, in memory."""
    return steps.transform(attach_behaviors(bank.applications, bank.events))


@pytest.fixture(scope="module")
def prepared(bank: Any, steps: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the same in three files with several row groups each, and with labels."""
    folder = tmp_path_factory.mktemp("parquet")
    applications = bank.applications.assign(overdue=bank.y, weight=1.0 + np.arange(240) % 3)
    attach_behaviors(applications, bank.events, output=folder / "attached", n_partitions=3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(skhuihen._tables.parquet, "BATCH", 5000)
        prepare_parquet(steps, folder / "attached", folder / "prepared")
    return folder / "prepared"


def quick(**params: Any) -> HUIHENClassifier:
    """Return a classifier that does not read the column of weights as profile."""
    columns = ("user_id", "application_id", "weight")
    few = {**STOPPED_EARLY, "max_epochs": 3, "random_state": 0, "id_columns": columns}
    return HUIHENClassifier(**few | params)


def assert_equal(one: HUIHENClassifier, other: HUIHENClassifier, X: pd.DataFrame) -> None:
    assert_array_equal(one.predict_proba(X), other.predict_proba(X))
    pd.testing.assert_frame_equal(
        one.history_.drop(columns="dur"), other.history_.drop(columns="dur")
    )
    assert one.feature_names_in_.tolist() == other.feature_names_in_.tolist()


# --------------------------------------------------------------------------------------------------
# What fits into one buffer trains as in memory.


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"early_stopping": False, "class_weight": "balanced", "dtype": "float64"},
        {"batch_size": -1, "net_params": {"module__hierarchical": False}},
        {"n_topics": 4},
        {"early_stopping": False, "schedule": "one_cycle", "n_estimators": 3},
    ],
)
def test_one_buffer_is_as_in_memory_to_the_bit(X, bank, prepared, params):
    in_memory = quick(**params).fit(X, bank.y)
    streamed = quick(**params).fit(prepared, "overdue")
    assert_equal(streamed, in_memory, X)
    assert streamed.blend_ == in_memory.blend_
    scores = [getattr(model, "oof_log_odds_", None) for model in (streamed, in_memory)]
    assert (scores[0] is None) == (in_memory.blend_ is None)
    assert_array_equal(*scores)


def test_rows_left_out_are_scored_in_their_place_with_several_buffers(
    X, bank, prepared, monkeypatch
):
    monkeypatch.setattr("skhuihen._encoding.streaming.BUFFER", 500)
    parts: list[Any] = []
    original = Trainer.hold_out
    monkeypatch.setattr(
        Trainer,
        "hold_out",
        lambda self, *args: parts.extend(found := original(self, *args)) or found,
    )
    model = quick(early_stopping=False, schedule="one_cycle", n_estimators=3)
    model.fit(prepared, "overdue")
    whole = model._encoder.dataset(X, model._encoder.read(X))
    scores = np.empty(len(X))
    for net, rows in zip(model.estimators_, parts, strict=True):
        scores[rows] = net.log_odds(whole)[rows]
    # Calibration draws a line through them.
    assert np.corrcoef(scores, model.oof_log_odds_)[0, 1] == pytest.approx(1, abs=1e-6)


def test_labels_and_weights_by_name_or_by_row(X, bank, prepared):
    weight = pq.read_table(prepared)["weight"].to_numpy() * (np.arange(240) % 5 > 0)
    wanted = quick().fit(X, bank.y, sample_weight=weight)
    files = [str(path) for path in sorted(prepared.iterdir())]
    # As a label is no profile column, one that is not named is.
    columns = ("user_id", "application_id", "weight", "overdue")
    found = quick(id_columns=columns).fit(files, bank.y.tolist(), sample_weight=weight)
    assert_array_equal(found.predict_proba(X), wanted.predict_proba(X))
    by_name = quick().fit(prepared, "overdue", sample_weight="weight")
    weight = pq.read_table(prepared)["weight"].to_numpy()
    assert_equal(by_name, quick().fit(X, bank.y, sample_weight=weight), X)


def test_partial_fit_reads_files_too(X, bank, prepared):
    first, *later = sorted(prepared.iterdir())
    n = pq.read_metadata(first).num_rows
    wanted = quick().partial_fit(X[:n], bank.y[:n], classes=[0, 1]).partial_fit(X[n:], bank.y[n:])
    found = quick().partial_fit(first, "overdue", classes=[0, 1]).partial_fit(later, "overdue")
    assert_equal(found, wanted, X)


def test_warm_start(X, bank, prepared):
    model = quick().warm_start_from(bank.old_applications, bank.old_y, teacher=None, max_epochs=2)
    assert_equal(model.fit(prepared, "overdue"), model.__sklearn_clone__().fit(X, bank.y), X)


def test_numbers_of_events_that_are_named_are_read(bank, tmp_path):
    events = bank.events.assign(seconds=bank.events["time"].dt.second)
    X = Sessionizer().fit_transform(attach_behaviors(bank.applications, events))
    attached = attach_behaviors(bank.applications, events, output=tmp_path / "attached")
    prepared = prepare_parquet(Sessionizer(), attached, tmp_path / "prepared")
    params = {"event_numbers": ["seconds", "age"], "max_epochs": 1}
    model = quick(**params).fit(prepared, bank.y)
    assert model.event_numbers_.names_ == ["seconds", "age"]
    assert_equal(model, quick(**params).fit(X, bank.y), X)


def test_raw_operations_are_read_where_nothing_was_abstracted(bank, tmp_path):
    X = Sessionizer().fit_transform(attach_behaviors(bank.applications, bank.events))
    raw = attach_behaviors(bank.applications, bank.events, output=tmp_path / "raw")
    prepared = prepare_parquet(Sessionizer(), raw, tmp_path / "prepared")
    wanted = quick(max_epochs=1).fit(X, bank.y)
    assert_equal(quick(max_epochs=1).fit(prepared, bank.y), wanted, X)


def test_profiles_alone(X, bank, tmp_path):
    profile = X.drop(columns="behaviors")
    profile.to_parquet(tmp_path / "profile.parquet")
    wanted = quick().fit(profile, bank.y)
    assert_equal(quick().fit(tmp_path / "profile.parquet", bank.y), wanted, profile)


@pytest.mark.parametrize("role", ["base_estimator", "teacher"])
def test_models_beside_the_network_want_a_table(prepared, bank, role):
    model = quick(**{role: make_pipeline(ProfileEncoder(), GaussianNB())})
    with pytest.raises(TypeError, match=f"{role} requires a table in memory"):
        model.fit(prepared, bank.y)


# --------------------------------------------------------------------------------------------------
# Several buffers.


@pytest.fixture
def small_buffer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(skhuihen._encoding.streaming, "BUFFER", 600)


@pytest.mark.usefixtures("small_buffer")
def test_repeats_to_the_bit_and_learns(X, bank, prepared):
    params = {"max_epochs": 2, "lr": 0.01, "dropout": 0.0}
    one, two = (quick(**params).fit(prepared, "overdue") for _ in range(2))
    assert_equal(one, two, X)
    other = quick(**params).fit(X, bank.y)
    # Another order of batches, the same held-out rows.
    assert not np.array_equal(one.predict_proba(X), other.predict_proba(X))
    assert one.history_["valid_auc"].notna().all()
    learned = quick(**params | {"max_epochs": 12}).fit(prepared, "overdue")
    assert roc_auc_score(bank.y, learned.predict_proba(X)[:, 1]) > 0.65
    assert not np.array_equal(
        one.predict_proba(X),
        quick(**params).set_params(random_state=1).fit(prepared, "overdue").predict_proba(X),
    )


def streamed(prepared: Path, X: pd.DataFrame, rows: np.ndarray) -> StreamedApplications:
    """Return applications whose profile is their row number."""
    classifier = quick(max_epochs=1, early_stopping=False).fit(prepared, "overdue")
    source = PreparedParquet(prepared, "behaviors", "applied_at")
    assert len(source.groups) > 5
    return StreamedApplications(
        source,
        rows,
        rows[:, None].astype(np.float32),
        np.zeros(len(rows), dtype=np.int64),
        np.ones(len(rows), dtype=np.float32),
        lambda frame: classifier._encoder.encode(classifier._encoder.read(frame)),
        "cpu",
    )


@pytest.mark.usefixtures("small_buffer")
def test_each_epoch_has_every_application_once_in_a_new_order(X, prepared):
    rows = np.flatnonzero(np.arange(240) % 7)
    dataset = streamed(prepared, X, rows)
    wanted = np.arange(len(rows))[::2]
    buffers: list[list[int]] = []

    def load(buffer: ApplicationDataset) -> Any:
        buffers.append(buffer.profile[:, 0].astype(int).tolist())
        yield from buffers[-1]

    batches = Batches(dataset, wanted, load, np.random.default_rng(0))
    first, second = list(batches), list(batches)
    assert first != second
    assert sorted(first) == sorted(second) == rows[wanted].tolist()
    assert len(buffers) > 4
    # A buffer is full as soon as it has enough: one row group beyond it at most.
    lengths = X["behaviors"].array.list_lengths
    longest = max(lengths[group.start : group.stop].sum() for group in dataset.source.groups)
    assert max(lengths[buffer].sum() for buffer in buffers) < 600 + longest
    # Row groups of several files meet in one buffer.
    assert max(map(np.ptp, buffers)) > 240 / 3
    in_order = Batches(dataset, wanted, load, None)
    assert list(in_order) == list(in_order) == rows[wanted].tolist()


def test_the_events_are_those_of_the_application(X, prepared):
    dataset = streamed(prepared, X, np.arange(240))
    lengths = X["behaviors"].array.list_lengths
    for buffer in dataset.buffers(np.arange(3, 200), np.random.default_rng(0)):
        found = np.zeros(len(buffer), dtype=np.int64)
        owner = np.repeat(np.arange(len(buffer)), buffer.behaviors.n_sessions)
        np.add.at(found, owner, buffer.behaviors.session_lengths)
        assert_array_equal(found, lengths[buffer.profile[:, 0].astype(int)])


def test_only_what_is_needed_is_read(prepared):
    source = PreparedParquet(prepared, "behaviors", "applied_at")
    frame = source.read_group(source.groups[0])
    assert frame.columns.tolist() == ["applied_at", "behaviors"]
    names = {field.name for field in frame["behaviors"].dtype.pyarrow_dtype.value_type}
    assert {"time", "field", "behavior", "session"} < names
    assert not {"operation", "item"} & names


# --------------------------------------------------------------------------------------------------
# Refusals.


def test_refusals(X, bank, prepared, tmp_path):
    with pytest.raises(ValueError, match=r"y='late' is not a column of X. Its columns are \['app"):
        quick().fit(prepared, "late")
    with pytest.raises(ValueError, match="sample_weight='late' is not a column"):
        quick().fit(prepared, "overdue", sample_weight="late")
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        quick().fit(prepared, bank.y[:-1])
    with pytest.raises(FileNotFoundError, match="X: no Parquet file found at"):
        quick().fit(tmp_path / "nothing", "overdue")
    raw = attach_behaviors(bank.applications, bank.events, output=tmp_path / "raw")
    with pytest.raises(ValueError, match="no subfield 'session'"):
        quick().fit(raw, bank.y)
    with pytest.raises(ValueError, match="behaviors='events' names another"):
        quick(behaviors="events").fit(prepared, "overdue")


def test_a_file_that_breaks_off_is_named(prepared, tmp_path):
    whole = sorted(prepared.iterdir())
    copies = [tmp_path / path.name for path in whole]
    for path, copy in zip(whole, copies, strict=True):
        copy.write_bytes(path.read_bytes())
    content = copies[1].read_bytes()
    copies[1].write_bytes(content[:-50])
    model = quick()
    with pytest.raises(ValueError, match=r"X: the file .*part-00001.parquet cannot be read"):
        model.fit(copies, "overdue")
    # Broken inside: the footer is whole, and the profile.
    group = pq.read_metadata(whole[1]).row_group(0)
    (chunk,) = (
        group.column(i)
        for i in range(group.num_columns)
        if group.column(i).path_in_schema.endswith(".behavior")
    )
    start, size = chunk.dictionary_page_offset, chunk.total_compressed_size
    copies[1].write_bytes(content[:start] + b"\xff" * size + content[start + size :])
    with pytest.raises(ValueError, match=r"X: the file .*part-00001.parquet cannot be read"):
        model.fit(copies, "overdue")
    assert not hasattr(model, "net_")


def test_calls_of_partial_fit_are_epochs_of_fit_with_several_buffers_too(X, prepared, monkeypatch):
    monkeypatch.setattr(skhuihen._encoding.streaming, "BUFFER", 2000)
    whole = quick(early_stopping=False).fit(prepared, "overdue")
    steps = quick(early_stopping=False)
    for _ in range(3):
        steps.partial_fit(prepared, "overdue")
    assert_equal(steps, whole, X)
