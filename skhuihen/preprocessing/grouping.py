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

#: A group with fewer neighbors than this is too rare to tell what it resembles.
FEW_NEIGHBORS = 50
#: Most groups to compare with one another; bounds memory and time.
MOST_COMPARED = 1000
#: Groups that are told apart as neighbors; the rarer ones are counted together.
MOST_NEIGHBORS = 256
_ENDING = {ITEM_CLICK: "_click", TRANSFORM_OPERATION: "_transform", FUNCTION_WIDGET: ""}
_ETC = "_etc"

#: Takes the group of each operation; returns, for each group, how often each other was beside it.
CountNeighbors = Callable[[NDArray[np.int64]], NDArray[np.int64]]
_Members = tuple[NDArray[np.int64], str]  # of a family, and what to call them together


class Groups:
    """Operations, at first each a group of its own, that are merged step by step.

    Groups of item clicks are types. They do not count as behaviors here, since their items do.
    Ties are settled by the order of names, so that the order of rows never matters.

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
        first, those with the fewest events first, and each is merged whole. Then come families,
        those that share most words first; of all equally close ones, the rarest members are
        merged, as many as needed. Item clicks are left alone.
        """
        buttons: list[_Members] = []
        close: dict[int, list[_Members]] = {}  # by the number of shared words
        for field in (TRANSFORM_OPERATION, FUNCTION_WIDGET):
            mine = np.flatnonzero(self.fields == field)
            families = find_families([self.names[i] for i in mine.tolist()], field)
            for family in sorted(families, key=lambda family: (-len(family.words), family)):
                members = mine[list(family.members)]
                title = family.title + _ENDING[field]
                if family.is_button:
                    buttons.append((members, title))
                else:
                    close.setdefault(len(family.words), []).append((members, title))
        for members, title in sorted(buttons, key=lambda button: self.n_events[button[0]].sum()):
            if self.n_behaviors > room:
                self._merge(self.group[members], title)
        for _, equally_close in sorted(close.items(), reverse=True):
            self._merge_rarest(equally_close, room)

    def merge_types(self, room: int, items: Sequence[set[str]]) -> None:
        """Make one type of item clicks on one product, as long as their items are too many.

        It ends where no more than ``room`` items are left, those of each type counted apart.
        Those whose names share most words come first. Item clicks without an item in common stay
        apart: to merge them would save nothing.

        Parameters
        ----------
        room : int
        items : sequence of set of str
            The items of each operation.
        """
        mine = np.flatnonzero(self.fields == ITEM_CLICK)
        of_type = {number: items[number] for number in mine.tolist()}
        excess = sum(map(len, of_type.values())) - room
        families = find_families([self.names[i] for i in of_type], ITEM_CLICK)
        for family in sorted(families, key=lambda family: (-len(family.words), family)):
            if excess <= 0:
                break
            numbers = np.unique(self.group[mine[list(family.members)]])
            together = set().union(*(of_type[number] for number in numbers.tolist()))
            saved = sum(len(of_type[number]) for number in numbers.tolist()) - len(together)
            if saved:
                self._merge(numbers, family.title + _ENDING[ITEM_CLICK])
                of_type[int(numbers[0])] = together
                excess -= saved

    def _merge_rarest(self, families: list[_Members], room: int) -> None:
        """Merge the rarest members of families, until no more than ``room`` groups are left."""
        candidates = sorted(
            (int(self.n_events[number]), -number, position)
            for position, (members, _) in enumerate(families)
            for number in np.unique(self.group[members]).tolist()
        )
        excess = self.n_behaviors - room
        chosen: list[list[int]] = [[] for _ in families]
        for _, number, position in candidates:
            if excess > 0:
                excess -= len(chosen[position]) > 0  # the first of a family saves nothing
                chosen[position].append(-number)
        for numbers, (_, title) in zip(chosen, families, strict=True):
            if len(numbers) > 1:
                self._merge(np.array(numbers), title)

    def merge_neighbors(self, room: int, count_neighbors: CountNeighbors) -> None:
        """Merge groups of a field that have the same neighbors in sessions.

        It ends where no more than ``room`` groups are left. First, groups with too few neighbors
        are dropped, the rarest first. Then, again and again, those two are merged whose profiles
        of neighbors differ least: by Ward's method on the square roots of the shares, weighted by
        the number of neighbors. What has been dropped takes part, as the ``other`` of its field.
        What names tell apart stays apart: families are not merged with one another, and those of
        transform operations do not go to ``other``. If there are still too many groups, the
        rarest widgets are dropped: they are what is least related to the business.
        """
        numbers, group, sizes = np.unique(self.group, return_inverse=True, return_counts=True)
        counts = count_neighbors(group).astype(np.float64)
        few = counts.sum(axis=1) < FEW_NEIGHBORS
        few[np.argsort(-counts.sum(axis=1), kind="stable")[MOST_COMPARED:]] = True
        kept, fields = self.kept[numbers], self.fields[numbers]
        self._drop(numbers[few & kept], room)
        if self.n_behaviors <= room:
            return

        dropped = [np.flatnonzero(few & kept & (fields == field)) for field in FIELDS]
        dropped = [rows for rows in dropped if counts[rows].any()]
        n_others = len(dropped)
        for rows in dropped:
            counts[rows[0]] = counts[rows].sum(axis=0)
        rows = np.array([*(rows[0] for rows in dropped), *np.flatnonzero(~few & kept)], dtype=int)
        numbers, fields, counts = numbers[rows], fields[rows], counts[rows]
        named = sizes[rows] > 1
        named[:n_others] = fields[:n_others] == TRANSFORM_OPERATION  # no family goes there

        weights = counts.sum(axis=1)
        centers = np.sqrt(counts / weights[:, np.newaxis])
        loss = _loss(centers, weights, centers, weights)
        loss[fields[:, np.newaxis] != fields] = np.inf
        loss[np.ix_(named, named)] = np.inf
        np.fill_diagonal(loss, np.inf)
        while self.n_behaviors > room and np.isfinite(loss).any():
            pair = np.array(np.unravel_index(loss.argmin(), loss.shape))
            keep, gone = pair
            if keep < n_others:
                self.kept[numbers[gone]] = False
            else:
                speaks = max(pair, key=lambda i: (named[i], self.n_events[numbers[i]], -i))
                self._merge(numbers[pair], self.titles[numbers[speaks]].removesuffix(_ETC) + _ETC)
                named[keep] |= named[gone]
            centers[keep] = np.average(centers[pair], axis=0, weights=weights[pair])
            weights[keep] = weights[pair].sum()
            loss[gone, :] = loss[:, gone] = np.inf
            if named[keep]:
                loss[keep, named] = loss[named, keep] = np.inf
            still = np.isfinite(loss[keep])
            fresh = _loss(centers[[keep]], weights[[keep]], centers, weights)[0, still]
            loss[keep, still] = loss[still, keep] = fresh
        self._drop(np.flatnonzero(self.kept & (self.fields == FUNCTION_WIDGET)), room)

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
        if len(rest):  # else they were one group before, by a longer name
            self.titles[first] = title

    def _drop(self, numbers: NDArray[np.int64], room: int) -> None:
        """Drop groups, the rarest first, until no more than ``room`` are left."""
        rarest = self._by_frequency(numbers)[: max(0, self.n_behaviors - max(0, room))]
        self.kept[rarest] = False

    def _by_frequency(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Put groups in order, the rarest first."""
        return numbers[np.lexsort([-numbers, self.n_events[numbers]])]


def count_neighbors(
    before: NDArray[np.int64],
    after: NDArray[np.int64],
    times: NDArray[np.int64],
    n_events: NDArray[np.int64],
    n_groups: int,
) -> NDArray[np.int64]:
    """Count what stands beside the events of each group.

    Parameters
    ----------
    before, after : int64 ndarray of shape (n_pairs,)
        The groups of two events of a session, one directly behind the other. A pair may come
        several times.
    times : int64 ndarray of shape (n_pairs,)
        How often each was seen.
    n_events : int64 ndarray of shape (n_all_groups,)
        Number of events of each group.
    n_groups : int
        Number of groups to count for, from 0 on.

    Returns
    -------
    int64 ndarray of shape (n_groups, n_columns)
        How often each of the most frequent groups stands directly behind an event of the group,
        and how often directly before. The last column of each half is for all other groups. Events
        of the same group are no neighbors, since what resembles another stands beside itself.
    """
    beside = before != after
    before, after, times = before[beside], after[beside], times[beside]
    by_frequency = np.argsort(-n_events, kind="stable")
    column = np.empty_like(by_frequency)
    column[by_frequency] = np.minimum(np.arange(len(by_frequency)), MOST_NEIGHBORS)
    n_columns = MOST_NEIGHBORS + 1
    halves = []
    for one, other in ((before, after), (after, before)):
        wanted = one < n_groups
        counts = np.zeros((n_groups, n_columns), dtype=np.int64)
        np.add.at(counts, (one[wanted], column[other[wanted]]), times[wanted])
        halves.append(counts)
    return np.hstack(halves)


def _loss(
    one: NDArray[np.float64],
    one_weight: NDArray[np.float64],
    other: NDArray[np.float64],
    other_weight: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return how much the weighted variance within groups grows if they are merged."""
    weight = one_weight[:, np.newaxis] * other_weight / np.add.outer(one_weight, other_weight)
    return weight * cdist(one, other, "sqeuclidean")
