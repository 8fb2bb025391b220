"""What events reveal about their operations, for one piece of the data and summed over all."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array

from skhuihen._events.behaviors import MISSING, Behaviors
from skhuihen.preprocessing._abstraction.rules import (
    FUNCTION_WIDGET,
    ITEM_CLICK,
    TRANSFORM_OPERATION,
)

#: Operations counted separately as neighbors; the rarer ones are counted together.
MOST_NEIGHBORS = 256
#: An operation moves money one way if at least this share of its amounts has the same sign.
ONE_WAY = 0.9
#: Microseconds. The paper starts a new session after a longer gap between two behaviors.
SESSION_GAP = 3_600_000_000


class Evidence:
    """Evidence from the events of one piece of the data.

    Parameters
    ----------
    behaviors : Behaviors
    """

    def __init__(self, behaviors: Behaviors) -> None:
        self._behaviors = behaviors
        self.operation, self.operations = behaviors.texts("operation")

    @cached_property
    def item(self) -> tuple[np.ndarray, list[str]]:
        """Code of each event's item, and the distinct items."""
        if "item" not in self._behaviors.fields:
            return np.zeros(self._behaviors.n_events, dtype=np.int64), [MISSING]
        return self._behaviors.texts("item")

    @cached_property
    def has_item(self) -> np.ndarray:
        """Whether each event has an item."""
        if "item" not in self._behaviors.fields:
            return np.zeros(self._behaviors.n_events, dtype=bool)
        return self._behaviors.fields["item"].is_valid().to_numpy(zero_copy_only=False)

    @cached_property
    def has_amount(self) -> np.ndarray:
        """Whether each event has an amount."""
        return ~np.isnan(self._behaviors.numbers("amount"))

    @property
    def field(self) -> np.ndarray:
        """Position in FIELDS of each event, judged by the event alone."""
        return np.where(self.has_amount, 1, np.where(self.has_item, 0, 2))

    def beside(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return row and operations of each pair of consecutive events within a session."""
        row, time, operation = self._behaviors.rows, self._behaviors.times(), self.operation
        same = np.diff(row) == 0
        elapsed = np.diff(time)
        if "seq" not in self._behaviors.fields and (same & (elapsed == 0)).any():
            # Simultaneous events have no known order; their order in the input must not matter.
            rank = np.empty(len(self.operations), dtype=np.int64)
            rank[sorted(range(len(rank)), key=self.operations.__getitem__)] = np.arange(len(rank))
            operation = operation[np.lexsort([rank[operation], time, row])]
        near = same & (elapsed <= SESSION_GAP)
        return row[:-1][near], operation[:-1][near], operation[1:][near]

    def item_pairs(self, chosen: list[int]) -> tuple[np.ndarray, list[tuple[int, str]]]:
        """Return the distinct pairs of operation and item for some operations.

        Parameters
        ----------
        chosen : list of int
            Codes of the operations whose items are distinguished.

        Returns
        -------
        pair : int64 ndarray of shape (n_events,)
            The pair of each event; -1 if its operation is not in `chosen`.
        pairs : list of (int, str)
            Codes of operations, and items.
        """
        pair_of_event = np.full(len(self.operation), -1)
        if not chosen:
            return pair_of_event, []
        item, items = self.item
        rank_of = np.full(len(self.operations), -1)
        rank_of[chosen] = np.arange(len(chosen))
        mine = np.flatnonzero(rank_of[self.operation] >= 0)
        pair = rank_of[self.operation[mine]] * len(items) + item[mine]
        # Counting in a table of all possible pairs is faster than sorting events.
        present = np.zeros(len(chosen) * len(items), dtype=bool)
        present[pair] = True
        number = np.cumsum(present) - 1
        pair_of_event[mine] = number[pair]
        ranks, codes = np.divmod(np.flatnonzero(present), len(items))
        return pair_of_event, [
            (chosen[rank], items[code])
            for rank, code in zip(ranks.tolist(), codes.tolist(), strict=True)
        ]


class Totals:
    """Evidence summed over all pieces, which need not be in memory together.

    Memory grows with the number of distinct operations and of neighboring pairs, not with the
    number of events.

    Parameters
    ----------
    pieces : iterable of Behaviors

    Attributes
    ----------
    operations : list of str
        All operations seen. An operation's position is its code.
    n_events : int64 ndarray of shape (n_operations,)
        Number of events of each operation.
    """

    def __init__(self, pieces: Iterable[Behaviors]) -> None:
        codes: dict[str, int] = {}
        # For each operation: events in all, with an amount, with an item, with an amount above 0,
        # and below 0.
        counts = np.zeros((5, 0), dtype=np.int64)
        pairs = csr_array((0, 0), dtype=np.int64)
        for piece in pieces:
            evidence = Evidence(piece)
            code_of = np.array(
                [codes.setdefault(name, len(codes)) for name in evidence.operations], dtype=np.int64
            )
            code = code_of[evidence.operation]
            n = len(codes)
            amount = piece.numbers("amount")
            masks = (
                *(slice(None), evidence.has_amount, evidence.has_item),
                *(amount > 0, amount < 0),
            )
            found = np.stack([np.bincount(code[mask], minlength=n) for mask in masks])
            found[:, : counts.shape[1]] += counts
            counts = found
            row, before, after = evidence.beside()
            before, after = code_of[before], code_of[after]
            # Similar operations often follow themselves, so such pairs carry no information. Each
            # pair counts once per application, so that heavy users do not dominate.
            differ = before != after
            row, before, after = row[differ], before[differ], after[differ]
            once = np.unique((row * n + before) * n + after)
            before, after = np.divmod(once % (n * n), n)
            beside = coo_array((np.ones_like(before), (before, after)), shape=(n, n))
            pairs.resize((n, n))
            pairs = pairs + beside.tocsr()
        self.operations = list(codes)
        self.n_events, self._n_with_amount, self._n_with_item, self._n_in, self._n_out = counts
        self._pairs = pairs.tocoo()

    @cached_property
    def in_order(self) -> list[int]:
        """Codes of the operations, ordered by name."""
        # An array of texts would give every name the width of the longest.
        return sorted(range(len(self.operations)), key=self.operations.__getitem__)

    def field_of(self, code: int) -> str:
        """Return the field of an operation, judged by the majority of its events."""
        if 2 * self._n_with_amount[code] > self.n_events[code]:
            return TRANSFORM_OPERATION
        if 2 * self._n_with_item[code] > self.n_events[code]:
            return ITEM_CLICK
        return FUNCTION_WIDGET

    def direction_of(self, code: int) -> int:
        """Return which way an operation moves money: 1 in, -1 out, 0 both or unknown.

        One amount of each sign is added to the counts. Otherwise a few amounts of the same sign
        could decide by chance.
        """
        if self.field_of(code) != TRANSFORM_OPERATION:
            return 0
        n_in, n_out = self._n_in[code] + 1, self._n_out[code] + 1
        return int(n_in >= ONE_WAY * (n_in + n_out)) - int(n_out >= ONE_WAY * (n_in + n_out))

    def count_neighbors(self, codes: list[int]) -> NDArray[np.int64]:
        """Count the neighbors of some operations, once per application.

        Parameters
        ----------
        codes : list of int
            The operations.

        Returns
        -------
        int64 ndarray of shape (n_codes, n_columns)
            How many applications have each of the most frequent operations directly after the
            operation, within an hour, and how many directly before. The last column of each half
            counts all other operations.
        """
        by_frequency = sorted(self.in_order, key=lambda code: -self.n_events[code])
        column = np.empty(len(by_frequency), dtype=np.int64)
        column[by_frequency] = np.minimum(np.arange(len(by_frequency)), MOST_NEIGHBORS)
        before, after = self._pairs.coords
        halves = []
        for one, other in ((before, after), (after, before)):
            counts = np.zeros((len(column), MOST_NEIGHBORS + 1), dtype=np.int64)
            np.add.at(counts, (one, column[other]), self._pairs.data)
            halves.append(counts[codes])
        return np.hstack(halves)
