"""make_scorecard: a readable logistic regression on piecewise-linear columns."""

from __future__ import annotations

from typing import Any

from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline, make_union
from sklearn.preprocessing import SplineTransformer, StandardScaler

from skhuihen.preprocessing import IntervalStatistics, ProfileEncoder, WindowStatistics


def make_scorecard(features: Any = None, *, n_knots: int = 5, C: float = 0.003) -> Pipeline:
    """Make a scorecard: the sum of one curve per feature.

    Each number becomes columns that are linear between quantiles of the training rows and constant
    outside. A logistic regression on them draws a bounded curve for each feature and adds the
    curves. It cannot represent interactions between features. Use it alone, or as
    `base_estimator` or `teacher` of `HUIHENClassifier`.

    Parameters
    ----------
    features : transformer, default=None
        Turns the table into numbers. Missing numbers are filled with the median, and a further
        column marks them. None is the union of `ProfileEncoder`, `WindowStatistics` and
        `IntervalStatistics`, for tables with events of operations. Pass `ProfileEncoder()` for
        tables without events, and the union with ``group_by="behavior"`` after a
        `BehaviorAbstractor`.
    n_knots : int, default=5
        Number of quantiles at which a curve may bend, including the ends; two make a line.
    C : float, default=0.003
        Inverse of the L2 penalty, as in `LogisticRegression`. All columns are scaled to variance 1.
        There are hundreds of them, so a strong penalty is appropriate.

    Returns
    -------
    Pipeline
        Not fitted. Its steps are ``"features"`` and those of scikit-learn.

    References
    ----------
    P. H. C. Eilers and B. D. Marx, Flexible smoothing with B-splines and penalties, Statistical
    Science 11, 1996, on penalized splines.

    Examples
    --------
    >>> from skhuihen import attach_behaviors, make_scorecard
    >>> from skhuihen.datasets import make_loan_data
    >>> bank = make_loan_data(n_new=400, n_old=0, overdue_rate=0.3, random_state=0)
    >>> X = attach_behaviors(bank.applications, bank.events)
    >>> card = make_scorecard().fit(X, bank.y)
    >>> card.predict_proba(X).shape
    (400, 2)
    """
    if features is None:
        features = make_union(ProfileEncoder(), WindowStatistics(), IntervalStatistics())
    pipeline = make_pipeline(
        features,
        SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True),
        SplineTransformer(n_knots, degree=1, knots="quantile", extrapolation="constant"),
        StandardScaler(),
        LogisticRegression(C=C, max_iter=1000),
    )
    pipeline.steps[0] = ("features", features)
    return pipeline
