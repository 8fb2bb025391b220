"""The fast path against the plain one; tests/network/test_huihen.py has both against the paper."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy

from skhuihen.network.fused import PlainScan, TimeAwareScan, UserItemAwareScan
from tests.network.networks import draw, everything, make

SWITCHES = [
    *({}, {"time_aware": False}, {"user_item_aware": False}, {"log_interval": False}),
    *({"time_aware": False, "user_item_aware": False}, {"hierarchical": False}),
    {"n_numbers": 2, "mean_intention": True},
]


@pytest.fixture(params=[1, 2])
def n_threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def pair(**switches):
    """Return the same network twice, fast and plain."""
    fast = make(**switches)
    plain = copy.deepcopy(fast)
    plain.fused = False
    return fast, plain


def drawn(history, switches, dtype=np.float64):
    """Return applications with what a network of these switches reads."""
    of_network = {"hierarchical": switches.get("hierarchical", True)}
    of_network["n_numbers"] = switches.get("n_numbers", 0)
    return everything(draw(history, **of_network), dtype)


def gradients(net, batch, y):
    net.zero_grad()
    cross_entropy(net(batch), y).backward()
    return {name: value.grad.clone() for name, value in net.named_parameters()}


@settings(max_examples=20)
@given(
    st.lists(st.lists(st.integers(1, 6), max_size=5), min_size=1, max_size=5),
    st.sampled_from(SWITCHES),
)
def test_values_and_gradients_are_those_of_the_plain_path(history, switches):
    fast, plain = (net.double().eval() for net in pair(**switches))
    batch, y = drawn(history, switches)
    torch.testing.assert_close(fast.represent(batch), plain.represent(batch), rtol=0, atol=1e-14)
    if not batch.behavior_steps:
        return
    of_plain = gradients(plain, batch, y)
    for name, value in gradients(fast, batch, y).items():
        torch.testing.assert_close(value, of_plain[name], rtol=1e-10, atol=1e-14, msg=name)


@pytest.mark.parametrize("switches", SWITCHES, ids=str)
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-9), (np.float32, 1e-4)])
def test_thirty_steps_of_adam_end_at_the_same_weights(switches, dtype, tolerance):
    nets = pair(**switches, dropout=0.0)
    history = [[20, 3, 7], [4, 4], [], [25] * 6, [1]]
    batch, y = drawn(history, switches, dtype)
    start = copy.deepcopy(nets[0].state_dict())
    for net in nets:
        net.to(batch.profile.dtype).train()
        optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
        for _ in range(30):
            optimizer.zero_grad()
            cross_entropy(net(batch), y).backward()
            optimizer.step()
    of_plain = nets[1].state_dict()
    for name, value in nets[0].state_dict().items():
        torch.testing.assert_close(value, of_plain[name], rtol=0, atol=tolerance, msg=name)
        assert not value.numel() or (value - start[name]).abs().max() > 10 * tolerance, name


def test_gradients_are_those_of_finite_differences():
    generator = torch.Generator().manual_seed(0)

    def normal(*shape):
        value = torch.empty(shape, dtype=torch.float64).normal_(generator=generator)
        return value.requires_grad_()

    n, sizes = 2, [3, 2, 2, 1]
    total = sum(sizes)
    behavior = torch.randint(3, (total,), generator=generator)
    period = torch.randint(4, (total,), generator=generator)
    scale, wait = normal(total).detach().exp(), normal(total).detach().exp()
    weights = [normal(n, n) for _ in range(4)]
    tables = [normal(4, 3, n), normal(4, 4, n), normal(5), normal(5, n)]
    numbers = normal(total, 3).detach()
    assert torch.autograd.gradcheck(
        lambda *learned: TimeAwareScan.apply(
            *(*learned, behavior, scale, period, wait, numbers, sizes)
        ),
        (*tables, *weights, normal(4, 3, n)),
    )
    gates = [normal(total, n) for _ in range(3)]
    assert torch.autograd.gradcheck(
        lambda *learned: UserItemAwareScan.apply(*learned, sizes), (*gates, *weights[:3])
    )
    assert torch.autograd.gradcheck(
        lambda *learned: PlainScan.apply(*learned, sizes), (*gates, *weights[:3], normal(n))
    )


def test_a_second_batch_before_the_gradient_changes_nothing():
    fast, _ = pair()
    (batch, y), (other, _) = everything(draw()), everything(draw([[9, 9]] * 6, seed=1))
    fast.double().eval()
    expected = gradients(fast, batch, y)
    fast.zero_grad()
    loss = cross_entropy(fast(batch), y)
    fast(other).sum().backward()
    fast.zero_grad()
    loss.backward(retain_graph=True)
    for name, value in fast.named_parameters():
        assert torch.equal(value.grad, expected[name]), name
    # Nor does the gradient use up what it needs.
    fast.zero_grad()
    loss.backward()
    for name, value in fast.named_parameters():
        assert torch.equal(value.grad, expected[name]), name


@pytest.mark.parametrize("switches", [{}, {"time_aware": False}, {"hierarchical": False}], ids=str)
def test_gradients_repeat_to_the_bit(n_threads, switches):
    # Steps wide enough that two threads share them.
    batch, y = drawn([[3] * 50] * 30, switches, np.float32)
    fast, _ = pair(**switches, behavior_dim=10, intention_dim=30, habit_dim=30)
    fast.eval()
    expected = gradients(fast, batch, y)
    for name, value in gradients(fast, batch, y).items():
        assert torch.equal(value, expected[name]), name


def test_a_second_gradient_is_refused():
    fast, _ = pair()
    batch, _ = everything(draw())
    (by_weight,) = torch.autograd.grad(
        fast.double().eval()(batch).sum(), fast.intention.w_state, create_graph=True
    )
    with pytest.raises(RuntimeError, match="once_differentiable"):
        by_weight.sum().backward()


@pytest.mark.parametrize("scan", [UserItemAwareScan, PlainScan])
def test_gradients_that_have_faded_are_zero(scan):
    """Numbers below 1e-38 take a processor ten times as long."""
    n, sizes = 3, [4] * 100
    generator = torch.Generator().manual_seed(0)
    gates = [0.1 * torch.randn(400, n, generator=generator) for _ in range(3)]
    gates[0 if scan is UserItemAwareScan else 1] += 2.0 if scan is UserItemAwareScan else -2.0
    weights = [0.1 * torch.randn(n, n, generator=generator) for _ in range(3)]
    weights += [] if scan is UserItemAwareScan else [torch.zeros(n)]
    gates = [gate.requires_grad_() for gate in gates]
    scan.apply(*gates, *weights, sizes).sum().backward()
    for gate in gates:
        size = gate.grad.abs()
        assert (size[-4:] > 1e-6).all()
        assert (size[:80] == 0).all()
        assert ((size == 0) | (size > 1e-30)).all()
    # What is not a number stays so: it is how a diverged network is found out.
    gates = [gate.detach().requires_grad_() for gate in gates]
    (scan.apply(*gates, *weights, sizes).sum() * torch.nan).backward()
    assert all(gate.grad[4:].isnan().all() for gate in gates)
