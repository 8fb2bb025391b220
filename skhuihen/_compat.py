"""Differences between the supported versions of other packages, so that results are the same."""

from __future__ import annotations

import re
import warnings
from collections.abc import Collection, Iterable, Iterator
from inspect import signature
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import compute_class_weight
from sklearn.utils.validation import column_or_1d

_PANDAS = tuple(map(int, pd.__version__.split(".")[:2]))
#: Text has its own dtype from pandas 3 on. With pandas 2 it is a column of objects, because "str"
#: is numpy's dtype there, which truncates texts and has no missing value.
TEXT: Any = "str" if _PANDAS >= (3,) else object

#: Reads a CSV file to the last digit of its numbers, which pandas does without asking from 3.1 on.
EXACTLY: dict[str, Any] = {} if _PANDAS >= (3, 1) else {"float_precision": "round_trip"}

_SORTS_KEYS = pa.array([{"b": 0, "a": 0}]).type.field(0).name == "a"
_TAKES_NAMES = "input_name" in signature(column_or_1d).parameters


def one_column(values: ArrayLike, name: str) -> NDArray:
    """Call scikit-learn's ``column_or_1d``, whose messages always say y before 1.8."""
    if _TAKES_NAMES:
        return column_or_1d(values, input_name=name)
    try:
        return column_or_1d(values)
    except ValueError as error:
        raise ValueError(str(error).replace("y should", f"{name} should")) from None


def class_weights(
    class_weight: Any, classes: NDArray, y: NDArray, sample_weight: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Compute class weights as ``compute_class_weight`` does from 1.7 on, with sample weights."""
    if not (isinstance(class_weight, str) and class_weight == "balanced"):
        return compute_class_weight(class_weight, classes=classes, y=y)
    of_class = np.bincount(np.searchsorted(classes, y), weights=sample_weight)
    return of_class.sum() / (len(classes) * of_class)


def group_folds(
    y: NDArray, groups: NDArray, n_folds: int, random: np.random.RandomState
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Split as ``StratifiedGroupKFold(shuffle=True)`` does today, to the bit.

    scikit-learn 1.6 shuffles the classes of the groups but not the groups, so that folds have any
    share of a class. Groups that are numbered in another order need no shuffling.
    """
    from sklearn.model_selection import StratifiedGroupKFold  # only fitting needs it

    _, codes = np.unique(groups, return_inverse=True)
    number = np.argsort(random.permutation(codes.max() + 1))
    return StratifiedGroupKFold(n_folds).split(y, y, number[codes])


def stack(frames: list[pd.DataFrame], *, ignore_index: bool = True) -> pd.DataFrame:
    """Concatenate frames; pandas 2 warns of how pandas 3 treats empty ones."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The behavior of DataFrame concatenation", FutureWarning)
        return pd.concat(frames, ignore_index=ignore_index)


def chances(model: Any, X: Any) -> NDArray[np.float64]:
    """Call ``predict_proba``; LightGBM 4.6 warns of arrays even if it was fitted on an array."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "X does not have valid feature names, but LGBM")
        return np.asarray(model.predict_proba(X), dtype=np.float64)


def of_overdue(model: Any, X: Any) -> NDArray[np.float64]:
    """Return the probability of the greater of the two labels, in whatever order a model has them.

    scikit-learn sorts them; a wrapper of another library need not.
    """
    probability = chances(model, X)
    classes = np.asarray(getattr(model, "classes_", [0, 1]))
    if probability.ndim != 2 or probability.shape[1] != 2 or len(classes) != 2:
        raise ValueError(
            f"predict_proba of {type(model).__name__} returned the shape {probability.shape}; two "
            "columns are needed, one for each of two labels."
        )
    return probability[:, int(classes[1] > classes[0])]


def held_out(model: Any, X: Any, y: ArrayLike) -> dict[str, Any]:
    """Return the argument of ``fit`` with the rows that tell boosted trees when to stop.

    LightGBM 4.7 deprecates ``eval_set``, which LightGBM 4.6 and XGBoost require.
    """
    if "eval_X" in signature(model.fit).parameters:
        return {"eval_X": X, "eval_y": y}
    return {"eval_set": [(X, y)]}


def nested(values: list[Any]) -> pa.Array:
    """Convert lists of dicts to Arrow, with the keys in the order in which they come.

    Arrow 19 sorts the keys by name when it infers a type.
    """
    array = pa.array(values, from_pandas=True)
    if not _SORTS_KEYS or not pa.types.is_nested(array.type):
        return array
    return pa.array(values, _in_order(array.type, values), from_pandas=True)


def _in_order(kind: pa.DataType, values: Iterable[Any]) -> pa.DataType:
    """Return the type with the fields of its structs in the order of the keys."""
    if pa.types.is_list(kind):
        inner = [one for some in values if isinstance(some, Collection) for one in some]
        return pa.list_(_in_order(kind.value_type, inner))
    if pa.types.is_struct(kind):
        dicts = [value for value in values if isinstance(value, dict)]
        names = dict.fromkeys(name for value in dicts for name in value)
        return pa.struct(
            (name, _in_order(kind.field(name).type, [value.get(name) for value in dicts]))
            for name in names
        )
    return kind


def signed(table: pa.Table) -> pa.Table:
    """Give dictionaries signed indices; Arrow 19 cannot pass those of polars on to pandas."""
    for number, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type) and pa.types.is_unsigned_integer(
            field.type.index_type
        ):
            kind = pa.dictionary(pa.int64(), field.type.value_type, field.type.ordered)
            chunks = [
                pa.DictionaryArray.from_arrays(
                    chunk.indices.cast(pa.int64()), chunk.dictionary, ordered=kind.ordered
                )
                for chunk in table[number].chunks
            ]
            table = table.set_column(number, field.name, pa.chunked_array(chunks, kind))
    return table


def local(stamps: pa.Array) -> pa.Array:
    """Return local times; Arrow 19 knows time zones by name only, not by offset."""
    offset = re.fullmatch(r"([+-])(\d\d):(\d\d)", stamps.type.tz or "")
    if offset is None:
        return stamps
    sign, hours, minutes = offset.groups()
    shift = int(f"{sign}1") * (int(hours) * 60 + int(minutes)) * 60 * 10**6
    us = stamps.cast(pa.timestamp("us", "UTC")).cast(pa.int64())
    return pc.add(us, shift).cast(pa.timestamp("us"))
