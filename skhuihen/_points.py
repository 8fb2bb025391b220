"""PointsScaler: a classifier whose probabilities are also the points of a scorecard."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit
from sklearn import get_config
from sklearn.base import (
    BaseEstimator,
    ClassifierMixin,
    MetaEstimatorMixin,
    TransformerMixin,
    clone,
)
from sklearn.utils import get_tags
from sklearn.utils._param_validation import HasMethods, Interval
from sklearn.utils._tags import Tags
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import _check_feature_names_in, check_is_fitted


def _inner_has(method: str) -> Callable[[Any], bool]:
    """Return a check of whether the fitted classifier, or the given one, has a method."""

    def check(self: PointsScaler) -> bool:
        return hasattr(getattr(self, "estimator_", self.estimator), method)

    return check


class PointsScaler(ClassifierMixin, TransformerMixin, MetaEstimatorMixin, BaseEstimator):
    r"""Put the probabilities of a classifier on the points of a scorecard.

    High points mean low risk. An application has `points` where `odds` applications are paid back
    for each one that becomes overdue, and each `pdo` points more double these odds.
    `transform` returns points. Everything else is that of the classifier: probabilities,
    decisions, and therefore the figures of all scorers.

    Parameters
    ----------
    estimator : classifier, default=None
        The model, such as a Pipeline. It is cloned and fitted. Pass ``FrozenEstimator(model)`` to
        use a fitted model as it is. None is ``HUIHENClassifier()``. The greater of its two labels
        is overdue.
    points : float, default=600
        The points of an application with the odds `odds`.
    odds : float, default=50
        Paid per overdue: 50 is an overdue probability of 1 in 51.
    pdo : float, default=20
        The points that double the odds.
    digits : int, default=0
        Decimal digits that are kept; 0 gives whole points.
    limits : pair of float, default=(0, 1000)
        The lowest and the highest points. Applications beyond them have these points.

    Attributes
    ----------
    estimator_ : classifier
        The fitted model.
    classes_ : ndarray of shape (2,)
        The labels; ``predict_proba(X)[:, 1]`` is the probability of the second.
    n_features_in_ : int
        Number of columns seen in `fit`; only if the model has it.
    feature_names_in_ : ndarray of str
        Their names; only if the model has them.

    See Also
    --------
    skhuihen.metrics.band_table : Divides points into bands.
    skhuihen.metrics.calibration_summary : Says whether the probabilities agree with the outcomes.

    Notes
    -----
    With the probability of overdue p, before rounding,

    .. math:: \text{points} + \text{pdo}
        \cdot \log_2 \left( \frac{1 - p}{p} / \text{odds} \right)

    Points are as right as the probabilities: with `class_weight`, or after sampling by label, both
    are those of another population.

    Scorers such as ``"roc_auc"`` rank by `decision_function` or `predict_proba`, which rise with
    risk, so they need no change. Metrics that are given points need minus points:
    ``roc_auc_score(y, -points)``.

    References
    ----------
    N. Siddiqi, "Credit Risk Scorecards", Wiley, 2006, on scaling.

    Examples
    --------
    >>> from skhuihen import PointsScaler
    >>> from skhuihen.datasets import make_loan_data
    >>> bank = make_loan_data(n_new=300, n_old=0, overdue_rate=0.2, random_state=0)
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from skhuihen import ProfileEncoder
    >>> model = make_pipeline(ProfileEncoder(), LogisticRegression())
    >>> card = PointsScaler(model, points=600, odds=50, pdo=20)
    >>> card.fit(bank.applications, bank.y).transform(bank.applications).shape
    (300, 1)
    >>> card.to_points([1 / 51, 1 / 101, 0.5, 0.0])
    array([ 600.,  620.,  487., 1000.])
    >>> card.to_probability([600, 620]).round(4)
    array([0.0196, 0.0099])
    """

    _parameter_constraints: dict = {
        "estimator": [HasMethods(["fit", "predict_proba"]), None],
        "points": [Interval(Real, None, None, closed="neither")],
        "odds": [Interval(Real, 0, None, closed="neither")],
        "pdo": [Interval(Real, 0, None, closed="neither")],
        "digits": [Interval(Integral, 0, None, closed="left")],
        "limits": ["array-like"],
    }

    def __init__(
        self,
        estimator: Any = None,
        *,
        points: float = 600,
        odds: float = 50,
        pdo: float = 20,
        digits: int = 0,
        limits: Sequence[float] = (0, 1000),
    ) -> None:
        self.estimator = estimator
        self.points = points
        self.odds = odds
        self.pdo = pdo
        self.digits = digits
        self.limits = limits

    def fit(self, X: Any, y: Any, **params: Any) -> Self:
        """Fit the model.

        Parameters
        ----------
        X : table or array of shape (n_applications, n_columns)
            As the model takes it.
        y : array-like of shape (n_applications,)
            Two labels; the greater one is overdue.
        **params : dict
            Passed to the model's `fit`, such as `sample_weight`. With metadata routing, only what
            the model requests.

        Returns
        -------
        self
        """
        self._check_scale()
        estimator = self.estimator
        if estimator is None:
            from skhuihen.classifier import HUIHENClassifier

            estimator = HUIHENClassifier()
        if get_config()["enable_metadata_routing"]:
            params = process_routing(self, "fit", **params).estimator.fit
        fitted = clone(estimator).fit(X, y, **params)
        if len(fitted.classes_) != 2:
            raise ValueError(
                f"Only binary classification is supported: y has {len(fitted.classes_)} labels and "
                "must have two, overdue or not."
            )
        self.estimator_ = fitted
        for name in ("n_features_in_", "feature_names_in_"):
            if hasattr(fitted, name):
                setattr(self, name, getattr(fitted, name))
            elif hasattr(self, name):
                delattr(self, name)
        return self

    @property
    def classes_(self) -> NDArray[Any]:
        """The two labels; the second is overdue."""
        return self.estimator_.classes_

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the label that the model predicts.

        Parameters
        ----------
        X : table or array of shape (n_applications, n_columns)

        Returns
        -------
        ndarray of shape (n_applications,)
        """
        check_is_fitted(self)
        return self.estimator_.predict(X)

    def predict_proba(self, X: Any) -> NDArray[Any]:
        """Return the probabilities of the model, from which the points are computed.

        Parameters
        ----------
        X : table or array of shape (n_applications, n_columns)

        Returns
        -------
        ndarray of shape (n_applications, 2)
        """
        check_is_fitted(self)
        return self.estimator_.predict_proba(X)

    @available_if(_inner_has("decision_function"))
    def decision_function(self, X: Any) -> NDArray[Any]:
        """Return the score of the model, which rises with risk; for HUIHEN, the log-odds.

        Parameters
        ----------
        X : table or array of shape (n_applications, n_columns)

        Returns
        -------
        ndarray of shape (n_applications,)
        """
        check_is_fitted(self)
        return self.estimator_.decision_function(X)

    def transform(self, X: Any) -> NDArray[np.float64]:
        """Return the points of applications.

        Parameters
        ----------
        X : table or array of shape (n_applications, n_columns)

        Returns
        -------
        ndarray of shape (n_applications, 1)
            High points mean low risk. With ``set_output(transform="pandas")``, a frame with the
            column ``points``.
        """
        return self.to_points(self.predict_proba(X)[:, 1])[:, None]

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Return the name of the column that `transform` returns.

        Parameters
        ----------
        input_features : array-like of str, default=None
            If given, must equal the columns seen in `fit`.

        Returns
        -------
        ndarray of str
        """
        check_is_fitted(self)
        if hasattr(self, "n_features_in_"):
            _check_feature_names_in(self, input_features, generate_names=False)
        return np.array(["points"], dtype=object)

    def to_points(self, probability: ArrayLike) -> NDArray[np.float64]:
        """Return the points of probabilities of overdue; needs no `fit`.

        Parameters
        ----------
        probability : array-like
            Between 0 and 1, such as the column ``probability`` of `score_table`.

        Returns
        -------
        ndarray
            Of the same shape; rounded and between the limits.
        """
        low, high = self._check_scale()
        probability = _numbers(probability, "probability")
        outside = int(((probability < 0) | (probability > 1)).sum())
        if outside:
            raise ValueError(
                f"probability must be between 0 and 1; {outside} of {probability.size} values are "
                "outside. Pass predict_proba(X)[:, 1]."
            )
        with np.errstate(divide="ignore"):
            odds = np.log2(1 - probability) - np.log2(probability)
        points = self.points + self.pdo * (odds - np.log2(self.odds))
        return np.clip(np.round(np.clip(points, low, high), self.digits), low, high)

    def to_probability(self, points: ArrayLike) -> NDArray[np.float64]:
        """Return the probability of overdue that points stand for; needs no `fit`.

        Parameters
        ----------
        points : array-like
            Finite numbers.

        Returns
        -------
        ndarray
            Of the same shape. Rounded points give the probability to ``pdo * log2(odds)`` within
            half a unit of the last digit. At the limits it is that of the limit: the application
            may lie beyond.
        """
        self._check_scale()
        above = (_numbers(points, "points") - self.points) / self.pdo
        return expit(-np.log(2) * above - np.log(self.odds))

    def _check_scale(self) -> tuple[float, float]:
        """Check the parameters; return the limits."""
        self._validate_params()
        limits = np.asarray(self.limits)
        if (
            limits.shape != (2,)
            or not np.issubdtype(limits.dtype, np.number)
            or not np.isfinite(limits).all()
            or limits[0] >= limits[1]
        ):
            raise ValueError(
                f"limits is {self.limits!r}. It must be two finite numbers, the lower one first, "
                "such as (300, 850)."
            )
        return float(limits[0]), float(limits[1])

    def get_metadata_routing(self) -> MetadataRouter:
        """Return which metadata `fit` passes to the model.

        Returns
        -------
        MetadataRouter
        """
        mapping = MethodMapping().add(caller="fit", callee="fit")
        return MetadataRouter(owner=self).add(estimator=self.estimator, method_mapping=mapping)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        tags.transformer_tags.preserves_dtype = []
        if self.estimator is not None:
            of_model = get_tags(self.estimator)
            tags.input_tags = of_model.input_tags
            tags.non_deterministic = of_model.non_deterministic
        return tags


def _numbers(values: ArrayLike, name: str) -> NDArray[np.float64]:
    found = np.asarray(values, dtype=np.float64)
    wrong = int((~np.isfinite(found)).sum())
    if wrong:
        raise ValueError(
            f"{name} must be finite numbers; {wrong} of {found.size} values are missing or "
            "infinite. Drop these rows."
        )
    return found
