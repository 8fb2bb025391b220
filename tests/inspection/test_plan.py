"""The weights of coalitions, against all orders of the players, one by one."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest

from skhuihen.inspection._plan import count_leaves, make_plan

TREES = {
    "one player": (None,),
    "flat": (None,) * 4,
    "a group of one": ((None,), None),
    "two levels": ((None, None), (None, None, None), None),
    "three levels": ((None, None), ((None, None, None), (None,)), None),
}


def orders(tree, first=0):
    """Yield every order of the leaves in which groups stay together."""
    sizes = [count_leaves(player) for player in tree]
    starts = np.cumsum([first, *sizes[:-1]])
    for order in permutations(range(len(tree))):
        within = [
            [[int(starts[i])]] if tree[i] is None else orders(tree[i], int(starts[i]))
            for i in order
        ]
        for parts in product(*map(list, within)):
            yield [leaf for part in parts for leaf in part]


def by_all_orders(tree, value):
    """Return the mean of what each leaf adds, over all orders."""
    total, n = np.zeros(count_leaves(tree)), 0
    for order in orders(tree):
        n += 1
        present = np.zeros(len(total), dtype=bool)
        before = value(present)
        for leaf in order:
            present[leaf] = True
            after = value(present)
            total[leaf] += after - before
            before = after
    return total / n


def players_of(tree, first=0):
    """Yield (leaves, whether it is a leaf, first and last leaf of the group), a group first."""
    for player in tree:
        size = count_leaves(player)
        yield range(first, first + size), player is None
        if player is not None:
            yield from players_of(player, first)
        first += size


def random_game(n_leaves, n_background, seed=0):
    table = np.random.default_rng(seed).normal(size=(n_background, 2**n_leaves))
    return lambda present, background=0: table[
        background, int(np.asarray(present) @ (1 << np.arange(n_leaves)))
    ]


@pytest.mark.parametrize("tree", TREES.values(), ids=TREES.keys())
def test_enumerated_values_are_those_of_all_orders(tree):
    n = count_leaves(tree)
    value = random_game(n, 1)
    plan = make_plan(tree, 0, 1, 6, 40)
    found = plan.weights @ np.array([value(present) for present in plan.coalitions])
    wanted = by_all_orders(tree, value)
    for own, (leaves, _) in zip(found, players_of(tree), strict=True):
        # A group has what its leaves have together.
        assert own == pytest.approx(wanted[list(leaves)].sum(), abs=1e-12)


@pytest.mark.parametrize("max_exact", [1, 2, 6])
@pytest.mark.parametrize("n_orders", [1, 7, 40])
@pytest.mark.parametrize("tree", TREES.values(), ids=TREES.keys())
def test_sums_hold_however_few_orders_are_drawn(tree, max_exact, n_orders):
    n, n_background = count_leaves(tree), 3
    n_replaced = n // 2
    value = random_game(n, n_background)
    plan = make_plan(tree, n_replaced, n_background, max_exact, n_orders)
    scores = np.array([value(*of) for of in zip(plan.coalitions, plan.background, strict=True)])
    found = plan.weights @ scores
    everybody = [of for of, _ in players_of(tree)]
    leaves = {of[0]: own for own, (of, leaf) in zip(found, players_of(tree), strict=True) if leaf}
    for own, of in zip(found, everybody, strict=True):
        assert own == pytest.approx(sum(leaves[leaf] for leaf in of), abs=1e-12)
    assert plan.coalitions[plan.full].all()
    assert sum(leaves.values()) == pytest.approx(scores[plan.full] - plan.empty @ scores, abs=1e-12)
    empty = plan.empty > 0
    assert not plan.coalitions[empty].any()
    assert plan.empty.sum() == pytest.approx(1)


@pytest.mark.parametrize("max_exact", [1, 2, 6])
@pytest.mark.parametrize("tree", TREES.values(), ids=TREES.keys())
def test_an_additive_game_has_its_own_terms_however_few_orders_are_drawn(tree, max_exact):
    terms = np.random.default_rng(1).normal(size=count_leaves(tree))
    plan = make_plan(tree, 0, 1, max_exact, 2)
    found = plan.weights @ (plan.coalitions @ terms)
    for own, (leaves, _) in zip(found, players_of(tree), strict=True):
        assert own == pytest.approx(terms[list(leaves)].sum(), abs=1e-12)


def test_pairs_alone_are_right_where_orders_are_drawn_in_reversed_pairs():
    """An order and its reverse share what two players add together in halves, as is right."""
    n = 7
    pairs = np.random.default_rng(2).normal(size=(n, n))
    plan = make_plan((None,) * n, 0, 1, 3, 2)
    scores = np.einsum("ki,ij,kj->k", plan.coalitions, pairs, plan.coalitions)
    wanted = (pairs.sum(axis=0) + pairs.sum(axis=1)) / 2
    assert plan.weights @ scores == pytest.approx(wanted, abs=1e-12)
    in_groups = ((None,) * 4, (None,) * 3)
    plan = make_plan(in_groups, 0, 1, 2, 1)
    scores = np.einsum("ki,ij,kj->k", plan.coalitions, pairs, plan.coalitions)
    leaves = [own for own, (_, leaf) in
              zip(plan.weights @ scores, players_of(in_groups), strict=True) if leaf]  # fmt: skip
    assert leaves == pytest.approx(wanted, abs=1e-12)


def test_more_orders_come_closer():
    tree = ((None,) * 6, (None,) * 2)
    value = random_game(8, 1, seed=3)

    def values(max_exact, n_orders):
        plan = make_plan(tree, 0, 1, max_exact, n_orders)
        return plan.weights @ np.array([value(present) for present in plan.coalitions])

    exact = values(6, 1)
    few, many = (np.abs(values(2, n) - exact).max() for n in (4, 4000))
    assert many < few / 5
    assert many < 0.1


def test_a_background_row_is_needed_only_where_something_is_replaced():
    plan = make_plan((None, None), 1, 4, 6, 40)
    present = plan.coalitions[:, 0]
    assert set(plan.background[present]) == {0}
    assert set(plan.background[~present]) == {0, 1, 2, 3}
    assert len(plan.coalitions) == 2 + 2 * 4
