from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.func import functional_call

from skhuihen.network.habit import UserItemAwareGRU
from tests.network.agreement import assert_agrees
from tests.network.oracle import stack, time_major, user_item_aware_gru

N_INPUT = 3


def make(context_dim, hidden_dim=4):
    module = UserItemAwareGRU(N_INPUT, context_dim, hidden_dim).double()
    module.reset_parameters(torch.Generator().manual_seed(0))
    return module


@pytest.mark.parametrize("context_dim", [5, 0])
@pytest.mark.parametrize("lengths", [[1], [4], [2, 5, 1, 5, 3]])
def test_equations_8_to_12(lengths, context_dim):
    module = make(context_dim)
    positions, sizes, order = time_major(lengths)
    at = {position: i for i, position in enumerate(positions)}

    def slow(p, x, context):
        return stack(
            [
                user_item_aware_gru(p, [x[at[i, t]] for t in range(lengths[i])], context[rank])
                for rank, i in enumerate(order)
            ]
        )

    rng = np.random.default_rng(0)
    inputs = (
        rng.normal(size=(len(positions), N_INPUT)),
        rng.normal(size=(len(lengths), context_dim)),
    )
    assert_agrees(module, inputs, lambda x, context: module(x, context, sizes), slow)


def test_gradients_are_those_of_finite_differences():
    module = make(2, hidden_dim=2)
    names, values = zip(*module.named_parameters(), strict=True)
    rng = np.random.default_rng(0)
    x = torch.tensor(rng.normal(size=(6, N_INPUT)), requires_grad=True)
    context = torch.tensor(rng.normal(size=(3, 2)), requires_grad=True)

    def run(x, context, *values):
        return functional_call(
            module, dict(zip(names, values, strict=True)), (x, context, [3, 2, 1])
        )

    assert torch.autograd.gradcheck(run, (x, context, *values))
