from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy

from skhuihen.network.architecture import ARCHITECTURE
from skhuihen.network.batch import ApplicationDataset, EncodedBehaviors
from skhuihen.network.huihen import HUIHEN
from tests.network import oracle
from tests.network.agreement import assert_agrees
from tests.network.applications import Application, as_dataset
from tests.network.networks import (
    ABLATIONS,
    BEHAVIORS,
    PROFILE,
    SMALL,
    SWITCHES,
    draw,
    everything,
    make,
    scores,
)
from tests.network.oracle import Architecture, join, stack


def architecture(profile_sizes=PROFILE, **switches):
    return Architecture(BEHAVIORS, profile_sizes, SMALL["intention_dim"], **switches)


def assert_follows_the_paper(net, of_paper, applications):
    batch, y = everything(applications)
    net = net.double().eval()
    # Biases of 0 would hide a bias in the wrong place, and put the zero vector of an applicant
    # without behaviors on the kink of PReLU, where each slope is as good as the other.
    with torch.no_grad():
        for name, value in net.interaction.named_parameters():
            if name.endswith("bias"):
                value.normal_(generator=torch.Generator().manual_seed(1))
    assert_agrees(
        net,
        [],
        lambda: net(batch),
        lambda p: stack([oracle.huihen(p, of_paper, a) for a in applications]),
    )
    # Equation 15 of the overdue probability is the cross-entropy of the two logits.
    assert_agrees(
        net,
        [],
        lambda: cross_entropy(net(batch), y, reduction="none"),
        lambda p: stack(
            [
                oracle.cross_entropy(oracle.huihen(p, of_paper, a), label)
                for a, label in zip(applications, y.tolist(), strict=True)
            ]
        ),
    )
    assert_agrees(
        net,
        [],
        lambda: net.represent(batch),
        lambda p: stack([join(oracle.represent(p, of_paper, a)[:2]) for a in applications]),
    )


@pytest.mark.parametrize(
    "switches",
    [dict(zip(SWITCHES, on, strict=True)) for on in itertools.product((True, False), repeat=5)],
    ids=lambda switches: "-".join(name for name, on in switches.items() if not on) or "none",
)
@pytest.mark.parametrize("fused", [True, False])
def test_every_ablation_follows_the_paper(fused, switches):
    applications = draw(hierarchical=switches["hierarchical"])
    net = make(**switches, fused=fused)
    assert_follows_the_paper(net, architecture(**switches), applications)


@pytest.mark.parametrize("user_item_aware", [True, False])
@pytest.mark.parametrize(
    "profile_sizes", [(4, 0, 3), (5, 0, 0), (0, 0, 3), (0, 3, 0), (0, 3, 2), (0, 0, 0)]
)
def test_profile_fields_may_be_empty(profile_sizes, user_item_aware):
    net = make(profile_sizes, user_item_aware=user_item_aware)
    of_paper = architecture(profile_sizes, user_item_aware=user_item_aware)
    assert_follows_the_paper(net, of_paper, draw(profile_sizes=profile_sizes))


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("switches", ABLATIONS[:-1], ids=str)
def test_what_is_added_to_the_paper_is_as_it_is_said(switches, fused):
    """Numbers of behaviors enter by matrices of their own, mean intention and topics beside H."""
    hierarchical = switches.get("hierarchical", True)
    switches = switches | {"mean_intention": True}
    net = make(**switches, n_numbers=2, n_topics=3, fused=fused)
    applications = draw(hierarchical=hierarchical, n_numbers=2, n_topics=3)
    assert_follows_the_paper(net, architecture(**switches), applications)


@settings(max_examples=10)
@given(
    st.lists(st.lists(st.integers(1, 4), max_size=4), min_size=1, max_size=4),
    st.integers(0, 2**16),
    st.sampled_from(ABLATIONS),
)
def test_any_history_follows_the_paper(history, seed, switches):
    applications = draw(history, hierarchical=switches.get("hierarchical", True), seed=seed)
    assert_follows_the_paper(make(seed=seed, **switches), architecture(**switches), applications)


def test_a_behavior_field_may_be_empty():
    net = HUIHEN((12, 0, 0), PROFILE, **SMALL)
    net.reset_parameters(torch.Generator().manual_seed(0))
    of_paper = Architecture((12, 0, 0), PROFILE, SMALL["intention_dim"])
    assert_follows_the_paper(net, of_paper, draw())


@pytest.mark.parametrize("switches", ABLATIONS, ids=str)
def test_every_parameter_learns(switches):
    # Long enough that each behavior and each date is met.
    applications = draw([[20] * 20, [5], []], hierarchical=switches.get("hierarchical", True))
    net = make(**switches).double().eval()
    batch, y = everything(applications)
    cross_entropy(net(batch), y).backward()
    for name, value in net.named_parameters():
        assert value.grad is not None, name
        assert value.grad.any() or not value.numel(), name


def test_an_amount_scales_the_vector_by_log1p():
    net = make().double().eval()
    (session,) = draw([[1]])[0].sessions
    application = Application(np.zeros(sum(PROFILE)), [[replace(session[0], index=5)]])
    mapped = {}
    for amount in (None, 0.0, np.e - 1, 1 - np.e, 1e9):
        application.sessions[0][0].amount = amount
        batch, _ = everything([application])
        mapped[amount] = net.map_behaviors(batch).detach().numpy()
    assert mapped[None].any()
    np.testing.assert_array_equal(mapped[0.0], 0)
    np.testing.assert_allclose(mapped[np.e - 1], mapped[None], rtol=1e-14)
    np.testing.assert_array_equal(mapped[1 - np.e], mapped[np.e - 1])
    np.testing.assert_allclose(mapped[1e9], mapped[None] * np.log1p(1e9), rtol=1e-14)


def test_unknown_behaviors_have_no_vector_and_teach_none():
    applications = draw([[3, 2], [4]])
    for application in applications:
        for behavior in itertools.chain(*application.sessions):
            behavior.index = sum(BEHAVIORS)
    batch, y = everything(applications)
    net = make().double().eval()
    assert not net.map_behaviors(batch).any()
    cross_entropy(net(batch), y).backward()
    for name, value in net.named_parameters():
        learned = value.grad is not None and bool(value.grad.any())
        of_behaviors = name.startswith(("behavior_embedding", "behavior_field_aware"))
        # Time of day and waiting are known all the same.
        assert learned != of_behaviors or not value.numel(), name


def test_unknown_behaviors_take_no_gradient_from_known_ones():
    applications = draw([[6]])
    known = 5
    for i, behavior in enumerate(applications[0].sessions[0]):
        behavior.index = sum(BEHAVIORS) if i % 2 else known
    batch, y = everything(applications)
    net = make().double().eval()
    cross_entropy(net(batch), y).backward()
    table = net.behavior_embedding.weight.grad
    assert table[known].any()
    assert not table[torch.arange(len(table)) != known].any()


@pytest.mark.parametrize("switches", ABLATIONS, ids=str)
def test_without_behaviors_the_profile_alone_counts(switches):
    net = make(**switches).double().eval()
    applications = draw([[], [], []])
    batch, _ = everything(applications)
    assert not net.represent(batch).any()
    profiles = torch.cat(net.map_profile(batch.profile), dim=1)
    n_zeros = net.interaction.joint.of_vectors.shape[1]
    alone = net.interaction(torch.cat([profiles.new_zeros(3, n_zeros), profiles], dim=1))
    torch.testing.assert_close(net(batch), alone, rtol=0, atol=1e-14)


@pytest.mark.parametrize("switches", ABLATIONS, ids=str)
def test_neighbors_with_behaviors_give_none_to_those_without(switches):
    applications = draw(hierarchical=switches.get("hierarchical", True))
    net = make(**switches).double()
    dataset = as_dataset(applications)
    empty = [i for i, application in enumerate(applications) if not application.sessions]
    rows = range(len(applications))
    batch, _ = dataset.__getitems__(rows)
    represented = net.represent(batch)
    assert not represented[empty].any()
    assert represented[[i for i in rows if i not in empty]].any(dim=1).all()
    nobody = ApplicationDataset(dataset.profile, EncodedBehaviors.none(len(dataset), np.float64))
    torch.testing.assert_close(
        scores(net, dataset, rows)[empty], scores(net, nobody, empty), rtol=0, atol=1e-14
    )


def test_old_data_without_behaviors_teaches_profile_and_interaction_only():
    net = make().double().eval()
    batch, y = everything(draw([[], []]))
    cross_entropy(net(batch), y).backward()
    learned = {
        n.split(".")[0] for n, v in net.named_parameters() if v.grad is not None and v.grad.any()
    }
    assert learned == {"profile_field_aware", "interaction"}


def test_parameters_of_the_paper():
    # 20 item clicks, 12 transform operations, 10 function widgets; 24 + 6 + 5 profile columns.
    net = HUIHEN((20, 12, 10), (24, 6, 5), mean_intention=False)
    d, n = 10, 30
    shapes = {
        "behavior_embedding.weight": (42, d),
        "period_embedding.weekday": (7, d),
        "period_embedding.monthday": (31, d),
        # Section 5.2: R^(10 x 10) for each behavior field.
        "behavior_field_aware.weights.0": (d, d),
        "behavior_field_aware.weights.1": (d, d),
        "behavior_field_aware.weights.2": (d, d),
        "period_field_aware.weights.0": (d, d),
        "profile_field_aware.weights.0": (24, d),
        "profile_field_aware.weights.1": (6, d),
        "profile_field_aware.weights.2": (5, d),
        "intention.w_input": (d + 2 * d, 3 * n),
        "intention.w_state": (n, 3 * n),
        "intention.w_reset": (n, n),
        "intention.bias": (3 * n,),
        "intention.q": (d,),
        "intention.w_time": (d, n),
        "intention.b_time": (n,),
        "intention.w_numbers": (0, 4 * n),
        "habit.w_input": (n, 3 * n),
        "habit.w_context": (2 * d, 3 * n),
        "habit.w_state": (n, 2 * n),
        "habit.w_reset": (n, n),
        "habit.bias": (3 * n,),
        # T, H and three profile fields.
        "interaction.hidden.0.of_vectors": (50, n + n),
        "interaction.hidden.0.of_profile": (50, 3 * d),
        "interaction.hidden.0.bias": (50,),
        "interaction.hidden.1.weight": (1,),
        "interaction.hidden.3.weight": (25, 50),
        "interaction.hidden.3.bias": (25,),
        "interaction.hidden.4.weight": (1,),
        "interaction.logits.weight": (2, 25),
        "interaction.logits.bias": (2,),
    }
    assert {name: tuple(value.shape) for name, value in net.named_parameters()} == shapes

    embedding = (42 + 7 + 31) * d
    field_aware = (3 + 1) * d * d + (24 + 6 + 5) * d
    gate = n * (d + n + 2 * d) + n  # equations 2 and 3: [x; h; week; month]
    proposal = n * (d + n + 2 * d + n) + n  # equation 4: r * h as well
    waiting = d + n * d + n  # equation 5: Q, w, b
    intention = 2 * gate + proposal + waiting
    habit = 3 * (n * (n + n + 2 * d) + n)  # equations 8 to 10: three vectors each
    interaction = (50 * 90 + 50 + 1) + (25 * 50 + 25 + 1) + (2 * 25 + 2)
    assert (embedding, field_aware, intention, habit, interaction) == (800, 750, 6730, 7290, 5879)
    assert sum(p.numel() for p in net.parameters()) == 800 + 750 + 6730 + 7290 + 5879 == 21449


def test_ablations_leave_out_what_they_do_not_use():
    def modules(**switches):
        return {name.split(".")[0] for name, _ in make(**switches).named_parameters()}

    shared = {"behavior_embedding", "behavior_field_aware", "profile_field_aware", "interaction"}
    period = {"period_embedding", "period_field_aware"}
    assert modules() == shared | period | {"intention", "habit"}
    assert modules(time_aware=False) == shared | {"intention", "habit"}
    assert modules(hierarchical=False) == shared | {"habit"}
    assert len(make(field_aware=False).behavior_field_aware.weights) == 1
    for net in (make(hierarchical=False), make(hierarchical=False, mean_intention=True)):
        assert net.interaction.joint.weight.shape[1] == 4 + 3 * 3


def test_the_defaults_of_a_classifier_are_those_of_the_network():
    net = HUIHEN(BEHAVIORS, PROFILE)
    of_classifier = HUIHEN(BEHAVIORS, PROFILE, **ARCHITECTURE)
    shapes = [{n: w.shape for n, w in m.state_dict().items()} for m in (net, of_classifier)]
    assert shapes[0] == shapes[1]
    assert net.mean_dim == ARCHITECTURE["intention_dim"]
