"""Coalitions to score and their weights: Shapley values for a tree of players.

The value of a player is a weighted sum of scores of coalitions. The weights depend on the tree
alone, so a plan is made once for each shape of tree: a list of coalitions, and a matrix. The
weights in a group add up to those of the group. So do the values, whatever the scores are.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import product
from math import ceil, factorial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

#: A group is a tuple of its players; a player that is not a group is None.
Tree = tuple["Tree | None", ...]


class Plan(NamedTuple):
    """The coalitions of a tree and their weights.

    Attributes
    ----------
    coalitions : bool ndarray of shape (n_coalitions, n_leaves)
        The leaves of the tree that are present.
    background : int64 ndarray of shape (n_coalitions,)
        The background row that replaces absent leaves; 0 if none is needed.
    weights : sparse array of shape (n_players, n_coalitions)
        Weights of the scores in the value of each player, in the order of the tree; a group comes
        before its players.
    full : int
        The position of the coalition of all players.
    empty : float64 ndarray of shape (n_coalitions,)
        Weights of the scores in the score without players.
    """

    coalitions: NDArray[np.bool_]
    background: NDArray[np.int64]
    weights: csr_array
    full: int
    empty: NDArray[np.float64]


class _Contexts(NamedTuple):
    """The players that are present before the players of a group join.

    Each context has a weight, and the weights add up to 1. The mate of a context contains all
    other players: orders are drawn in pairs of an order and its reverse.
    """

    present: NDArray[np.bool_]  # (n_contexts, n_leaves)
    background: NDArray[np.int64]
    weight: NDArray[np.float64]
    mate: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.weight)


@lru_cache(maxsize=256)
def make_plan(
    tree: Tree, n_replaced: int, n_background: int, max_exact: int, n_orders: int
) -> Plan:
    """Return the plan of a tree.

    Parameters
    ----------
    tree : tuple
        The players at the top.
    n_replaced : int
        Number of leaves, the first ones, that a background row replaces when absent. The others
        need no row.
    n_background : int
        Number of background rows.
    max_exact : int
        Maximum size of a group to enumerate; orders are drawn for larger groups.
    n_orders : int
        Minimum number of orders for a larger group, over all contexts.

    Returns
    -------
    Plan
    """
    return _Planner(tree, n_replaced, n_background, max_exact, n_orders).plan()


def count_leaves(tree: Tree | None) -> int:
    """Return the number of players that are not groups."""
    return 1 if tree is None else sum(map(count_leaves, tree))


class _Planner:
    def __init__(
        self, tree: Tree, n_replaced: int, n_background: int, max_exact: int, n_orders: int
    ) -> None:
        self.tree = tree
        self.n_leaves = count_leaves(tree)
        self.n_replaced = n_replaced
        self.n_background = n_background if n_replaced else 1
        self.max_exact = max_exact
        self.n_orders = n_orders
        self.present: list[NDArray[np.bool_]] = []
        self.background: list[NDArray[np.int64]] = []
        self.n_asked = 0
        # For each player: requested coalitions and their weights.
        self.terms: list[tuple[NDArray[np.int64], NDArray[np.float64]]] = []

    def plan(self) -> Plan:
        rows = np.arange(self.n_background)
        nobody = np.zeros((len(rows), self.n_leaves), dtype=bool)
        start = _Contexts(nobody, rows, np.full(len(rows), 1 / len(rows)), rows)
        of_nobody = self._ask(nobody, rows)
        of_all = self._ask(~nobody[:1], rows[:1])
        self._divide(self.tree, 0, start)

        present, background = np.concatenate(self.present), np.concatenate(self.background)
        # If nothing is replaced, all background rows give the same score.
        background[present[:, : self.n_replaced].all(axis=1)] = 0
        keys = np.column_stack([background[:, None], np.packbits(present, axis=1)])
        _, first, place = np.unique(keys, axis=0, return_index=True, return_inverse=True)
        place = place.ravel()
        players = np.repeat(np.arange(len(self.terms)), [len(at) for at, _ in self.terms])
        at = np.concatenate([at for at, _ in self.terms] or [np.empty(0, np.int64)])
        weight = np.concatenate([weight for _, weight in self.terms] or [np.empty(0)])
        shape = (len(self.terms), len(first))
        weights = csr_array((weight, (players, place[at])), shape=shape)
        weights.sum_duplicates()
        empty = np.zeros(len(first))
        np.add.at(empty, place[of_nobody], start.weight)
        return Plan(present[first], background[first], weights, int(place[of_all[0]]), empty)

    def _ask(self, present: NDArray[np.bool_], background: NDArray[np.int64]) -> NDArray[np.int64]:
        """Store coalitions, and return their positions among all requested ones."""
        self.present.append(present)
        self.background.append(background)
        start = self.n_asked
        self.n_asked += len(present)
        return np.arange(start, self.n_asked)

    def _divide(self, group: Tree, first_leaf: int, contexts: _Contexts) -> None:
        """Divide the value of a group among its players."""
        sizes = np.array([count_leaves(player) for player in group], dtype=np.int64)
        starts = first_leaf + np.cumsum(sizes) - sizes
        leaves = np.zeros((len(group), self.n_leaves), dtype=bool)
        for of_player, start, size in zip(leaves, starts, sizes, strict=True):
            of_player[start : start + size] = True
        few = len(group) <= self.max_exact
        divided = (self._enumerate if few else self._draw)(leaves, contexts)
        for player, start, (before, after, inside) in zip(group, starts, divided, strict=True):
            at = np.concatenate([after, before])
            self.terms.append((at, np.concatenate([inside.weight, -inside.weight])))
            if player is not None:
                self._divide(player, int(start), inside)

    def _enumerate(
        self, leaves: NDArray[np.bool_], contexts: _Contexts
    ) -> list[tuple[NDArray[np.int64], NDArray[np.int64], _Contexts]]:
        """Use every subset of the other players in every context."""
        n, n_contexts = len(leaves), len(contexts)
        subsets = np.array(list(product([False, True], repeat=n)), dtype=bool).reshape(-1, n)
        of_subsets = subsets @ leaves
        present = contexts.present[:, None] | of_subsets
        background = np.repeat(contexts.background, len(subsets))
        asked = self._ask(present.reshape(-1, self.n_leaves), background)
        asked = asked.reshape(n_contexts, len(subsets))
        size = subsets.sum(axis=1)
        divided = []
        for player in range(n):
            bit = 1 << (n - 1 - player)
            without = np.flatnonzero(~subsets[:, player])
            weight = np.array(
                [factorial(s) * factorial(n - 1 - s) / factorial(n) for s in size[without].tolist()]
            )
            # The mate of a subset contains all others except this player: the subset reversed.
            here, mates = np.arange(len(without)), np.arange(len(without))[::-1]
            assert (without[here] + without[mates] + bit == (1 << n) - 1).all()
            inside = _Contexts(
                present[:, without].reshape(-1, self.n_leaves),
                np.repeat(contexts.background, len(without)),
                np.outer(contexts.weight, weight).ravel(),
                (contexts.mate[:, None] * len(without) + mates).ravel(),
            )
            divided.append((asked[:, without].ravel(), asked[:, without + bit].ravel(), inside))
        return divided

    def _draw(
        self, leaves: NDArray[np.bool_], contexts: _Contexts
    ) -> list[tuple[NDArray[np.int64], NDArray[np.int64], _Contexts]]:
        """Draw orders of the players for each context, in reversed pairs."""
        n, n_contexts = len(leaves), len(contexts)
        alone = contexts.mate == np.arange(n_contexts)
        n_each = ceil(self.n_orders / n_contexts)
        paired = bool(alone.any())
        n_each += paired * (n_each % 2)
        # The same orders for the same group, for all applications.
        random = np.random.default_rng([n, n_contexts, n_each])
        orders = np.argsort(random.random((n_contexts, n_each, n)), axis=2)
        if paired:
            orders[alone, 1::2] = orders[alone, 0::2][..., ::-1]
        later = contexts.mate < np.arange(n_contexts)
        orders[later] = orders[contexts.mate[later]][..., ::-1]

        joined = np.zeros((n_contexts, n_each, n + 1, self.n_leaves), dtype=bool)
        np.logical_or.accumulate(leaves[orders], axis=2, out=joined[:, :, 1:])
        joined |= contexts.present[:, None, None]
        background = np.repeat(contexts.background, n_each * (n + 1))
        asked = self._ask(joined.reshape(-1, self.n_leaves), background)
        asked = asked.reshape(n_contexts, n_each, n + 1)
        place = np.argsort(orders, axis=2)  # of each player in each order
        mates = np.arange(n_each)
        swapped = mates ^ 1 if paired else mates
        mate = contexts.mate[:, None] * n_each + np.where(alone[:, None], swapped, mates)
        weight = np.repeat(contexts.weight / n_each, n_each)
        divided = []
        for player in range(n):
            at = place[:, :, [player]]
            before = np.take_along_axis(asked, at, axis=2).ravel()
            after = np.take_along_axis(asked, at + 1, axis=2).ravel()
            present = np.take_along_axis(joined, at[..., None], axis=2)
            inside = _Contexts(
                present.reshape(-1, self.n_leaves),
                np.repeat(contexts.background, n_each),
                weight,
                mate.ravel(),
            )
            divided.append((before, after, inside))
        return divided
