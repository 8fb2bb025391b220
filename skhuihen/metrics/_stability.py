"""Stability of the distribution of a score or feature."""

from __future__ import annotations

import warnings
from numbers import Integral

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_scalar

from skhuihen.metrics._checks import check_numbers
from skhuihen.metrics._ranking import check_share


def stability_bins(expected: ArrayLike, *, n_bins: int = 10) -> pd.DataFrame:
    """Return the bins of a reference sample and the share in each, to store for later samples.

    The bins are quantiles. The outer two are open, so nothing falls outside. Missing values have
    their own bin, and so does every value that makes up more than one in `n_bins` of the numbers
    (such as the zeros of an amount).

    Parameters
    ----------
    expected : array-like of shape (n_expected,)
        Numbers from the reference period, such as the training sample. Missing values are allowed.
    n_bins : int, default=10
        Number of quantile bins, at least 2.

    Returns
    -------
    bins : DataFrame
        One row per bin in rising order, with ``low`` (excluded), ``high`` (included) and
        ``share``. The last row, ``missing``, is for missing values and has no bounds.

    Raises
    ------
    TypeError
        If the values are not numbers.
    ValueError
        If there are no values or all are missing, or `n_bins` is below 2.

    See Also
    --------
    population_stability_index : Accepts the bins in place of the sample.

    Notes
    -----
    A bound lies one part in eight million beyond the value before it, but at most halfway to the
    next value of the sample. Values stored as 32-bit floats therefore fall into the bins of the
    original numbers.

    The frame keeps the number of values in ``bins.attrs["n_expected"]``.
    `population_stability_index` uses it to judge its own uncertainty. Parquet and pickle keep that
    number; CSV does not.

    Examples
    --------
    >>> from skhuihen.metrics import stability_bins
    >>> stability_bins([1, 2, 3, 4, None], n_bins=2)
             low  high  share
    bin
    1       -inf   2.0    0.4
    2        2.0   inf    0.4
    missing  NaN   NaN    0.2
    """
    check_scalar(n_bins, "n_bins", Integral, min_val=2)
    reference = check_numbers(expected, "expected")
    known = reference[~np.isnan(reference)]
    if not known.size:
        raise ValueError(
            f"expected has {reference.size} values and all are missing; at least one number is "
            "needed to make bins."
        )
    edges = _quantile_edges(known, n_bins)
    bins = pd.DataFrame(
        {
            "low": [-np.inf, *edges, np.nan],
            "high": [*edges, np.inf, np.nan],
            "share": _bin_shares(reference, edges),
        },
        index=pd.Index([*range(1, edges.size + 2), "missing"], name="bin"),
    )
    bins.attrs["n_expected"] = reference.size
    return bins


def population_stability_index(
    expected: ArrayLike | pd.DataFrame,
    actual: ArrayLike,
    *,
    n_bins: int = 10,
    floor: float = 1e-4,
) -> float:
    """Measure how far the distribution of a score or feature has moved.

    The bins are those of `stability_bins`, learned from `expected` and the same for every
    `actual`.

    Parameters
    ----------
    expected : array-like of shape (n_expected,), or DataFrame from `stability_bins`
        Numbers from the reference period, such as the training sample, or the bins learned from
        them. Missing values are allowed.
    actual : array-like of shape (n_actual,)
        Numbers from the period to check. Missing values are allowed.
    n_bins : int, default=10
        Number of quantile bins, at least 2. It has no effect if `expected` already contains bins.
    floor : float, default=1e-4
        Smallest share used for a bin, above 0 and below 1. An empty bin would make the index
        infinite. The floor does not depend on the sample sizes, so large and small months are
        comparable, and a bin that is empty in both samples adds nothing.

    Returns
    -------
    psi : float
        Sum over bins of ``(actual - expected) * log(actual / expected)``, in shares. As a rule of
        thumb, a sample is stable below 0.1 and has shifted above 0.25.

    Raises
    ------
    TypeError
        If the values are not numbers.
    ValueError
        If a sample is empty, all of `expected` is missing, the bins do not come from
        `stability_bins`, `n_bins` is below 2 or `floor` is not between 0 and 1.

    Warns
    -----
    UserWarning
        If the samples are so small that chance alone often moves the index above 0.1. The warning
        states the value that the index exceeds in 5% of unchanged samples of these sizes.

    See Also
    --------
    stability_bins : Learns the bins once for samples of many months.

    Notes
    -----
    By chance alone, two samples of one distribution have an average index of about
    ``(n_bins - 1) * (1 / n_expected + 1 / n_actual)``. With ten bins, 5% of cases exceed 1.9 times
    that [2]_: about 0.1 for two samples of 340 rows each. If `expected` is bins that were stored
    as CSV, their number of rows is unknown, and only the chance in `actual` counts.

    References
    ----------
    .. [1] N. Siddiqi, "Credit Risk Scorecards", Wiley, 2006.
    .. [2] B. Yurdakul and J. Naranjo, "Statistical properties of the population stability index",
       Journal of Risk Model Validation 14, 2020.

    Examples
    --------
    >>> import numpy as np
    >>> from skhuihen.metrics import population_stability_index, stability_bins
    >>> rng = np.random.default_rng(0)
    >>> expected, actual = rng.normal(0, 1, 5000), rng.normal(3, 1, 5000)
    >>> round(population_stability_index(expected, actual), 1)
    5.9
    >>> round(population_stability_index(stability_bins(expected), actual), 1)
    5.9
    """
    check_share(floor, "floor")
    if isinstance(expected, pd.DataFrame):
        bins = _check_stability_bins(expected)
    else:
        bins = stability_bins(expected, n_bins=n_bins)
    edges = bins["high"].to_numpy()[:-2]
    expected_share = bins["share"].to_numpy()
    values = check_numbers(actual, "actual")
    psi = float(index_of_shares(expected_share, _bin_shares(values, edges), floor))
    n_expected = bins.attrs.get("n_expected")
    by_chance = _index_by_chance(expected_share, n_expected, values.size, floor)
    if psi > 0 and by_chance > 0.1:
        against = "" if n_expected is None else f" and expected {n_expected}"
        warnings.warn(
            f"A stability index of {psi:.2f} is uncertain: actual has {values.size} rows{against}. "
            f"Samples of this size exceed {by_chance:.2f} in 5% of cases without any change. Pass "
            "more rows or fewer n_bins.",
            UserWarning,
            stacklevel=2,
        )
    return psi


def index_of_shares(
    expected: NDArray[np.float64], actual: NDArray[np.float64], floor: float
) -> NDArray[np.float64]:
    """Return the stability index of shares; the last axis is for the bins."""
    expected, actual = np.maximum(expected, floor), np.maximum(actual, floor)
    return ((actual - expected) * np.log(actual / expected)).sum(axis=-1)


def _index_by_chance(
    share: NDArray[np.float64], n_expected: int | None, n_actual: int, floor: float
) -> float:
    """Return the index exceeded in 5% of unchanged samples; None means a size without chance.

    This is simulated, because formulas fail if few rows leave bins empty.
    """
    rng = np.random.default_rng(0)
    expected, actual = (
        share if n is None else rng.multinomial(n, share / share.sum(), size=1000) / n
        for n in (n_expected, n_actual)
    )
    return float(np.quantile(index_of_shares(expected, actual, floor), 0.95))


def _check_stability_bins(bins: pd.DataFrame) -> pd.DataFrame:
    """Reject bins that are not an intact result of `stability_bins`, stored or not."""
    lacking = [name for name in ("low", "high", "share") if name not in bins]
    if not lacking:
        low, high, share = (bins[name].to_numpy(np.float64) for name in ("low", "high", "share"))
        if (
            len(bins) > 1
            and (low[0], high[-2]) == (-np.inf, np.inf)
            and (low[1:-1] == high[:-2]).all()
            and (low[:-1] <= high[:-1]).all()
            and np.isnan([low[-1], high[-1]]).all()
            and (share >= 0).all()
            and np.isclose(share.sum(), 1)
            and share[:-1].any()
        ):
            return bins
    found = f"{lacking} is missing" if lacking else "rows were changed, lost or reordered"
    raise ValueError(
        f"expected is a DataFrame, but not the bins of stability_bins: {found}. Pass the unchanged "
        "bins, or one column of numbers."
    )


def _quantile_edges(values: NDArray[np.float64], n_bins: int) -> NDArray[np.float64]:
    """Upper edges, each included in its bin; the last bin is open and has none.

    Each edge is directly after or before a value of the sample: interpolation would cut inside
    gaps, and infinite values cannot be interpolated.
    """
    value, count = np.unique(values, return_counts=True)
    # Ranks are whole numbers: a share such as 0.3 is not exact and would be off by a row.
    last_rank = -(-np.arange(1, n_bins) * values.size // n_bins)
    quantile = np.searchsorted(np.cumsum(count), last_rank)
    heavy = np.flatnonzero(count * n_bins > values.size)

    # A 32-bit float differs from the original by less than half of this.
    slack = np.where(np.isfinite(value), np.abs(value) * 2.0**-23 + 2.0**-149, 0.0)
    below, above = np.append(-np.inf, value[:-1]), np.append(value[1:], np.inf)
    with np.errstate(over="ignore", invalid="ignore"):
        behind = np.fmin(value + slack, value / 2 + above / 2)
        before = np.fmax(value - slack, value / 2 + below / 2)
    # There may be no float between neighbors.
    behind = np.maximum(value, np.minimum(behind, np.nextafter(above, -np.inf)))
    before = np.maximum(below, np.minimum(before, np.nextafter(value, -np.inf)))
    edges = np.unique(np.concatenate([behind[quantile], behind[heavy], before[heavy]]))
    return edges[edges < np.inf]


def count_bins(values: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the number of values in each bin, and of missing values at the end."""
    missing = np.isnan(values)
    number = np.where(missing, edges.size + 1, np.searchsorted(edges, values, side="left"))
    return np.bincount(number, minlength=edges.size + 2)


def _bin_shares(values: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    return count_bins(values, edges) / values.size
