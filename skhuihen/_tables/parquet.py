"""Parquet in every accepted form: files, folders, globs, Hive folders."""

from __future__ import annotations

import functools
import glob
import json
import operator
import os
import re
from collections.abc import Mapping, Sequence
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
    """Return the files of a path, a folder, a glob or a list of these. Every reader uses this.

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


def open_parquet(paths: Any, parameter: str) -> ds.FileSystemDataset:
    """Open a file, a folder, a glob or a list of files as one table, read on demand."""
    return as_one_table(find_parquet(paths, parameter), parameter)


def as_one_table(files: Sequence[ParquetPath], parameter: str) -> ds.FileSystemDataset:
    """Combine files. They may have different columns, but equal columns need equal types."""
    kind = ds.ParquetFileFormat(read_options=ds.ParquetReadOptions(**_INT96))
    here = pa.fs.LocalFileSystem()
    fragments = []
    schema = None
    for file in files:
        guarantee = functools.reduce(
            operator.and_,
            [
                ds.field(name) == value if value.is_valid else ds.field(name).is_null()
                for name, value in file.keys.items()
            ],
            ds.scalar(True),
        )
        fragment = kind.make_fragment(str(file.path), here, guarantee)
        does = "is not a complete Parquet file"
        try:
            stored = file.add_fields(fragment.physical_schema)
            does = "does not fit"
            # The first file may not have all columns of the others.
            more = [stored] if schema is None else [schema, stored]
            schema = pa.unify_schemas(more, promote_options="permissive")
        except (pa.ArrowInvalid, pa.ArrowTypeError, OSError) as error:
            raise ValueError(
                f"{parameter}: the files cannot be read as one Parquet table: {str(file.path)!r} "
                f"{does} ({error}). Rewrite truncated files, and give all files the same column "
                "types. Read other formats into a DataFrame. If a folder also contains other "
                "formats, select the Parquet files with a pattern such as 'folder/*.parquet'."
            ) from error
        fragments.append(fragment)
    assert schema is not None
    # An unnamed pandas index is not a column, just as in a DataFrame.
    columns = [field for field in schema if not re.fullmatch(UNNAMED_INDEX, field.name)]
    return ds.FileSystemDataset(fragments, pa.schema(columns, schema.metadata), kind, here)


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
