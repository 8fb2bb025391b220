from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.func import functional_call

from skhuihen.network.intention import TimeAwareGRU
from tests.network.agreement import assert_agrees
from tests.network.oracle import stack, time_aware_gru, time_major

N_INPUT, N_PERIOD, N_NUMBERS = 3, 2, 2


def make(hidden_dim=4, *, log_interval=True, n_numbers=N_NUMBERS):
    module = TimeAwareGRU(
        N_INPUT, N_PERIOD, hidden_dim, log_interval=log_interval, n_numbers=n_numbers
    ).double()
    module.reset_parameters(torch.Generator().manual_seed(0))
    return module


def draw(n, longest_wait, n_numbers=N_NUMBERS):
    """Draw behaviors, intervals in seconds, weeks, months and further numbers."""
    rng = np.random.default_rng(0)
    x, week, month = (rng.normal(size=(n, dim)) for dim in (N_INPUT, N_PERIOD, N_PERIOD))
    numbers = rng.normal(size=(n, n_numbers))
    return x, rng.uniform(0, longest_wait, n), week, month, numbers


@pytest.mark.parametrize("log_interval", [True, False])
@pytest.mark.parametrize("longest_wait", [2, 3600])
@pytest.mark.parametrize("lengths", [[1], [4], [2, 5, 1, 5, 3]])
@pytest.mark.parametrize("n_numbers", [0, N_NUMBERS])
def test_equations_2_to_7(lengths, longest_wait, log_interval, n_numbers):
    module = make(log_interval=log_interval, n_numbers=n_numbers)
    positions, sizes, order = time_major(lengths)
    at = {position: i for i, position in enumerate(positions)}

    def slow(p, *inputs):
        sessions = [[tuple(a[at[i, t]] for a in inputs) for t in range(lengths[i])] for i in order]
        return stack([time_aware_gru(p, session, log_interval) for session in sessions])

    inputs = draw(len(positions), longest_wait, n_numbers)
    assert_agrees(module, inputs, lambda *inputs: module(*inputs, sizes), slow)


@pytest.mark.parametrize("log_interval", [True, False])
def test_gradients_are_those_of_finite_differences(log_interval):
    module = make(2, log_interval=log_interval)
    names, values = zip(*module.named_parameters(), strict=True)
    inputs = [torch.tensor(a, requires_grad=True) for a in draw(6, 5)]

    def run(x, interval, week, month, numbers, *values):
        parameters = dict(zip(names, values, strict=True))
        return functional_call(module, parameters, (x, interval, week, month, numbers, [3, 2, 1]))

    assert torch.autograd.gradcheck(run, (*inputs, *values))


def test_seconds_saturate_and_their_logarithm_does_not():
    x, _, week, month, numbers = (torch.from_numpy(a) for a in draw(1, 1))
    slopes = {}
    for log_interval in (True, False):
        interval = torch.full((1,), 600.0, dtype=torch.float64)
        module = make(log_interval=log_interval)
        module(x, interval, week, month, numbers, [1]).sum().backward()
        slopes[log_interval] = float(module.q.grad.abs().max())
    assert slopes[False] < 1e-3 * slopes[True]


@pytest.mark.parametrize("changed", ["x", "interval", "week", "month", "numbers"])
def test_each_input_at_each_step_counts(changed):
    module = make()
    names = ("x", "interval", "week", "month", "numbers")
    inputs = dict(zip(names, draw(4, 5), strict=True))
    tensors = {name: torch.tensor(a, requires_grad=True) for name, a in inputs.items()}
    module(*tensors.values(), [1, 1, 1, 1]).sum().backward()
    assert (tensors[changed].grad.reshape(4, -1) != 0).all()
