from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from torch import nn

from skhuihen.network.interaction import Dropout, UserPropertyInteraction
from tests.network.agreement import assert_agrees
from tests.network.oracle import interaction, stack


def make(hidden_units=(6, 4), dropout=0.6):
    module = UserPropertyInteraction(2, 3, hidden_units, dropout).double()
    module.reset_parameters(torch.Generator().manual_seed(0))
    return module


@pytest.mark.parametrize("hidden_units", [(6, 4), (3,), ()])
def test_equations_13_and_14(hidden_units):
    module = make(hidden_units).eval()
    with torch.no_grad():
        # As after training: slopes differ, one of them is negative, and biases are not zero.
        for slope, layer in enumerate(m for m in module.modules() if isinstance(m, nn.PReLU)):
            layer.weight.fill_(0.3 - 0.5 * slope)
        for layer in module.modules():
            if hasattr(layer, "bias"):
                layer.bias.normal_(generator=torch.Generator().manual_seed(1))
    x = np.random.default_rng(0).normal(size=(7, 5))

    def slow(p, x):
        return stack([interaction(p, row, len(hidden_units)) for row in x])

    assert_agrees(module, [x], module, slow)


def test_slopes_start_at_a_half_and_learn():
    module = make()
    slopes = {n: p for n, p in module.named_parameters() if p.shape == (1,)}
    assert sorted(slopes) == ["hidden.1.weight", "hidden.4.weight"]
    assert [float(slope.detach()) for slope in slopes.values()] == [0.5, 0.5]
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(7, 5)))
    module(x).square().sum().backward()
    for name, slope in slopes.items():
        assert float(slope.grad) != 0, name


def test_logits_are_free_of_activation_and_dropout():
    module = make()
    hidden = torch.from_numpy(np.random.default_rng(0).normal(size=(50, 4)))
    module.hidden = nn.Identity()
    expected = hidden @ module.logits.weight.T + module.logits.bias
    assert (expected < 0).any()
    torch.testing.assert_close(module(hidden), expected)


def test_an_untrained_layer_starts_at_the_odds_it_is_given():
    module = make()
    weight = module.logits.weight.detach().clone()
    module.start_at(-3.0)
    logits = module.logits(torch.zeros(1, 4, dtype=torch.float64))[0]
    assert float((logits[1] - logits[0]).detach()) == pytest.approx(-3.0)
    assert float(logits.sum().detach()) == pytest.approx(0, abs=1e-15)
    assert torch.equal(module.logits.weight, weight)
    assert module.logits.bias.requires_grad


def test_a_reset_brings_back_slopes_and_biases():
    module = make()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.fill_(torch.nan)
    module.reset_parameters(torch.Generator().manual_seed(0))
    expected = make().state_dict()
    for name, value in module.state_dict().items():
        assert torch.equal(value, expected[name]), name
        if name.endswith("bias"):
            assert (value == 0).all(), name


def test_weights_are_drawn_as_he_draws_them_for_prelu():
    module = UserPropertyInteraction(60, 30, (500, 250), 0.6)
    module.reset_parameters(torch.Generator().manual_seed(0))
    for layer, fan_in in zip((0, 3), (90, 500), strict=True):
        weight = module.hidden[layer].weight.detach()
        bound = (6 / (1.25 * fan_in)) ** 0.5
        assert float(weight.abs().max()) <= bound
        assert float(weight.std()) == pytest.approx(bound / 3**0.5, rel=0.02)


def seeded(rate, seed=0):
    dropout = Dropout(rate)
    dropout.generator = torch.Generator().manual_seed(seed)
    return dropout


@pytest.mark.parametrize("rate", [0.6, 0.4])
def test_dropout_drops_its_rate_and_keeps_the_mean(rate):
    x = torch.linspace(1, 2, 200_000)
    y = seeded(rate)(x)
    dropped = y == 0
    # Five standard errors.
    assert float(dropped.float().mean()) == pytest.approx(rate, abs=0.006)
    torch.testing.assert_close(y[~dropped], x[~dropped] / (1 - rate))
    assert float(y.mean()) == pytest.approx(1.5, abs=0.02)


def test_dropout_passes_gradients_where_it_passes_values():
    x = torch.ones(1000, requires_grad=True)
    y = seeded(0.6)(x)
    y.sum().backward()
    assert torch.equal(x.grad, y.detach())


@pytest.mark.parametrize(("rate", "training"), [(0.6, False), (0.0, True)])
def test_dropout_off(rate, training):
    x = torch.randn(10, 3, generator=torch.Generator().manual_seed(0))
    assert torch.equal(seeded(rate).train(training)(x), x)


def test_dropout_draws_from_its_own_generator():
    x = torch.ones(100)
    state = torch.get_rng_state()
    first, second = seeded(0.6), seeded(0.6)
    assert torch.equal(first(x), second(x))
    assert not torch.equal(first(x), first(x))
    assert not torch.equal(seeded(0.6, seed=1)(x), seeded(0.6)(x))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("duplicate", [lambda m: pickle.loads(pickle.dumps(m)), copy.deepcopy])
def test_a_copy_of_dropout_goes_on_where_the_original_stands(duplicate):
    x = torch.ones(100)
    original = seeded(0.6)
    original(x)
    restored = duplicate(original)
    assert restored.generator is not original.generator
    for _ in range(2):
        assert torch.equal(restored(x), original(x))
