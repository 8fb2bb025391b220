"""What risk teams measure, in scikit-learn's conventions.

Scores rise with risk and the positive class is the overdue one. Every function takes plain arrays,
refuses missing values by name, and counts a row of weight two as two rows. Only the ratios of
weights matter: multiplying all of them by a constant changes nothing but the sums of weights that
`lift_table` shows.
"""

from __future__ import annotations

import warnings
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from scipy.optimize import brentq
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, make_scorer, roc_auc_score, roc_curve
from sklearn.utils import assert_all_finite, check_consistent_length, check_scalar
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import _check_sample_weight

from skhuihen.utils._compat import one_column

__all__ = [
    "AUCInterval",
    "CalibrationSummary",
    "PairedTest",
    "auc_interval",
    "calibration_summary",
    "corrected_resampled_ttest",
    "delong_test",
    "expected_auc",
    "gini_score",
    "gini_scorer",
    "ks_curve",
    "ks_score",
    "ks_scorer",
    "lift_table",
    "population_stability_index",
    "stability_bins",
]

Label = int | float | bool | str


def ks_score(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    pos_label: Label | None = None,
    sample_weight: ArrayLike | None = None,
) -> float:
    """Kolmogorov-Smirnov distance between the scores of the two classes.

    The largest gap, over all thresholds, between the share of overdue applications at or above
    the threshold and the share of the others. Equal scores stand or fall together.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        Two classes.
    y_score : array-like of shape (n_samples,)
        A probability or any score; only its order counts.
    pos_label : int, float, bool or str, default=None
        The overdue class. ``None`` takes the greater of the two labels, as
        :func:`sklearn.metrics.roc_auc_score` does. The distance is the same for either.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows, none negative.

    Returns
    -------
    ks : float
        Between 0 (same distribution) and 1 (no overlap).

    Raises
    ------
    ValueError
        If `y_true` has not exactly two classes, or anything is missing or infinite.

    See Also
    --------
    gini_score : Tells a score from its reverse; the distance, being absolute, does not.
    skhuihen.plotting.KSDisplay : The picture of it.

    Examples
    --------
    >>> from skhuihen.metrics import ks_score
    >>> ks_score([0, 0, 0, 1, 1], [0.1, 0.2, 0.6, 0.6, 0.9])
    0.666...
    """
    _, overdue, not_overdue, _ = ks_curve(
        y_true, y_score, pos_label=pos_label, sample_weight=sample_weight
    )
    return float(np.abs(overdue - not_overdue).max())


def ks_curve(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    pos_label: Label | None = None,
    sample_weight: ArrayLike | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Cumulative shares of both classes, from the riskiest score down.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        Two classes.
    y_score : array-like of shape (n_samples,)
        A probability or any score.
    pos_label : int, float, bool or str, default=None
        The overdue class. ``None`` takes the greater of the two labels.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows, none negative.

    Returns
    -------
    population : ndarray of shape (n_thresholds,)
        Share of all rows that score at or above each threshold.
    overdue : ndarray of shape (n_thresholds,)
        The same share among overdue rows.
    not_overdue : ndarray of shape (n_thresholds,)
        The same share among the others.
    thresholds : ndarray of shape (n_thresholds,)
        Distinct scores, falling, behind an infinite one that no row reaches.

    Raises
    ------
    ValueError
        If `y_true` has not exactly two classes, or anything is missing or infinite.

    Examples
    --------
    >>> from skhuihen.metrics import ks_curve
    >>> population, overdue, not_overdue, thresholds = ks_curve([0, 0, 1, 1], [1, 2, 2, 3])
    >>> overdue - not_overdue
    array([0. , 0.5, 0.5, 0. ])
    """
    is_overdue, score, weight = _check_binary_scores(y_true, y_score, pos_label, sample_weight)
    not_overdue, overdue, thresholds = roc_curve(
        is_overdue, score, sample_weight=weight, drop_intermediate=False
    )
    base_rate = np.average(is_overdue, weights=weight)
    population = base_rate * overdue + (1 - base_rate) * not_overdue
    return population, overdue, not_overdue, thresholds


def gini_score(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    pos_label: Label | None = None,
    sample_weight: ArrayLike | None = None,
) -> float:
    """Gini coefficient of a score, ``2 * AUC - 1`` (also accuracy ratio, Somers' D).

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        Two classes.
    y_score : array-like of shape (n_samples,)
        A probability or any score that rises with risk; only its order counts.
    pos_label : int, float, bool or str, default=None
        The overdue class. ``None`` takes the greater of the two labels, as
        :func:`sklearn.metrics.roc_auc_score` does.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows, none negative.

    Returns
    -------
    gini : float
        Between -1 and 1; 0 is chance.

    Raises
    ------
    ValueError
        If `y_true` has not exactly two classes, or anything is missing or infinite.

    Examples
    --------
    >>> from skhuihen.metrics import gini_score
    >>> gini_score([0, 0, 0, 1, 1], [0.1, 0.2, 0.6, 0.6, 0.9])
    0.833...
    """
    is_overdue, score, weight = _check_binary_scores(y_true, y_score, pos_label, sample_weight)
    return float(2 * roc_auc_score(is_overdue, score, sample_weight=weight) - 1)


# Ready for `scoring=`. For a class that is not the last of `classes_`, make one with
# `make_scorer(gini_score, response_method=..., pos_label="Bad")`.
_RESPONSE = ("decision_function", "predict_proba")
ks_scorer = make_scorer(ks_score, response_method=_RESPONSE)
gini_scorer = make_scorer(gini_score, response_method=_RESPONSE)


def expected_auc(probability: ArrayLike, y_score: ArrayLike | None = None) -> float:
    r"""AUC to expect of a score where the true probability is known.

    Labels are drawn independently, row `i` overdue with probability `p[i]`, and `s` is the score:

    .. math::

        \frac{\sum_{i \ne j} p_i (1 - p_j)
               \left([s_i > s_j] + \tfrac{1}{2} [s_i = s_j]\right)}
              {\sum_{i \ne j} p_i (1 - p_j)}

    Parameters
    ----------
    probability : array-like of shape (n_samples,)
        True probability of being overdue, between 0 and 1.
    y_score : array-like of shape (n_samples,), default=None
        The score. None takes the probability itself: the best that any score can reach.

    Returns
    -------
    auc : float
        Between 0 and 1.

    Raises
    ------
    ValueError
        If a value is missing or outside [0, 1], or if no draw can have both classes.

    Notes
    -----
    Both sums are exact, in O(n log n). Their quotient is the ratio of two expectations: the
    correctly ordered pairs to be expected over the pairs to be expected. The expectation of the
    ratio, which is the mean AUC over draws with both classes, differs from it by a term that falls
    with n: some 0.004 at ten rows, and from a hundred rows on less than 0.0005, the noise of
    20,000 draws.

    Examples
    --------
    >>> from skhuihen.metrics import expected_auc
    >>> expected_auc([0.1, 0.1, 0.5, 0.9])
    0.921...
    """
    p = np.asarray(probability, dtype=np.float64)
    if p.ndim != 1:
        raise ValueError(
            f"probability has shape {p.shape}; pass one number per row, such as "
            "predict_proba(X)[:, 1]."
        )
    outside = int((~((p >= 0) & (p <= 1))).sum())
    if outside:
        raise ValueError(
            f"probability must lie between 0 and 1; {outside} of {p.size} values are missing or "
            "outside."
        )
    if p.size < 2 or (p == 0).all() or (p == 1).all():
        raise ValueError(
            "probability leaves no pair of an overdue row and another one, so its AUC is not "
            "defined: at least two rows are needed, not all of them 0 and not all of them 1."
        )
    score = p if y_score is None else _check_numbers(y_score, "y_score")
    check_consistent_length(p, score)
    assert_all_finite(score, input_name="y_score")
    _, group = np.unique(score, return_inverse=True)
    overdue = np.bincount(group, weights=p)
    others = np.bincount(group, weights=1 - p)
    others_below = np.cumsum(others) - others
    # A row makes no pair with itself, though its own group contains it.
    itself = float(p @ (1 - p))
    ordered = overdue @ (others_below + others / 2) - itself / 2
    pairs = overdue.sum() * others.sum() - itself
    return float(ordered / pairs)


class AUCInterval(NamedTuple):
    """An AUC and its confidence interval, see `auc_interval`."""

    auc: float
    low: float
    high: float
    standard_error: float


class PairedTest(NamedTuple):
    """The difference of two models, see `delong_test` and `corrected_resampled_ttest`."""

    difference: float
    low: float
    high: float
    standard_error: float
    statistic: float
    pvalue: float


def auc_interval(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    confidence_level: float = 0.95,
    pos_label: Label | None = None,
) -> AUCInterval:
    """AUC of a score with its confidence interval, by DeLong's standard error.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        Two classes, each with two rows at least.
    y_score : array-like of shape (n_samples,)
        A probability or any score that rises with risk; only its order counts.
    confidence_level : float, default=0.95
        How often intervals like this one hold the true AUC, strictly between 0 and 1.
    pos_label : int, float, bool or str, default=None
        The overdue class. ``None`` takes the greater of the two labels.

    Returns
    -------
    interval : AUCInterval
        Named tuple of floats: ``auc``, ``low``, ``high`` and ``standard_error``. The bounds are
        NaN where the score separates the classes: nothing then tells how far off the AUC is.

    Raises
    ------
    ValueError
        If `y_true` has not exactly two classes of two rows, anything is missing or infinite, or
        `confidence_level` is not between 0 and 1.

    See Also
    --------
    delong_test : Compares two scores; overlapping intervals do not.

    Notes
    -----
    The interval is symmetric in the log-odds of the AUC, so it stays between 0 and 1 [2]_. It
    holds what other applications would change, the model being as it is, and nothing of what
    other training rows would change. There are no sample weights: they do not tell how many
    independent rows there are.

    References
    ----------
    .. [1] E. R. DeLong, D. M. DeLong and D. L. Clarke-Pearson, "Comparing the areas under two or
       more correlated receiver operating characteristic curves: a nonparametric approach",
       Biometrics 44, 1988. Computed by midranks, as in X. Sun and W. Xu, "Fast implementation of
       DeLong's algorithm for comparing the areas under correlated receiver operating
       characteristic curves", IEEE Signal Processing Letters 21, 2014.
    .. [2] M. S. Pepe, "The Statistical Evaluation of Medical Tests for Classification and
       Prediction", Oxford University Press, 2003, section 5.2.

    Examples
    --------
    >>> from skhuihen.metrics import auc_interval
    >>> auc, low, high, _ = auc_interval([0, 0, 0, 0, 1, 1, 1], [1, 2, 3, 5, 4, 6, 2])
    >>> print(f"{auc:.2f} ({low:.2f} to {high:.2f})")
    0.71 (0.21 to 0.96)
    """
    _check_share(confidence_level, "confidence_level")
    is_overdue, score, _ = _check_binary_scores(y_true, y_score, pos_label, None)
    auc, error = _mean_and_error(*_placements(is_overdue, score))
    if auc in (0, 1):
        return AUCInterval(auc, np.nan, np.nan, error)
    half = stats.norm.ppf((1 + confidence_level) / 2) * error / (auc * (1 - auc))
    low, high = expit(logit(auc) + np.array([-half, half]))
    return AUCInterval(auc, float(low), float(high), error)


def delong_test(
    y_true: ArrayLike,
    y_score: ArrayLike,
    other_score: ArrayLike,
    *,
    confidence_level: float = 0.95,
    pos_label: Label | None = None,
) -> PairedTest:
    """Test whether two scores of the same applications have the same AUC (DeLong's test).

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        Two classes, each with two rows at least.
    y_score, other_score : array-like of shape (n_samples,)
        Probabilities or any scores that rise with risk, of the same rows in the same order.
    confidence_level : float, default=0.95
        Of the interval, strictly between 0 and 1.
    pos_label : int, float, bool or str, default=None
        The overdue class. ``None`` takes the greater of the two labels.

    Returns
    -------
    test : PairedTest
        Named tuple of floats: ``difference`` (AUC of `y_score` less that of `other_score`), its
        interval ``low`` and ``high``, its ``standard_error``, ``statistic`` (difference over
        standard error, standard normal if the AUCs are the same) and the two-sided ``pvalue``.
        Scores of the same order have a p-value of 1. Where the difference has no spread but is
        not 0, interval, statistic and p-value are NaN.

    Raises
    ------
    ValueError
        If `y_true` has not exactly two classes of two rows, anything is missing or infinite, or
        `confidence_level` is not between 0 and 1.

    See Also
    --------
    corrected_resampled_ttest : Compares two ways to train, over folds.

    Notes
    -----
    The rows must be new to both models, and independent. What other training rows would change is
    not in it; a test on the pooled rows of a cross-validation takes each row's model as given.
    There are no sample weights: they do not tell how many independent rows there are.

    References
    ----------
    .. [1] E. R. DeLong, D. M. DeLong and D. L. Clarke-Pearson, "Comparing the areas under two or
       more correlated receiver operating characteristic curves: a nonparametric approach",
       Biometrics 44, 1988.
    .. [2] X. Sun and W. Xu, "Fast implementation of DeLong's algorithm for comparing the areas
       under correlated receiver operating characteristic curves", IEEE Signal Processing Letters
       21, 2014.

    Examples
    --------
    >>> from skhuihen.metrics import delong_test
    >>> y_true = [0, 0, 0, 0, 1, 1, 1]
    >>> test = delong_test(y_true, [1, 2, 3, 5, 4, 6, 2], [3, 1, 4, 2, 4, 3, 1])
    >>> print(f"{test.difference:.2f}, p = {test.pvalue:.2f}")
    0.17, p = 0.51
    """
    _check_share(confidence_level, "confidence_level")
    is_overdue, score, _ = _check_binary_scores(y_true, y_score, pos_label, None)
    other = _check_binary_scores(y_true, other_score, pos_label, None, name="other_score")[1]
    ours, others = _placements(is_overdue, score), _placements(is_overdue, other)
    # Taken row by row, so that scores of one order differ by nothing, not by a rounding error.
    difference = [a - b for a, b in zip(ours, others, strict=True)]
    return _paired_test(*_mean_and_error(*difference), stats.norm, confidence_level)


def corrected_resampled_ttest(
    scores: ArrayLike,
    other_scores: ArrayLike,
    *,
    test_size: float,
    confidence_level: float = 0.95,
) -> PairedTest:
    """Test whether two ways to train score the same, over folds or repeated splits.

    The folds share training rows, so their scores are not independent, and the usual paired t
    test finds differences where there are none. Nadeau and Bengio's correction widens it.

    Parameters
    ----------
    scores, other_scores : array-like of shape (n_splits,)
        Any score of the two, such as AUC, on the same splits in the same order; two splits at
        least. Those of repeated cross-validation stand one after the other.
    test_size : float
        Share of the rows that each split holds out, strictly between 0 and 1: 0.2 in five-fold
        cross-validation.
    confidence_level : float, default=0.95
        Of the interval, strictly between 0 and 1.

    Returns
    -------
    test : PairedTest
        Named tuple of floats: ``difference`` (mean of `scores` less that of `other_scores`), its
        interval ``low`` and ``high``, its ``standard_error``, ``statistic`` (difference over
        standard error) and the two-sided ``pvalue`` by Student's t with ``n_splits - 1`` degrees
        of freedom. Scores that are the same on all splits have a p-value of 1. Where they differ
        by the same on all, interval, statistic and p-value are NaN.

    Raises
    ------
    ValueError
        If the two differ in length, have less than two splits, are missing or infinite, or
        `test_size` or `confidence_level` is not between 0 and 1.

    See Also
    --------
    delong_test : Compares two given models on one set of rows.

    Notes
    -----
    The squared standard error is ``variance * (1 / n_splits + test_size / (1 - test_size))``,
    with the sample variance of the differences.

    References
    ----------
    .. [1] C. Nadeau and Y. Bengio, "Inference for the generalization error", Machine Learning 52,
       2003. For repeated cross-validation: R. R. Bouckaert and E. Frank, "Evaluating the
       replicability of significance tests for comparing learning algorithms", PAKDD 2004.

    Examples
    --------
    >>> from skhuihen.metrics import corrected_resampled_ttest
    >>> auc, other_auc = [0.71, 0.69, 0.73, 0.70, 0.72], [0.69, 0.68, 0.70, 0.70, 0.69]
    >>> test = corrected_resampled_ttest(auc, other_auc, test_size=0.2)
    >>> print(f"{test.difference:.3f} ({test.low:.3f} to {test.high:.3f})")
    0.018 (-0.006 to 0.042)
    """
    _check_share(confidence_level, "confidence_level")
    _check_share(test_size, "test_size")
    columns = []
    for values, name in ((scores, "scores"), (other_scores, "other_scores")):
        column = np.asarray(one_column(values, name), dtype=np.float64)
        assert_all_finite(column, input_name=name)
        columns.append(column)
    check_consistent_length(*columns)
    difference = columns[0] - columns[1]
    n = difference.size
    if n < 2:
        raise ValueError(f"scores has {n} split; two at least are needed to see a spread.")
    spread = difference.std(ddof=1)
    if spread <= 1e-12 * np.abs(columns).max():
        spread = 0.0  # a rounding error, which would pass for certainty
    error = spread * np.sqrt(1 / n + test_size / (1 - test_size))
    return _paired_test(difference.mean(), error, stats.t(n - 1), confidence_level)


def _placements(
    is_overdue: NDArray[np.bool_], score: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of each overdue row the share of others below it, of each other row of overdue ones above.

    Equal scores count half. The mean of either is the AUC, which depends on both samples of rows.
    """
    n_overdue = int(is_overdue.sum())
    n_others = is_overdue.size - n_overdue
    if min(n_overdue, n_others) < 2:
        raise ValueError(
            f"y_true has {n_overdue} overdue and {n_others} other rows; two of each at least are "
            "needed to see a spread."
        )
    rank = stats.rankdata(score)
    others_below = (rank[is_overdue] - stats.rankdata(score[is_overdue])) / n_others
    overdue_below = (rank[~is_overdue] - stats.rankdata(score[~is_overdue])) / n_overdue
    return others_below, 1 - overdue_below


def _mean_and_error(
    of_overdue: NDArray[np.float64], of_others: NDArray[np.float64]
) -> tuple[float, float]:
    """Mean and DeLong's standard error of placements, or of their differences."""
    variance = sum(part.var(ddof=1) / part.size for part in (of_overdue, of_others))
    return float(of_overdue.mean()), float(np.sqrt(variance))


def _paired_test(
    difference: float, error: float, distribution: Any, confidence_level: float
) -> PairedTest:
    difference, error = float(difference), float(error)
    if error == 0:
        if difference == 0:
            return PairedTest(0.0, 0.0, 0.0, 0.0, 0.0, 1.0)
        return PairedTest(difference, np.nan, np.nan, 0.0, np.nan, np.nan)
    half = float(distribution.ppf((1 + confidence_level) / 2)) * error
    statistic = difference / error
    pvalue = float(2 * distribution.sf(abs(statistic)))
    return PairedTest(difference, difference - half, difference + half, error, statistic, pvalue)


def _check_share(value: float, name: str) -> None:
    check_scalar(value, name, Real, min_val=0, max_val=1, include_boundaries="neither")
    if np.isnan(value):
        raise ValueError(f"{name} must be a number between 0 and 1, found {value}.")


def lift_table(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    n_bins: int = 10,
    pos_label: Label | None = None,
    sample_weight: ArrayLike | None = None,
) -> pd.DataFrame:
    """Deciles of a score, riskiest first, with what each one catches.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        Two classes.
    y_score : array-like of shape (n_samples,)
        A probability or any score that rises with risk.
    n_bins : int, default=10
        Number of bins, at least 2, each with the same share of the population. Equal scores stay
        in one bin, the one that holds their middle, so tied scores make bins uneven.
    pos_label : int, float, bool or str, default=None
        The overdue class. ``None`` takes the greater of the two labels.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows, none negative. A row of weight 0 counts nowhere.

    Returns
    -------
    table : DataFrame of shape (n_bins, 11)
        Index ``bin``, 1 the riskiest. Of each bin: ``score_min``, ``score_mean``, ``score_max``,
        ``count`` (sum of weights), ``overdue``, ``rate`` (overdue / count), ``lift`` (rate over
        the rate of all).
        Of this and all riskier bins: ``cumulative_population`` and ``cumulative_capture`` (shares
        of all rows and of all overdue rows), ``cumulative_lift`` (their ratio) and ``ks``
        (``cumulative_capture`` less the same share of the others, signed).
        A bin that ties leave empty has count 0 and no rate.

    Raises
    ------
    ValueError
        If `y_true` has not exactly two classes, anything is missing or infinite, or `n_bins` is
        below 2.

    See Also
    --------
    skhuihen.plotting.LiftDisplay : The picture of it.

    Examples
    --------
    >>> from skhuihen.metrics import lift_table
    >>> y_score = [0.9, 0.8, 0.7, 0.4, 0.3, 0.2]
    >>> table = lift_table([1, 1, 0, 1, 0, 0], y_score, n_bins=3)
    >>> table[["count", "overdue", "lift", "cumulative_capture", "ks"]].round(2)
         count  overdue  lift  cumulative_capture    ks
    bin
    1        2        2   2.0                0.67  0.67
    2        2        1   1.0                1.00  0.67
    3        2        0   0.0                1.00  0.00
    """
    check_scalar(n_bins, "n_bins", Integral, min_val=2)
    is_overdue, score, weight = _check_binary_scores(y_true, y_score, pos_label, sample_weight)
    unit: float = 1
    if weight is None:
        weight = np.ones(score.size, dtype=np.int64)
    else:
        unit = float(np.max(np.asarray(sample_weight, dtype=np.float64)) / weight.max())
    counted = weight > 0
    is_overdue, score, weight = is_overdue[counted], score[counted], weight[counted]

    rows = pd.DataFrame(
        {
            "score": score,
            "count": weight,
            "overdue": weight * is_overdue,
            "others": weight * ~is_overdue,
            "sum": weight * score,
        }
    )
    of_score = rows.groupby("score").sum().sort_index(ascending=False).reset_index()
    total = of_score["count"].sum()
    middle = of_score["count"].cumsum() - of_score["count"] / 2
    # A middle that is an edge belongs to the bin behind it. Sums of weights such as 0.1 are not
    # exact, and their rounding error must not decide which bin that is.
    bin_number = np.floor(middle / total * n_bins + _ROUNDING).astype(np.int64) + 1

    by_bin = of_score.groupby(np.minimum(bin_number, n_bins))
    bins = pd.RangeIndex(1, n_bins + 1, name="bin")
    table = pd.DataFrame(
        {
            "score_min": by_bin["score"].min().reindex(bins),
            "score_mean": (by_bin["sum"].sum() / by_bin["count"].sum()).reindex(bins),
            "score_max": by_bin["score"].max().reindex(bins),
            "count": by_bin["count"].sum().reindex(bins, fill_value=0),
            "overdue": by_bin["overdue"].sum().reindex(bins, fill_value=0),
        },
        index=bins,
    )
    others = by_bin["others"].sum().reindex(bins, fill_value=0)
    table["rate"] = table["overdue"] / table["count"].where(table["count"] > 0)
    table["lift"] = table["rate"] / (table["overdue"].sum() / total)
    table["cumulative_population"] = table["count"].cumsum() / total
    table["cumulative_capture"] = table["overdue"].cumsum() / table["overdue"].sum()
    table["cumulative_lift"] = table["cumulative_capture"] / table["cumulative_population"].where(
        table["cumulative_population"] > 0
    )
    table["ks"] = table["cumulative_capture"] - others.cumsum() / others.sum()
    table[["count", "overdue"]] *= unit
    return table


class CalibrationSummary(NamedTuple):
    """How far probabilities are to be believed, see `calibration_summary`."""

    overdue_rate: float
    mean_probability: float
    in_the_large: float
    intercept: float
    slope: float
    expected_error: float
    brier: float
    brier_skill: float


#: Probabilities nearer to 0 or 1 count as this near, where log-odds are looked at.
_CERTAIN = 1e-6
#: Sums of the weights of millions of rows are exact to this part.
_ROUNDING = 1e-9


def calibration_summary(
    y_true: ArrayLike,
    y_prob: ArrayLike,
    *,
    n_bins: int = 10,
    pos_label: Label | None = None,
    sample_weight: ArrayLike | None = None,
) -> CalibrationSummary:
    """Tell how far overdue probabilities are to be believed.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        Two classes.
    y_prob : array-like of shape (n_samples,)
        Probability of the overdue class, between 0 and 1.
    n_bins : int, default=10
        Number of bins of `expected_error`, at least 2: those of `lift_table`.
    pos_label : int, float, bool or str, default=None
        The overdue class. ``None`` takes the greater of the two labels.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows, none negative.

    Returns
    -------
    summary : CalibrationSummary
        Named tuple of floats:

        - ``overdue_rate`` and ``mean_probability``, which should be the same;
        - ``in_the_large``: what must be added to the log-odds of all rows to make them so. Above
          0, the probabilities are too low as a whole;
        - ``intercept`` and ``slope`` of the logistic regression of the outcome on the log-odds,
          0 and 1 at best. A slope below 1 means probabilities too far from each other, as those
          of an overfitted model are. NaN where the probabilities separate the classes, or are all
          the same: then no line is the best;
        - ``expected_error`` (expected calibration error): mean over the rows of the distance
          between the overdue rate and the mean probability of their bin. Chance alone makes it
          positive, the more so in small bins;
        - ``brier``: mean squared distance of probability and outcome;
        - ``brier_skill``: 1 less its ratio to that of the overdue rate, given to all rows.

    Raises
    ------
    ValueError
        If `y_true` has not exactly two classes, anything is missing, a probability is outside
        [0, 1], or `n_bins` is below 2.

    See Also
    --------
    sklearn.calibration.CalibrationDisplay : The picture of it.
    sklearn.calibration.CalibratedClassifierCV : What may mend it.

    Notes
    -----
    Bins of equal width, which the name expected calibration error often stands for, hold nearly
    all rows in one or two bins where overdue is rare; these hold the same number each. For
    intercepts and slope, probabilities below 1e-6 or above 1 - 1e-6 count as that: the log-odds
    of 0 and 1 are infinite.

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
    is_overdue, probability, weight = _check_binary_scores(
        y_true, y_prob, pos_label, sample_weight, name="y_prob"
    )
    outside = int(((probability < 0) | (probability > 1)).sum())
    if outside:
        raise ValueError(
            f"y_prob must lie between 0 and 1; {outside} of {probability.size} values are "
            "outside. Pass predict_proba(X)[:, 1], not a score."
        )
    table = lift_table(is_overdue, probability, n_bins=n_bins, sample_weight=weight)
    error = (table["count"] * (table["rate"] - table["score_mean"]).abs()).sum()

    log_odds = logit(np.clip(probability, _CERTAIN, 1 - _CERTAIN))
    rate = np.average(is_overdue, weights=weight)
    # Moved by this much to either side, every probability is beyond the rate.
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
        brier_skill=float(1 - brier / (rate * (1 - rate))),  # d2_brier_score is of 1.8
    )


def _recalibration(
    is_overdue: NDArray[np.bool_],
    log_odds: NDArray[np.float64],
    weight: NDArray[np.float64] | None,
) -> tuple[float, float]:
    """Intercept and slope of the outcome on the log-odds, NaN where no line is the best."""
    counted = np.full(log_odds.size, True) if weight is None else weight > 0
    overdue, others = log_odds[counted & is_overdue], log_odds[counted & ~is_overdue]
    if others.max() <= overdue.min() or overdue.max() <= others.min():
        return np.nan, np.nan
    # No penalty to speak of: scikit-learn 1.8 warns where none at all is asked for. What is left of
    # it must not depend on the scale of the weights.
    model = LogisticRegression(C=1e12, tol=1e-8, max_iter=1000, solver="newton-cholesky")
    if weight is not None:
        weight = weight / weight[counted].mean()
    model.fit(log_odds[:, None], is_overdue, sample_weight=weight)
    return float(model.intercept_[0]), float(model.coef_[0, 0])


def stability_bins(expected: ArrayLike, *, n_bins: int = 10) -> pd.DataFrame:
    """Bins of a reference sample and its share of each, to be kept for later samples.

    The bins are quantiles; the two outer ones are open, so that nothing falls outside. Missing
    values have a bin of their own, and so has every value that more than one in `n_bins` of the
    numbers have (the zeros of an amount).

    Parameters
    ----------
    expected : array-like of shape (n_expected,)
        Numbers at the time of reference, such as the training sample. May have missing values.
    n_bins : int, default=10
        Number of quantile bins, at least 2.

    Returns
    -------
    bins : DataFrame
        One row per bin, rising, with ``low`` (not in the bin), ``high`` (in it) and ``share``;
        then one for missing values, named ``missing``, without bounds.

    Raises
    ------
    TypeError
        If the values are not numbers.
    ValueError
        If there is no value or all are missing, or `n_bins` is below 2.

    See Also
    --------
    population_stability_index : Takes the bins in the place of the sample.

    Notes
    -----
    A bound lies one part in eight million beyond the value that it follows, though never more than
    halfway to the next value of the sample. So values that have been stored as 32-bit floats fall
    into the bins of the numbers that they were.

    The frame remembers the number of values in ``bins.attrs["n_expected"]``, by which
    `population_stability_index` tells how uncertain it is. Parquet and pickle keep that number;
    CSV does not.

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
    reference = _check_numbers(expected, "expected")
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
    """How far the distribution of a score or feature has moved.

    The bins are those of `stability_bins`: learned from `expected`, and the same for every
    `actual`.

    Parameters
    ----------
    expected : array-like of shape (n_expected,), or DataFrame that `stability_bins` made
        Numbers at the time of reference, such as the training sample, or the bins learned from
        them then. May have missing values.
    actual : array-like of shape (n_actual,)
        Numbers of the time to be judged. May have missing values.
    n_bins : int, default=10
        Number of quantile bins, at least 2. Of no effect where `expected` is bins.
    floor : float, default=1e-4
        Smallest share that a bin counts with, above 0 and below 1. An empty bin would make the
        index infinite. The floor does not depend on the sample sizes, so figures of large and
        small months compare, and a bin empty on both sides adds nothing.

    Returns
    -------
    psi : float
        Sum over bins of ``(actual - expected) * log(actual / expected)``, in shares. By rule of
        thumb, below 0.1 is stable and above 0.25 has moved.

    Raises
    ------
    TypeError
        If the values are not numbers.
    ValueError
        If a sample is empty, all of `expected` is missing, the bins are not those of
        `stability_bins`, `n_bins` is below 2 or `floor` is not between 0 and 1.

    Warns
    -----
    UserWarning
        If the samples are so small that chance alone often moves the index above 0.1. The warning
        says how far: the value that the index exceeds in 5% of samples of these sizes although
        nothing has moved.

    See Also
    --------
    stability_bins : Learns the bins once, for samples of many months.

    Notes
    -----
    By chance alone, two samples of one distribution have an index of about
    ``(n_bins - 1) * (1 / n_expected + 1 / n_actual)`` on average, and one above 1.9 times that in
    5% of cases if there are ten bins [2]_: about 0.1 for two samples of 340 rows each. Where
    `expected` is bins that have been through a CSV file, the number of their rows is not known, and
    only the chance in `actual` counts.

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
    _check_share(floor, "floor")
    if isinstance(expected, pd.DataFrame):
        bins = _check_stability_bins(expected)
    else:
        bins = stability_bins(expected, n_bins=n_bins)
    edges = bins["high"].to_numpy()[:-2]
    expected_share = bins["share"].to_numpy()
    values = _check_numbers(actual, "actual")
    psi = float(_index(expected_share, _bin_shares(values, edges), floor))
    n_expected = bins.attrs.get("n_expected")
    by_chance = _index_by_chance(expected_share, n_expected, values.size, floor)
    if psi > 0 and by_chance > 0.1:
        against = "" if n_expected is None else f" and expected {n_expected}"
        warnings.warn(
            f"A stability index of {psi:.2f} is uncertain here, for actual has {values.size} "
            f"rows{against}: in 5% of samples of this size the index is above {by_chance:.2f} "
            "although nothing has moved. Pass more rows, or fewer n_bins.",
            UserWarning,
            stacklevel=2,
        )
    return psi


def _index(
    expected: NDArray[np.float64], actual: NDArray[np.float64], floor: float
) -> NDArray[np.float64]:
    """Return the stability index of shares, the bins of which lie along the last axis."""
    expected, actual = np.maximum(expected, floor), np.maximum(actual, floor)
    return ((actual - expected) * np.log(actual / expected)).sum(axis=-1)


def _index_by_chance(
    share: NDArray[np.float64], n_expected: int | None, n_actual: int, floor: float
) -> float:
    """Return what the index exceeds in 5% of samples if nothing moves; None is free of chance.

    By simulation, because formulas do not hold where few rows leave bins empty.
    """
    rng = np.random.default_rng(0)
    expected, actual = (
        share if n is None else rng.multinomial(n, share / share.sum(), size=1000) / n
        for n in (n_expected, n_actual)
    )
    return float(np.quantile(_index(expected, actual, floor), 0.95))


def _check_stability_bins(bins: pd.DataFrame) -> pd.DataFrame:
    """Refuse what did not come whole from `stability_bins`, through a file or not."""
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
    found = f"it lacks {lacking}" if lacking else "rows were changed, lost or put in another order"
    raise ValueError(
        f"expected is a DataFrame, but not the bins of stability_bins: {found}. Pass them as they "
        "were made, or one column of numbers."
    )


def _quantile_edges(values: NDArray[np.float64], n_bins: int) -> NDArray[np.float64]:
    """Upper edges, each included in its bin; the last bin is open and has none.

    Each stands right behind or before a value of the sample: interpolation would cut inside gaps,
    and infinite values cannot be interpolated.
    """
    value, count = np.unique(values, return_counts=True)
    # Ranks are whole numbers: a share such as 0.3 is not exact, and would be a row off.
    last_rank = -(-np.arange(1, n_bins) * values.size // n_bins)
    quantile = np.searchsorted(np.cumsum(count), last_rank)
    heavy = np.flatnonzero(count * n_bins > values.size)

    # A float of 32 bits lies within half of this from what it was.
    slack = np.where(np.isfinite(value), np.abs(value) * 2.0**-23 + 2.0**-149, 0.0)
    below, above = np.append(-np.inf, value[:-1]), np.append(value[1:], np.inf)
    with np.errstate(over="ignore", invalid="ignore"):
        behind = np.fmin(value + slack, value / 2 + above / 2)
        before = np.fmax(value - slack, value / 2 + below / 2)
    # Neighbors may have no float between them.
    behind = np.maximum(value, np.minimum(behind, np.nextafter(above, -np.inf)))
    before = np.maximum(below, np.minimum(before, np.nextafter(value, -np.inf)))
    edges = np.unique(np.concatenate([behind[quantile], behind[heavy], before[heavy]]))
    return edges[edges < np.inf]


def _bin_shares(values: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    missing = np.isnan(values)
    number = np.where(missing, edges.size + 1, np.searchsorted(edges, values, side="left"))
    return np.bincount(number, minlength=edges.size + 2) / values.size


def _check_numbers(values: ArrayLike, name: str) -> NDArray[np.float64]:
    series = pd.Series(values).infer_objects()
    if series.isna().all():
        series = pd.Series(np.full(len(series), np.nan))
    if not pd.api.types.is_numeric_dtype(series.dtype):
        raise TypeError(
            f"{name} must be numbers, found {series.dtype}; convert it with pandas.to_numeric."
        )
    if series.empty:
        raise ValueError(f"{name} is empty; at least one value is needed.")
    return np.asarray(series.to_numpy(dtype=np.float64, na_value=np.nan), dtype=np.float64)


def _check_binary_scores(
    y_true: ArrayLike,
    y_score: ArrayLike,
    pos_label: Label | None,
    sample_weight: ArrayLike | None,
    name: str = "y_score",
) -> tuple[NDArray[np.bool_], NDArray[np.float64], NDArray[np.float64] | None]:
    """Labels as "is overdue", scores as floats, weights as floats (the greatest near 1) or None."""
    check_consistent_length(y_true, y_score, sample_weight)
    label = _check_one_column(y_true, "y_true")
    score = np.asarray(_check_one_column(y_score, name), dtype=np.float64)
    assert_all_finite(score, input_name=name)

    n_missing = int(pd.isna(label).sum())
    if n_missing:
        raise ValueError(
            f"y_true has {n_missing} missing labels of {label.size}; drop applications whose "
            "outcome is not known yet."
        )
    kind = type_of_target(label, input_name="y_true")
    if kind != "binary":
        raise ValueError(f"y_true must have two classes, found {kind} values.")
    classes = np.unique(label)
    if pos_label is not None and not (classes == pos_label).any():
        raise ValueError(f"pos_label={pos_label!r} is not in y_true, which has {classes.tolist()}.")
    is_overdue = label == (classes[-1] if pos_label is None else pos_label)

    weight = None
    counted = np.ones(label.size, dtype=bool)
    if sample_weight is not None:
        weight = _check_sample_weight(
            sample_weight, score, dtype=np.float64, ensure_non_negative=True
        )
        # The greatest weight becomes 1 to 2: sums of huge and of tiny weights stay within the range
        # of floats. A power of two changes no digit.
        weight = np.ldexp(weight, 1 - np.frexp(weight.max())[1])
        counted = weight > 0
    if np.unique(is_overdue[counted]).size < 2:
        raise ValueError(
            "Only one class is present in y_true"
            f"{'' if counted.all() else ' among rows of positive weight'}: "
            f"{np.unique(label[counted]).tolist()}. Both overdue and not overdue rows are needed."
        )
    return is_overdue, score, weight


def _check_one_column(values: ArrayLike, name: str) -> NDArray:
    shape = np.shape(values)
    if len(shape) == 2 and shape[1] == 2:
        raise ValueError(
            f"{name} has two columns; pass one of them, such as predict_proba(X)[:, 1]."
        )
    return one_column(values, name)
