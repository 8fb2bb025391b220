"""Tables of what a cut-off decides: bands of points, swap sets, and groups of applicants."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from sklearn.utils import assert_all_finite, check_consistent_length, check_scalar

from skhuihen._compat import one_column
from skhuihen.metrics._calibration import calibration_summary
from skhuihen.metrics._checks import Label, check_binary_scores, check_numbers
from skhuihen.metrics._comparison import auc_interval
from skhuihen.metrics._ranking import check_share, lift_table


def band_table(
    y_true: ArrayLike,
    points: ArrayLike,
    *,
    bands: int | Sequence[float] = 10,
    pos_label: Label | None = None,
    sample_weight: ArrayLike | None = None,
) -> pd.DataFrame:
    """Divide points into bands, best first, with what each cut-off would approve.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        Two classes.
    points : array-like of shape (n_samples,)
        Points, or any score that falls with risk: high points mean low risk.
    bands : int or sequence of float, default=10
        The number of bands, at least 2, or the cut-offs between them. A number gives bands with
        about the same share of the rows; equal points stay together, so there may be fewer. Points
        equal to a cut-off are in the band above it.
    pos_label : int, float, bool or str, default=None
        The overdue class. ``None`` uses the greater of the two labels.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows; must not be negative.

    Returns
    -------
    table : DataFrame
        Index ``band``; 1 has the highest points. ``points_from`` (included) and ``points_to`` (not
        included) are infinite at the ends. For each band: ``count`` (sum of weights), ``overdue``
        and ``rate`` (overdue / count; NaN in an empty band). For this and all better bands, which
        is what a cut-off at ``points_from`` approves: ``cumulative_approval`` (share of all rows)
        and ``cumulative_rate`` (their overdue rate).

    Raises
    ------
    ValueError
        If `y_true` does not have exactly two classes, a value is missing or infinite, or `bands`
        is neither a number from 2 on nor rising numbers.

    See Also
    --------
    lift_table : The same for risk, with lift and KS.
    skhuihen.PointsScaler : Makes points.

    Examples
    --------
    >>> from skhuihen.metrics import band_table
    >>> points = [480, 510, 560, 610, 640, 690]
    >>> table = band_table([1, 1, 0, 1, 0, 0], points, bands=[500, 600])
    >>> table[["points_from", "count", "rate", "cumulative_approval", "cumulative_rate"]].round(2)
          points_from  count  rate  cumulative_approval  cumulative_rate
    band
    1           600.0      3  0.33                 0.50             0.33
    2           500.0      2  0.50                 0.83             0.40
    3            -inf      1  1.00                 1.00             0.50
    """
    is_overdue, points, weight = check_binary_scores(
        y_true, points, pos_label, sample_weight, name="points"
    )
    counted: NDArray[Any] = np.ones(points.size, dtype=np.int64)
    if sample_weight is not None:
        counted = np.asarray(sample_weight, dtype=np.float64)
    if np.ndim(bands) == 0:
        n_bands: Any = bands
        check_scalar(n_bands, "bands", Integral, min_val=2)
        lift = lift_table(is_overdue, -points, n_bins=n_bands, sample_weight=weight)
        cuts = -lift["score_max"].dropna().to_numpy()[1:]
    else:
        cuts = check_numbers(bands, "bands")
        if not np.isfinite(cuts).all() or (np.diff(cuts) <= 0).any():
            raise ValueError(
                f"bands is {bands!r}. It must be a number of bands, or the cut-offs between them "
                "as rising finite numbers."
            )
    # Band 1 is the last interval of rising cut-offs.
    band = cuts.size - np.searchsorted(cuts, points, side="right")
    count, overdue = (
        np.bincount(band, weights=of_rows, minlength=cuts.size + 1)
        for of_rows in (counted, counted * is_overdue)
    )
    table = pd.DataFrame(
        {
            "points_from": np.append(cuts[::-1], -np.inf),
            "points_to": np.append(np.inf, cuts[::-1]),
            "count": count.astype(counted.dtype),
            "overdue": overdue.astype(counted.dtype),
        },
        index=pd.RangeIndex(1, cuts.size + 2, name="band"),
    )
    table["rate"] = table["overdue"] / table["count"].where(table["count"] > 0)
    approved = table["count"].cumsum()
    table["cumulative_approval"] = approved / approved.iloc[-1]
    table["cumulative_rate"] = table["overdue"].cumsum() / approved.where(approved > 0)
    return table


#: Rows of `swap_set_table`: whether the model in use approves, and whether the other one does.
_SETS = {
    "approved by both": (True, True),
    "newly approved": (False, True),
    "newly declined": (True, False),
    "declined by both": (False, False),
}


def swap_set_table(
    y_true: ArrayLike,
    y_score: ArrayLike,
    other_score: ArrayLike,
    *,
    approval_rate: float,
    confidence_level: float = 0.95,
    pos_label: Label | None = None,
) -> pd.DataFrame:
    """Who is approved and declined anew if another model decides at the same approval rate.

    Each model approves the applications with its lowest scores, `approval_rate` of all.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        Two classes. Missing labels are allowed: the outcome of applications that were declined is
        not known.
    y_score : array-like of shape (n_samples,)
        Score of the model in use (champion), such as the probability. It rises with risk; of
        points, pass minus points.
    other_score : array-like of shape (n_samples,)
        Score of the other model (challenger) for the same rows; its scale may differ.
    approval_rate : float
        Share of the applications to approve, strictly between 0 and 1. Equal scores are never
        split: the share that each model approves is the nearest one possible.
    confidence_level : float, default=0.95
        Of the intervals, strictly between 0 and 1.
    pos_label : int, float, bool or str, default=None
        The overdue class. ``None`` uses the greater of the two labels.

    Returns
    -------
    table : DataFrame
        Rows ``approved by both``, ``newly approved`` (by the other model only), ``newly declined``
        (by the model in use only), ``declined by both``, and the totals ``approved by the model in
        use`` and ``approved by the other model``. Columns ``count``, ``share`` (of all rows),
        ``known`` (rows with a label), ``overdue``, ``rate`` (overdue / known) and its interval,
        ``low`` and ``high`` (Wilson). They are NaN where no outcome is known.

    Raises
    ------
    ValueError
        If the known labels are not of two classes, a score is missing or infinite, or
        `approval_rate` is not between 0 and 1.

    See Also
    --------
    delong_test : Compares the AUC of two scores.

    Notes
    -----
    Of applications that were declined in use, at most a few have known outcomes. If these were
    approved in spite of their score, they are better than the others of this score, and the rate
    of the newly approved is too low. An honest rate takes a random sample that is approved
    whatever its score.

    Sample weights are not supported, because they do not say how many rows are independent.

    References
    ----------
    N. Siddiqi, "Credit Risk Scorecards", Wiley, 2006, on swap sets. E. B. Wilson, "Probable
    inference, the law of succession, and statistical inference", Journal of the American
    Statistical Association 22, 1927.

    Examples
    --------
    >>> from skhuihen.metrics import swap_set_table
    >>> y_true = [0, 0, 1, 0, 1, 1]
    >>> in_use = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    >>> other = [0.1, 0.2, 0.6, 0.3, 0.4, 0.5]
    >>> table = swap_set_table(y_true, in_use, other, approval_rate=0.5)
    >>> table[["count", "share", "overdue", "rate"]].round(2)
                                  count  share  overdue  rate
    approved by both                  2   0.33        0  0.00
    newly approved                    1   0.17        0  0.00
    newly declined                    1   0.17        1  1.00
    declined by both                  2   0.33        2  1.00
    approved by the model in use      3   0.50        1   0.33
    approved by the other model       3   0.50        0  0.00
    """
    check_share(approval_rate, "approval_rate")
    check_share(confidence_level, "confidence_level")
    check_consistent_length(y_true, y_score, other_score)
    scores = []
    for name, score in (("y_score", y_score), ("other_score", other_score)):
        scores.append(check_numbers(one_column(score, name), name))
        assert_all_finite(scores[-1], input_name=name)
    label = one_column(y_true, "y_true")
    known = ~pd.isna(label)
    is_overdue = np.zeros(label.size, dtype=bool)
    found = pd.Series(label[known]).infer_objects().to_numpy()
    is_overdue[known], _, _ = check_binary_scores(found, np.zeros(found.size), pos_label, None)
    one, other = (_approved(score, approval_rate) for score in scores)
    sets = {name: (one == first) & (other == second) for name, (first, second) in _SETS.items()}
    sets["approved by the model in use"], sets["approved by the other model"] = one, other
    rows = {}
    for name, rows_of in sets.items():
        n_known, n_overdue = int((rows_of & known).sum()), int((rows_of & is_overdue).sum())
        rate, low, high = _rate_interval(n_overdue, n_known, confidence_level)
        rows[name] = {
            "count": int(rows_of.sum()),
            "share": rows_of.mean(),
            "known": n_known,
            "overdue": n_overdue,
            **{"rate": rate, "low": low, "high": high},
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def group_table(
    y_true: ArrayLike,
    y_prob: ArrayLike,
    groups: ArrayLike,
    *,
    cutoff: float,
    confidence_level: float = 0.95,
    pos_label: Label | None = None,
) -> pd.DataFrame:
    """Say for each group of applicants how many are approved, and how right their scores are.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        Two classes.
    y_prob : array-like of shape (n_samples,)
        Probability of the overdue class, between 0 and 1.
    groups : array-like of shape (n_samples,)
        The group of each row, such as sex, or age in bands by `pandas.cut`. Missing values are a
        group of their own, ``missing``.
    cutoff : float
        Applications with a probability below it are approved.
    confidence_level : float, default=0.95
        Of the intervals, strictly between 0 and 1.
    pos_label : int, float, bool or str, default=None
        The overdue class. ``None`` uses the greater of the two labels.

    Returns
    -------
    table : DataFrame
        One row per group, in the order of their names or of pandas' categories, and ``all``:

        - ``count``;
        - ``approval_rate`` with its interval (Wilson), ``approval_low`` and ``approval_high``, and
          ``approval_ratio``, the rate relative to the group with the highest one. Under the
          four-fifths rule of US agencies, a ratio below 0.8 calls for an explanation;
        - ``auc`` with its interval, ``auc_low`` and ``auc_high``: whether the order of scores is as
          good in each group;
        - ``overdue_rate`` and ``mean_probability``, which should be equal; ``in_the_large``, the
          amount to add to the log-odds of the group to make them equal, and ``slope``, as in
          `calibration_summary`.

        What takes both classes is NaN where a group has one class only; the bounds of the AUC take
        two rows of each.

    Raises
    ------
    ValueError
        If `y_true` does not have exactly two classes, a value is missing, a probability or
        `cutoff` is outside [0, 1].

    See Also
    --------
    skhuihen.metrics.calibration_summary, skhuihen.metrics.auc_interval

    Notes
    -----
    Rates of approval, errors and calibration cannot all be equal if the groups have different
    overdue rates [1]_. The table shows what is; which difference is allowed is a question of law.

    Fairlearn's `MetricFrame` accepts every function of this module that takes labels and scores.

    References
    ----------
    .. [1] J. Kleinberg, S. Mullainathan and M. Raghavan, "Inherent trade-offs in the fair
       determination of risk scores", Innovations in Theoretical Computer Science, 2017.

    Examples
    --------
    >>> import numpy as np
    >>> from skhuihen.metrics import group_table
    >>> rng = np.random.default_rng(0)
    >>> probability, region = rng.uniform(0, 0.4, 4000), rng.choice(["north", "south"], 4000)
    >>> y_true = rng.random(4000) < probability
    >>> table = group_table(y_true, probability, region, cutoff=0.2)
    >>> table[["approval_rate", "approval_ratio", "auc", "overdue_rate"]].round(1)
           approval_rate  approval_ratio  auc  overdue_rate
    north            0.5             1.0  0.7           0.2
    south            0.5             1.0  0.7           0.2
    all              0.5             1.0  0.7           0.2
    """
    check_scalar(cutoff, "cutoff", Real, min_val=0, max_val=1)
    check_share(confidence_level, "confidence_level")
    check_consistent_length(y_true, y_prob, groups)
    is_overdue, probability, _ = check_binary_scores(y_true, y_prob, pos_label, None, name="y_prob")
    # Of all rows first: it rejects what is no probability.
    everyone = _describe_group(is_overdue, probability, cutoff, confidence_level)
    group: Any = one_column(groups, "groups")
    if isinstance(groups, pd.Series | pd.Categorical):
        group = groups  # whose categories have an order
    code, names = pd.factorize(group, sort=True)
    sets = {name: code == number for number, name in enumerate(names)}
    if (code < 0).any():
        sets["missing"] = sets.get("missing", np.zeros(code.size, dtype=bool)) | (code < 0)
    rows = {
        name: _describe_group(is_overdue[of], probability[of], cutoff, confidence_level)
        for name, of in sets.items()
    }
    best = max(row["approval_rate"] for row in rows.values())
    names_of_rows = pd.Index([*rows, "all"], dtype=object)
    table = pd.DataFrame([*rows.values(), everyone], index=names_of_rows)
    table["approval_ratio"] = table["approval_rate"] / (best or np.nan)
    return table


def _describe_group(
    is_overdue: NDArray[np.bool_],
    probability: NDArray[np.float64],
    cutoff: float,
    confidence_level: float,
) -> dict[str, float]:
    """Return the figures of one group."""
    n, n_overdue = is_overdue.size, int(is_overdue.sum())
    approved, low, high = _rate_interval(int((probability < cutoff).sum()), n, confidence_level)
    auc, auc_low, auc_high = np.nan, np.nan, np.nan
    in_the_large, slope = np.nan, np.nan
    if 0 < n_overdue < n:
        calibration = calibration_summary(is_overdue, probability)
        in_the_large, slope = calibration.in_the_large, calibration.slope
    if 2 <= n_overdue <= n - 2:
        auc, auc_low, auc_high, _ = auc_interval(
            is_overdue, probability, confidence_level=confidence_level
        )
    return {
        "count": n,
        **{"approval_rate": approved, "approval_low": low, "approval_high": high},
        "approval_ratio": np.nan,  # to the best of all groups
        **{"auc": auc, "auc_low": auc_low, "auc_high": auc_high},
        "overdue_rate": n_overdue / n,
        "mean_probability": float(probability.mean()),
        **{"in_the_large": in_the_large, "slope": slope},
    }


def _approved(score: NDArray[np.float64], approval_rate: float) -> NDArray[np.bool_]:
    """Return which rows have the lowest scores, as near to the share as ties allow."""
    cut, count = np.unique(score, return_counts=True)
    n_approved = np.append(0, np.cumsum(count))
    chosen = int(np.abs(n_approved - approval_rate * score.size).argmin())
    return score < cut[chosen] if chosen < cut.size else np.ones(score.size, dtype=bool)


def _rate_interval(n: int, of: int, confidence_level: float) -> tuple[float, float, float]:
    """Return a rate and its interval by Wilson's method; NaN if there are no rows."""
    if not of:
        return np.nan, np.nan, np.nan
    low, high = stats.binomtest(n, of).proportion_ci(confidence_level, method="wilson")
    return n / of, float(low), float(high)
