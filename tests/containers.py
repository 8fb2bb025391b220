"""One table of applications in every container that a bank may hand over.

Each function takes a pandas frame whose nested column has the dtype of nested_pandas, and keeps
rows and columns; what has no index loses it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import pyarrow as pa

from skhuihen.utils import containers
from skhuihen.utils.containers import as_arrow


def as_arrow_columns(X: pd.DataFrame) -> Any:
    """Give pandas nothing but Arrow dtypes."""
    return as_arrow(X).to_pandas(types_mapper=pd.ArrowDtype)


def as_arrow_lists(X: pd.DataFrame) -> Any:
    """Return a table whose nested column is a ``list``, as Parquet and Spark have it."""
    return _cast(as_arrow(X), lambda kind: kind)


def as_chunks(X: pd.DataFrame) -> Any:
    table = as_arrow(X)
    return pa.concat_tables([table[:1], table[1:1], table[1:4], table[4:]])


def as_slice(X: pd.DataFrame) -> Any:
    """Return the middle of a longer table: offsets do not start at 0."""
    table = as_arrow(X)
    longer = pa.concat_tables([table[-3:], table, table[:2]]).combine_chunks()
    return longer.slice(len(table[-3:]), len(table))


def as_dictionaries(X: pd.DataFrame) -> Any:
    """Return a table with dictionary-encoded text."""
    return _cast(
        as_arrow(X), lambda kind: pa.dictionary(pa.int32(), pa.string()) if _is_text(kind) else kind
    )


def as_views(X: pd.DataFrame) -> Any:
    return _cast(as_arrow(X), lambda kind: pa.string_view() if _is_text(kind) else kind)


def as_record_batch(X: pd.DataFrame) -> Any:
    return pa.RecordBatch.from_pandas(X, preserve_index=False)


def in_microseconds(frame: pd.DataFrame) -> pa.Table:
    """Return a table for Ibis, which does not know the nanoseconds in a zone of pandas 2."""
    table = pa.table(frame)
    kinds = [
        pa.timestamp("us", kind.tz) if pa.types.is_timestamp(kind) and kind.tz else kind
        for kind in table.schema.types
    ]
    return table.cast(pa.schema(zip(table.column_names, kinds, strict=True)))


CONTAINERS: dict[str, Callable[[pd.DataFrame], Any]] = {
    **containers.CONTAINERS,
    "pandas, Arrow columns": as_arrow_columns,
    "pyarrow, list": as_arrow_lists,
    "pyarrow, chunks": as_chunks,
    "pyarrow, slice": as_slice,
    "pyarrow, dictionaries": as_dictionaries,
    "pyarrow, views": as_views,
    "pyarrow, record batch": as_record_batch,
}


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _cast(table: pa.Table, change: Callable[[pa.DataType], pa.DataType]) -> pa.Table:
    """Change the types of columns and, within a ``list``, of subfields."""
    columns = {}
    for field in table.schema:
        values = table[field.name].combine_chunks()
        if not pa.types.is_large_list(field.type):
            columns[field.name] = _encode(values, change(field.type))
            continue
        values = values.cast(pa.list_(field.type.value_type))
        events = pa.StructArray.from_arrays(
            [_encode(part, change(part.type)) for part in values.values.flatten()],
            field.type.value_type.names,
        )
        columns[field.name] = pa.ListArray.from_arrays(
            values.offsets, events, mask=values.is_null() if values.null_count else None
        )
    return pa.table(columns)


def _encode(values: pa.Array, kind: pa.DataType) -> pa.Array:
    return values.dictionary_encode() if pa.types.is_dictionary(kind) else values.cast(kind)
