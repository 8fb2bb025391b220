"""Reads both tables of the join into Arrow, whatever their kind."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pyarrow as pa

from skhuihen._assembly.checks import require
from skhuihen._assembly.join import Names
from skhuihen._events.frames import as_frame, refuse_series
from skhuihen._tables.arrow import UNFIT
from skhuihen._tables.parquet import ParquetTable, as_pandas, is_parquet
from skhuihen._tables.times import refuse_mixed_zones


def read_applications(applications: Any) -> pd.DataFrame:
    if is_parquet(applications):
        return as_pandas(ParquetTable(applications, "applications", same_columns=False).read())
    refuse_series(applications, "applications")
    if isinstance(applications, pd.DataFrame) or hasattr(applications, "__arrow_c_stream__"):
        return as_frame(applications, parameter="applications")
    raise TypeError(_not_a_table(applications, "applications"))


def read_events(events: Any, names: Names) -> pa.Table | ParquetTable:
    if is_parquet(events):
        return ParquetTable(events, "events", same_columns=False)
    refuse_series(events, "events")
    if isinstance(events, pd.DataFrame):
        return as_arrow(as_frame(events, parameter="events"), "events", names)
    if hasattr(events, "__arrow_c_stream__"):
        try:
            return pa.table(events)
        except pa.ArrowInvalid as error:  # a stream of one column rather than of a table
            raise TypeError(_not_a_table(events, "events")) from error
    raise TypeError(_not_a_table(events, "events"))


def _not_a_table(table: Any, parameter: str) -> str:
    return (
        f"{parameter} is a {type(table).__name__}; it must be a table: a pandas or polars "
        "DataFrame, a pyarrow Table, a path to Parquet files, or an Ibis table."
    )


def as_arrow(frame: pd.DataFrame, parameter: str, names: Names) -> pa.Table:
    """Convert a frame column by column, so an error can name the column that fails."""
    require(list(frame.columns), [], parameter)
    typed = {*names.of_applications, *names.of_events, "item"}
    columns: dict[str, Any] = {}
    for column in frame.columns:
        if not isinstance(column, str):
            raise TypeError(
                f"{parameter} has a column named {column!r} of type {type(column).__name__}; names "
                "must be strings. Rename it."
            )
        try:
            columns[column] = pa.array(frame[column], from_pandas=True)
        except UNFIT as error:
            raise TypeError(
                f"Column {column!r} of {parameter} contains values of more than one type "
                f"({error}). Convert it, for example with .astype(str)."
            ) from error
        values = columns[column]
        if pa.types.is_timestamp(values.type) and pd.api.types.is_object_dtype(frame[column].dtype):
            refuse_mixed_zones(frame[column], f"rows of column {column!r} of {parameter}")
        untyped = pa.types.is_floating(values.type) and values.null_count == len(values)
        if untyped and column in typed:
            # pandas gives an empty column a float type, which does not show its real type.
            columns[column] = pa.nulls(len(values))
    return pa.table(columns)
