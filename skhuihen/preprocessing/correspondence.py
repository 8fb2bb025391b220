"""Correspondence analysis of applications by behaviors: who does the same things."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh
from scipy.sparse import csr_array, diags_array, vstack

#: Behaviors of fewer applications say nothing of what goes together; nor are more looked at.
FEWEST, MOST = 20, 1_000
#: What stands of the average application beside each one's own behaviors, in roots of counts.
BESIDE = 20.0
#: Coordinates are cut at so many standard deviations.
FARTHEST = 5.0
#: Applications whose counts are summed at once: always so many, for sums that are the same to the
#: bit in whatever tables the events come.
BLOCK = 4_096
#: Axes of less variance, or a smaller part of the whole, are rounding; loadings nearer are equal.
_NOTHING, _NO_PART, _EQUAL = 1e-12, 1e-9, 1e-6


class Table(NamedTuple):
    """The events of some applications, by the number of their behavior."""

    row: NDArray[np.int64]
    behavior: NDArray[np.int64]
    n_rows: int
    weight: NDArray[np.float64] | None = None

    @property
    def weights(self) -> NDArray[np.float64]:
        """How many applications each one counts as."""
        return np.ones(self.n_rows) if self.weight is None else self.weight


class Correspondence:
    """Place applications by what they do, so that those who do the same things are near.

    What an application does is its profile: the shares of its behaviors, of which it has the square
    roots of the counts, so that a burst of one behavior does not count for too much, and 20 of the
    average application beside, so that few events are near the average. The axes are those along
    which profiles differ most by chi-squared distances, in which rare behaviors count as much as
    frequent ones. Labels are never looked at.

    Parameters
    ----------
    n_behaviors : int
        Behaviors have the numbers below it; this one and above are not known.
    n_axes : int
        Coordinates of each application; those beyond the rank of the table are 0.
    at_least : int, default=0
        Behaviors in use from which on there are axes; with fewer, `n_axes` becomes 0.

    Attributes
    ----------
    loadings_ : ndarray of shape (n_behaviors, n_axes)
        Where each behavior is; 0 for those of fewer than 20 applications, and those beyond the
        1,000 of most applications, which are left out like those not known.

    References
    ----------
    M. Greenacre, "Correspondence Analysis in Practice", 3rd edition (2017), on the metric.

    M. Greenacre, "Power transformations in correspondence analysis", Computational Statistics and
    Data Analysis 53 (2009), on the roots.
    """

    def __init__(self, n_behaviors: int, n_axes: int, at_least: int = 0) -> None:
        self.n_behaviors = n_behaviors
        self.n_axes = n_axes if n_behaviors >= at_least else 0
        self.at_least = at_least

    def fit(self, read: Callable[[], Iterable[Table]]) -> Self:
        """Find the axes; tables are added up, so that not all must be in memory.

        Parameters
        ----------
        read : callable
            Called twice, returns the same tables, each of other applications. A weight of two is
            two applications, also where behaviors of few are left out.

        Returns
        -------
        self
        """
        self._used = np.arange(self.n_behaviors)
        self._used = used = self._find_used(read() if self.n_axes else [])
        if len(used) < self.at_least:
            self.n_axes = 0
        self.loadings_ = np.zeros((self.n_behaviors, self.n_axes))
        n_axes = min(self.n_axes, len(used))
        if not n_axes:
            return self
        average, covariance = self._covariance(read())
        root = np.sqrt(average)
        distance = covariance / np.outer(root, root)
        variance, axes = eigh(distance, subset_by_index=[len(used) - n_axes, len(used) - 1])
        variance, axes = variance[::-1], axes[:, ::-1]
        real = variance > max(_NOTHING, _NO_PART * np.trace(distance))
        loadings = axes / root[:, None] / np.sqrt(np.where(real, variance, 1))
        # An axis may point either way: its farthest behavior, of equal ones the first, is above 0.
        size = np.abs(loadings)
        farthest = (size >= (1 - _EQUAL) * size.max(axis=0)).argmax(axis=0)
        loadings *= np.sign(loadings[farthest, np.arange(n_axes)])
        self.loadings_[used, :n_axes] = np.where(real, loadings, 0)
        return self

    def tell_nothing_found(self, column: str, *, stacklevel: int) -> None:
        """Warn if there was something to place applications by, and nothing to tell them apart."""
        if self.n_axes and self.n_behaviors and not self.loadings_.any():
            warnings.warn(
                f"The events in column {column!r} tell no applications apart, so all topics are 0: "
                f"behaviors of fewer than {FEWEST} applications are left out, and the others are "
                "done by all alike. Fit on more applications, or go without topics.",
                stacklevel=stacklevel + 1,
            )

    def transform(self, table: Table) -> NDArray[np.float64]:
        """Return the coordinates of applications: of mean 0 and standard deviation 1 in `fit`.

        Parameters
        ----------
        table : Table

        Returns
        -------
        ndarray of shape (n_rows, n_axes)
        """
        if not self.n_axes:
            return np.empty((table.n_rows, 0))
        roots = self._roots(table)
        total = roots @ self.loadings_[self._used]
        return (total / (roots.sum(axis=1) + BESIDE)[:, None]).clip(-FARTHEST, FARTHEST)

    def _find_used(self, tables: Iterable[Table]) -> NDArray[np.int64]:
        """Return the behaviors of enough applications, ascending."""
        n_applications = np.zeros(self.n_behaviors)
        for table in tables:
            n_applications += (self._roots(table) > 0).T @ table.weights
        n_applications = n_applications.round(6)  # sums in another order differ in the last digits
        most = np.argsort(-n_applications, kind="stable")[:MOST]
        return np.sort(most[n_applications[most] >= FEWEST])

    def _covariance(
        self, tables: Iterable[Table]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the average profile, and the covariance of what profiles differ from it."""
        n_used = len(self._used)
        all_weight, of_total, of_square = 0.0, 0.0, 0.0
        of_roots, of_both = np.zeros(n_used), np.zeros(n_used)
        together = np.zeros((n_used, n_used))
        for roots, weight in self._blocks(tables):
            total = roots.sum(axis=1)
            inverse = 1 / (total + BESIDE)
            profile, share = diags_array(inverse) @ roots, inverse * total
            all_weight += weight.sum()
            of_total += weight @ share
            of_square += weight @ np.square(share)
            of_roots += profile.T @ weight
            of_both += profile.T @ (weight * share)
            together += (profile.T @ (diags_array(weight) @ profile)).toarray()
        # A profile differs by (roots - total * average) / (total + BESIDE), so by 0 in the mean.
        average = of_roots / of_total
        cross = np.outer(of_both, average)
        together += of_square * np.outer(average, average) - cross - cross.T
        return average, together / all_weight

    def _blocks(self, tables: Iterable[Table]) -> Iterator[tuple[Any, NDArray[np.float64]]]:
        """Yield the roots of counts of `BLOCK` applications at a time, and at last of the rest.

        And the weights of these applications.
        """
        waiting: list[Any] = []
        weights: list[NDArray[np.float64]] = []
        n_waiting = 0
        for table in tables:
            roots, weight = self._roots(table), table.weights
            start = 0
            while n_waiting + table.n_rows - start >= BLOCK:
                stop = start + BLOCK - n_waiting
                whole = np.concatenate([*weights, weight[start:stop]])
                yield vstack([*waiting, roots[start:stop]], format="csr"), whole
                waiting, weights, n_waiting, start = [], [], 0, stop
            waiting.append(roots[start:])
            weights.append(weight[start:])
            n_waiting += table.n_rows - start
        if n_waiting:
            yield vstack(waiting, format="csr"), np.concatenate(weights)

    def _roots(self, table: Table) -> Any:
        """Return the square roots of how often each application has each behavior in use."""
        position = np.full(self.n_behaviors + 1, -1)
        position[self._used] = np.arange(len(self._used))
        column = position[np.minimum(table.behavior, self.n_behaviors)]
        is_used = column >= 0
        at = table.row[is_used], column[is_used]
        shape = (table.n_rows, len(self._used))
        roots = csr_array((np.ones(len(at[0])), at), shape=shape)
        roots.data = np.sqrt(roots.data)
        return roots
