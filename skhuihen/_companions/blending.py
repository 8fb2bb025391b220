"""Base estimator and calibration: how log-odds are weighted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, logit
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags

from skhuihen._companions.cross_fitting import columns_of, cross_fit, differ, fit_weighted, score
from skhuihen._training.folds import TOGETHER, n_of_rarest
from skhuihen._training.net import HUIHENNet

#: Folds of the cross-fit; fewer if a class has fewer rows, or users.
N_FOLDS = 5
#: Prior means of the weights of a base estimator and of the networks. The lender's out-of-fold
#: rows give these weights. With few held-out rows, weights vary from 0.3 to 1.
WITH_BASE = (0.65, 0.35)
#: Prior standard deviation of the weights.
SPREAD = 0.2
#: For networks alone, that of the prior is `SPREAD` times the standard deviation of their scores,
#: and at least this: scores that are overconfident lie far apart.
SPREAD_ALONE = 0.1
#: Prior mean of the weight of networks alone, without and with a teacher. Guidance holds the scores
#: of a network together: at the lender, at BPI and at small banks too much, by about a fifth.
ALONE, TAUGHT = 1.0, 1.2


def fit_base(
    estimator: Any,
    table: Any,
    y: NDArray[Any],
    weight: NDArray[np.floating],
    random: np.random.RandomState,
    verbose: int = 0,
    users: NDArray[np.int64] | None = None,
) -> tuple[Any, NDArray[np.floating]]:
    """Fit a base estimator, and return it with its log-odds of rows it has not seen.

    A model is overconfident on rows that it has seen, so its weight would be too high. The
    log-odds of the training rows therefore come from clones fitted on the other folds.

    Parameters
    ----------
    estimator : classifier
        Cloned and fitted; a `FrozenEstimator` is used as it is, and scores all rows.
    table : DataFrame or ndarray of shape (n, n_columns)
    y : ndarray of shape (n,)
        Two labels.
    weight : ndarray of shape (n,)
        Passed to the estimator if they differ.
    random : RandomState
    verbose : int, default=0
    users : int64 ndarray of shape (n,), default=None
        The user of each row; rows of one user are in one fold.

    Returns
    -------
    fitted classifier, ndarray of shape (n,)
    """
    classes = np.unique(y)
    if isinstance(estimator, FrozenEstimator):
        return estimator, base_log_odds(estimator, table, classes)
    n_folds = n_folds_of(y, users, "base_estimator")
    with explain_failure("base_estimator", estimator, table):
        probability = cross_fit(estimator, table, y, weight, n_folds, random, verbose, users)
        fitted = fit_weighted(estimator, table, y, weight if differ(weight) else None)
    return fitted, logit(probability)


def n_folds_of(y: NDArray[Any], users: NDArray[np.int64] | None, name: str) -> int:
    """Return the number of folds of a cross-fit; raise if there are too few rows or users."""
    n_folds = min(N_FOLDS, n_of_rarest(y, users))
    if n_folds < 2:
        of_what, note = ("rows", "") if users is None else ("users", f" {TOGETHER}")
        raise ValueError(
            f"{name} is cross-fitted, which requires at least two {of_what} of each class, but "
            f"one class in y has {n_folds}. Pass more rows, or FrozenEstimator(a fitted model)."
            f"{note}"
        )
    return n_folds


@contextmanager
def explain_failure(name: str, estimator: Any, table: Any) -> Iterator[None]:
    """Add the estimator and its input to an error of a base estimator or teacher."""
    try:
        yield
    except Exception as error:
        if isinstance(table, pd.DataFrame):
            error.add_note(
                f"The error is from {name}={estimator!r} on the table that HUIHENClassifier sees, "
                f"with columns {list(table.columns)}. If the estimator accepts only numbers, use a "
                "Pipeline with ProfileEncoder(), or make_union(ProfileEncoder(), "
                "WindowStatistics()), in front of it."
            )
        raise


def base_log_odds(
    fitted: Any, table: Any, classes: NDArray[Any], name: str = "base_estimator"
) -> NDArray[np.floating]:
    """Return a fitted base estimator's log-odds of the second of two classes.

    A pipeline gets the whole table; another model gets the columns in its ``feature_names_in_``.
    """
    inner = fitted.estimator if isinstance(fitted, FrozenEstimator) else fitted
    if isinstance(table, pd.DataFrame) and not isinstance(inner, Pipeline):
        table = columns_of(inner, table, name, "X")
    return logit(score(fitted, table, classes.tolist()))


def takes_missing(estimator: Any) -> bool:
    """Return whether the tags of a model allow missing values."""
    return not hasattr(estimator, "__sklearn_tags__") or get_tags(estimator).input_tags.allow_nan


def may_take_missing(estimator: Any) -> bool:
    """Return whether a model may accept missing values.

    The tags of a pipeline never allow them, so the tags of its first step are used.
    """
    while isinstance(estimator, Pipeline):
        estimator = estimator[0]
    return takes_missing(estimator)


class Blend(NamedTuple):
    """The weights of the log-odds of a base estimator and of the networks.

    Attributes
    ----------
    intercept, base, network : float
        The blended log-odds are ``intercept + base * (those of the base estimator) + network *
        (those of the networks)``. The two weights are not negative.
    """

    intercept: float
    base: float
    network: float

    @classmethod
    def before_data(cls, shift: float = 0.0) -> Blend:
        """Return the prior weights of a base estimator and a network.

        Parameters
        ----------
        shift : float, default=0
            As in `fit_blend`.
        """
        return cls(WITH_BASE[0] * shift, *WITH_BASE)

    def log_odds(
        self, base: NDArray[np.floating] | float, network: NDArray[np.floating]
    ) -> NDArray[np.floating]:
        """Return the blended log-odds."""
        return self.intercept + self.base * base + self.network * network

    def for_average(
        self,
        base: NDArray[np.floating] | None,
        network: NDArray[np.floating],
        weight: NDArray[np.floating],
        scatter: float,
        n_times: float,
    ) -> Blend:
        """Return the weights for the average of networks from those for a single network.

        A held-out row has the score of one network, but new rows are scored by the average of
        all. A single score has more variance than the average, so its fitted weight is too small
        for the average. The correction comes from the normal equations of a linear regression on
        both columns, used as an approximation for the logistic regression.

        Parameters
        ----------
        base, network, weight
            Those that the weights were fitted on.
        scatter : float
            Variance of a held-out score that it does not have in common with other networks.
        n_times : float
            How many times as many networks the average has as a held-out score.

        Returns
        -------
        Blend
        """
        of_base = np.zeros(len(network)) if base is None else base
        columns = np.stack([of_base, network])
        of_one = np.atleast_2d(np.cov(columns, aweights=weight, ddof=0))
        # Only what the base estimator does not explain of the networks counts. Networks of few rows
        # may have nothing in common: all of it may be scatter. Behind a base estimator, where the
        # weights decide the order, at most half of it counts: the networks' weight at most doubles.
        explained = of_one[0, 1] ** 2 / of_one[0, 0] if of_one[0, 0] > 0 else 0.0
        own = max(of_one[1, 1] - explained, 0.0)
        share = 1 - 1 / n_times
        excess = min(share * scatter, own * (share if base is None else 0.5))
        of_average = of_one - np.diag([0.0, excess])
        weights = np.array([self.base, self.network])
        found = np.linalg.pinv(of_average, hermitian=True) @ of_one @ weights
        found = np.where(of_one.diagonal() > 0, np.maximum(found, 0.0), weights)
        mean = np.average(columns, axis=1, weights=weight)
        return Blend(self.intercept + float((weights - found) @ mean), *found.tolist())


def fit_blend(
    base: NDArray[np.floating] | None,
    network: NDArray[np.floating],
    label: NDArray[np.int64],
    weight: NDArray[np.floating],
    shift: float = 0.0,
    *,
    is_taught: bool = False,
) -> Blend:
    """Fit the weights of a base estimator and the networks on rows that neither has seen.

    This is a logistic regression on their log-odds, or on those of the networks alone, which
    calibrates them. The weights are not negative, and that of networks alone is at least 0.01. A
    normal prior keeps them near 0.65 for the base estimator and 0.35 for the networks, or for a
    network alone near 1, or near 1.2 if it has a teacher, unless the rows contradict. Without it,
    chance would decide when few rows are overdue. The prior for networks alone is wider if their
    scores lie far apart.

    Parameters
    ----------
    base : ndarray of shape (n,) or None
        Log-odds of the base estimator, if there is one.
    network : ndarray of shape (n,)
        Log-odds of the networks.
    label : int64 ndarray of shape (n,)
    weight : ndarray of shape (n,)
        With mean 1 if each row counts as one.
    shift : float, default=0
        Shift of the log-odds of the label by the class weights. ``base`` is fitted without them,
        so its log-odds are shifted by this before the prior applies.
    is_taught : bool, default=False
        Whether the networks have a teacher.

    Returns
    -------
    Blend
    """
    if base is None:  # the network alone must decide the order
        variance = float(np.cov(network, aweights=weight, ddof=0)) if len(network) else 0.0
        spread = max(SPREAD_ALONE, SPREAD * variance**0.5)
        before = [TAUGHT if is_taught else ALONE]
        intercept, by_network = weigh([network], label, weight, before, spread, least=0.01)
        return Blend(intercept, 0.0, by_network)
    columns = [base + shift, network]
    intercept, by_base, by_network = weigh(columns, label, weight, WITH_BASE)
    return Blend(intercept + by_base * shift, by_base, by_network)


def weigh(
    columns: Sequence[NDArray[np.floating]],
    label: NDArray[np.int64],
    weight: NDArray[np.floating],
    before: Sequence[float],
    spread: float = SPREAD,
    least: float = 0.0,
) -> list[float]:
    """Fit the weights of the log-odds of several models by logistic regression on the label.

    Parameters
    ----------
    columns : sequence of ndarray of shape (n,)
        The log-odds of each model, for rows that it has not seen.
    label : int64 ndarray of shape (n,)
    weight : ndarray of shape (n,)
        With mean 1 if each row counts as one.
    before : sequence of float
        The prior mean of the weight of each model.
    spread : float, default=0.2
        The prior standard deviation of the weights.
    least : float, default=0.0
        The lower bound of the weights.

    Returns
    -------
    list of float
        The intercept, and the weight of each model.
    """
    matrix = np.column_stack([np.ones(len(label)), *columns]).astype(np.float64)
    start = np.array([0.0, *before])
    precision = np.array([1.0, *(1 / spread**2 for _ in before)])

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        log_odds = matrix @ weights
        of_rows = np.logaddexp(0, log_odds) - label * log_odds
        by_log_odds = weight * (expit(log_odds) - label)
        from_start = precision * (weights - start)
        return (
            float(weight @ of_rows + from_start @ (weights - start) / 2),
            matrix.T @ by_log_odds + from_start,
        )

    bounds = [(None, None), *((least, None) for _ in before)]
    return minimize(loss, start, jac=True, bounds=bounds, method="L-BFGS-B").x.tolist()


def weigh_networks(
    nets: Sequence[HUIHENNet],
    dataset: Any,
    margin: NDArray[np.floating] | None,
    weight: NDArray[np.floating],
    held_out: Sequence[NDArray[np.int64]],
    shift: float,
    *,
    is_taught: bool = False,
) -> tuple[Blend, NDArray[np.float64]]:
    """Fit the weights of networks and base estimator on the held-out rows of the networks.

    Parameters
    ----------
    nets : sequence of HUIHENNet
    dataset : ApplicationDataset or StreamedApplications
    margin : ndarray of shape (n,) or None
        Log-odds of the base estimator, for rows that it has not seen.
    weight : ndarray of shape (n,)
        Those of the loss, with class weights.
    held_out : sequence of int64 ndarray
        The rows that each network held out.
    shift : float
        As in `fit_blend`.
    is_taught : bool, default=False
        As in `fit_blend`.

    Returns
    -------
    Blend, ndarray of shape (n,)
        The weighted log-odds of each row from networks that have not seen it; NaN for rows that
        no network held out.
    """
    scores = np.stack([net.log_odds(dataset) for net in nets])
    is_left_out = np.zeros(scores.shape, dtype=bool)
    for left_out, rows in zip(is_left_out, held_out, strict=True):
        left_out[rows] = True
    rows = np.flatnonzero(is_left_out.any(axis=0))
    is_left_out = is_left_out[:, rows]
    of_network = np.mean(scores[:, rows], axis=0, where=is_left_out)
    of_base = None if margin is None else margin[rows]
    of_one = fit_blend(
        of_base, of_network, dataset.y[rows], weight[rows], shift, is_taught=is_taught
    )
    blend = of_one
    n_left_out = is_left_out.sum(axis=0)
    shared = n_left_out < len(nets)
    if shared.any():
        # Networks that have seen a row have fitted its label, which one that left it out cannot
        # know. So what they have in common with it is about what all of them say of new rows.
        of_others = np.mean(scores[:, rows[shared]], axis=0, where=~is_left_out[:, shared])
        of_both = np.cov(of_network[shared], of_others, aweights=weight[rows[shared]], ddof=0)
        scatter = max(float(of_both[0, 0] - of_both[0, 1]), 0.0)
        n_times = len(nets) / float(n_left_out[shared].mean())
        blend = of_one.for_average(of_base, of_network, weight[rows], scatter, n_times)
    log_odds = np.full(len(dataset), np.nan)
    log_odds[rows] = of_one.log_odds(0.0 if of_base is None else of_base, of_network)
    return blend, log_odds
