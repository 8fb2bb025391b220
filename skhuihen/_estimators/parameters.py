"""Parameters of estimators in a form that can be stored, compared and looked up."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import joblib
import numpy as np
from sklearn.base import BaseEstimator
from sklearn.frozen import FrozenEstimator


def frozen(value: Any) -> Any:
    """Return a parameter in an immutable form.

    Estimators are equal if their parameters are. Fitted ones are equal if their whole state is.

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
        except Exception:  # what cannot be pickled equals only itself
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
