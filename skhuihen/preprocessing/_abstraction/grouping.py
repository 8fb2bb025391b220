"""Group operations into behaviors, by names and use together or by frequency."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from skhuihen.preprocessing._abstraction.links import Links, link
from skhuihen.preprocessing._abstraction.names import Family, find_families
from skhuihen.preprocessing._abstraction.rules import (
    ALONE,
    FIELDS,
    FUNCTION_WIDGET,
    ITEM_CLICK,
    NAME,
    RARE,
    TRANSFORM_OPERATION,
    USE,
    other_of,
)
from skhuihen.preprocessing._base import unique_names

#: An operation is too rare to place if it shares no words, or only those of most of its field,
#: and has fewer neighbors than this ...
FEW_NEIGHBORS = 5
#: ... unless it has at least this share of all events.
COMMON = 0.01
#: Maximum number of operations compared with one another; limits memory and time.
MOST_COMPARED = 1000
#: Weight of large groups in the cost; a higher weight gives more and smaller groups.
RESOLUTION = 3.0
_ENDING = {ITEM_CLICK: "_click", TRANSFORM_OPERATION: "_transform", FUNCTION_WIDGET: ""}
_ETC = "_etc"


class Merge(NamedTuple):
    """One step of merging.

    Attributes
    ----------
    n_behaviors : int
        Number of groups left after the merge.
    cost : float
        See `Groups.merge_alike`.
    by : {"name", "use", "rare"}
        The source of most links between the two groups.
    strength : float
        Strength of these links, from 0 to 1; 0 for rare operations.
    one, other : str
        The most frequent operation of each group.
    made : bool
        Whether the merge was made; False if it would come later.
    """

    n_behaviors: int
    cost: float
    by: str
    strength: float
    one: str
    other: str
    made: bool


class Groups:
    """Operations that are merged step by step; at first each is its own group.

    Groups of item clicks are types. They do not count as behaviors here, because their items do.
    Names break ties, so the order of rows never matters.

    Parameters
    ----------
    names : sequence of str
        Distinct operations in ascending order.
    fields : sequence of str
        The field of each.
    n_events : int64 ndarray of shape (n_operations,)
        Number of events of each operation.
    directions : sequence of int, default=None
        Which way each operation moves money: 1 in, -1 out, 0 both, neither or unknown. A group
        never contains both ways.
    """

    def __init__(
        self,
        names: Sequence[str],
        fields: Sequence[str],
        n_events: NDArray[np.int64],
        directions: Sequence[int] | None = None,
    ) -> None:
        self.names = names
        self.fields = np.array(fields, dtype=object)
        self.directions = np.array(directions or np.zeros(len(names)), dtype=np.int64)
        #: Each operation's group, numbered by the position of the group's first member.
        self.group = np.arange(len(names))
        # By group number:
        self.n_events = np.array(n_events, dtype=np.int64)
        self.titles = list(names)
        self.kept = self.fields != ITEM_CLICK
        # By operation: why it is in its group, and how sure that is, from 0 to 1.
        self.why = np.full(len(names), ALONE, dtype=object)
        self.sure = np.ones(len(names))
        self.merges: list[Merge] = []
        self._unknown = np.ones(len(names))
        self._families: list[tuple[Family, NDArray[np.int64]]] = []

    @property
    def n_behaviors(self) -> int:
        """Number of groups that are kept as behaviors."""
        return int(self.kept.sum())

    def merge_alike(
        self, room: int | None, count_neighbors: Callable[[], NDArray[np.int64]]
    ) -> None:
        """Merge transform operations and function widgets by their names and their use.

        Operations of a field are linked, unless they move money in opposite ways (see `links`).
        Each step merges the two groups with the strongest link: the weight of the links between
        them, divided by the geometric mean of the total link weights of the two. The cost of a
        grouping is the share of the links between groups, plus 3 times the sum of the squared
        shares of the groups in all links.

        Parameters
        ----------
        room : int or None
            Maximum number of groups to leave. None stops at the lowest cost.
        count_neighbors : callable
            Returns how often each operation occurs next to each of some others, as an int64
            ndarray of shape (n_operations, n_columns).
        """
        mine = np.flatnonzero(self.kept)
        if not len(mine) or (room is not None and len(mine) <= room):
            return
        neighbors = count_neighbors()
        names = [self.names[i] for i in mine.tolist()]
        by_frequency = np.argsort(-self.n_events[mine], kind="stable")
        compared = np.sort(by_frequency[:MOST_COMPARED])
        directions = self.directions[mine[compared]]
        links = link(
            [names[i] for i in compared.tolist()],
            self.fields[mine[compared]],
            neighbors[mine[compared]],
            np.multiply.outer(directions, directions) < 0,
        )
        is_named = np.zeros(len(self.names), dtype=bool)
        for field in FIELDS:
            of_field = mine[self.fields[mine] == field]
            found = find_families([self.names[i] for i in of_field.tolist()], field)
            for family in found:
                members = of_field[list(family.members)]
                self._families.append((family, members))
                # Words shared by most of a field say nothing about where to go.
                is_named[members] |= 2 * len(members) <= len(of_field)
        self._unknown[mine[compared]] = links.unknown
        self._follow(mine[by_frequency[MOST_COMPARED:]])
        n_neighbors = neighbors[mine[compared]].sum(axis=1)
        n_events = self.n_events[mine[compared]]
        placed = (
            is_named[mine[compared]]
            | (n_neighbors >= FEW_NEIGHBORS)
            | (n_events >= COMMON * self.n_events[self.kept].sum())
        )
        mine = mine[compared]
        self._drop_few(mine[~placed], room)
        left = np.flatnonzero(self.kept[mine])
        self._agglomerate(mine[left], links.among(left), room)

    def _follow(self, numbers: NDArray[np.int64]) -> None:
        """Group operations beyond the compared ones by their names, or drop them."""
        for _, members in sorted(self._families, key=lambda of: (-len(of[0].words), of[0])):
            is_rest = np.isin(members, numbers)
            for direction in (-1, 0, 1):
                alike = self.directions[members] == direction
                lead, follow = members[~is_rest & alike], members[is_rest & alike]
                follow = follow[self.group[follow] == follow]
                if len(lead) and len(follow):
                    first = lead[np.argmax(self.n_events[lead])]
                    self.group[follow] = first
                    self.n_events[first] += self.n_events[follow].sum()
                    self.kept[follow] = False
                    self.why[follow] = NAME
        self._let_go(numbers[self.group[numbers] == numbers])

    def _drop_few(self, numbers: NDArray[np.int64], room: int | None) -> None:
        """Drop operations that are too rare to place, rarest first, only as many as needed."""
        numbers = self._by_frequency(numbers)
        for number in numbers.tolist():
            if room is not None and self.n_behaviors + self.n_others <= room:
                break
            self._let_go(np.array([number]))
            self.merges.append(
                Merge(self.n_behaviors, np.nan, RARE, 0.0, self.names[number], "", True)
            )

    @property
    def n_others(self) -> int:
        """Return how many fields have an ``other``."""
        dropped = self.why == RARE
        return len(set(self.fields[dropped].tolist()))

    def _agglomerate(self, numbers: NDArray[np.int64], links: Links, room: int | None) -> None:
        """Merge groups step by step, down to ``room`` or to the least cost."""
        steps = _steps(links, self.directions[numbers])
        n_before = self.n_behaviors
        if room is None:
            chosen = int(
                np.argmin(
                    [
                        _cost(links.by_name + links.by_use),
                        *(step.cost for step in steps),
                    ]
                )
            )
        else:
            chosen = min(len(steps), max(0, n_before + self.n_others - room))
        most_frequent = numbers.copy()
        for position, step in enumerate(steps):
            pair = most_frequent[[step.keep, step.gone]]
            self.merges.append(
                Merge(
                    n_before - position - 1,
                    step.cost,
                    step.by,
                    step.strength,
                    self.names[pair[0]],
                    self.names[pair[1]],
                    position < chosen,
                )
            )
            most_frequent[step.keep] = max(pair.tolist(), key=lambda i: (self.n_events[i], -i))
        group = np.arange(len(numbers))
        for step in steps[:chosen]:
            group[group == step.gone] = step.keep
        self._explain(numbers, group, links)
        for keep in np.unique(group).tolist():
            members = numbers[group == keep]
            if len(members) > 1:
                everyone = np.flatnonzero(np.isin(self.group, members))
                self._merge(members, self._title(everyone))

    def _explain(self, numbers: NDArray[np.int64], group: NDArray[np.int64], links: Links) -> None:
        """Record why each operation is in its group: the kind of its links, and their share."""
        together = group[:, np.newaxis] == group
        name = np.where(together, links.by_name, 0.0).sum(axis=1)
        use = np.where(together, links.by_use, 0.0).sum(axis=1)
        to_group = np.zeros((len(group), len(group)))
        np.add.at(to_group.T, group, (links.by_name + links.by_use).T)
        to_group[np.arange(len(group)), group] = 0.0
        weight = np.maximum(links.weight, np.finfo(float).tiny)
        is_alone = together.sum(axis=1) == 1
        self.why[numbers] = np.where(is_alone, ALONE, np.where(name >= use, NAME, USE))
        elsewhere = to_group.max(axis=1, initial=0.0)
        self.sure[numbers] = np.where(is_alone, weight - elsewhere, name + use) / weight
        follow = np.isin(self.group, numbers)
        follow[numbers] = False
        self.sure[follow] = self.sure[self.group[follow]]

    def _title(self, members: NDArray[np.int64]) -> str:
        """Return a name for some operations together.

        It consists of the words that most of them share, if they are most of those that share them.
        """
        is_here = np.zeros(len(self.names), dtype=bool)
        is_here[members] = True
        shared = [
            (n_shared, len(family.words), family)
            for family, of_family in self._families
            if 2 * (n_shared := int(is_here[of_family].sum())) > max(len(members), len(of_family))
        ]
        n_shared, _, family = max(shared, key=lambda of: of[:2], default=(0, 0, None))
        if family is not None:
            ending = _ENDING[self.fields[members[0]]]
            return family.title + ending + _ETC * (n_shared < len(members))
        return self.names[members[np.argmax(self.n_events[members])]] + _ETC

    def merge_types(self, room: int, items: Sequence[set[str]]) -> None:
        """Merge item clicks on one product into one type, while there are too many items.

        This stops when at most ``room`` items are left, counting those of each type separately.
        Operations whose names share the most words come first. Item clicks without a common item
        stay separate, because merging them would save nothing.

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
                self.why[mine[list(family.members)]] = NAME
                of_type[int(numbers[0])] = together
                excess -= saved

    def drop_rare(self, room: int) -> None:
        """Drop the rarest groups until at most ``room`` are left."""
        self._drop(np.flatnonzero(self.kept), room)

    def behaviors(self) -> list[str]:
        """Return the behavior of each operation, or the type of an item click."""
        numbers, group, sizes = np.unique(self.group, return_inverse=True, return_counts=True)
        others = [other_of(field) for field in FIELDS]
        # Unmerged operations keep their names; a group whose name is taken gets a numeric suffix.
        order = np.argsort(sizes > 1, kind="stable")
        names = np.empty(len(numbers), dtype=object)
        names[order] = unique_names([*others, *(self.titles[numbers[i]] for i in order)])[3:]
        dropped = ~self.kept[numbers] & (self.fields[numbers] != ITEM_CLICK)
        names[dropped] = [other_of(field) for field in self.fields[numbers[dropped]]]
        return names[group].tolist()

    def _merge(self, numbers: NDArray[np.int64], title: str) -> None:
        """Merge groups of one field."""
        numbers = np.unique(numbers)
        first, rest = numbers[0], numbers[1:]
        self.group[np.isin(self.group, rest)] = first
        self.n_events[first] = self.n_events[numbers].sum()
        self.kept[rest] = False
        if len(rest):  # otherwise a longer name has already merged them
            self.titles[first] = title

    def _drop(self, numbers: NDArray[np.int64], room: int) -> None:
        """Drop groups, rarest first, until at most ``room`` are left."""
        rarest = self._by_frequency(numbers)[: max(0, self.n_behaviors - max(0, room))]
        self._let_go(rarest)

    def _let_go(self, numbers: NDArray[np.int64]) -> None:
        """Move groups to the ``other`` of their field."""
        self.kept[numbers] = False
        members = np.isin(self.group, numbers)
        self.why[members] = RARE
        self.sure[members] = self._unknown[members]

    def _by_frequency(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Sort groups, rarest first."""
        return numbers[np.lexsort([-numbers, self.n_events[numbers]])]


class _Step(NamedTuple):
    """Two groups to merge, as positions of their first members."""

    keep: int
    gone: int
    cost: float
    by: str
    strength: float


def _cost(both: NDArray[np.float64]) -> float:
    """Return the cost of merging nothing."""
    total = max(both.sum(), np.finfo(float).tiny)
    return float(both.sum() / total + RESOLUTION * (both.sum(axis=1) ** 2).sum() / total**2)


def _steps(links: Links, directions: NDArray[np.int64]) -> list[_Step]:
    """Merge the two groups with the strongest links until no permitted pair is left."""
    # After merging an operation that moves money both ways, opposite ways may be linked too.
    moves_in, moves_out = directions > 0, directions < 0
    name, both = links.by_name.copy(), links.by_name + links.by_use
    weight, degree = links.weight.copy(), both.sum(axis=1)
    total = degree.sum()
    apart, squares = total, (degree**2).sum()
    strength = _strength(both, weight, weight)
    np.fill_diagonal(strength, 0.0)
    opposed = np.logical_and.outer(moves_in, moves_out)
    strength[opposed | opposed.T] = 0.0
    steps = []
    while strength.size and strength.max() > 0:
        keep, gone = np.unravel_index(strength.argmax(), strength.shape)
        apart -= 2 * both[keep, gone]
        squares += 2 * degree[keep] * degree[gone]
        cost = apart / total + RESOLUTION * squares / total**2
        by = NAME if 2 * name[keep, gone] >= both[keep, gone] else USE
        steps.append(_Step(int(keep), int(gone), float(cost), by, float(strength[keep, gone])))
        for of in (name, both):
            of[keep] += of[gone]
            of[:, keep] += of[:, gone]
            of[gone] = of[:, gone] = of[keep, keep] = 0.0
        for of in (weight, degree):
            of[keep] += of[gone]
            of[gone] = 0.0
        for moves in (moves_in, moves_out):
            moves[keep] |= moves[gone]
            moves[gone] = False
        of_keep = _strength(both[keep], weight[keep], weight)
        of_keep[(moves_in[keep] & moves_out) | (moves_out[keep] & moves_in)] = 0.0
        strength[gone] = strength[:, gone] = 0.0
        strength[keep] = strength[:, keep] = of_keep
    return steps


def _strength(
    links: NDArray[np.float64], one: float | NDArray[np.float64], other: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the weight of links, relative to the total weights of their two ends."""
    scale = np.sqrt(np.multiply.outer(one, other))
    # Rounded, so that names break ties between values that differ only in the last digits.
    return np.divide(links, scale, out=np.zeros_like(links), where=scale > 0).round(12)
