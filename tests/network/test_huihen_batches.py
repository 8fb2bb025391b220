from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skhuihen.network.huihen import HUIHEN
from tests.network import oracle
from tests.network.applications import MIXED, as_dataset, draw_session
from tests.network.networks import (
    ABLATIONS,
    BEHAVIORS,
    PROFILE,
    draw,
    everything,
    make,
    scores,
)

LONG = [[25] * 50]
COMPANY = [*MIXED, [1], [3] * 12, *LONG]


@pytest.fixture(scope="module")
def company():
    """A float32 network of the paper's sizes, applications, and the score of each alone."""
    net = HUIHEN(BEHAVIORS, PROFILE)
    net.reset_parameters(torch.Generator().manual_seed(0))
    dataset = as_dataset(draw(COMPANY), np.float32)
    alone = torch.cat([scores(net, dataset, [row]) for row in range(len(dataset))])
    assert alone.dtype == torch.float32
    # Scores that are all alike would agree whatever the network did.
    assert len(alone.unique()) == len(alone)
    return net, dataset, alone


@settings(max_examples=20)
@given(st.permutations(range(len(COMPANY))), st.integers(1, len(COMPANY)))
def test_scores_are_those_alone_in_batches_of_any_size_and_order(company, order, size):
    net, dataset, alone = company
    for start in range(0, len(order), size):
        rows = order[start : start + size]
        torch.testing.assert_close(scores(net, dataset, rows), alone[rows], rtol=0, atol=1e-6)


@pytest.mark.parametrize("row", range(len(COMPANY)))
def test_scores_are_those_alone_beside_fifty_sessions(company, row):
    net, dataset, alone = company
    long = len(COMPANY) - 1
    for rows in ([row, long], [long, row], [long, row, long, row]):
        torch.testing.assert_close(scores(net, dataset, rows), alone[rows], rtol=0, atol=1e-6)


@pytest.mark.parametrize("switches", ABLATIONS, ids=str)
def test_scores_of_ablations_are_those_alone_too(switches):
    hierarchical = switches.get("hierarchical", True)
    net = HUIHEN(BEHAVIORS, PROFILE, **switches)
    net.reset_parameters(torch.Generator().manual_seed(0))
    dataset = as_dataset(draw([*MIXED, [3] * 12], hierarchical=hierarchical), np.float32)
    alone = torch.cat([scores(net, dataset, [row]) for row in range(len(dataset))])
    rows = [4, 0, 6, 1, 5, 3, 2]
    torch.testing.assert_close(scores(net, dataset, rows), alone[rows], rtol=0, atol=1e-6)


@pytest.mark.parametrize("changed", range(len(MIXED)))
def test_behaviors_of_one_application_change_no_other_score(changed):
    net = make().double()
    applications = draw()
    rows = range(len(applications))
    before = scores(net, as_dataset(applications), rows)
    rng = np.random.default_rng(9)
    applications[changed].sessions = [draw_session(rng, n, sum(BEHAVIORS)) for n in (2, 7)]
    after = scores(net, as_dataset(applications), rows)
    others = [row for row in rows if row != changed]
    torch.testing.assert_close(after[others], before[others], rtol=0, atol=1e-14)
    assert abs(after[changed] - before[changed]) > 1e-6


@pytest.mark.parametrize("switches", ABLATIONS, ids=str)
def test_a_score_has_no_slope_by_what_belongs_to_others(switches):
    hierarchical = switches.get("hierarchical", True)
    applications = draw(hierarchical=hierarchical)
    # The fast path has no gradient by data.
    net = make(**switches, fused=False).double().eval()
    batch, _ = everything(applications)
    profile, scale = (a.clone().requires_grad_() for a in (batch.profile, batch.scale))
    sessions = [(i, s) for i, a in enumerate(applications) for s in a.sessions]
    positions, _, _ = oracle.time_major([len(session) for _, session in sessions])
    owner = torch.tensor([sessions[session][0] for session, _ in positions])
    # An unknown behavior has no vector to scale, and one may be mapped to zero.
    counts = net.map_behaviors(batch).any(dim=1)
    logits = net(replace(batch, profile=profile, scale=scale))
    for i in range(len(applications)):
        by_profile, by_scale = torch.autograd.grad(
            logits[i].sum(), (profile, scale), retain_graph=True
        )
        others = [j for j in range(len(applications)) if j != i]
        assert not by_profile[others].any()
        assert not by_scale[owner != i].any()
        assert by_scale[(owner == i) & counts].all()
