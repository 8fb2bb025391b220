"""Calibration of probabilities."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import (
    brier_score_loss,
)

from skhuihen.metrics._checks import Label, check_binary_scores
from skhuihen.metrics._ranking import lift_table


class CalibrationSummary(NamedTuple):
    """Calibration of probabilities, see `calibration_summary`, which says what each means.

    Attributes
    ----------
    overdue_rate, mean_probability : float
        What happened, and what was predicted.
    in_the_large : float
        The amount to add to all log-odds to make these two equal.
    intercept, slope : float
        Of a logistic regression of the outcome on the log-odds.
    expected_error : float
        The expected calibration error.
    brier, brier_skill : float
        The mean squared distance between probability and outcome, and its skill score.

    Examples
    --------
    >>> from skhuihen.metrics import calibration_summary
    >>> summary = calibration_summary([0, 0, 0, 1], [0.1, 0.2, 0.4, 0.3], n_bins=2)
    >>> summary.overdue_rate, round(summary.mean_probability, 4)
    (0.25, 0.25)
    """

    overdue_rate: float
    mean_probability: float
    in_the_large: float
    intercept: float
    slope: float
    expected_error: float
    brier: float
    brier_skill: float


#: For log-odds, probabilities closer to 0 or 1 are set to this distance.
_CERTAIN = 1e-6


def calibration_summary(
    y_true: ArrayLike,
    y_prob: ArrayLike,
    *,
    n_bins: int = 10,
    pos_label: Label | None = None,
    sample_weight: ArrayLike | None = None,
) -> CalibrationSummary:
    """Summarize the calibration of overdue probabilities.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        Two classes.
    y_prob : array-like of shape (n_samples,)
        Probability of the overdue class, between 0 and 1.
    n_bins : int, default=10
        Number of bins for `expected_error`, at least 2: the bins of `lift_table`.
    pos_label : int, float, bool or str, default=None
        The overdue class. ``None`` uses the greater of the two labels.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows; must not be negative.

    Returns
    -------
    summary : CalibrationSummary
        Named tuple of floats:

        - ``overdue_rate`` and ``mean_probability``, which should be equal;
        - ``in_the_large``: the amount to add to all log-odds to make them equal. Above 0, the
          probabilities are too low overall;
        - ``intercept`` and ``slope`` of a logistic regression of the outcome on the log-odds,
          ideally 0 and 1. A slope below 1 means that probabilities are too extreme, as for an
          overfitted model. NaN if the probabilities separate the classes or are all equal, because
          there is no best fit;
        - ``expected_error`` (expected calibration error): mean over the rows of the distance
          between overdue rate and mean probability of their bin. It is positive by chance alone,
          more so in small bins;
        - ``brier``: mean squared distance between probability and outcome;
        - ``brier_skill``: 1 minus the ratio of ``brier`` to that of predicting the overdue rate for
          all rows.

    Raises
    ------
    ValueError
        If `y_true` does not have exactly two classes, a value is missing, a probability is outside
        [0, 1], or `n_bins` is below 2.

    See Also
    --------
    sklearn.calibration.CalibrationDisplay : Plots it.
    sklearn.calibration.CalibratedClassifierCV : May correct it.

    Notes
    -----
    Expected calibration error often uses bins of equal width. If overdue is rare, one or two of
    them contain nearly all rows. The bins used here contain equal numbers of rows. For intercepts
    and slope, probabilities below 1e-6 or above 1 - 1e-6 are set to these limits, because the
    log-odds of 0 and 1 are infinite.

    References
    ----------
    .. [1] D. R. Cox, "Two further applications of a model for binary regression", Biometrika 45,
       1958.
    .. [2] B. Van Calster et al., "Calibration: the Achilles heel of predictive analytics", BMC
       Medicine 17, 2019.

    Examples
    --------
    >>> import numpy as np
    >>> from skhuihen.metrics import calibration_summary
    >>> rng = np.random.default_rng(0)
    >>> log_odds = rng.normal(-2, 1, 20_000)
    >>> y_true = rng.random(20_000) < 1 / (1 + np.exp(-log_odds))
    >>> too_sure = 1 / (1 + np.exp(-2 * log_odds))
    >>> print(f"slope {calibration_summary(y_true, too_sure).slope:.1f}")
    slope 0.5
    """
    is_overdue, probability, weight = check_binary_scores(
        y_true, y_prob, pos_label, sample_weight, name="y_prob"
    )
    outside = int(((probability < 0) | (probability > 1)).sum())
    if outside:
        raise ValueError(
            f"y_prob must be between 0 and 1; {outside} of {probability.size} values are "
            "outside. Pass predict_proba(X)[:, 1], not a score."
        )
    table = lift_table(is_overdue, probability, n_bins=n_bins, sample_weight=weight)
    error = (table["count"] * (table["rate"] - table["score_mean"]).abs()).sum()

    log_odds = logit(np.clip(probability, _CERTAIN, 1 - _CERTAIN))
    rate = np.average(is_overdue, weights=weight)
    # A shift of this size in either direction moves every probability beyond the rate.
    reach = np.abs(log_odds).max() + abs(logit(rate)) + 1

    def excess(shift: float) -> float:
        return float(np.average(expit(log_odds + shift), weights=weight)) - rate

    intercept, slope = _recalibration(is_overdue, log_odds, weight)
    brier = brier_score_loss(is_overdue, probability, sample_weight=weight)
    return CalibrationSummary(
        overdue_rate=float(rate),
        mean_probability=float(np.average(probability, weights=weight)),
        in_the_large=float(brentq(excess, -reach, reach)),
        intercept=intercept,
        slope=slope,
        expected_error=float(error / table["count"].sum()),
        brier=float(brier),
        brier_skill=float(1 - brier / (rate * (1 - rate))),  # scikit-learn has it from 1.8 on
    )


def _recalibration(
    is_overdue: NDArray[np.bool_],
    log_odds: NDArray[np.float64],
    weight: NDArray[np.float64] | None,
) -> tuple[float, float]:
    """Intercept and slope of the outcome on the log-odds; NaN if there is no best fit."""
    counted = np.full(log_odds.size, True) if weight is None else weight > 0
    overdue, others = log_odds[counted & is_overdue], log_odds[counted & ~is_overdue]
    if others.max() <= overdue.min() or overdue.max() <= others.min():
        return np.nan, np.nan
    # The penalty is negligible: scikit-learn 1.8 warns if there is none at all. Its effect must not
    # depend on the scale of the weights.
    model = LogisticRegression(C=1e12, tol=1e-8, max_iter=1000, solver="newton-cholesky")
    if weight is not None:
        weight = weight / weight[counted].mean()
    model.fit(log_odds[:, None], is_overdue, sample_weight=weight)
    return float(model.intercept_[0]), float(model.coef_[0, 0])
