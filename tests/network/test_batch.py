from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from skhuihen.network.batch import ApplicationDataset, EncodedBehaviors, pack
from tests.network.applications import MIXED, as_dataset, draw_applications, histories
from tests.network.oracle import time_major


@settings(max_examples=30)
@given(st.lists(st.integers(1, 6), max_size=8), st.randoms(use_true_random=False))
def test_pack_agrees_with_a_loop(lengths, random):
    # The sequences lie in the flat array in another order than they are asked for.
    placed = list(range(len(lengths)))
    random.shuffle(placed)
    flat, starts = [], [0] * len(lengths)
    for sequence in placed:
        starts[sequence] = len(flat)
        flat += [(sequence, step) for step in range(lengths[sequence])]

    index, steps, order = pack(np.array(starts, dtype=np.int64), np.array(lengths, dtype=np.int64))

    positions, expected_steps, expected_order = time_major(lengths)
    assert [flat[i] for i in index] == positions
    assert steps == expected_steps
    assert order.tolist() == expected_order


@settings(max_examples=30)
@given(histories, st.data())
def test_batches_agree_with_a_loop(history, data):
    applications = draw_applications(history, n_profile=2, n_behaviors=5)
    unweighted = as_dataset(applications)
    weight = np.arange(1.0, len(history) + 1)
    dataset = ApplicationDataset(unweighted.profile, unweighted.behaviors, unweighted.y, weight)
    rows = data.draw(st.lists(st.integers(0, len(history) - 1), min_size=1, max_size=8))

    batch, y = dataset.__getitems__(rows)

    chosen = [applications[row] for row in rows]
    assert len(batch) == len(rows)
    assert np.array_equal(batch.profile, [a.profile for a in chosen])
    assert batch.weight.tolist() == [row + 1.0 for row in rows]
    assert y.tolist() == [a.overdue for a in chosen]

    sessions = [session for a in chosen for session in a.sessions]
    positions, steps, by_length = time_major([len(session) for session in sessions])
    behaviors = [sessions[i][t] for i, t in positions]
    assert batch.behavior_steps == steps
    assert batch.behavior.tolist() == [b.index for b in behaviors]
    assert batch.interval.tolist() == [b.interval for b in behaviors]
    assert batch.weekday.tolist() == [b.weekday for b in behaviors]
    assert batch.monthday.tolist() == [b.monthday - 1 for b in behaviors]
    assert batch.scale.tolist() == [
        1.0 if b.amount is None else np.log1p(abs(b.amount)) for b in behaviors
    ]

    numbers = iter(range(len(sessions)))
    of_application = [[next(numbers) for _ in a.sessions] for a in chosen]
    applicants = [i for i, a in enumerate(chosen) if a.sessions]
    positions, steps, by_count = time_major([len(of_application[i]) for i in applicants])
    assert batch.session_steps == steps
    assert batch.session.tolist() == [
        by_length.index(of_application[applicants[i]][t]) for i, t in positions
    ]
    assert batch.applicants.tolist() == [applicants[i] for i in by_count]
    assert batch.last_session.tolist() == [
        by_length.index(of_application[applicants[i]][-1]) for i in by_count
    ]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_batch_keeps_the_dtype_of_the_dataset(dtype):
    batch, y = as_dataset(draw_applications(MIXED, 2, 5), dtype).__getitems__([0, 1, 2])
    expected = torch.from_numpy(np.empty(0, dtype)).dtype
    for name in ("profile", "weight", "scale", "interval"):
        assert getattr(batch, name).dtype == expected, name
    for name in ("behavior", "weekday", "monthday", "session", "applicants", "last_session"):
        assert getattr(batch, name).dtype == torch.int64, name
    assert y.dtype == torch.int64


def test_labels_and_weights_are_optional():
    batch, y = ApplicationDataset(np.zeros((3, 2)), EncodedBehaviors.none(3))[1]
    assert batch.weight.tolist() == [1.0]
    assert y.tolist() == [0]


def test_behaviors_none_are_those_of_applications_without_sessions():
    expected = as_dataset(draw_applications([[], [], []], 2, 5), np.float32).behaviors
    for field in fields(EncodedBehaviors):
        value, of_loop = (
            getattr(EncodedBehaviors.none(3), field.name),
            getattr(expected, field.name),
        )
        assert value.dtype == of_loop.dtype, field.name
        assert np.array_equal(value, of_loop), field.name


def test_one_application_is_a_batch_of_one():
    dataset = as_dataset(draw_applications(MIXED, 2, 5))
    (one, y), (cut, y_cut) = dataset[3], dataset.__getitems__([3])
    assert len(one) == 1
    assert torch.equal(y, y_cut)
    assert torch.equal(one.behavior, cut.behavior)


def test_a_data_loader_cuts_whole_batches():
    dataset = as_dataset(draw_applications(MIXED, 2, 5))
    loader = DataLoader(dataset, batch_size=4, collate_fn=lambda batch: batch)
    for (batch, y), rows in zip(loader, ([0, 1, 2, 3], [4, 5]), strict=True):
        expected, expected_y = dataset.__getitems__(rows)
        assert torch.equal(y, expected_y)
        assert torch.equal(batch.profile, expected.profile)
        assert torch.equal(batch.behavior, expected.behavior)


def test_a_batch_moves_as_a_whole():
    batch, _ = as_dataset(draw_applications(MIXED, 2, 5)).__getitems__(range(6))
    moved = batch.to("meta")
    for field in fields(batch):
        before, after = getattr(batch, field.name), getattr(moved, field.name)
        if isinstance(before, torch.Tensor):
            assert after.is_meta, field.name
            assert not before.is_meta, field.name
            assert after.shape == before.shape, field.name
        else:
            assert after == before, field.name


def test_cutting_leaves_the_dataset_alone():
    dataset = as_dataset(draw_applications(MIXED, 2, 5))
    batch, y = dataset.__getitems__(range(len(dataset)))
    for tensor in (batch.profile, batch.weight, batch.behavior, batch.scale, y):
        tensor.fill_(9)
    behaviors = dataset.behaviors
    for array in (dataset.profile, dataset.weight, behaviors.behavior, behaviors.scale, dataset.y):
        assert not (array == 9).any()
