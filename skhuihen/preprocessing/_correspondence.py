"""Correspondence analysis of applications by behaviors, which places similar ones together."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh
from scipy.sparse import csr_array, diags_array, vstack

#: Behaviors with fewer applications are uninformative; at most this many behaviors are used.
FEWEST, MOST = 20, 1_000
#: Weight of the average application added to each one's own behaviors, in roots of counts.
BESIDE = 20.0
#: Coordinates are clipped at this many standard deviations.
FARTHEST = 5.0
#: Number of applications summed at once. It is fixed, so that sums are equal to the bit however
#: the events are split into tables.
BLOCK = 4_096
#: Axes with less variance, or a smaller share of it, are rounding; loadings this close are equal.
_NOTHING, _NO_PART, _EQUAL = 1e-12, 1e-9, 1e-6


class Table(NamedTuple):
    """The events of some applications, by the number of each behavior."""

    row: NDArray[np.int64]
    behavior: NDArray[np.int64]
    n_rows: int
    weight: NDArray[np.float64] | None = None

    @property
    def weights(self) -> NDArray[np.float64]:
        """The weight of each application."""
        return np.ones(self.n_rows) if self.weight is None else self.weight


class Correspondence:
    """Place applications by their behaviors, so that similar applications are near each other.

    An application is described by the shares of its behaviors (its row profile, in the words of
    correspondence analysis), computed from square roots of counts, so that a burst of one behavior
    does not count too much. The average application is added with a weight of 20, so that
    applications with few events are near the average. The axes are the directions in which these
    shares differ most by chi-squared distance, which weighs rare behaviors as much as frequent
    ones. Labels are never used.

    Parameters
    ----------
    n_behaviors : int
        Behaviors are numbered below it; this number and higher ones are unknown.
    n_axes : int
        Number of coordinates per application; those beyond the rank of the table are 0.
    at_least : int, default=0
        With fewer behaviors in use, `n_axes` becomes 0.

    Attributes
    ----------
    loadings_ : ndarray of shape (n_behaviors, n_axes)
        Position of each behavior. It is 0 for behaviors with fewer than 20 applications and for
        those beyond the 1,000 with most applications; both are ignored, like unknown behaviors.

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
        """Find the axes; tables are summed, so they need not all be in memory.

        Parameters
        ----------
        read : callable
            Called twice; must return the same tables, each of different applications. A weight of
            two equals two applications, also when rare behaviors are dropped.

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
        # An axis has no sign of its own: make its farthest behavior positive (the first if tied).
        size = np.abs(loadings)
        farthest = (size >= (1 - _EQUAL) * size.max(axis=0)).argmax(axis=0)
        loadings *= np.sign(loadings[farthest, np.arange(n_axes)])
        self.loadings_[used, :n_axes] = np.where(real, loadings, 0)
        return self

    def tell_nothing_found(self, column: str, *, stacklevel: int) -> None:
        """Warn if there were events and behaviors, but no axis that distinguishes applications."""
        if self.n_axes and self.n_behaviors and not self.loadings_.any():
            warnings.warn(
                f"The events in column {column!r} do not distinguish applications, so all topics "
                f"are 0: behaviors of fewer than {FEWEST} applications are dropped, and the others "
                "are the same in all. Fit on more applications, or do not use topics.",
                stacklevel=stacklevel + 1,
            )

    def transform(self, table: Table) -> NDArray[np.float64]:
        """Return the coordinates of applications, with mean 0 and standard deviation 1 in `fit`.

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
        """Return the behaviors with enough applications, in ascending order."""
        n_applications = np.zeros(self.n_behaviors)
        for table in tables:
            n_applications += (self._roots(table) > 0).T @ table.weights
        n_applications = n_applications.round(6)  # the order of a sum may change the last digits
        most = np.argsort(-n_applications, kind="stable")[:MOST]
        return np.sort(most[n_applications[most] >= FEWEST])

    def _covariance(
        self, tables: Iterable[Table]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the average shares of the behaviors and the covariance of deviations from them."""
        n_used = len(self._used)
        all_weight, of_total, of_square = 0.0, 0.0, 0.0
        of_roots, of_both = np.zeros(n_used), np.zeros(n_used)
        together = np.zeros((n_used, n_used))
        for roots, weight in self._blocks(tables):
            total = roots.sum(axis=1)
            inverse = 1 / (total + BESIDE)
            shares, own = diags_array(inverse) @ roots, inverse * total
            all_weight += weight.sum()
            of_total += weight @ own
            of_square += weight @ np.square(own)
            of_roots += shares.T @ weight
            of_both += shares.T @ (weight * own)
            together += (shares.T @ (diags_array(weight) @ shares)).toarray()
        # Shares deviate by (roots - total * average) / (total + BESIDE), which has mean 0.
        average = of_roots / of_total
        cross = np.outer(of_both, average)
        together += of_square * np.outer(average, average) - cross - cross.T
        return average, together / all_weight

    def _blocks(self, tables: Iterable[Table]) -> Iterator[tuple[Any, NDArray[np.float64]]]:
        """Yield the roots of counts of `BLOCK` applications at a time, and finally of the rest.

        The weights of these applications are yielded with them.
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
        """Return the square roots of each application's counts of the used behaviors."""
        position = np.full(self.n_behaviors + 1, -1)
        position[self._used] = np.arange(len(self._used))
        column = position[np.minimum(table.behavior, self.n_behaviors)]
        is_used = column >= 0
        at = table.row[is_used], column[is_used]
        shape = (table.n_rows, len(self._used))
        roots = csr_array((np.ones(len(at[0])), at), shape=shape)
        roots.sum_duplicates()  # SciPy 1.13 leaves it to us
        roots.data = np.sqrt(roots.data)
        return roots
