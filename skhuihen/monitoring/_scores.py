"""Probabilities as counts on a fixed grid of log-odds, and what follows from them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.optimize import brentq
from scipy.special import expit, logit

from skhuihen.metrics import calibration_summary

#: The grid: log-odds from -14 to 14, so fine that an AUC changes by less than 0.001.
REACH, STEP = 14.0, 0.01
N_CELLS = round(2 * REACH / STEP)
#: Draws for the interval of an expected AUC.
N_DRAWS = 400


def cells_of(probability: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the cell of each probability."""
    least = expit(-REACH)
    log_odds = logit(np.clip(probability, least, 1 - least))
    return np.clip(np.floor((log_odds + REACH) / STEP), 0, N_CELLS - 1).astype(np.int64)


#: The log-odds in the middle of each cell.
MIDDLES = -REACH + STEP * (np.arange(N_CELLS) + 0.5)


class Estimate(NamedTuple):
    """A number with its interval."""

    value: float
    low: float
    high: float


UNKNOWN = Estimate(np.nan, np.nan, np.nan)


class Recalibration(NamedTuple):
    """The logistic regression of outcomes on log-odds, with its uncertainty.

    Attributes
    ----------
    intercept, slope : float
        0 and 1 if there is no best fit, because the scores separate the classes or are all equal.
    covariance : ndarray of shape (2, 2)
    is_fitted : bool
        Whether there is a best fit.
    """

    intercept: float
    slope: float
    covariance: NDArray[np.float64]
    is_fitted: bool

    @classmethod
    def fit(cls, overdue: NDArray[np.int64], others: NDArray[np.int64]) -> Recalibration:
        """Fit it to counts by cell."""
        y, probability, weight = _as_rows(overdue, others)
        summary = calibration_summary(y, probability, sample_weight=weight)
        intercept, slope = summary.intercept, summary.slope
        is_fitted = bool(np.isfinite([intercept, slope]).all())
        if not is_fitted:
            intercept, slope = 0.0, 1.0
        p = expit(intercept + slope * MIDDLES)
        spread = p * (1 - p) * (overdue + others)
        information = np.array(
            [
                [spread.sum(), spread @ MIDDLES],
                [spread @ MIDDLES, spread @ MIDDLES**2],
            ]
        )
        return cls(intercept, slope, np.linalg.pinv(information), is_fitted)

    def interval_of_slope(self, confidence_level: float) -> Estimate:
        """Return the slope with its interval by the normal distribution; NaN without a best fit."""
        if not self.is_fitted:
            return UNKNOWN
        return around(self.slope, float(np.sqrt(self.covariance[1, 1])), confidence_level)


def around(value: float, error: float, confidence_level: float) -> Estimate:
    """Return an interval by the normal distribution."""
    half = float(stats.norm.ppf((1 + confidence_level) / 2)) * error
    return Estimate(value, value - half, value + half)


def observed_auc(
    overdue: NDArray[np.int64], others: NDArray[np.int64], confidence_level: float = 0.95
) -> tuple[Estimate, float]:
    """Return the AUC of counts with its interval, and its standard error.

    These are those of `skhuihen.metrics.auc_interval`, which needs a row for each application: a
    month may have more rows than fit into memory.
    """
    n_overdue, n_others = int(overdue.sum()), int(others.sum())
    if min(n_overdue, n_others) < 2:
        return UNKNOWN, np.nan
    # DeLong's placements: the share of the other class that a row of this cell is above or below.
    of_overdue = (np.cumsum(others) - others / 2) / n_others
    of_others = 1 - (np.cumsum(overdue) - overdue / 2) / n_overdue
    auc = float(of_overdue @ overdue) / n_overdue
    variance = sum(
        float(n @ (placement - auc) ** 2) / (n.sum() - 1) / n.sum()
        for placement, n in ((of_overdue, overdue), (of_others, others))
    )
    error = float(np.sqrt(variance))
    if auc in (0, 1):
        return Estimate(auc, np.nan, np.nan), error
    # Symmetric in the log-odds.
    ends = around(float(logit(auc)), error / (auc * (1 - auc)), confidence_level)
    return Estimate(auc, float(expit(ends.low)), float(expit(ends.high))), error


def observed_rate(n_overdue: int, n: int, confidence_level: float) -> Estimate:
    """Return an overdue rate with Wilson's interval."""
    if not n:
        return UNKNOWN
    found = stats.binomtest(n_overdue, n).proportion_ci(confidence_level, method="wilson")
    return Estimate(n_overdue / n, float(found.low), float(found.high))


def calibration_in_the_large(
    overdue: NDArray[np.int64], others: NDArray[np.int64], confidence_level: float = 0.95
) -> tuple[Estimate, float]:
    """Return the shift of log-odds that labels ask for, with interval, and its standard error.

    Above 0, probabilities are too low.
    """
    if not overdue.sum() or not others.sum():
        return UNKNOWN, np.nan
    # The same as `calibration_summary`, which computes much else for every month.
    n = overdue + others
    # A shift of this size in either direction moves every probability beyond the rate.
    reach = REACH + abs(float(logit(overdue.sum() / n.sum()))) + 1
    shift = float(brentq(lambda s: n @ expit(MIDDLES + s) - overdue.sum(), -reach, reach))
    p = expit(MIDDLES + shift)
    error = float(1 / np.sqrt(n @ (p * (1 - p))))
    return around(shift, error, confidence_level), error


def auc_to_expect(
    counts: NDArray[np.int64], recalibration: Recalibration, confidence_level: float
) -> Estimate:
    """Return the AUC that scores promise if they are as well calibrated as the reference.

    The interval is for the AUC that will be observed: labels are drawn, with the recalibration
    drawn within its uncertainty.
    """
    used = np.flatnonzero(counts)
    n, middle = counts[used], MIDDLES[used]
    if n.sum() < 2:
        return UNKNOWN
    intercept, slope, covariance, _ = recalibration
    value = _expected_auc(n, expit(intercept + slope * middle))
    rng = np.random.default_rng(0)
    drawn = rng.multivariate_normal([intercept, slope], covariance, N_DRAWS, method="eigh")
    overdue = rng.binomial(n, expit(drawn[:, :1] + drawn[:, 1:] * middle))
    others = n - overdue
    pairs = overdue.sum(axis=1) * others.sum(axis=1)
    below = others.cumsum(axis=1) - others / 2
    ordered = (overdue * below).sum(axis=1)[pairs > 0] / pairs[pairs > 0]
    if not ordered.size:
        return Estimate(value, np.nan, np.nan)
    tail = (1 - confidence_level) / 2
    low, high = np.quantile(ordered, [tail, 1 - tail])
    return Estimate(value, float(low), float(high))


def _expected_auc(n: NDArray[np.int64], p: NDArray[np.float64]) -> float:
    """Return `skhuihen.metrics.expected_auc` of rows that are counted by cell.

    Parameters
    ----------
    n : ndarray of shape (n_cells,)
        Rows in each cell, with rising scores.
    p : ndarray of shape (n_cells,)
        Their probability of being overdue.
    """
    overdue, others = n * p, n * (1 - p)
    # A row forms no pair with itself, although it is in its own cell.
    itself = float(overdue @ (1 - p))
    ordered = float(overdue @ (np.cumsum(others) - others / 2)) - itself / 2
    pairs = float(overdue.sum()) * float(others.sum()) - itself
    return ordered / pairs if pairs > 0 else np.nan


def _as_rows(
    overdue: NDArray[np.int64], others: NDArray[np.int64]
) -> tuple[NDArray[Any], NDArray[np.float64], NDArray[np.float64]]:
    """Return labels, probabilities and weights of the cells that have rows."""
    cells = [np.flatnonzero(part) for part in (overdue, others)]
    y = np.repeat([1, 0], [part.size for part in cells])
    weight = np.concatenate([overdue[cells[0]], others[cells[1]]]).astype(np.float64)
    return y, expit(MIDDLES[np.concatenate(cells)]), weight
