"""Numbers that stay bounded: piecewise-linear columns, the range seen in `fit`, and codes in it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

#: Knots of the piecewise-linear columns of a number, at most.
MOST_KNOTS = 8
#: Quantiles in `fit` beyond which the columns are constant.
EDGES = (0.005, 0.995)
#: Fewer values outside the range of `fit` are ordinary, and so is up to this share of all.
FEW, ORDINARY_SHARE = 5, 0.01
#: So are as many as come about by chance, more rarely than this, where nothing has changed.
CHANCE = 1e-6
#: How many times as far from the median as the extreme of `fit` a value must be to be far outside.
LEAST_FAR, MOST_FAR = 5.0, 10.0
#: Weights are compared up to rounding: a weight of two must count as exactly two rows.
ROUNDING = 1e-9


def weighted_quantiles(
    values: NDArray[np.float64], weight: NDArray[np.float64], probabilities: ArrayLike
) -> NDArray[np.float64]:
    """Return quantiles that are values themselves; a weight of two is the same as two rows.

    Parameters
    ----------
    values, weight : ndarray of shape (n,)
        At least one value; positive weights.
    probabilities : array-like of shape (n_quantiles,)

    Returns
    -------
    ndarray of shape (n_quantiles,)
        The smallest values at or below which these shares of the weight are.
    """
    order = np.argsort(values, kind="stable")
    share = np.cumsum(weight[order]) / weight.sum()
    at = np.searchsorted(share, np.asarray(probabilities) - ROUNDING)
    return values[order][np.minimum(at, len(values) - 1)]


def weighted_median(values: NDArray[np.float64], weight: NDArray[np.float64]) -> float:
    """Return the median, the mean of the two middle values if there are two; 0 of no values."""
    if not len(values):
        return 0.0
    low = weighted_quantiles(values, weight, 0.5)
    high = weighted_quantiles(values, weight, 0.5 + 2 * ROUNDING)
    return float((low + high) / 2)


def find_knots(values: NDArray[np.float64], weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return where the piecewise-linear columns of a number bend, in ascending order.

    All values if they are few; otherwise quantiles, of which the first and the last are such that
    some extreme values do not stretch the columns for all others.

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
    if len(knots) == 1:  # what differs from it is rare, and may matter all the more
        knots = np.unique([distinct[0], knots[0], distinct[-1]])
    return knots


class PiecewiseLinear:
    """Turn numbers into columns that are linear between knots and constant outside.

    Each number has a column for each two knots that follow each other, which rises from 0 at the
    one to 1 at the other. Any function that is linear between the knots and constant outside is a
    weighted sum of these columns.

    Parameters
    ----------
    knots : list of ndarray
        The knots of each number, in ascending order. A number with fewer than two has one column,
        which is 0.

    Attributes
    ----------
    source : int64 ndarray of shape (n_columns,)
        The number that each column is made of.
    start, stop : ndarray of shape (n_columns,)
        Where each column rises.
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
        # Cut before anything else: a difference of huge numbers would overflow.
        columns = np.clip(numbers[:, self.source], self.start, self.stop)
        columns -= self.start
        columns /= self._width
        return columns


# --------------------------------------------------------------------------------------------------
# What lies outside.


@dataclass
class Outside:
    """How many of some values lie outside a range.

    Attributes
    ----------
    n : int
        Values, missing ones left out.
    n_outside, n_far : int
        Values outside the range, and of these the ones far outside.
    lowest, highest : float
    """

    n: int = 0
    n_outside: int = 0
    n_far: int = 0
    lowest: float = np.inf
    highest: float = -np.inf

    def add(self, other: Outside) -> None:
        """Count further values."""
        self.n += other.n
        self.n_outside += other.n_outside
        self.n_far += other.n_far
        self.lowest = min(self.lowest, other.lowest)
        self.highest = max(self.highest, other.highest)


@dataclass(frozen=True)
class Range:
    """The range of a number in `fit`.

    A new value a little outside it is ordinary, and so are a few of many. Unusual is a single value
    that is far outside, and are values outside that are more than they should be: at least 5, more
    than 1% of all, and more than there are by chance, once in a million, where nothing has changed.

    Attributes
    ----------
    low, high : float
        The smallest and the largest value.
    low_far, high_far : float
        A value beyond these is far outside.
    n : float
        How many values there were.
    """

    low: float
    high: float
    low_far: float
    high_far: float
    n: float

    @classmethod
    def of_values(cls, values: NDArray[np.float64], weight: NDArray[np.float64]) -> Self:
        """Return the range of values of which there is at least one.

        A value is far if it is more than five times as far from the median as the largest one.
        Where that one is itself far from the others (from the median more than five times as far
        as the 99.5% quantile), then so many times; ten times at most. The same below.
        """
        low, high = values.min(), values.max()
        middle = weighted_median(values, weight)
        edges = weighted_quantiles(values, weight, EDGES)
        far = []
        for end, edge in zip((low, high), edges, strict=True):
            times = (end - middle) / (edge - middle) if edge != middle else 0.0
            far.append(middle + (end - middle) * min(max(times, LEAST_FAR), MOST_FAR))
        if low == high:  # nothing was learned of it, so nothing can go wrong
            far = [-np.inf, np.inf]
        return cls(float(low), float(high), float(far[0]), float(far[1]), float(len(values)))

    @classmethod
    def of_events(cls, low: float, high: float, n: int) -> Self:
        """Return the range of a subfield with `n` values: ten times the largest size is far."""
        far = 10 * max(abs(low), abs(high))
        return cls(low, high, -far, far, float(n))

    def look(self, values: NDArray[np.float64]) -> Outside:
        """Count the values outside; NaN is none."""
        n = int(np.count_nonzero(~np.isnan(values)))
        outside = (values < self.low) | (values > self.high)
        if not outside.any():
            return Outside(n)
        beyond = values[outside]
        n_far = int(((beyond < self.low_far) | (beyond > self.high_far)).sum())
        return Outside(n, len(beyond), n_far, float(beyond.min()), float(beyond.max()))

    def is_unusual(self, found: Outside) -> bool:
        """Tell whether what was found outside should be looked at."""
        # In an order by chance, each of the outermost values is a new one by the share of these.
        chance = (found.n / (found.n + self.n)) ** found.n_outside
        many = found.n_outside >= max(FEW, ORDINARY_SHARE * found.n) and chance < CHANCE
        return found.n_far > 0 or many

    def describe(self, found: Outside, source: str = "fit") -> str:
        """Say what was found outside the range of `source`."""
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
        """Return the value that is farthest outside."""
        return max(found.lowest, found.highest, key=lambda v: max(self.low - v, v - self.high))


# --------------------------------------------------------------------------------------------------
# Codes for missing values.


#: Repeated so often, a value at one end of the others may be a code.
REPEATED, REPEATED_SHARE = 3, 0.001
#: Negative codes of credit bureaus, besides those of nines only.
SMALL_CODES = {-1.0, -7.0, -8.0, -9.0}


class Extremes:
    """The few smallest and largest distinct values, and how often each occurs.

    That is enough to see a code for missing values, which stands at one end of all others, without
    keeping or sorting them.
    """

    N_KEPT = 6

    def __init__(self) -> None:
        self.n = 0
        self.lowest: dict[float, int] = {}
        self.highest: dict[float, int] = {}

    def add(self, values: NDArray[np.float64]) -> Self:
        """Look at further values; NaN is none."""
        values = values[~np.isnan(values)]
        self.n += len(values)
        self.lowest = self._merge(self.lowest, values, np.min)
        self.highest = self._merge(self.highest, values, np.max)
        return self

    def _merge(
        self, known: dict[float, int], values: NDArray[np.float64], end: Callable[[Any], Any]
    ) -> dict[float, int]:
        """Keep the values at one end; what is among them is so in all parts where it occurs."""
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
        """Return the values that look like codes for missing ones, and how often each occurs.

        They occur at least three times, in 0.1% of the values at least, and are

        - -1, -7, -8, -9 or negative nines, where no other value is below 0;
        - or nines, such as 999 or -9999999, farther from all others than these are apart;
        - or any value ten times as far, in 1% of the values at least.
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
    """Tell 99, 999, -9999999 and the like, in tenths and hundredths too."""
    digits = f"{abs(value):.15g}".replace(".", "")
    return abs(value) >= 99 and set(digits) == {"9"}


def tell_codes(extremes: Extremes, what: str, cure: str, stacklevel: int) -> None:
    """Warn of values that look like codes for missing ones.

    Parameters
    ----------
    extremes : Extremes
    what : str
        The column, for the message.
    cure : str
        What mends it, with ``{}`` in the place of the code or codes.
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
        "a code for missing values, but is read as a number. If it is a code, replace it by a "
        f"missing value: {cure.format(one)}.",
        stacklevel=stacklevel + 1,
    )
