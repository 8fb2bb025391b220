"""What risk teams measure, in scikit-learn's conventions.

Scores rise with risk and the positive class is the overdue one. Every function takes plain arrays,
refuses missing values by name, and counts a row of weight two as two rows.
"""

from __future__ import annotations

from numbers import Integral, Real

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import make_scorer, roc_auc_score, roc_curve
from sklearn.utils import assert_all_finite, check_consistent_length, check_scalar
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import _check_sample_weight, column_or_1d

__all__ = [
    "expected_auc",
    "gini_score",
    "gini_scorer",
    "ks_curve",
    "ks_score",
    "ks_scorer",
    "lift_table",
    "population_stability_index",
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
    table : DataFrame of shape (n_bins, 10)
        Index ``bin``, 1 the riskiest. Of each bin: ``score_min``, ``score_max``, ``count`` (sum of
        weights), ``overdue``, ``rate`` (overdue / count), ``lift`` (rate over the rate of all).
        Of this and all riskier bins: ``cumulative_population`` and ``cumulative_capture`` (shares
        of all rows and of all overdue rows), ``cumulative_lift`` (their ratio) and ``ks``
        (``cumulative_capture`` less the same share of the others, signed).
        A bin that ties leave empty has count 0 and no rate.

    Raises
    ------
    ValueError
        If `y_true` has not exactly two classes, anything is missing or infinite, or `n_bins` is
        below 2.

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
    if weight is None:
        weight = np.ones(score.size, dtype=np.int64)
    counted = weight > 0
    is_overdue, score, weight = is_overdue[counted], score[counted], weight[counted]

    rows = pd.DataFrame({"score": score, "count": weight, "overdue": weight * is_overdue})
    of_score = rows.groupby("score").sum().sort_index(ascending=False).reset_index()
    total = of_score["count"].sum()
    # Twice the middle of each run of equal scores: whole numbers stay whole, so no rounding
    # decides on which side of an edge a row falls.
    middle = 2 * of_score["count"].cumsum() - of_score["count"]
    bin_number = np.minimum(middle * n_bins // (2 * total), n_bins - 1).astype(np.int64) + 1

    by_bin = of_score.groupby(bin_number)
    bins = pd.RangeIndex(1, n_bins + 1, name="bin")
    table = pd.DataFrame(
        {
            "score_min": by_bin["score"].min().reindex(bins),
            "score_max": by_bin["score"].max().reindex(bins),
            "count": by_bin["count"].sum().reindex(bins, fill_value=0),
            "overdue": by_bin["overdue"].sum().reindex(bins, fill_value=0),
        },
        index=bins,
    )
    others = table["count"] - table["overdue"]
    table["rate"] = table["overdue"] / table["count"].where(table["count"] > 0)
    table["lift"] = table["rate"] / (table["overdue"].sum() / total)
    table["cumulative_population"] = table["count"].cumsum() / total
    table["cumulative_capture"] = table["overdue"].cumsum() / table["overdue"].sum()
    table["cumulative_lift"] = table["cumulative_capture"] / table["cumulative_population"].where(
        table["cumulative_population"] > 0
    )
    table["ks"] = table["cumulative_capture"] - others.cumsum() / others.sum()
    return table


def population_stability_index(
    expected: ArrayLike, actual: ArrayLike, *, n_bins: int = 10, floor: float = 1e-4
) -> float:
    """How far the distribution of a score or feature has moved.

    The bins are quantiles of `expected` and stay as they are for every `actual`; the two outer
    ones are open, so that nothing falls outside. Missing values have a bin of their own, and so
    has every value that fills a whole quantile bin or more (the zeros of an amount).

    Parameters
    ----------
    expected : array-like of shape (n_expected,)
        Numbers at the time of reference, such as the training sample. May have missing values.
    actual : array-like of shape (n_actual,)
        Numbers of the time to be judged. May have missing values.
    n_bins : int, default=10
        Number of quantile bins, at least 2.
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
        If a sample is empty, `n_bins` is below 2 or `floor` is not between 0 and 1.

    References
    ----------
    .. [1] N. Siddiqi, "Credit Risk Scorecards", Wiley, 2006.

    Examples
    --------
    >>> import numpy as np
    >>> from skhuihen.metrics import population_stability_index
    >>> rng = np.random.default_rng(0)
    >>> expected, actual = rng.normal(0, 1, 5000), rng.normal(3, 1, 5000)
    >>> round(population_stability_index(expected, actual), 1)
    5.9
    """
    check_scalar(n_bins, "n_bins", Integral, min_val=2)
    check_scalar(floor, "floor", Real, min_val=0, max_val=1, include_boundaries="neither")
    reference = _check_numbers(expected, "expected")
    judged = _check_numbers(actual, "actual")
    edges = _quantile_edges(reference[~np.isnan(reference)], n_bins)
    expected_share = np.maximum(_bin_shares(reference, edges), floor)
    actual_share = np.maximum(_bin_shares(judged, edges), floor)
    return float(((actual_share - expected_share) * np.log(actual_share / expected_share)).sum())


def _quantile_edges(values: NDArray[np.float64], n_bins: int) -> NDArray[np.float64]:
    """Upper edges, each included in its bin; the last bin is open and has none."""
    if values.size == 0:
        return values
    # Edges that are values of the sample: interpolation would cut inside gaps, and infinite
    # values cannot be interpolated.
    quantile = np.quantile(values, np.linspace(0, 1, n_bins + 1), method="inverted_cdf")
    heavy = quantile[1:][quantile[1:] == quantile[:-1]]
    return np.unique(np.concatenate([quantile[1:-1], heavy, np.nextafter(heavy, -np.inf)]))


def _bin_shares(values: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    missing = np.isnan(values)
    number = np.where(missing, edges.size + 1, np.searchsorted(edges, values, side="left"))
    return np.bincount(number, minlength=edges.size + 2) / values.size


def _check_numbers(values: ArrayLike, name: str) -> NDArray[np.float64]:
    series = pd.Series(values).infer_objects()
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
) -> tuple[NDArray[np.bool_], NDArray[np.float64], NDArray[np.float64] | None]:
    """Labels as "is overdue", scores as floats, weights as floats or None."""
    check_consistent_length(y_true, y_score, sample_weight)
    label = _check_one_column(y_true, "y_true")
    score = np.asarray(_check_one_column(y_score, "y_score"), dtype=np.float64)
    assert_all_finite(score, input_name="y_score")

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
    return column_or_1d(values, input_name=name)
