"""Helpers for Ibis tables."""

from __future__ import annotations

import sys
from typing import Any

import pyarrow as pa

from skhuihen._tables.texts import is_unicode


def is_unusable(name: str) -> bool:
    """Return whether a name is one that DuckDB cannot quote."""
    return not name or "\0" in name or not is_unicode(name)


# --------------------------------------------------------------------------------------------------
# Reading tables.


def is_ibis(table: Any) -> bool:
    """Return whether this is an Ibis table."""
    # If this is an Ibis table, Ibis is already loaded.
    ibis = sys.modules.get("ibis")
    return ibis is not None and isinstance(table, ibis.Table)


def connections_of(*tables: Any) -> list[Any]:
    """Return the distinct connections of Ibis tables.

    Ibis treats all in-memory databases as equal, and its get_backend would open a connection for a
    table without one.
    """
    from ibis.expr.operations import DatabaseTable, SQLQueryResult

    found = (
        op.source for table in tables for op in table.op().find((DatabaseTable, SQLQueryResult))
    )
    return list({id(source): source for source in found}.values())


def batches_of(table: Any, size: int) -> Any:
    """Execute an Ibis table and return its rows as a reader of Arrow batches."""
    match connections_of(table):
        case [duckdb] if duckdb.name == "duckdb":
            # Ibis 12 requests batches from DuckDB 2 by a name that no longer exists.
            duckdb._run_pre_execute_hooks(table)
            return duckdb.con.sql(duckdb.compile(table)).to_arrow_reader(size)
    return table.to_pyarrow_batches(chunk_size=size)


def ibis_schema(schema: pa.Schema, parameter: str) -> Any:
    """Return the Ibis schema; reject names and types that DuckDB would not return unchanged."""
    import ibis

    for field in schema:
        if is_unusable(field.name):
            raise ValueError(
                f"{parameter} has a column named {field.name!r}, which the join cannot use. "
                "Rename it."
            )
        if not _is_carried(field.type):
            raise TypeError(
                f"Column {field.name!r} of {parameter} is of type {field.type}, which the join "
                "cannot use. Convert it to numbers or text, or drop it."
            )
    return ibis.Schema.from_pyarrow(schema)


def _is_carried(kind: pa.DataType) -> bool:
    """Return whether DuckDB returns values of a type unchanged, including nested types."""
    import ibis

    if isinstance(kind, pa.BaseExtensionType):
        return False
    if kind.num_fields:  # lists, maps and structs
        inner = [kind.field(i).type for i in range(kind.num_fields)]
        if pa.types.is_union(kind) or not all(map(_is_carried, inner)):
            return False
    if (
        pa.types.is_duration(kind)
        or pa.types.is_interval(kind)
        or pa.types.is_float16(kind)
        or pa.types.is_decimal256(kind)
    ):
        return False
    try:
        ibis.expr.datatypes.DataType.from_pyarrow(kind)
    except (KeyError, NotImplementedError, TypeError, ValueError):  # types that Ibis does not know
        return False
    return True
