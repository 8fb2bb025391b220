"""The join, run in an embedded DuckDB, one partition of the applications at a time.

DuckDB spills joins and sorts to disk, but not the lists that it collects. So the applications are
cut into partitions: ranges of consecutive rows with about equally many pairs. One pass over the
events records which partition needs which events. Each partition is then joined separately. `Join`
alone defines what a pair is and which pairs are used.
"""

from __future__ import annotations

import glob
import math
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
from tqdm.auto import tqdm

from skhuihen._assembly.join import Join, Names, midnights_of
from skhuihen._tables.parquet import HIVE_NULL, ParquetTable

_ROW = "__row"
_PARTITION = "__partition"
# Number of events per batch while events are sorted into partitions.
_BATCH = 2**17
# DuckDB's memory for a pair, in multiples of the size of its event in Arrow.
_OVERHEAD = 8


class EmbeddedJoin:
    """The join of applications and events that DuckDB reads without owning them.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
        As returned by `open_duckdb`.
    applications : pyarrow.Table
        Only the columns that the join needs.
    events : pyarrow.Table or ParquetTable
        All columns.
    names : Names
        The columns that the caller named.
    lookback : int or None
        In microseconds.
    known_after : int
        In microseconds.
    """

    def __init__(
        self,
        connection: Any,
        applications: pa.Table,
        events: pa.Table | ParquetTable,
        names: Names,
        lookback: int | None,
        known_after: int,
    ) -> None:
        self.connection = connection
        self.applications = applications.append_column(_ROW, pa.array(np.arange(len(applications))))
        self.events = self._show(events, "events")
        self.files = [str(file.path) for file in getattr(events, "files", ())]
        self.names = names
        self.lookback = lookback
        self.join = Join(
            self._show(self.applications, "applications"),
            self.events,
            names,
            lookback,
            known_after,
        )
        # This DuckDB runs in UTC, whatever the time zone of the data.
        self.join.midnights = midnights_of(self.join.clock.timezone)
        self.zones = {field.name: getattr(field.type, "tz", None) for field in events.schema}
        self.zones["time"] = self.join.clock.timezone

    def _show(self, table: pa.Table | ParquetTable, title: str) -> Any:
        import ibis

        schema = _load(self.connection, table, title)
        return ibis.table(ibis.Schema.from_pyarrow(schema), name=title)

    def _query(self, expression: Any) -> Any:
        import ibis

        return self.connection.sql(ibis.to_sql(expression, dialect="duckdb"))

    def run(self, expression: Any) -> pa.Table:
        """Run an expression over the full tables."""
        import ibis

        return self._fetch(ibis.to_sql(expression, dialect="duckdb"))

    def _fetch(self, query: str) -> pa.Table:
        with self._explaining():
            return self.connection.sql(query).to_arrow_table()

    @contextmanager
    def _explaining(self) -> Iterator[None]:
        """Translate DuckDB's errors: the queries are ours, so the cause is in the data."""
        import duckdb

        try:
            yield
        except (duckdb.ConversionException, duckdb.OutOfRangeException) as error:
            raise ValueError(
                f"Column {self.names.applied_at!r} of applications or {self.names.time!r} of "
                f"events contains times out of range for microseconds ({error}). Drop these rows."
            ) from error
        except duckdb.OutOfMemoryException:
            raise  # explained in `open_duckdb`
        except (duckdb.Error, OSError) as error:
            if getattr(error, "errno", None):
                raise  # a system error; without a number it is DuckDB's, passed on by Arrow
            broken = f" If one of {self.files} is damaged, rewrite it." if self.files else ""
            raise ValueError(
                f"The join failed: {error}.{broken} If the disk is full, free some space."
            ) from error

    def histories(
        self, folder: Path, n_partitions: int | None, verbose: int
    ) -> Iterator[pa.ChunkedArray]:
        """Yield the nested column, one partition at a time, in row order.

        Consumes the tables: afterwards they are incomplete. Events wait in the folder until their
        partition is joined.
        """
        import ibis

        stretches = self._stretches(n_partitions)
        parts: Iterable[pa.Table | None] = [None]
        if len(stretches) > 1:
            parts = self._events_of(stretches, folder / "events.arrow")
        attached = ibis.to_sql(self.join.attached().order_by(_ROW), dialect="duckdb")
        bar = tqdm(stretches, "attach_behaviors", unit="partition", disable=not verbose)
        for (start, stop), part in zip(bar, parts, strict=True):
            if part is not None:
                _load(self.connection, self.applications.slice(start, stop - start), "applications")
                _load(self.connection, part, "events")
            histories = self._fetch(attached)[self.names.behaviors]
            yield _nested(histories, self.zones)

    def _stretches(self, n_partitions: int | None) -> list[tuple[int, int]]:
        """Cut the rows into ranges with about equally many pairs."""
        n_rows = len(self.applications)
        if n_partitions == 1 or not n_rows:
            return [(0, n_rows)]
        found = self.run(self.join.pairs_by_application())
        pairs = np.zeros(n_rows, np.int64)
        pairs[found[_ROW].to_numpy()] = found["pairs"].to_numpy()
        n = min(n_rows, n_partitions or self._enough_partitions(int(pairs.sum())))
        # Rows without pairs need memory too.
        before = np.concatenate([[0], np.cumsum(pairs + 1)])
        cuts = np.searchsorted(before, before[-1] * np.arange(1, n) // n)
        return list(pairwise(np.unique([0, *cuts, n_rows]).tolist()))

    def _enough_partitions(self, n_pairs: int) -> int:
        """Return how many partitions keep the lists of each within DuckDB's memory limit."""
        sample = self.connection.sql(f"SELECT * FROM events LIMIT {_BATCH}").to_arrow_table()
        width = sample.nbytes / max(1, len(sample))
        limit = "parse_formatted_bytes(current_setting('memory_limit'))"
        ((available,),) = self.connection.sql(f"SELECT {limit}").fetchall()
        return max(1, math.ceil(n_pairs * width * _OVERHEAD / available))

    def _events_of(self, stretches: list[tuple[int, int]], path: Path) -> Iterator[pa.Table]:
        """Write the events of each range to disk, then yield them range by range."""
        numbers = np.repeat(np.arange(len(stretches)), [stop - start for start, stop in stretches])
        numbered = self.applications.append_column(_PARTITION, pa.array(numbers))
        join = Join(self._show(numbered, "applications"), self.events, self.names, self.lookback)
        places: list[list[int]] = [[] for _ in stretches]
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        with self._explaining():
            batches = self._query(join.events_by(_PARTITION)).to_arrow_reader(_BATCH)
            schema = batches.schema.remove(batches.schema.get_field_index(_PARTITION))
            with pa.ipc.new_file(path, schema, options=options) as file:
                for batch in batches:
                    partitions = batch[_PARTITION].to_numpy()
                    order = np.argsort(partitions, kind="stable")
                    ordered = batch.drop_columns(_PARTITION).take(pa.array(order))
                    present, starts = np.unique(partitions[order], return_index=True)
                    stops = [*starts[1:], len(ordered)]
                    for partition, start, stop in zip(present, starts, stops, strict=True):
                        places[partition].append(file.stats.num_record_batches)
                        file.write_batch(ordered.slice(start, stop - start))
        with pa.OSFile(str(path)) as source:
            file = pa.ipc.open_file(source)
            for found in places:
                yield pa.Table.from_batches([file.get_batch(place) for place in found], schema)


def concat_chunks(pieces: list[pa.ChunkedArray]) -> pa.ChunkedArray:
    """Concatenate pieces of one column without copying them."""
    return pa.chunked_array([chunk for piece in pieces for chunk in piece.chunks], pieces[0].type)


@contextmanager
def open_duckdb(folder: Path, memory_limit: str | None) -> Iterator[Any]:
    """Open an in-memory DuckDB that leaves no files behind.

    Raises
    ------
    MemoryError
        If the memory limit is too small.
    """
    import duckdb

    settings: dict[str, str | bool | int | float | list[str]] = {
        # Without its own folder an in-memory database spills into the working directory.
        "temp_directory": str(folder / "duckdb"),
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "python_enable_replacements": False,
    }
    if memory_limit is not None:
        settings["memory_limit"] = memory_limit
    try:
        with duckdb.connect(":memory:", config=settings) as connection:
            # Otherwise returned times would carry the time zone of the machine.
            connection.execute("SET TimeZone = 'UTC'")
            yield connection
    except duckdb.OutOfMemoryException as error:
        reason = str(error).splitlines()[0]
        raise MemoryError(
            "The join needs more memory than DuckDB may use. Pass a larger memory_limit=..., or "
            f"make each partition smaller with a larger n_partitions=... ({reason})"
        ) from error


def _load(connection: Any, table: pa.Table | ParquetTable, title: str) -> pa.Schema:
    """Register a table with DuckDB, with timestamps truncated to microseconds; return the schema.

    DuckDB would round nanoseconds, which can move an event past its application. It also cannot
    compare or sort nanoseconds with a time zone.
    """
    schema = table.schema
    in_memory = isinstance(table, pa.Table)
    connection.register(f"{title}_as_given", table if in_memory else schema.empty_table())
    source = f"{title}_as_given" if in_memory else _parquet(table)
    types = connection.sql(f"DESCRIBE {title}_as_given").fetchall()
    columns = []
    for position, (field, (_, kind, *_)) in enumerate(zip(schema, types, strict=True)):
        name = _named(field.name)
        values = f"CAST({name} AS {kind})"
        if pa.types.is_timestamp(field.type) and field.type.unit == "ns":
            zone = field.type.tz
            ns = f"epoch_ns({values})"
            make = "make_timestamp" if zone is None else "make_timestamptz"
            values = f"{make}(({ns} - (({ns} % 1000) + 1000) % 1000) // 1000)"
            schema = schema.set(position, field.with_type(pa.timestamp("us", zone)))
        columns.append(f"{values} AS {name}")
    connection.execute(
        f"CREATE OR REPLACE VIEW {title} AS SELECT {', '.join(columns)} FROM {source}"
    )
    return schema


def _parquet(table: ParquetTable) -> str:
    """Let DuckDB read the files itself: it needs less memory than Arrow and knows their sizes.

    If it does not know the size of a source, it may load all rows into the hash table of a join.
    """
    found = [os.path.abspath(file.path) for file in table.files]
    paths = ", ".join(_quoted(glob.escape(path)) for path in found)
    # DuckDB's own Hive parsing would also turn folders above the table into columns.
    options = "union_by_name = true, hive_partitioning = false"
    keys = table.files[0].keys
    if not keys:
        return f"read_parquet([{paths}], {options})"
    file = "__file"
    while file in table.columns:
        file += "_"
    stored = [_named(name) for name in table.columns if name not in keys]
    values = [
        f"nullif(url_decode(regexp_extract({_named(file)}, "
        f"{_quoted(_folder(found[0], name))}, 1)), '{HIVE_NULL}') AS {_named(name)}"
        for name in keys
    ]
    return (
        f"(SELECT {', '.join([*stored, *values])} "
        f"FROM read_parquet([{paths}], {options}, filename = {_quoted(file)}))"
    )


def _folder(path: str, key: str) -> str:
    """Return the pattern of the innermost folder that holds the value of a key."""
    names = [part.split("=", 1)[0] for part in Path(path).parts[:-1] if "=" in part]
    (*_, written) = [name for name in names if unquote(name) == key]
    return f".*/{re.escape(written)}=([^/]*)/"


def _named(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _nested(histories: pa.ChunkedArray, zones: dict[str, str | None]) -> pa.ChunkedArray:
    """Restore time zones in DuckDB's lists and replace missing lists with empty ones."""
    fields = [
        pa.field(
            field.name,
            pa.timestamp(field.type.unit, zones[field.name])
            if pa.types.is_timestamp(field.type)
            else field.type,
        )
        for field in histories.type.value_type
    ]
    histories = histories.cast(pa.large_list(pa.struct(fields)))
    chunks = [
        pa.LargeListArray.from_arrays(
            np.concatenate([[0], np.cumsum(chunk.value_lengths().fill_null(0).to_numpy())]),
            chunk.flatten(),
        )
        for chunk in histories.chunks
    ]
    return pa.chunked_array(chunks, histories.type)
