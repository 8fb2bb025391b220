from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skhuihen.network.recurrence import PlainGRU, fill_uniform, packed_scan
from tests.network.agreement import assert_agrees
from tests.network.oracle import plain_gru, stack, time_major

lists_of_lengths = st.lists(st.integers(1, 5), min_size=1, max_size=6)


@settings(max_examples=20)
@given(lists_of_lengths, st.integers(0, 2**16))
def test_the_scan_agrees_with_a_loop(lengths, seed):
    positions, sizes, order = time_major(lengths)
    rng = np.random.default_rng(seed)
    x, d = (
        torch.from_numpy(rng.normal(size=(sum(lengths), 2))),
        torch.from_numpy(rng.normal(size=sum(lengths))),
    )
    initial = torch.from_numpy(rng.normal(size=(len(lengths), 2)))

    def step(h, x, d):
        return 0.5 * h - x * d[:, None]

    last = packed_scan(step, [x, d], sizes, initial)

    expected = []
    for rank, sequence in enumerate(order):
        h = initial[rank]
        for t in range(lengths[sequence]):
            at = positions.index((sequence, t))
            h = 0.5 * h - x[at] * d[at]
        expected.append(h)
    assert torch.equal(last, torch.stack(expected))


def test_inputs_of_another_length_are_an_error():
    with pytest.raises(RuntimeError, match="split"):
        packed_scan(lambda h, x: h + x, [torch.ones(4, 1)], [2, 1], torch.zeros(2, 1))


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("lengths", [[3], [1, 1, 1], [2, 5, 1, 5]])
def test_plain_gru_follows_the_equations_of_torch(lengths, fused):
    module = PlainGRU(3, 4).double()
    module.reset_parameters(torch.Generator().manual_seed(0))
    positions, sizes, order = time_major(lengths)
    x = np.random.default_rng(0).normal(size=(len(positions), 3))

    def slow(p, x):
        at = {position: i for i, position in enumerate(positions)}
        return stack([plain_gru(p, [x[at[i, t]] for t in range(lengths[i])]) for i in order])

    read = module.forward_fused if fused else module
    assert_agrees(module, [x], lambda x: read(x, sizes), slow)


def test_making_a_plain_gru_leaves_the_global_generator_alone():
    state = torch.get_rng_state()
    PlainGRU(3, 4).reset_parameters(torch.Generator().manual_seed(0))
    assert torch.equal(torch.get_rng_state(), state)


def test_weights_are_drawn_as_torch_draws_them():
    module = PlainGRU(20, 100)
    module.reset_parameters(torch.Generator().manual_seed(0))
    for name, value in module.named_parameters():
        assert float(value.abs().max().detach()) <= 0.1, name
        assert float(value.std().detach()) == pytest.approx(0.1 / 3**0.5, rel=0.1), name


def test_filling_a_parameter_without_elements_is_quiet():
    module = torch.nn.Module()
    module.empty = torch.nn.Parameter(torch.empty(0, 3))
    fill_uniform(module, 3, torch.Generator())
