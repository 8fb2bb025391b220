"""Applications with their events in Parquet files, read some at a time."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from skhuihen._tables.parquet import UNNAMED_INDEX, ParquetPath, as_pandas, find_parquet

#: Events in memory at a time, about.
BATCH = 1_000_000


class NestedParquet:
    """Parquet files that are alike, in the order of their names, as one table of applications.

    All are opened when it is made, so that a file that is cut off or has other columns is found
    before any work is done.

    Parameters
    ----------
    paths : path or list of paths
        As `find_parquet` takes them.
    parameter : str
        What messages call it.

    Attributes
    ----------
    files : list of ParquetPath
    n_rows : list of int
        Number of applications in each file.
    schema : pyarrow.Schema
        Of every file.
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
                    f"{parameter}: the file {path.path} is unlike {self.files[0].path}: it has "
                    f"{_difference(schema, self.schema)}. Write all files with the same columns "
                    "and types."
                )

    @property
    def columns(self) -> list[str]:
        """Names of the columns, without an index that pandas wrote."""
        return [name for name in self.schema.names if not re.fullmatch(UNNAMED_INDEX, name)]

    @property
    def nested(self) -> list[str]:
        """Names of the columns of lists of structs."""
        return [field.name for field in self.schema if is_list_of_structs(field.type)]

    def require(self, columns: Collection[str]) -> None:
        """Refuse files that lack a column."""
        for name in columns:
            if name not in self.schema.names:
                raise ValueError(
                    f"{self.parameter} has no column {name!r}; the files have {self.columns}. Name "
                    "the column that is meant, or write it."
                )

    def frames(self, columns: Sequence[str] | None = None) -> Iterator[pd.DataFrame]:
        """Yield some applications after another, of all files."""
        for path in self.files:
            for table in self.tables(path):
                yield as_pandas(table.select(columns or self.columns))

    def tables(self, path: ParquetPath) -> Iterator[pa.Table]:
        """Yield the applications of one file, with some `BATCH` events each."""
        with self.reading(path) as file:
            size = max(1, BATCH * file.metadata.num_rows // max(1, n_values(file.metadata)))
            for batch in file.iter_batches(batch_size=size):
                table = path.add_keys(pa.Table.from_batches([batch]))
                yield table.replace_schema_metadata(self.schema.metadata)

    @contextmanager
    def reading(self, path: ParquetPath) -> Iterator[pq.ParquetFile]:
        """Open a file, and name it if it cannot be read."""
        try:
            with path.open() as file:
                yield file
        except (pa.ArrowException, OSError) as error:
            if getattr(error, "errno", None):
                raise  # the system's own, which names the file
            raise ValueError(
                f"{self.parameter}: the file {path.path} cannot be read as Parquet ({error}). It "
                "may have been cut off while it was written: write it anew. If files of another "
                "kind lie in the same folder, name the Parquet files by a pattern such as "
                "'folder/*.parquet'."
            ) from error


def is_list_of_structs(kind: pa.DataType) -> bool:
    """Tell the type of a nested column."""
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind)
    return is_list and pa.types.is_struct(kind.value_type)


def n_values(metadata: pq.FileMetaData) -> int:
    """Return how many values the longest column has: that of the events."""
    return sum(
        max((group.column(i).num_values for i in range(group.num_columns)), default=0)
        for group in map(metadata.row_group, range(metadata.num_row_groups))
    )


def _difference(schema: pa.Schema, wanted: pa.Schema) -> str:
    """Say in which column two schemas differ first."""
    for field in schema:
        if field.name not in wanted.names:
            return f"a further column {field.name!r}"
        kind = wanted.field(field.name).type
        if field.type != kind:
            return f"{field.name!r} of type {field.type} instead of {kind}"
    lacking = [name for name in wanted.names if name not in schema.names]
    return f"no column {lacking[0]!r}" if lacking else "its columns in another order"
