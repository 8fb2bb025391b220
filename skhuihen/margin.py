"""Standing on a model that is there already: its log-odds, to which the network adds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import logit
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline

from skhuihen.guidance import columns_of, cross_fit, score, weight_params

#: Folds of the cross-fit, fewer where a class has fewer rows.
N_FOLDS = 5


def fit_base(
    estimator: Any,
    table: Any,
    y: NDArray[Any],
    weight: NDArray[np.floating],
    random: np.random.RandomState,
    verbose: int = 0,
) -> tuple[Any, NDArray[np.floating]]:
    """Fit a base model, and return it with its log-odds of rows that it has not seen.

    A model is too sure of rows that it has seen, and a network that learned what to add to such
    log-odds would learn nothing. So those of the training rows come from clones that were fitted
    on the other folds.

    Parameters
    ----------
    estimator : classifier
        Cloned and fitted; a `FrozenEstimator` is taken as it is, and asked for all rows.
    table : DataFrame or ndarray of shape (n, n_columns)
    y : ndarray of shape (n,)
        Two labels.
    weight : ndarray of shape (n,)
        Handed to the model if they differ.
    random : RandomState
    verbose : int, default=0

    Returns
    -------
    fitted classifier, ndarray of shape (n,)
    """
    classes, counts = np.unique(y, return_counts=True)
    if isinstance(estimator, FrozenEstimator):
        return estimator, base_log_odds(estimator, table, classes)
    n_folds = min(N_FOLDS, int(counts.min()))
    if n_folds < 2:
        raise ValueError(
            "base_estimator is cross-fitted, which takes two rows of each class at least; y has "
            f"{int(counts.min())} of one. Pass more rows, or FrozenEstimator(a fitted model)."
        )
    try:
        probability = cross_fit(estimator, table, y, weight, n_folds, random, verbose)
        fitted = clone(estimator).fit(table, y, **weight_params(estimator, weight))
    except Exception as error:
        if isinstance(table, pd.DataFrame):
            error.add_note(
                f"This was base_estimator={estimator!r} on the table as HUIHENClassifier sees it, "
                f"with columns {list(table.columns)}. A model of numbers wants a Pipeline with "
                "ProfileEncoder(), or make_union(ProfileEncoder(), WindowStatistics()), in front."
            )
        raise
    return fitted, logit(probability)


def base_log_odds(fitted: Any, table: Any, classes: NDArray[Any]) -> NDArray[np.floating]:
    """Return a fitted base model's log-odds of the second of two classes.

    A pipeline is given the whole table; another model the columns that it knows by name.
    """
    inner = fitted.estimator if isinstance(fitted, FrozenEstimator) else fitted
    if isinstance(table, pd.DataFrame) and not isinstance(inner, Pipeline):
        table = columns_of(inner, table, "base_estimator", "X")
    return logit(score(fitted, table, classes.tolist()))
