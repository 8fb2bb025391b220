"""Correspondence analysis of applications by behaviors: who does the same things."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh
from scipy.sparse import csr_array, diags_array, vstack

#: Behaviors of fewer applications say nothing of what goes together; nor are more looked at.
FEWEST, MOST = 20, 1_000
#: An application counts as if so many events of the average one stood beside its own.
EVENTS_BESIDE = 20
#: Coordinates are cut at so many standard deviations.
FARTHEST = 5.0
#: Applications whose counts are summed at once: always so many, for sums that are the same to the
#: bit in whatever tables the events come.
BLOCK = 4_096
#: Below this share of the inertia an axis is rounding.
_NOTHING = 1e-9


class Table(NamedTuple):
    """The events of some applications, by the number of their behavior."""

    row: NDArray[np.int64]
    behavior: NDArray[np.int64]
    n_rows: int


class Correspondence:
    """Place applications by what they do, so that those who do the same things are near.

    The table of counts, applications by behaviors, is compared with one in which all did the same
    things; its leading axes are those along which applications differ most. Labels are never
    looked at. An application is where the mean of its behaviors is, each event counted once, and
    the average application, or one without events, at 0.

    Parameters
    ----------
    n_behaviors : int
        Behaviors have the numbers below it; this one and above stand for all unknown ones.
    n_axes : int
        Coordinates of each application; those beyond the rank of the table are 0.

    Attributes
    ----------
    loadings_ : ndarray of shape (n_behaviors + 1, n_axes)
        Where each behavior is; 0 for those of fewer than 20 applications, those beyond the 1,000
        of most applications, and, in the last row, those not known.

    References
    ----------
    M. Greenacre, "Correspondence Analysis in Practice", 3rd edition (2017).
    """

    def __init__(self, n_behaviors: int, n_axes: int) -> None:
        self.n_behaviors = n_behaviors
        self.n_axes = n_axes

    def fit(self, tables: Iterable[Table]) -> Self:
        """Find the axes; tables are added up, so that not all must be in memory.

        Parameters
        ----------
        tables : iterable of Table
            Each of other applications.

        Returns
        -------
        self
        """
        shape = (self.n_behaviors, self.n_behaviors)
        together, beside = csr_array(shape), csr_array(shape)
        count = np.zeros(self.n_behaviors)
        n_applications, n_with_events = np.zeros(self.n_behaviors), 0
        for counts in self._blocks(tables):
            n_events = counts.sum(axis=1)
            counts = counts[:, : self.n_behaviors]
            count += counts.sum(axis=0)
            n_applications += np.bincount(counts.indices, minlength=self.n_behaviors)
            n_with_events += int(np.count_nonzero(n_events))
            together = together + _product(counts, 1 / np.sqrt(np.maximum(n_events, 1)))
            beside = beside + _product(counts, 1 / (n_events + EVENTS_BESIDE))
        self.loadings_ = np.zeros((self.n_behaviors + 1, self.n_axes))
        by_applications = np.argsort(-n_applications, kind="stable")[:MOST]
        used = np.sort(by_applications[n_applications[by_applications] >= FEWEST])
        n_axes = min(self.n_axes, len(used))
        if not n_axes:
            return self
        root = np.sqrt(count[used])
        # The squared distances from a table where all do the same things, by chi squares.
        inertia = together[np.ix_(used, used)].toarray() / np.outer(root, root)
        inertia -= np.outer(root, root) / count.sum()
        share, axes = eigh(inertia, subset_by_index=[len(used) - n_axes, len(used) - 1])
        share, axes = share[::-1], axes[:, ::-1]
        loadings = axes / root[:, None]
        # An axis may point either way: its farthest behavior is above 0.
        loadings *= np.sign(loadings[np.abs(loadings).argmax(axis=0), np.arange(n_axes)])
        square = np.einsum("ba,bc,ca->a", loadings, beside[np.ix_(used, used)].toarray(), loadings)
        real = (share > _NOTHING) & (square > 0)
        scale = np.sqrt(n_with_events / np.where(real, square, 1))
        self.loadings_[used, :n_axes] = np.where(real, loadings * scale, 0)
        return self

    def transform(self, table: Table) -> NDArray[np.float64]:
        """Return the coordinates of applications, of standard deviation 1 in `fit`.

        Parameters
        ----------
        table : Table

        Returns
        -------
        ndarray of shape (n_rows, n_axes)
        """
        if not self.n_axes:
            return np.empty((table.n_rows, 0))
        counts = self._count(table)
        total = counts @ self.loadings_
        mean = total / (counts.sum(axis=1) + EVENTS_BESIDE)[:, None]
        return mean.clip(-FARTHEST, FARTHEST)

    def _blocks(self, tables: Iterable[Table]) -> Iterator[Any]:
        """Yield the counts of `BLOCK` applications at a time, and at last of the rest."""
        waiting: Any = csr_array((0, self.n_behaviors + 1))
        for table in tables:
            waiting = vstack([waiting, self._count(table)], format="csr")
            while waiting.shape[0] >= BLOCK:
                yield waiting[:BLOCK]
                waiting = waiting[BLOCK:]
        yield waiting

    def _count(self, table: Table) -> Any:
        """Return how often each application has each behavior, unknown ones last."""
        behavior = np.minimum(table.behavior, self.n_behaviors)
        shape = (table.n_rows, self.n_behaviors + 1)
        counts = csr_array((np.ones(len(table.row)), (table.row, behavior)), shape=shape)
        counts.sum_duplicates()
        return counts


def _product(counts: Any, weight: NDArray[np.float64]) -> Any:
    """Return ``(w * counts).T @ (w * counts)``."""
    weighted = diags_array(weight) @ counts
    return weighted.T @ weighted
