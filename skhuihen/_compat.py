"""What differs between the versions that are supported, so that results do not."""

from __future__ import annotations

import re
import warnings
from inspect import signature
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import compute_class_weight
from sklearn.utils.validation import column_or_1d

#: Text is a dtype of its own from pandas 3 on, and objects before: whoever has pandas 2 expects
#: these, and its "str" is numpy's, which cuts and cannot miss.
TEXT: Any = "str" if int(pd.__version__.split(".")[0]) >= 3 else object

_TAKES_NAMES = "input_name" in signature(column_or_1d).parameters


def one_column(values: ArrayLike, name: str) -> NDArray:
    """Do as scikit-learn's ``column_or_1d``; before 1.8 that calls everything y."""
    if _TAKES_NAMES:
        return column_or_1d(values, input_name=name)
    try:
        return column_or_1d(values)
    except ValueError as error:
        raise ValueError(str(error).replace("y should", f"{name} should")) from None


def class_weights(
    class_weight: Any, classes: NDArray, y: NDArray, sample_weight: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Do as scikit-learn's ``compute_class_weight``, which counts weights from 1.7 on."""
    if not (isinstance(class_weight, str) and class_weight == "balanced"):
        return compute_class_weight(class_weight, classes=classes, y=y)
    of_class = np.bincount(np.searchsorted(classes, y), weights=sample_weight)
    return of_class.sum() / (len(classes) * of_class)


def stack(frames: list[pd.DataFrame]) -> pd.DataFrame:
    """Put frames below each other; pandas 2 foretells what pandas 3 does with empty ones."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The behavior of DataFrame concatenation", FutureWarning)
        return pd.concat(frames, ignore_index=True)


def chances(model: Any, X: Any) -> NDArray[np.float64]:
    """Call ``predict_proba``; LightGBM 4.6 takes arrays amiss on which it was fitted itself."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "X does not have valid feature names, but LGBM")
        return np.asarray(model.predict_proba(X), dtype=np.float64)


def local(stamps: pa.Array) -> pa.Array:
    """Return times by the clock on the wall; Arrow 19 knows zones by name, and no offsets."""
    offset = re.fullmatch(r"([+-])(\d\d):(\d\d)", stamps.type.tz or "")
    if offset is None:
        return stamps
    sign, hours, minutes = offset.groups()
    shift = int(f"{sign}1") * (int(hours) * 60 + int(minutes)) * 60 * 10**6
    us = stamps.cast(pa.timestamp("us", "UTC")).cast(pa.int64())
    return pc.add(us, shift).cast(pa.timestamp("us"))
