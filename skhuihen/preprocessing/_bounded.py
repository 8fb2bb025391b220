"""Bounded numbers: piecewise-linear columns, the range seen in `fit`, and codes in it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

#: Maximum number of knots for the piecewise-linear columns of a number.
MOST_KNOTS = 8
#: Quantiles of `fit` beyond which the columns are constant.
EDGES = (0.005, 0.995)
#: Fewer values outside the range of `fit` than this are ordinary, and so is up to this share.
FEW, ORDINARY_SHARE = 5, 0.01
#: A number of values outside is ordinary unless it is less likely than this without any change.
CHANCE = 1e-6
#: A value is far outside if it is this many times as far from the median as the extreme of `fit`.
LEAST_FAR, MOST_FAR = 5.0, 10.0
#: Rounding tolerance for weights, so that a weight of two equals exactly two rows.
ROUNDING = 1e-9


def weighted_quantiles(
    values: NDArray[np.float64], weight: NDArray[np.float64], probabilities: ArrayLike
) -> NDArray[np.float64]:
    """Return quantiles that are actual values; a weight of two equals two rows.

    Parameters
    ----------
    values, weight : ndarray of shape (n,)
        At least one value; positive weights.
    probabilities : array-like of shape (n_quantiles,)

    Returns
    -------
    ndarray of shape (n_quantiles,)
        The smallest values at or below which at least these shares of the weight lie.
    """
    order = np.argsort(values, kind="stable")
    share = np.cumsum(weight[order]) / weight.sum()
    at = np.searchsorted(share, np.asarray(probabilities) - ROUNDING)
    return values[order][np.minimum(at, len(values) - 1)]


def weighted_median(values: NDArray[np.float64], weight: NDArray[np.float64]) -> float:
    """Return the median (the mean of the two middle values if there are two), or 0 if empty."""
    if not len(values):
        return 0.0
    low = weighted_quantiles(values, weight, 0.5)
    high = weighted_quantiles(values, weight, 0.5 + 2 * ROUNDING)
    return float((low + high) / 2)


def find_knots(values: NDArray[np.float64], weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the knots of a number's piecewise-linear columns, in ascending order.

    These are all values if there are few, and quantiles otherwise. The first and the last quantile
    are chosen so that a few extreme values do not stretch the columns for all others.

    Parameters
    ----------
    values, weight : ndarray of shape (n,)
        Finite values; positive weights.

    Returns
    -------
    ndarray of shape (n_knots,)
        Distinct; at least two, unless there are fewer distinct values.
    """
    distinct = np.unique(values)
    if len(distinct) <= MOST_KNOTS:
        return distinct
    probabilities = np.linspace(0, 1, MOST_KNOTS)
    probabilities[[0, -1]] = EDGES
    knots = np.unique(weighted_quantiles(values, weight, probabilities))
    if len(knots) == 1:  # other values are rare, and may matter all the more
        knots = np.unique([distinct[0], knots[0], distinct[-1]])
    return knots


class PiecewiseLinear:
    """Turn numbers into columns that are linear between knots and constant outside.

    Each number has one column for each pair of consecutive knots. It rises from 0 at the first to
    1 at the second. Every function that is linear between the knots and constant outside is a
    weighted sum of these columns.

    Parameters
    ----------
    knots : list of ndarray
        The knots of each number, in ascending order. A number with fewer than two knots has one
        column of zeros.

    Attributes
    ----------
    source : int64 ndarray of shape (n_columns,)
        The number from which each column is made.
    start, stop : ndarray of shape (n_columns,)
        Where each column starts and stops rising.
    """

    def __init__(self, knots: list[NDArray[np.float64]]) -> None:
        none = np.zeros(1)
        starts = [k[:-1] if len(k) > 1 else none for k in knots]
        stops = [k[1:] if len(k) > 1 else none for k in knots]
        n_columns = np.array([len(start) for start in starts], dtype=np.int64)
        self.source = np.repeat(np.arange(len(knots)), n_columns)
        self.start = np.concatenate([np.empty(0), *starts])
        self.stop = np.concatenate([np.empty(0), *stops])
        self._width = np.where(self.stop > self.start, self.stop - self.start, 1.0)

    def transform(self, numbers: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the columns.

        Parameters
        ----------
        numbers : ndarray of shape (n_rows, n_numbers)

        Returns
        -------
        ndarray of shape (n_rows, n_columns)
            From 0 to 1.
        """
        # Clip first, because a difference of huge numbers would overflow.
        columns = np.clip(numbers[:, self.source], self.start, self.stop)
        columns -= self.start
        columns /= self._width
        return columns


# --------------------------------------------------------------------------------------------------
# Values outside the range.


@dataclass
class Outside:
    """Counts of values outside a range.

    Attributes
    ----------
    n : int
        Number of values that are not missing.
    n_outside, n_far : int
        Number of values outside the range, and number of these that are far outside.
    lowest, highest : float
    """

    n: int = 0
    n_outside: int = 0
    n_far: int = 0
    lowest: float = np.inf
    highest: float = -np.inf

    def add(self, other: Outside) -> None:
        """Add the counts of further values."""
        self.n += other.n
        self.n_outside += other.n_outside
        self.n_far += other.n_far
        self.lowest = min(self.lowest, other.lowest)
        self.highest = max(self.highest, other.highest)


@dataclass(frozen=True)
class Range:
    """The range of a number in `fit`.

    A new value a little outside is ordinary, and so are a few of many. A single value far outside
    is unusual. So are too many values outside: at least 5, more than 1% of all, and so many that
    chance alone would give them less than once in a million.

    Attributes
    ----------
    low, high : float
        The smallest and the largest value.
    low_far, high_far : float
        Values beyond these are far outside.
    n : float
        Number of values.
    """

    low: float
    high: float
    low_far: float
    high_far: float
    n: float

    @classmethod
    def of_values(cls, values: NDArray[np.float64], weight: NDArray[np.float64]) -> Self:
        """Return the range of at least one value.

        A value is far outside if it is more than five times as far from the median as the largest
        one. If the largest value is itself far out (more than five times as far from the median as
        the 99.5% quantile), its own multiple is used instead, up to ten. The same holds below.
        """
        low, high = values.min(), values.max()
        middle = weighted_median(values, weight)
        edges = weighted_quantiles(values, weight, EDGES)
        far = []
        for end, edge in zip((low, high), edges, strict=True):
            times = (end - middle) / (edge - middle) if edge != middle else 0.0
            far.append(middle + (end - middle) * min(max(times, LEAST_FAR), MOST_FAR))
        if low == high:  # nothing was learned from a constant, so nothing can go wrong
            far = [-np.inf, np.inf]
        return cls(float(low), float(high), float(far[0]), float(far[1]), float(len(values)))

    @classmethod
    def of_events(cls, low: float, high: float, n: int) -> Self:
        """Return the range of a subfield with `n` values; ten times the largest size is far."""
        far = 10 * max(abs(low), abs(high))
        return cls(low, high, -far, far, float(n))

    def look(self, values: NDArray[np.float64]) -> Outside:
        """Count the values outside; NaN is ignored."""
        n = int(np.count_nonzero(~np.isnan(values)))
        outside = (values < self.low) | (values > self.high)
        if not outside.any():
            return Outside(n)
        beyond = values[outside]
        n_far = int(((beyond < self.low_far) | (beyond > self.high_far)).sum())
        return Outside(n, len(beyond), n_far, float(beyond.min()), float(beyond.max()))

    def is_unusual(self, found: Outside) -> bool:
        """Return whether the values outside deserve attention."""
        # In random order, this is the probability that so many of the extremes are new values.
        chance = (found.n / (found.n + self.n)) ** found.n_outside
        many = found.n_outside >= max(FEW, ORDINARY_SHARE * found.n) and chance < CHANCE
        return found.n_far > 0 or many

    def describe(self, found: Outside, source: str = "fit") -> str:
        """Describe the values outside the range of `source`."""
        ends = [
            f"{word} {value:.6g}"
            for word, value, is_outside in (
                ("down to", found.lowest, found.lowest < self.low),
                ("up to", found.highest, found.highest > self.high),
            )
            if is_outside
        ]
        return (
            f"{found.n_outside} of {found.n} values outside the range seen in {source}, "
            f"{self.low:.6g} to {self.high:.6g}: {' and '.join(ends)}"
        )

    def farthest(self, found: Outside) -> float:
        """Return the value farthest outside."""
        return max(found.lowest, found.highest, key=lambda v: max(self.low - v, v - self.high))


# --------------------------------------------------------------------------------------------------
# Codes for missing values.


#: An extreme value that occurs this often may be a code.
REPEATED, REPEATED_SHARE = 3, 0.001
#: Negative codes of credit bureaus, in addition to those made of nines.
SMALL_CODES = {-1.0, -7.0, -8.0, -9.0}


class Extremes:
    """The few smallest and largest distinct values, and how often each occurs.

    A code for missing values lies at one end of all others. These values are enough to find it
    without storing or sorting the rest.
    """

    N_KEPT = 6

    def __init__(self) -> None:
        self.n = 0
        self.lowest: dict[float, int] = {}
        self.highest: dict[float, int] = {}

    def add(self, values: NDArray[np.float64]) -> Self:
        """Add further values; NaN is ignored."""
        values = values[~np.isnan(values)]
        self.n += len(values)
        self.lowest = self._merge(self.lowest, values, np.min)
        self.highest = self._merge(self.highest, values, np.max)
        return self

    def _merge(
        self, known: dict[float, int], values: NDArray[np.float64], end: Callable[[Any], Any]
    ) -> dict[float, int]:
        """Keep the values at one end; an overall extreme is also extreme in each part."""
        counts = dict(known)
        for _ in range(self.N_KEPT):
            if not len(values):
                break
            value = end(values)
            is_value = values == value
            counts[float(value)] = counts.get(float(value), 0) + int(is_value.sum())
            values = values[~is_value]
        return dict(sorted(counts.items(), reverse=end is np.max)[: self.N_KEPT])

    def find_codes(self) -> dict[float, int]:
        """Return the values that look like codes for missing values, and how often each occurs.

        They occur at least three times, in at least 0.1% of the values, and are either

        - -1, -7, -8, -9 or negative nines, if no other value is below 0;
        - nines, such as 999 or -9999999, if farther from all others than the others' range;
        - or any value ten times as far, if it makes up at least 1% of the values.
        """
        counts = self.lowest | self.highest
        often = max(REPEATED, REPEATED_SHARE * self.n)
        found: dict[float, int] = {}
        negative = [value for value in counts if value < 0]
        if (
            len(counts) - len(negative) >= 3
            and all(value in SMALL_CODES or _is_nines(value) for value in negative)
            and all(counts[value] >= often for value in negative)
        ):
            found = {value: counts.pop(value) for value in negative}
        while len(counts) > 2:
            values = sorted(counts)
            for value, near, others in (
                (values[0], values[1], values[1:]),
                (values[-1], values[-2], values[:-1]),
            ):
                gap, extent = abs(near - value), others[-1] - others[0]
                is_code = _is_nines(value) and gap > extent and counts[value] >= often
                is_far = gap > 10 * extent and len(others) >= 5 and counts[value] >= 0.01 * self.n
                if is_code or (is_far and counts[value] >= often):
                    found[value] = counts.pop(value)
                    break
            else:
                break
        return found


def _is_nines(value: float) -> bool:
    """Return whether a value is 99, 999, -9999999 or similar, also with decimals."""
    digits = f"{abs(value):.15g}".replace(".", "")
    return abs(value) >= 99 and set(digits) == {"9"}


def tell_codes(extremes: Extremes, what: str, cure: str, stacklevel: int) -> None:
    """Warn about values that look like codes for missing values.

    Parameters
    ----------
    extremes : Extremes
    what : str
        The column's name for the message.
    cure : str
        Code that fixes it, with ``{}`` in place of the code or codes.
    stacklevel : int
    """
    found = extremes.find_codes()
    if not found:
        return
    codes = [int(code) if code.is_integer() else code for code in sorted(found)]
    listed = ", ".join(f"{code} ({found[code]} times)" for code in codes)
    one = codes[0] if len(codes) == 1 else codes
    warnings.warn(
        f"{what} holds {listed} among {extremes.n} values, apart from all others. This looks like "
        "a code for missing values but is read as a number. If it is a code, replace it with a "
        f"missing value: {cure.format(one)}.",
        stacklevel=stacklevel + 1,
    )
