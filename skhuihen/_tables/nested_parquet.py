"""Applications with their events in Parquet files, read in batches."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from skhuihen._tables.parquet import UNNAMED_INDEX, ParquetPath, as_pandas, find_parquet

#: Approximate number of events in memory at a time.
BATCH = 1_000_000


class NestedParquet:
    """Parquet files with equal schemas, sorted by name, as one table of applications.

    The constructor opens all files, so it finds truncated files and different columns before any
    work is done.

    Parameters
    ----------
    paths : path or list of paths
        As accepted by `find_parquet`.
    parameter : str
        The name of the table in messages.

    Attributes
    ----------
    files : list of ParquetPath
    n_rows : list of int
        Number of applications per file.
    schema : pyarrow.Schema
        The schema of every file.
    """

    def __init__(self, paths: Any, parameter: str) -> None:
        self.parameter = parameter
        self.files = find_parquet(paths, parameter)
        self.n_rows: list[int] = []
        for path in self.files:
            with self.reading(path) as file:
                self.n_rows.append(file.metadata.num_rows)
                schema = path.add_fields(file.schema_arrow)
            if path is self.files[0]:
                self.schema = schema
            elif not schema.equals(self.schema):
                raise ValueError(
                    f"{parameter}: the file {path.path} differs from {self.files[0].path}: it has "
                    f"{_difference(schema, self.schema)}. Write all files with the same columns "
                    "and types."
                )

    @property
    def columns(self) -> list[str]:
        """Names of the columns, without an index that pandas wrote."""
        return [name for name in self.schema.names if not re.fullmatch(UNNAMED_INDEX, name)]

    @property
    def nested(self) -> list[str]:
        """Names of the nested columns."""
        return [field.name for field in self.schema if is_list_of_structs(field.type)]

    def require(self, columns: Collection[str]) -> None:
        """Reject files with missing columns."""
        for name in columns:
            if name not in self.schema.names:
                raise ValueError(
                    f"{self.parameter} has no column {name!r}; the files have {self.columns}. "
                    "Pass the name of an existing column, or add the column to the files."
                )

    def frames(self, columns: Sequence[str] | None = None) -> Iterator[pd.DataFrame]:
        """Yield the applications of all files, batch by batch."""
        for path in self.files:
            for table in self.tables(path):
                yield as_pandas(table.select(columns or self.columns))

    def tables(self, path: ParquetPath) -> Iterator[pa.Table]:
        """Yield the applications of one file, with about `BATCH` events per batch."""
        with self.reading(path) as file:
            size = max(1, BATCH * file.metadata.num_rows // max(1, n_values(file.metadata)))
            for batch in file.iter_batches(batch_size=size):
                table = path.add_keys(pa.Table.from_batches([batch]))
                yield table.replace_schema_metadata(self.schema.metadata)

    @contextmanager
    def reading(self, path: ParquetPath) -> Iterator[pq.ParquetFile]:
        """Open a file; an error names the file if it cannot be read."""
        try:
            with path.open() as file:
                yield file
        except (pa.ArrowException, OSError) as error:
            if getattr(error, "errno", None):
                raise  # a system error, which names the file
            raise ValueError(
                f"{self.parameter}: the file {path.path} cannot be read as Parquet ({error}). It "
                "may be truncated; if so, rewrite it. If the folder also contains other files, "
                "select the Parquet files with a pattern such as 'folder/*.parquet'."
            ) from error


def is_list_of_structs(kind: pa.DataType) -> bool:
    """Return whether a type is that of a nested column."""
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind)
    return is_list and pa.types.is_struct(kind.value_type)


def n_values(metadata: pq.FileMetaData) -> int:
    """Return the number of values in the longest column, which holds the events."""
    return sum(
        max((group.column(i).num_values for i in range(group.num_columns)), default=0)
        for group in map(metadata.row_group, range(metadata.num_row_groups))
    )


def _difference(schema: pa.Schema, wanted: pa.Schema) -> str:
    """Describe the first difference between two schemas."""
    for field in schema:
        if field.name not in wanted.names:
            return f"an extra column {field.name!r}"
        kind = wanted.field(field.name).type
        if field.type != kind:
            return f"{field.name!r} of type {field.type} instead of {kind}"
    lacking = [name for name in wanted.names if name not in schema.names]
    return f"no column {lacking[0]!r}" if lacking else "its columns in another order"
