"""Vectorized random draws."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

DAY = 86_400  # seconds

# Weight of each hour of the day. Bursts spread visits over the following hours, so these weights
# are steeper than the resulting shares, which match a real bank's app log.
_HOURS = np.array(
    [
        [0.8, 0.1, 0.0, 0.0, 0.0, 0.3, 1.2, 3.2, 6.3, 9.0, 8.2, 6.6],
        [7.1, 5.4, 6.1, 7.8, 7.0, 5.2, 5.8, 4.3, 5.2, 4.4, 3.3, 2.0],
    ]
).ravel()


def draw_columns(weights: FloatArray, rows: IntArray, rng: np.random.Generator) -> IntArray:
    """Draw one column index for each entry of ``rows``, with the weights of that table row."""
    n_columns = weights.shape[1]
    cumulative = np.cumsum(weights, axis=1)
    cumulative /= cumulative[:, -1:]
    # Concatenated rows form one increasing sequence, so one search is enough.
    line = (cumulative + np.arange(len(weights))[:, None]).ravel()
    drawn = np.searchsorted(line, rows + rng.random(len(rows)), side="right") - rows * n_columns
    return np.minimum(drawn, n_columns - 1)


def popularity(n: int, power: float = 1.0) -> FloatArray:
    """Return shares of ``n`` things in order of decreasing popularity."""
    share = 1.0 / np.arange(1, n + 1) ** power
    return share / share.sum()


def choose(
    options: tuple[str, ...], shares: FloatArray | list[float], n: int, rng: np.random.Generator
) -> NDArray:
    """Draw ``n`` category names."""
    return np.asarray(options, dtype=object)[rng.choice(len(options), size=n, p=shares)]


def times_of_day(n: int, rng: np.random.Generator) -> IntArray:
    """Draw seconds since midnight, at hours when people use a bank app."""
    hours = rng.choice(24, size=n, p=_HOURS / _HOURS.sum())
    return hours * 3_600 + rng.integers(3_600, size=n)


def hide(values: pd.Series, share: float, rng: np.random.Generator) -> pd.Series:
    """Set a share of the values to missing."""
    return values.mask(rng.random(len(values)) < share)
