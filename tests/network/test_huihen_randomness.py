from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from skhuihen.network.huihen import HUIHEN
from tests.network.applications import as_dataset
from tests.network.networks import (
    ABLATIONS,
    BEHAVIORS,
    PROFILE,
    draw,
    everything,
    make,
    scores,
)


def test_equal_seeds_give_equal_bits():
    batch, y = everything(draw(), np.float32)
    runs = []
    for _ in range(2):
        net = make(dropout=0.6, seed=3).train()
        first, second = net(batch), net(batch)
        cross_entropy(second, y).backward()
        runs.append([first, second, *net.parameters(), *(p.grad for p in net.parameters())])
        assert not torch.equal(first, second)
    for one, other in zip(*runs, strict=True):
        assert torch.equal(one, other)
    assert not torch.equal(make(seed=4).train()(batch), runs[0][0])


@pytest.mark.parametrize("switches", ABLATIONS, ids=str)
def test_the_global_generator_is_left_alone(switches):
    batch, y = everything(draw(hierarchical=switches.get("hierarchical", True)), np.float32)
    state = torch.get_rng_state()
    net = HUIHEN(BEHAVIORS, PROFILE, **switches)
    assert torch.equal(torch.get_rng_state(), state)
    net.reset_parameters(torch.Generator().manual_seed(0))
    cross_entropy(net.train()(batch), y).backward()
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("switches", ABLATIONS, ids=str)
def test_a_reset_draws_every_parameter(switches):
    net = make(**switches)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.fill_(torch.nan)
    net.reset_parameters(torch.Generator().manual_seed(0))
    expected = make(**switches).state_dict()
    for name, value in net.state_dict().items():
        assert torch.equal(value, expected[name]), name


@pytest.mark.parametrize("switches", ABLATIONS, ids=str)
def test_a_pickled_network_scores_alike_and_goes_on_alike(switches):
    applications = draw(hierarchical=switches.get("hierarchical", True))
    dataset, rows = as_dataset(applications, np.float32), range(len(applications))
    net = make(**switches)
    net.train()(dataset.__getitems__(rows)[0])
    restored = pickle.loads(pickle.dumps(net))
    assert torch.equal(scores(restored, dataset, rows), scores(net, dataset, rows))

    batch, _ = dataset.__getitems__(rows)
    state = torch.get_rng_state()
    first = net.train()(batch)
    assert torch.equal(restored.train()(batch), first)
    assert torch.equal(restored(batch), net(batch))
    restored.seed_dropout(torch.Generator().manual_seed(1))
    assert not torch.equal(restored(batch), net(batch))
    assert torch.equal(torch.get_rng_state(), state)


def test_dropout_stands_behind_the_hidden_layers_only():
    batch, _ = everything(draw(), np.float32)
    net = make(dropout=0.6).train()
    # Nothing in front of the interaction layer is random.
    assert torch.equal(net.represent(batch), net.represent(batch))
    assert [layer.rate for layer in net.interaction.hidden[2::3]] == [0.6, 0.6]
