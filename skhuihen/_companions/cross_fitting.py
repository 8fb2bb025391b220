"""Cross-fitting: the probability of each row from a model that has not seen it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn import config_context, get_config
from sklearn.base import clone
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing
from sklearn.utils.metadata_routing import get_routing_for_object
from sklearn.utils.validation import (
    has_fit_parameter,
)
from tqdm.auto import tqdm

from skhuihen._compat import chances
from skhuihen._training.folds import TOGETHER, folds, n_of_rarest

#: Guidance probabilities stay this far from 0 and 1, where their logarithms are infinite.
MARGIN = 1e-5


# --------------------------------------------------------------------------------------------------
# Teachers.


def make_teacher(name: str, random_state: int) -> Any:
    """Return an unfitted tree ensemble of moderate size, on one thread.

    Parameters
    ----------
    name : {"xgboost", "lightgbm"}
    random_state : int

    Returns
    -------
    XGBClassifier or LGBMClassifier
    """
    common = {
        "n_estimators": 200,
        "learning_rate": 0.05,
        "subsample": 0.8,
        "colsample_bytree": 0.8,
        "n_jobs": 1,
        "random_state": random_state,
    }
    if name == "xgboost":
        from xgboost import XGBClassifier

        return XGBClassifier(max_depth=4, tree_method="hist", verbosity=0, **common)
    from lightgbm import LGBMClassifier

    return LGBMClassifier(
        num_leaves=15, min_child_samples=50, subsample_freq=1, verbosity=-1, **common
    )


def cross_fit(
    teacher: Any,
    X: Any,
    y: NDArray[Any],
    weight: NDArray[np.floating],
    cv: Any,
    random: np.random.RandomState,
    verbose: int = 0,
    users: NDArray[np.int64] | None = None,
) -> NDArray[np.floating]:
    """Return a probability for each row, by teachers that did not see it.

    Parameters
    ----------
    teacher : classifier
        Cloned and fitted on the other folds.
    X : ndarray or DataFrame of shape (n, n_columns)
    y : ndarray of shape (n,)
        Two labels; the probability is that of the larger one.
    weight : ndarray of shape (n,)
        Passed to the teacher if they differ.
    cv : int, splitter or None
        Number of stratified folds, shuffled by ``random``, or a splitter. None fits one teacher
        that scores its own training rows, as in the paper.
    random : RandomState
    verbose : int, default=0
    users : int64 ndarray of shape (n,), default=None
        The user of each row. Rows of one user are in one fold. A splitter gets the users as
        ``groups`` if it accepts groups.

    Returns
    -------
    ndarray of shape (n,)
    """
    classes = np.unique(y)
    rows = np.arange(len(y))
    pairs = [(rows, rows)]
    if isinstance(cv, int | np.integer):
        n_rarest = n_of_rarest(y, users)
        if n_rarest < cv:
            of_what, note = ("rows", "") if users is None else ("users", f" {TOGETHER}")
            raise ValueError(
                f"cv={cv} requires at least {cv} {of_what} of each class in old_y, but one class "
                f"has {n_rarest}. Pass a smaller cv, or more rows.{note}"
            )
        pairs = [(np.delete(rows, test), test) for test in folds(y, users, int(cv), random)]
    elif cv is not None:
        knows_groups = get_routing_for_object(cv).consumes("split", {"groups"})
        groups = rows if users is None else users
        pairs = list(cv.split(rows, y, groups) if knows_groups else cv.split(rows, y))
    is_weighted = differ(weight)
    probability = np.full(len(y), np.nan)
    for train, test in tqdm(pairs, desc="Teacher", unit="fold", disable=not verbose):
        of_fold = weight[train] if is_weighted else None
        fitted = fit_weighted(teacher, _safe_indexing(X, train), y[train], of_fold)
        probability[test] = score(fitted, _safe_indexing(X, test), classes.tolist())
    if np.isnan(probability).any():
        raise ValueError(
            f"cv={cv!r} puts {int(np.isnan(probability).sum())} rows of old_X in no test fold. "
            "Pass a cv that covers all rows."
        )
    return probability


def differ(weight: NDArray[np.floating]) -> bool:
    """Return whether weights differ from one another."""
    return not (weight == weight[0]).all()


def fit_weighted(
    estimator: Any, X: Any, y: NDArray[Any], weight: NDArray[np.floating] | None
) -> Any:
    """Return a clone fitted with sample weights.

    A pipeline passes them to its last step. With metadata routing, the requests of its steps
    decide, if there are any. A step without a request gets no weights, except the last step.

    Parameters
    ----------
    estimator : classifier
    X : ndarray or DataFrame of shape (n, n_columns)
    y : ndarray of shape (n,)
    weight : ndarray of shape (n,) or None
        None passes no weights.

    Returns
    -------
    fitted classifier
    """
    model = clone(estimator)
    if weight is None:
        return model.fit(X, y)
    steps, last = [], model
    while isinstance(last, Pipeline):
        steps.append(last.steps[-1][0])
        last = last[-1]
    is_routing = get_config()["enable_metadata_routing"]
    if is_routing:
        request = _request_of_weights(last)
        try:
            if get_routing_for_object(model).consumes("fit", {"sample_weight"}):
                return model.fit(X, y, sample_weight=weight)
        except UnsetMetadataPassedError:
            if request is not True:
                raise
        if request is False:
            return model.fit(X, y)
    if not has_fit_parameter(last, "sample_weight"):
        raise ValueError(
            f"sample_weight was passed, but fit of {type(estimator).__name__} has no parameter "
            "sample_weight. Pass a model that has it, or a fitted model."
        )
    with config_context(enable_metadata_routing=is_routing and not steps):
        return model.fit(X, y, **{"__".join([*steps, "sample_weight"]): weight})


def _request_of_weights(estimator: Any) -> Any:
    """Return the request for weights set by `set_fit_request`; None if there is none."""
    requests = getattr(get_routing_for_object(estimator), "fit", None)
    return None if requests is None else requests.requests.get("sample_weight")


def score(teacher: Any, X: Any, classes: list[Any]) -> NDArray[np.floating]:
    """Return a fitted teacher's probability of the second of two classes, clipped off 0 and 1.

    Parameters
    ----------
    teacher : fitted classifier
    X : table or array that the teacher accepts
    classes : list of 2 labels
        The teacher must have been fitted on both and no other, in any order.

    Returns
    -------
    ndarray of shape (n,)
    """
    name = type(teacher).__name__
    found = np.asarray(getattr(teacher, "classes_", [])).tolist()
    if len(found) != 2 or set(found) != set(classes):
        raise ValueError(
            f"{name} was fitted on the classes {found}, but the labels are {classes}. Fit it "
            "on both of these labels."
        )
    probability = chances(teacher, X)
    if probability.ndim != 2 or probability.shape[1] != 2 or not np.isfinite(probability).all():
        raise ValueError(
            f"predict_proba of {name} returned an array of shape {probability.shape} with "
            f"{int((~np.isfinite(probability)).sum())} values that are not finite. It must return "
            "two columns of finite probabilities."
        )
    return np.clip(probability[:, found.index(classes[1])], MARGIN, 1 - MARGIN)


def columns_of(
    model: Any, frame: pd.DataFrame, role: str = "teacher", table: str = "old_X"
) -> pd.DataFrame:
    """Return the columns in a fitted model's ``feature_names_in_``; all if it has none.

    A model that contains pipelines, such as a `VotingClassifier`, names only the columns of the
    first of them, so it gets all.
    """
    parts = model.get_params().values() if hasattr(model, "get_params") else ()
    if not isinstance(model, Pipeline) and any(isinstance(part, Pipeline) for part in parts):
        return frame
    names = list(getattr(model, "feature_names_in_", frame.columns))
    lacking = [name for name in names if name not in frame.columns]
    if lacking:
        raise ValueError(
            f"The {role} {type(model).__name__} was fitted with column {str(lacking[0])!r}, which "
            f"is missing from {table} (all missing columns: {list(map(str, lacking))}). Add it."
        )
    return frame[names]
