"""Checks of scores and labels."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import assert_all_finite, check_consistent_length
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import _check_sample_weight

from skhuihen._compat import one_column

Label = int | float | bool | str


def check_numbers(values: ArrayLike, name: str) -> NDArray[np.float64]:
    series = pd.Series(values).infer_objects()
    if series.isna().all():
        series = pd.Series(np.full(len(series), np.nan))
    if not pd.api.types.is_numeric_dtype(series.dtype):
        raise TypeError(
            f"{name} must be numbers, found {series.dtype}. Convert it with pandas.to_numeric."
        )
    if series.empty:
        raise ValueError(f"{name} is empty; at least one value is needed.")
    return np.asarray(series.to_numpy(dtype=np.float64, na_value=np.nan), dtype=np.float64)


def check_binary_scores(
    y_true: ArrayLike,
    y_score: ArrayLike,
    pos_label: Label | None,
    sample_weight: ArrayLike | None,
    name: str = "y_score",
) -> tuple[NDArray[np.bool_], NDArray[np.float64], NDArray[np.float64] | None]:
    """Return "is overdue", scores as floats, and weights as floats (largest near 1) or None."""
    check_consistent_length(y_true, y_score, sample_weight)
    label = _check_one_column(y_true, "y_true")
    score = np.asarray(_check_one_column(y_score, name), dtype=np.float64)
    assert_all_finite(score, input_name=name)

    n_missing = int(pd.isna(label).sum())
    if n_missing:
        raise ValueError(
            f"y_true has {n_missing} missing labels of {label.size}. Drop applications with an "
            "unknown outcome."
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
        # Scale the largest weight to between 1 and 2, so that sums of huge or tiny weights stay in
        # the range of floats. A power of two changes no digit.
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
            f"{name} has two columns. Pass one of them, such as predict_proba(X)[:, 1]."
        )
    return one_column(values, name)
