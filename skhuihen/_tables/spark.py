"""Helpers for Spark, where it differs from its description by Ibis."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from skhuihen._tables.parts import work_folder


def is_spark_frame(table: Any) -> bool:
    """Return whether this is a Spark DataFrame."""
    sql = sys.modules.get("pyspark.sql")  # loaded if any Spark DataFrame exists
    return sql is not None and isinstance(table, sql.DataFrame)


def spark_types() -> ModuleType:
    """Import the module of Spark's types, or say which extra has it."""
    try:
        from pyspark.sql import types
    except ImportError as error:
        raise ImportError(
            "A table on Spark requires pyspark. Install it: pip install skhuihen[spark]"
        ) from error
    return types


def spark_of(connections: list[Any]) -> Any | None:
    """Return the Ibis connection to Spark, if it is the only connection."""
    match connections:
        case [connection] if connection.name == "pyspark":
            return connection
    return None


def spark_frame(connection: Any, table: Any) -> Any:
    """Return an Ibis table on Spark as a Spark DataFrame, still unexecuted."""
    connection._run_pre_execute_hooks(table)  # as Ibis does before every run: registers memtables
    return connection.raw_sql(connection.compile(table))


def schema_with_zones(connection: Any, table: Any) -> Any:
    """Return the Ibis schema, with the time zones that Ibis omits.

    Ibis treats both of Spark's types as timestamps without zone, but one is an instant and the
    other a local time. Spark would compare them as if the local time were UTC.
    """
    import ibis

    types = spark_types()
    instants = {
        field.name
        for field in spark_frame(connection, table).schema
        if isinstance(field.dataType, types.TimestampType)
    }
    instant = ibis.expr.datatypes.Timestamp(timezone="UTC", scale=6)
    return ibis.schema(
        {name: instant if name in instants else dtype for name, dtype in table.schema().items()}
    )


def write_spark(frame: Any, output: Path) -> Path:
    """Let Spark write a folder of Parquet; the folder appears only when complete."""
    settings, key = frame.sparkSession.conf, "spark.sql.parquet.outputTimestampType"
    before = settings.get(key)
    with work_folder(output) as folder:
        parts = folder / "parts"
        # By default Spark writes instants as INT96, which other readers treat as local times.
        settings.set(key, "TIMESTAMP_MICROS")
        try:
            # A bare path may be on the cluster. No quoting: Hadoop uses names as they are.
            frame.write.parquet(f"file://{parts.absolute().as_posix()}")
        finally:
            settings.set(key, before)
        parts.rename(output)
    return output
