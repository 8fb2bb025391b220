"""Frozen bins of a measure: counts of the reference rows, and the test of later counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats
from scipy.special import chdtrc

from skhuihen._tables.texts import as_text
from skhuihen.metrics import stability_bins
from skhuihen.metrics._stability import count_bins, index_of_shares

#: Texts of fewer rows may say who somebody is, and rare ones say little: they share one bin.
FEWEST_ROWS, SMALLEST_SHARE, MOST_CATEGORIES = 5, 0.01, 20
#: Bins are merged until each expects this many rows, so that the chi-square distribution holds far
#: out in its tail.
FEWEST_EXPECTED = 20
#: Smallest share of a bin, as in `population_stability_index`.
FLOOR = 1e-4


@dataclass(frozen=True)
class NumberBins:
    """Bins of a number.

    Attributes
    ----------
    counts : int64 ndarray of shape (n_edges + 2,)
        Reference rows in each bin; the last is for missing values.
    edges : float64 ndarray
        Upper edges of all bins except the last two; each belongs to its bin.
    low, high : float
        The smallest and largest reference value; NaN if all are missing.
    """

    counts: NDArray[np.int64]
    edges: NDArray[np.float64]
    low: float
    high: float

    @classmethod
    def learn(cls, values: NDArray[Any], n_bins: int) -> Self:
        """Make quantile bins of reference values."""
        number = np.asarray(values, dtype=np.float64)
        known = number[~np.isnan(number)]
        if not known.size:
            return cls(np.array([0, number.size]), np.empty(0), np.nan, np.nan)
        edges = stability_bins(number, n_bins=n_bins)["high"].to_numpy(np.float64)[:-2]
        return cls(count_bins(number, edges), edges, float(known.min()), float(known.max()))

    @classmethod
    def presence(cls, n_without: int, n_with: int) -> Self:
        """Make two bins, for 0 and 1, of the numbers of reference rows."""
        return cls(np.array([n_without, n_with, 0]), np.array([0.5]), 0.0, 1.0)

    def count(self, values: NDArray[Any]) -> NDArray[np.int64]:
        """Count values by bin."""
        return count_bins(np.asarray(values, dtype=np.float64), self.edges)

    def outside(self, values: NDArray[Any]) -> int:
        """Count values outside the range of the reference."""
        number = np.asarray(values, dtype=np.float64)
        return int(((number < self.low) | (number > self.high)).sum())

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, which has neither NaN nor infinity."""
        edges, ends = (
            [None if np.isnan(x) else x if np.isfinite(x) else str(x) for x in numbers]
            for numbers in (self.edges.tolist(), (self.low, self.high))
        )
        return {"counts": self.counts.tolist(), "edges": edges, "range": ends}

    @classmethod
    def from_dict(cls, found: dict[str, Any]) -> Self:
        """Make bins of what `to_dict` returned."""
        low, high = (np.nan if end is None else float(end) for end in found["range"])
        edges = np.asarray(found["edges"], dtype=np.float64)
        counts = as_counts(found["counts"])
        if len(counts) != len(edges) + 2:
            raise ValueError(f"{len(edges)} edges have {len(counts)} counts")
        if np.isnan(edges).any() or (np.diff(edges) <= 0).any():
            raise ValueError("edges do not rise")
        return cls(counts, edges, low, high)


@dataclass(frozen=True)
class CategoryBins:
    """Bins of a text or category.

    Attributes
    ----------
    counts : int64 ndarray of shape (n_names + 2,)
        Reference rows of each category, of all others together, and of missing values.
    names : tuple of str
        The frequent categories, the most frequent first.
    """

    counts: NDArray[np.int64]
    names: tuple[str, ...]

    @classmethod
    def learn(cls, found: Mapping[str, int], n_missing: int) -> Self:
        """Make one bin for each frequent category of the reference, whose rows are counted."""
        # The order of equally frequent texts must not depend on that of the rows.
        order = sorted(found, key=lambda name: (-found[name], name))
        n_known = sum(found.values())
        least = max(FEWEST_ROWS, SMALLEST_SHARE * (n_known + n_missing))
        names = tuple(name for name in order[:MOST_CATEGORIES] if found[name] >= least)
        counts = [found[name] for name in names]
        return cls(np.array([*counts, n_known - sum(counts), n_missing], dtype=np.int64), names)

    def count(self, values: NDArray[Any]) -> NDArray[np.int64]:
        """Count values by bin."""
        column = pd.Series(values, dtype=object)
        found = column.value_counts()
        counts = [int(found.get(name, 0)) for name in self.names]
        n_missing = int(column.isna().sum())
        return np.array([*counts, len(column) - n_missing - sum(counts), n_missing])

    def outside(self, values: NDArray[Any]) -> int:
        """Count values that are not among the frequent categories."""
        return int(self.count(values)[-2])

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {"counts": self.counts.tolist(), "names": list(self.names)}

    @classmethod
    def from_dict(cls, found: dict[str, Any]) -> Self:
        """Make bins of what `to_dict` returned."""
        counts = as_counts(found["counts"])
        names = tuple(map(str, found["names"]))
        if len(counts) != len(names) + 2:
            raise ValueError(f"{len(names)} names have {len(counts)} counts")
        return cls(counts, names)


Bins = NumberBins | CategoryBins
#: Counts of more rows than this are no counts: the exact test would overflow.
MOST_ROWS = 10**9


def as_counts(found: Any) -> NDArray[np.int64]:
    """Return counts from JSON as an array, if they are counts."""
    counts = np.asarray(found, dtype=np.int64)
    if counts.ndim != 1 or (counts < 0).any() or counts.sum(dtype=np.float64) > MOST_ROWS:
        raise ValueError("counts are not a list of numbers of rows")
    return counts


def count_texts(values: NDArray[Any]) -> tuple[Counter[str], int]:
    """Count texts, and those that are missing."""
    column = pd.Series(values, dtype=object)
    found = column.value_counts()
    counts = dict(zip(map(str, found.index), found.tolist(), strict=True))
    return Counter(counts), int(column.isna().sum())


def as_short(numbers: Iterable[float]) -> list[str]:
    """Write numbers with as few digits, from four on, as tell neighbors apart."""
    values = list(numbers)
    for digits in range(4, 18):
        texts = [_written(value, digits) for value in values]
        if len(set(texts)) == len(set(values)):
            break
    return texts


def _written(value: float, digits: int) -> str:
    rounded = float(f"{value:.{digits}g}")
    if rounded == 0 or not 1e-4 <= abs(rounded) < 1e15:
        return f"{rounded:g}"
    # Without an exponent, which few read at a glance.
    return np.format_float_positional(rounded, trim="-")


def as_values(column: pd.Series, is_number: bool) -> NDArray[Any]:
    """Return a profile column as floats, or as texts with None for missing ones."""
    if is_number:
        return pd.to_numeric(column, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    plain = column.astype(object)
    return plain.map(as_text).where(plain.notna(), None).to_numpy(object)


def stability_index(reference: NDArray[np.int64], counts: NDArray[np.int64]) -> float:
    """Return the population stability index of counts; NaN without rows."""
    if not counts.sum() or not reference.sum():
        return np.nan
    return float(index_of_shares(reference / reference.sum(), counts / counts.sum(), FLOOR))


def change_pvalue(reference: NDArray[np.int64], counts: NDArray[np.int64]) -> float:
    """Return how likely counts differ this much if nothing changed.

    Neighboring bins that expect few rows are merged, into two at the least. The test is Pearson's
    test of homogeneity, or Fisher's exact test if there are two bins. NaN if there are no rows, 1
    if all values are in one bin.
    """
    table = np.array([reference, counts], dtype=np.int64)
    n = table.sum(axis=1)
    if not n.all():
        return np.nan
    table = table[:, table.sum(axis=0) > 0]
    if table.shape[1] > 2:
        # The larger group holds more of each bin, so the smaller one decides.
        merged = _merged(table, FEWEST_EXPECTED * n.sum() / n.min())
        table = merged if merged.shape[1] > 1 else _halves(table)
    if table.shape[1] < 2:
        return 1.0
    if table.shape[1] == 2:
        return float(stats.fisher_exact(table).pvalue)
    # What stats.chi2_contingency computes, which takes milliseconds for its checks.
    expected = np.outer(n, table.sum(axis=0)) / n.sum()
    statistic = ((table - expected) ** 2 / expected).sum()
    return float(chdtrc(table.shape[1] - 1, statistic))


def _merged(table: NDArray[np.int64], least: float) -> NDArray[np.int64]:
    """Merge neighboring columns until each has at least this sum."""
    columns: list[NDArray[np.int64]] = []
    begun = np.zeros(2, dtype=np.int64)
    for column in table.T:
        begun = begun + column
        if begun.sum() >= least:
            columns.append(begun)
            begun = np.zeros(2, dtype=np.int64)
    if begun.any():
        if columns:
            columns[-1] = columns[-1] + begun
        else:
            columns.append(begun)
    return np.array(columns).T


def _halves(table: NDArray[np.int64]) -> NDArray[np.int64]:
    """Merge columns into two that are as equal as possible."""
    below = table.sum(axis=0).cumsum()
    cut = 1 + int(np.abs(below[:-1] - below[-1] / 2).argmin())
    return np.array([table[:, :cut].sum(axis=1), table[:, cut:].sum(axis=1)]).T
