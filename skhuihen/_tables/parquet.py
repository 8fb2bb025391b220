"""Parquet in every accepted form: files, folders, globs, Hive folders."""

from __future__ import annotations

import functools
import glob
import json
import operator
import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.fs
import pyarrow.parquet as pq

#: The name that pandas gives to an unnamed index.
UNNAMED_INDEX = r"__index_level_\d+__"
#: The value of a Hive folder for a missing key.
HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"
#: Approximate number of events in memory at a time.
BATCH = 1_000_000
#: Names with these prefixes are not data, such as Spark's _SUCCESS.
_PASSED_OVER = (".", "_")
#: Spark and SQL Server write timestamps as INT96, which overflows in nanoseconds after 2262.
_INT96 = {"coerce_int96_timestamp_unit": "us"}


def is_parquet(table: Any) -> bool:
    """Return whether this is a path or a list of paths."""
    if isinstance(table, (list, tuple)):
        return len(table) > 0 and all(isinstance(part, (str, Path)) for part in table)
    return isinstance(table, (str, Path))


@dataclass(frozen=True)
class ParquetPath:
    """A Parquet file and the keys of its Hive folders, which apply to all its rows.

    Parameters
    ----------
    path : Path
    keys : mapping of str to pyarrow.Scalar
        One per folder ``name=value`` below the requested folder.
    """

    path: Path
    keys: Mapping[str, pa.Scalar]

    @property
    def fields(self) -> list[pa.Field]:
        """Name and type of each key."""
        return [pa.field(name, value.type) for name, value in self.keys.items()]

    @property
    def guarantee(self) -> pa.compute.Expression:
        """The keys as an expression that is true of all rows."""
        return functools.reduce(
            operator.and_,
            [
                ds.field(name) == value if value.is_valid else ds.field(name).is_null()
                for name, value in self.keys.items()
            ],
            ds.scalar(True),
        )

    def add_fields(self, schema: pa.Schema) -> pa.Schema:
        """Add the keys to the columns of the file; a key replaces a column of the same name."""
        stored = [field for field in schema if field.name not in self.keys]
        return pa.schema([*stored, *self.fields], schema.metadata)

    def add_keys(self, table: pa.Table) -> pa.Table:
        """Add the keys to the rows of the file."""
        table = table.drop_columns([name for name in self.keys if name in table.column_names])
        for field in self.fields:
            table = table.append_column(field, pa.repeat(self.keys[field.name], len(table)))
        return table

    def open(self, **options: Any) -> pq.ParquetFile:
        """Open the file."""
        return pq.ParquetFile(self.path, **_INT96, **options)


def find_parquet(paths: Any, parameter: str) -> list[ParquetPath]:
    """Return the files of a path, a folder, a glob or a list of these.

    An existing path is used as it is, even if it looks like a pattern; other texts are patterns. A
    folder means all files in it and its subfolders, whatever their extension. Names that start with
    a dot or an underscore are skipped, as in Spark and pyarrow, since they are not data.
    """
    found: dict[Path, dict[str, str | None]] = {}
    for named in map(str, paths if isinstance(paths, (list, tuple)) else [paths]):
        here: dict[Path, dict[str, str | None]] = {}
        for path in [Path(named)] if Path(named).exists() else _match(named):
            for file in _files_below(path) if path.is_dir() else [path]:
                here.setdefault(file, _keys_between(path, file))
        if not here:
            raise FileNotFoundError(f"{parameter}: no Parquet file found at {named!r}.")
        twice = [path for path in here if path in found]
        if twice:
            raise ValueError(
                f"{parameter} names the file {twice[0]} twice, so its rows would count "
                "twice. List it only once."
            )
        found |= here
    first, names = next((path, list(keys)) for path, keys in found.items())
    for path, keys in found.items():
        if list(keys) != names:
            raise ValueError(
                f"{parameter}: the file {path} is in folders with the keys {list(keys)}, but "
                f"{first} is in folders with the keys {names}. Read them separately, or move "
                "all files to folders with the same keys."
            )
    values = {name: _typed([keys[name] for keys in found.values()]) for name in names}
    return [
        ParquetPath(path, {name: values[name][row] for name in names})
        for row, path in enumerate(found)
    ]


def _match(pattern: str) -> list[Path]:
    """Return the matches of a pattern, without skipped names unless the pattern spells them."""
    if not glob.has_magic(pattern):
        return []
    parts = Path(pattern).parts
    spelled = {part[0] for part in parts if glob.has_magic(part)}

    def is_seen(path: Path) -> bool:
        return all(
            part in parts or part[0] in spelled or not part.startswith(_PASSED_OVER)
            for part in path.parts
        )

    return [path for path in map(Path, sorted(glob.glob(pattern, recursive=True))) if is_seen(path)]


def _files_below(folder: Path) -> list[Path]:
    found: list[Path] = []
    for below, folders, files in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(_PASSED_OVER)]
        found += [Path(below, name) for name in files if not name.startswith(_PASSED_OVER)]
    return sorted(found)


def _keys_between(folder: Path, file: Path) -> dict[str, str | None]:
    """Return the keys of the Hive folders, with values as text."""
    pairs = [part.split("=", 1) for part in file.relative_to(folder).parts[:-1] if "=" in part]
    return {unquote(name): None if value == HIVE_NULL else unquote(value) for name, value in pairs}


def _typed(texts: list[str | None]) -> pa.Array:
    """Return the values of folders as integers if all are integers, as pyarrow does."""
    values = pa.array(texts, pa.string())
    try:
        return values.cast(pa.int32())
    except pa.ArrowInvalid:
        return values


class ParquetTable:
    """Parquet files as one table, read on demand. Every reader opens its files with this class.

    The constructor opens all files, so it finds truncated files and columns that do not fit before
    any work is done.

    Parameters
    ----------
    paths : path or list of paths
        As accepted by `find_parquet`.
    parameter : str
        The name of the table in messages.
    same_columns : bool, default=True
        Whether all files must have the same columns and types. If not, a file may lack columns of
        the others, and types are combined if Arrow can do so, such as int32 and int64 to int64.

    Attributes
    ----------
    files : list of ParquetPath
    n_rows : list of int
        Number of rows per file.
    schemas : list of pyarrow.Schema
        The columns of each file, with its keys and with an index that pandas wrote.
    schema : pyarrow.Schema
        The columns of the table, without an unnamed index, just as in a DataFrame.
    """

    def __init__(self, paths: Any, parameter: str, *, same_columns: bool = True) -> None:
        self.parameter = parameter
        self.files = find_parquet(paths, parameter)
        self.n_rows: list[int] = []
        self.schemas: list[pa.Schema] = []
        for path in self.files:
            with self.reading(path) as file:
                self.n_rows.append(file.metadata.num_rows)
                schema = path.add_fields(file.schema_arrow)
            # Equal schemas are one object, so that many files take little space in a pickle.
            is_equal = bool(self.schemas) and schema.equals(self.schemas[0])
            self.schemas.append(self.schemas[0] if is_equal else schema)
        whole = self._same() if same_columns else self._combined()
        columns = [field for field in whole if not re.fullmatch(UNNAMED_INDEX, field.name)]
        self.schema = pa.schema(columns, whole.metadata)

    def _same(self) -> pa.Schema:
        """Return the schema of all files."""
        first, *others = self.schemas
        for path, schema in zip(self.files[1:], others, strict=True):
            if schema is not first:
                raise ValueError(
                    f"{self.parameter}: the file {path.path} differs from {self.files[0].path}: it "
                    f"has {_difference(schema, first)}. Write all files with the same columns and "
                    "types."
                )
        return first

    def _combined(self) -> pa.Schema:
        """Return the columns of all files, each with a type that fits every file."""
        combined = self.schemas[0]
        for path, schema in zip(self.files, self.schemas, strict=True):
            try:
                combined = pa.unify_schemas([combined, schema], promote_options="permissive")
            except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
                raise ValueError(
                    f"{self.parameter}: the file {path.path} does not fit the other files "
                    f"({error}). Give all files the same column types."
                ) from error
        return combined

    @property
    def columns(self) -> list[str]:
        """Names of the columns."""
        return self.schema.names

    @property
    def nested(self) -> list[str]:
        """Names of the nested columns."""
        return [field.name for field in self.schema if is_list_of_structs(field.type)]

    def require(self, columns: Collection[str]) -> None:
        """Reject files with missing columns."""
        for name in columns:
            if name not in self.columns:
                raise ValueError(
                    f"{self.parameter} has no column {name!r}; the files have {self.columns}. "
                    "Pass the name of an existing column, or add the column to the files."
                )

    def read(self) -> pa.Table:
        """Return the rows of all files; a column that a file lacks is null there."""
        kind = ds.ParquetFileFormat(read_options=ds.ParquetReadOptions(**_INT96))
        here = pa.fs.LocalFileSystem()
        fragments = [
            kind.make_fragment(str(path.path), here, path.guarantee) for path in self.files
        ]
        return ds.FileSystemDataset(fragments, self.schema, kind, here).to_table()

    def frames(self, columns: Sequence[str] | None = None) -> Iterator[pd.DataFrame]:
        """Yield the rows of all files, batch by batch."""
        for path in self.files:
            for table in self.tables(path):
                yield as_pandas(table.select(columns or self.columns))

    def tables(self, path: ParquetPath) -> Iterator[pa.Table]:
        """Yield the rows of one file, with about `BATCH` events per batch."""
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
                "may be truncated; if so, rewrite it. If it has another format, read it into a "
                "DataFrame. If the folder also contains other files, select the Parquet files "
                "with a pattern such as 'folder/*.parquet'."
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


def _difference(schema: pa.Schema, first: pa.Schema) -> str:
    """Describe the first difference of a schema from that of the first file."""
    for field in schema:
        if field.name not in first.names:
            return f"an extra column {field.name!r}"
        kind = first.field(field.name).type
        if field.type != kind:
            return f"{field.name!r} of type {field.type} instead of {kind}"
    missing = [name for name in first.names if name not in schema.names]
    return f"no column {missing[0]!r}" if missing else "its columns in another order"


def cast_columns(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Cast a table to a schema with the same columns.

    Columns that already have the right type are not cast: Arrow's cast breaks lists of structs with
    a subfield of type null.
    """
    columns = [
        values if values.type == field.type else values.cast(field.type)
        for values, field in zip(table.columns, schema, strict=True)
    ]
    return pa.table(columns, schema=schema)


def as_pandas(table: pa.Table) -> pd.DataFrame:
    """Convert a table from Parquet, with the dtypes that pandas recorded and a new index."""
    nested = [field.name for field in table.schema if pa.types.is_nested(field.type)]
    plain = table.drop_columns(nested)
    notes = plain.schema.pandas_metadata
    if notes:
        # pandas cannot read its own metadata of nested columns, whether selected or not.
        known = [*plain.column_names, *notes["index_columns"]]
        notes["columns"] = [n for n in notes["columns"] if n["field_name"] in known]
        plain = plain.replace_schema_metadata({"pandas": json.dumps(notes)})
    frame = plain.to_pandas()
    named = [level for level in frame.index.names if level is not None]
    frame = frame.reset_index(named).reset_index(drop=True)
    for column in nested:
        values: Any = pd.array(table[column], dtype=pd.ArrowDtype(table[column].type))
        frame.insert(min(table.column_names.index(column), frame.shape[1]), column, values)
    return frame
