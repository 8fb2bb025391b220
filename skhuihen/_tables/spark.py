"""Spark, where it differs from what Ibis says of it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from skhuihen._tables.parts import work_folder


def is_spark_frame(table: Any) -> bool:
    """Tell Spark's own DataFrames."""
    sql = sys.modules.get("pyspark.sql")  # loaded, if anything is one
    return sql is not None and isinstance(table, sql.DataFrame)


def spark_of(connections: list[Any]) -> Any | None:
    """Return the Ibis connection to Spark, if the only connection is one."""
    match connections:
        case [connection] if connection.name == "pyspark":
            return connection
    return None


def spark_frame(connection: Any, table: Any) -> Any:
    """Return an Ibis table on Spark as Spark's own DataFrame, which is not executed either."""
    connection._run_pre_execute_hooks(table)  # as Ibis does before it runs anything: memtables
    return connection.raw_sql(connection.compile(table))


def schema_with_zones(connection: Any, table: Any) -> Any:
    """Return the Ibis schema, with the zone that Ibis leaves out.

    Ibis calls both of Spark's types a timestamp without zone, but one is an instant, and the other
    what a clock showed somewhere. Spark would compare them as if that clock had shown UTC.
    """
    import ibis
    from pyspark.sql.types import TimestampType

    instants = {
        field.name
        for field in spark_frame(connection, table).schema
        if isinstance(field.dataType, TimestampType)
    }
    instant = ibis.expr.datatypes.Timestamp(timezone="UTC", scale=6)
    return ibis.schema(
        {name: instant if name in instants else dtype for name, dtype in table.schema().items()}
    )


def write_spark(frame: Any, output: Path) -> Path:
    """Have Spark write a folder of Parquet, which is there when it is complete."""
    settings, key = frame.sparkSession.conf, "spark.sql.parquet.outputTimestampType"
    before = settings.get(key)
    with work_folder(output) as folder:
        parts = folder / "parts"
        # By default instants are written as INT96, which other readers take for a clock's times.
        settings.set(key, "TIMESTAMP_MICROS")
        try:
            # A bare path may be on the cluster. Nothing is quoted: Hadoop takes names as they are.
            frame.write.parquet(f"file://{parts.absolute().as_posix()}")
        finally:
            settings.set(key, before)
        parts.rename(output)
    return output
