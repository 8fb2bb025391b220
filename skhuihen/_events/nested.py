"""Any kind of nested column as Arrow lists of structs."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from nested_pandas import NestedDtype
from nested_pandas.series.ext_array import NestedExtensionArray

from skhuihen._compat import nested, stack
from skhuihen._tables.arrow import UNFIT
from skhuihen._tables.times import refuse_mixed_zones


def is_nested(column: pd.Series) -> bool:
    """Return whether a column holds events."""
    dtype = column.dtype
    if isinstance(dtype, NestedDtype):
        return True
    if isinstance(dtype, pd.ArrowDtype):
        return pa.types.is_nested(dtype.pyarrow_dtype)
    if pd.api.types.is_object_dtype(dtype):
        present = column.dropna()
        return len(present) > 0 and isinstance(present.iloc[0], (list, np.ndarray, pd.DataFrame))
    return False


def as_lists(column: pd.Series) -> pa.Array | pa.ChunkedArray:
    """Return a nested column as Arrow lists of structs."""
    dtype = column.dtype
    if isinstance(dtype, NestedDtype):
        lists = column.array.list_array
    elif isinstance(dtype, pd.ArrowDtype) and pa.types.is_struct(dtype.pyarrow_dtype):
        try:
            lists = NestedExtensionArray(column.array.__arrow_array__()).list_array
        except ValueError as error:
            raise TypeError(
                _not_nested(column, f"Arrow type {dtype.pyarrow_dtype} ({error})")
            ) from error
    elif isinstance(dtype, pd.ArrowDtype) and not pa.types.is_null(dtype.pyarrow_dtype):
        lists = column.array.__arrow_array__()
    elif column.isna().all():
        return pa.nulls(len(column), pa.list_(pa.null()))
    elif pd.api.types.is_object_dtype(dtype):
        lists = _lists_of_objects(column)
    else:
        raise TypeError(_not_nested(column, f"dtype {dtype}"))
    kind = lists.type
    if not (
        (pa.types.is_list(kind) or pa.types.is_large_list(kind))
        and (pa.types.is_struct(kind.value_type) or pa.types.is_null(kind.value_type))
    ):
        raise TypeError(_not_nested(column, f"Arrow type {kind}"))
    return lists


def _lists_of_objects(column: pd.Series) -> pa.Array:
    """Convert lists of dicts, or DataFrames, to Arrow in one call."""
    present = column.notna().to_numpy()
    values = column[present].tolist()
    times: Iterable[Any] = ()
    try:
        if all(isinstance(value, pd.DataFrame) for value in values):
            events = stack(values)
            lengths = np.zeros(len(column), dtype=np.int64)
            lengths[present] = [len(value) for value in values]
            if "time" in events and events["time"].dtype == object:
                times = events["time"]
            lists = pa.LargeListArray.from_arrays(
                np.concatenate([[0], np.cumsum(lengths)]), _as_structs(events)
            )
        else:
            lists = nested(column.where(present, None).tolist())
            if pa.types.is_list(lists.type):
                times = (
                    event.get("time")
                    for value in values
                    for event in value
                    if isinstance(event, dict)
                )
    except UNFIT as error:
        raise TypeError(
            _not_nested(column, f"objects that do not fit together ({error})")
        ) from error
    refuse_mixed_zones(times, f"events of column {column.name!r}")
    return _with_parsed_times(lists, column.name)


def _with_parsed_times(lists: pa.Array, name: Any) -> pa.Array:
    """Parse times given as ISO 8601 texts, as in JSON; times with an offset become UTC."""
    kind = lists.type
    is_large = pa.types.is_large_list(kind)
    if not (is_large or pa.types.is_list(kind)) or not pa.types.is_struct(kind.value_type):
        return lists
    position = kind.value_type.get_field_index("time")
    if position < 0:
        return lists
    events = lists.values
    fields = list(events.flatten())
    texts = fields[position]
    if not (pa.types.is_string(texts.type) or pa.types.is_large_string(texts.type)):
        return lists
    for unit, zone in product(("us", "ns"), (None, "UTC")):
        try:
            fields[position] = texts.cast(pa.timestamp(unit, zone))
            break
        except pa.ArrowInvalid:
            continue
    else:
        raise ValueError(
            f"Column {name!r} contains event times that are texts but not all in ISO 8601, such as "
            "'2024-05-01T10:00:00' (all with an offset, or all without one). The first is "
            f"{texts.drop_null()[0].as_py()!r}. Convert them with pandas.to_datetime."
        )
    parsed = pa.StructArray.from_arrays(
        fields, kind.value_type.names, mask=events.is_null() if events.null_count else None
    )
    mask = lists.is_null() if lists.null_count else None
    make = pa.LargeListArray if is_large else pa.ListArray
    return make.from_arrays(lists.offsets, parsed, mask=mask)


def _as_structs(events: pd.DataFrame) -> pa.StructArray:
    """Convert a frame with one row per event."""
    table = pa.Table.from_pandas(events, preserve_index=False).combine_chunks()
    if not table.num_columns:
        return pa.nulls(0, pa.struct([]))
    return pa.StructArray.from_arrays(
        [
            table[name].chunk(0) if len(table) else pa.array([], table[name].type)
            for name in table.column_names
        ],
        table.column_names,
    )


def _not_nested(column: pd.Series, found: str) -> str:
    return (
        f"Column {column.name!r} is of {found}; it must hold one list of events per row: a "
        "nested_pandas column, an Arrow list<struct>, or objects that are lists of dicts or "
        "DataFrames. skhuihen.attach_behaviors makes it."
    )
