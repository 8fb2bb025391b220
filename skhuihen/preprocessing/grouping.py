"""Grouping operations into behaviors: by names, by neighbors in sessions, by frequency."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from skhuihen.preprocessing._base import unique_names
from skhuihen.preprocessing.names import find_families
from skhuihen.preprocessing.rules import (
    FIELDS,
    FUNCTION_WIDGET,
    ITEM_CLICK,
    TRANSFORM_OPERATION,
    other_of,
)

#: An operation with fewer neighbors than this is too rare to tell what it resembles.
FEW_NEIGHBORS = 50
#: Most groups to compare with one another; bounds memory and time.
MOST_COMPARED = 1000
_ENDING = {ITEM_CLICK: "_click", TRANSFORM_OPERATION: "_transform", FUNCTION_WIDGET: ""}
_ETC = "_etc"

#: Takes the group of each operation; returns, for each group, how often each other was beside it.
CountNeighbors = Callable[[NDArray[np.int64]], NDArray[np.int64]]


class Groups:
    """Operations, at first each a group of its own, that are merged step by step.

    Item clicks are grouped into types. They do not count as behaviors here, since their items
    do. Ties are settled by the order of names, so that the order of rows never matters.

    Parameters
    ----------
    names : sequence of str
        Distinct operations in ascending order.
    fields : sequence of str
        The field of each.
    n_events : int64 ndarray of shape (n_operations,)
        How often each was seen.
    """

    def __init__(
        self, names: Sequence[str], fields: Sequence[str], n_events: NDArray[np.int64]
    ) -> None:
        self.names = names
        self.fields = np.array(fields, dtype=object)
        #: Number of each operation's group, which is the position of the group's first member.
        self.group = np.arange(len(names))
        # Of the groups, by number:
        self.n_events = np.array(n_events, dtype=np.int64)
        self.titles = list(names)
        self.kept = self.fields != ITEM_CLICK

    @property
    def n_behaviors(self) -> int:
        """Number of groups that are kept as behaviors."""
        return int(self.kept.sum())

    def merge_families(self, room: int) -> None:
        """Merge operations whose names show that they belong together.

        It ends where no more than ``room`` groups are left. Buttons that stand on many pages come
        first, and each is merged whole; then families that share most words, the rarest members
        of each first. Among equally close ones, that with the fewest events comes first. Item
        clicks have no limit: all their families are merged.
        """
        families = []
        for field in FIELDS:
            mine = np.flatnonzero(self.fields == field)
            names = [self.names[i] for i in mine.tolist()]
            for family in find_families(names, field):
                members = mine[list(family.members)]
                closeness = not family.is_button, -len(family.words)
                order = *closeness, int(self.n_events[members].sum()), field, family.words
                families.append((order, members, family, field))
        for _, members, family, field in sorted(families, key=lambda found: found[0]):
            groups = np.unique(self.group[members])
            if field != ITEM_CLICK:
                excess = self.n_behaviors - room
                if excess <= 0:
                    continue
                if not family.is_button:
                    groups = self._by_frequency(groups)[: excess + 1]
            self._merge(groups, family.title + _ENDING[field])

    def merge_neighbors(self, room: int, count_neighbors: CountNeighbors) -> None:
        """Merge groups of a field that have the same neighbors in sessions.

        Until no more than ``room`` are left, groups with too few neighbors are dropped, the
        rarest first; then the two are merged whose neighbors lose the least by it (Ward's method
        on the square roots of the shares of the neighbors, weighted by their number).
        """
        numbers, group = np.unique(self.group, return_inverse=True)
        counts = count_neighbors(group)[self.kept[numbers]].astype(np.float64)
        numbers = numbers[self.kept[numbers]]
        weights = counts.sum(axis=1)
        by_weight = np.lexsort([numbers, -weights])
        few = weights < FEW_NEIGHBORS
        few[by_weight[MOST_COMPARED:]] = True
        self._drop(numbers[few], room)
        numbers, counts, weights = numbers[~few], counts[~few], weights[~few]

        centers = np.sqrt(counts / weights[:, np.newaxis])
        loss = _loss(centers, weights, centers, weights)
        apart = self.fields[numbers][:, np.newaxis] != self.fields[numbers]
        loss[apart | np.eye(len(numbers), dtype=bool)] = np.inf
        while self.n_behaviors > room and np.isfinite(loss).any():
            pair = np.array(np.unravel_index(loss.argmin(), loss.shape))
            keep, gone = pair
            frequent = numbers[pair[self.n_events[numbers[pair]].argmax()]]
            self._merge(numbers[pair], self.titles[frequent].removesuffix(_ETC) + _ETC)
            centers[keep] = np.average(centers[pair], axis=0, weights=weights[pair])
            weights[keep] = weights[pair].sum()
            loss[gone, :] = loss[:, gone] = np.inf
            fresh = _loss(centers[[keep]], weights[[keep]], centers, weights)[0]
            comparable = np.isfinite(loss[keep])
            loss[keep, comparable] = loss[comparable, keep] = fresh[comparable]

    def drop_rare(self, room: int) -> None:
        """Drop the rarest groups, until no more than ``room`` are left."""
        self._drop(np.flatnonzero(self.kept), room)

    def behaviors(self) -> list[str]:
        """Return the behavior of each operation, or, for an item click, its type."""
        numbers, group, sizes = np.unique(self.group, return_inverse=True, return_counts=True)
        others = [other_of(field) for field in FIELDS]
        # Operations that stay alone keep their names; a group that has one already gets a number.
        order = np.argsort(sizes > 1, kind="stable")
        names = np.empty(len(numbers), dtype=object)
        names[order] = unique_names([*others, *(self.titles[numbers[i]] for i in order)])[3:]
        dropped = ~self.kept[numbers] & (self.fields[numbers] != ITEM_CLICK)
        names[dropped] = [other_of(field) for field in self.fields[numbers[dropped]]]
        return names[group].tolist()

    def _merge(self, numbers: NDArray[np.int64], title: str) -> None:
        """Make some groups of one field one."""
        numbers = np.unique(numbers)
        first, rest = numbers[0], numbers[1:]
        self.group[np.isin(self.group, rest)] = first
        self.n_events[first] = self.n_events[numbers].sum()
        self.kept[rest] = False
        if len(rest):  # else they were one group before, of a longer name
            self.titles[first] = title

    def _drop(self, numbers: NDArray[np.int64], room: int) -> None:
        """Drop groups, the rarest first, until no more than ``room`` are left."""
        rarest = self._by_frequency(numbers)[: max(0, self.n_behaviors - max(0, room))]
        self.kept[rarest] = False

    def _by_frequency(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Put groups in order, the rarest first."""
        return numbers[np.lexsort([-numbers, self.n_events[numbers]])]


def _loss(
    one: NDArray[np.float64],
    one_weight: NDArray[np.float64],
    other: NDArray[np.float64],
    other_weight: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return how much the weighted variance within groups grows if they are merged."""
    weight = one_weight[:, np.newaxis] * other_weight / np.add.outer(one_weight, other_weight)
    return weight * cdist(one, other, "sqeuclidean")
