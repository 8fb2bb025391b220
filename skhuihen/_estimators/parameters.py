"""Parameters of estimators in a form that can be kept, compared and looked up."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import joblib
import numpy as np
from sklearn.base import BaseEstimator
from sklearn.frozen import FrozenEstimator


def frozen(value: Any) -> Any:
    """Return a parameter in a form that stays as it is.

    Estimators are alike if their parameters are, and fitted ones if they are the same throughout.

    Parameters
    ----------
    value : object

    Returns
    -------
    object
        Hashable.
    """
    if isinstance(value, FrozenEstimator):
        try:
            return "fitted", joblib.hash(value.estimator)
        except Exception:  # what cannot be pickled is like itself alone
            return "fitted", id(value.estimator)
    if isinstance(value, BaseEstimator):
        return type(value), frozen(value.get_params())
    if isinstance(value, Mapping):
        return tuple(sorted((str(key), frozen(item)) for key, item in value.items()))
    if isinstance(value, Sequence | np.ndarray) and not isinstance(value, str):
        return tuple(map(frozen, value))
    if isinstance(value, float) and value != value:
        return "NaN"  # which is not equal to itself
    return value if isinstance(value, Hashable) else repr(value)
