"""Parquet files: opened as one table, read as pandas noted them, written part by part."""

from __future__ import annotations

import functools
import glob
import json
import operator
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
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

#: What pandas calls an index without a name.
UNNAMED_INDEX = r"__index_level_\d+__"
#: The value of a Hive folder whose rows have none.
HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"
#: Names that begin so are marks and leavings, such as Spark's _SUCCESS.
_PASSED_OVER = (".", "_")
#: Spark and SQL Server write timestamps as INT96, which nanoseconds cannot hold beyond 2262.
_INT96 = {"coerce_int96_timestamp_unit": "us"}


def is_parquet(table: Any) -> bool:
    """Say whether this is a path or a list of paths."""
    if isinstance(table, (list, tuple)):
        return len(table) > 0 and all(isinstance(part, (str, Path)) for part in table)
    return isinstance(table, (str, Path))


@dataclass(frozen=True)
class ParquetPath:
    """A Parquet file, and what the Hive folders that it lies in say of all its rows.

    Parameters
    ----------
    path : Path
    keys : mapping of str to pyarrow.Scalar
        Of each folder ``name=value`` below the folder that was asked for.
    """

    path: Path
    keys: Mapping[str, pa.Scalar]

    @property
    def fields(self) -> list[pa.Field]:
        """Name and type of each key."""
        return [pa.field(name, value.type) for name, value in self.keys.items()]

    def add_fields(self, schema: pa.Schema) -> pa.Schema:
        """Add the keys to the columns of the file; where both have a name, the folder's stays."""
        stored = [field for field in schema if field.name not in self.keys]
        return pa.schema([*stored, *self.fields], schema.metadata)

    def add_keys(self, table: pa.Table) -> pa.Table:
        """Add the keys to rows of the file."""
        table = table.drop_columns([name for name in self.keys if name in table.column_names])
        for field in self.fields:
            table = table.append_column(field, pa.repeat(self.keys[field.name], len(table)))
        return table

    def open(self, **options: Any) -> pq.ParquetFile:
        """Open the file."""
        return pq.ParquetFile(self.path, **_INT96, **options)


def find_parquet(paths: Any, parameter: str) -> list[ParquetPath]:
    """Return the files that a path, a folder, a glob or a list of them names: for every reader.

    What exists is what is meant, whatever its name looks like; else the text is a pattern. A folder
    stands for all files in it and in the folders below, whatever their names end with, but what
    begins with a dot or an underscore is passed over, as Spark and pyarrow do: it is no data.
    """
    found: dict[Path, dict[str, str | None]] = {}
    for named in map(str, paths if isinstance(paths, (list, tuple)) else [paths]):
        here: dict[Path, dict[str, str | None]] = {}
        for path in [Path(named)] if Path(named).exists() else _match(named):
            for file in _files_below(path) if path.is_dir() else [path]:
                here.setdefault(file, _keys_between(path, file))
        if not here:
            raise FileNotFoundError(f"{parameter}: no Parquet file is at {named!r}.")
        twice = [path for path in here if path in found]
        if twice:
            raise ValueError(
                f"{parameter} names the file {twice[0]} twice, so that its rows would count "
                "twice. Name it once."
            )
        found |= here
    first, names = next((path, list(keys)) for path, keys in found.items())
    for path, keys in found.items():
        if list(keys) != names:
            raise ValueError(
                f"{parameter}: the file {path} lies in folders that name the columns {list(keys)}, "
                f"and {first} in folders that name {names}. Read them one after the other, or put "
                "all into folders of the same columns."
            )
    values = {name: _typed([keys[name] for keys in found.values()]) for name in names}
    return [
        ParquetPath(path, {name: values[name][row] for name in names})
        for row, path in enumerate(found)
    ]


def _match(pattern: str) -> list[Path]:
    """Return what a pattern finds, but for names that are passed over unless it spells them."""
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
    """Return what the names of Hive folders say, each value as text."""
    pairs = [part.split("=", 1) for part in file.relative_to(folder).parts[:-1] if "=" in part]
    return {unquote(name): None if value == HIVE_NULL else unquote(value) for name, value in pairs}


def _typed(texts: list[str | None]) -> pa.Array:
    """Return values of folders as integers, if all are, as pyarrow reads them."""
    values = pa.array(texts, pa.string())
    try:
        return values.cast(pa.int32())
    except pa.ArrowInvalid:
        return values


def open_parquet(paths: Any, parameter: str) -> ds.FileSystemDataset:
    """Open a file, a folder, a glob or a list of files as one table, read when it is needed."""
    return as_one_table(find_parquet(paths, parameter), parameter)


def as_one_table(files: Sequence[ParquetPath], parameter: str) -> ds.FileSystemDataset:
    """Put files together, which may differ in their columns, but not in the types of these."""
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
        does = "is no whole Parquet file"
        try:
            stored = file.add_fields(fragment.physical_schema)
            does = "does not fit"
            # The first file may lack columns that others have.
            more = [stored] if schema is None else [schema, stored]
            schema = pa.unify_schemas(more, promote_options="permissive")
        except (pa.ArrowInvalid, pa.ArrowTypeError, OSError) as error:
            raise ValueError(
                f"{parameter}: the files cannot be read as one Parquet table: {str(file.path)!r} "
                f"{does} ({error}). Write a file anew that was cut off, and give all files the "
                "same column types. Read other formats into a DataFrame; where they lie beside "
                "Parquet files, name these by a pattern such as 'folder/*.parquet'."
            ) from error
        fragments.append(fragment)
    assert schema is not None
    # What pandas calls an index without a name; a DataFrame's own is no column either.
    columns = [field for field in schema if not re.fullmatch(UNNAMED_INDEX, field.name)]
    return ds.FileSystemDataset(fragments, pa.schema(columns, schema.metadata), kind, here)


def cast_columns(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Cast a table to a schema with the same columns.

    Of what is of its type already, Arrow's own cast breaks lists whose structs have a subfield of
    type null.
    """
    columns = [
        values if values.type == field.type else values.cast(field.type)
        for values, field in zip(table.columns, schema, strict=True)
    ]
    return pa.table(columns, schema=schema)


def as_pandas(table: pa.Table) -> pd.DataFrame:
    """Convert what Parquet held, with the dtypes that pandas noted there, to a fresh index."""
    nested = [field.name for field in table.schema if pa.types.is_nested(field.type)]
    plain = table.drop_columns(nested)
    notes = plain.schema.pandas_metadata
    if notes:
        # pandas cannot read its own notes on nested columns, be they chosen or not.
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


def check_output(output: str | Path | None) -> Path | None:
    """Return the folder to write to; refuse one that is there already or cannot be made."""
    if output is None:
        return None
    if "://" in str(output):
        raise ValueError(
            f"output={str(output)!r} is no folder of this machine. Name one, or leave output out "
            "and have the engine write what comes back: Ibis tables by .to_parquet(...), Spark's "
            "by .write.parquet(...)."
        )
    folder = Path(output)
    if folder.exists():
        raise FileExistsError(
            f"output={str(output)!r} is there already. Remove it, or name a new folder."
        )
    if not folder.parent.is_dir():
        raise FileNotFoundError(
            f"output={str(output)!r}: there is no folder {str(folder.parent)!r}. Make it first."
        )
    return folder


@contextmanager
def work_folder(output: Path | None) -> Iterator[Path]:
    """Open a folder that goes away with all that is in it.

    Beside the output, so that parts which are complete need only be renamed.
    """
    parent, name = (None, "skhuihen") if output is None else (output.parent, f".{output.name}")
    with tempfile.TemporaryDirectory(prefix=f"{name}-", dir=parent) as folder:
        yield Path(folder)


def schema_to_write(frame: pd.DataFrame) -> pa.Schema:
    """Return the types and pandas' notes for all parts of a frame, or refuse what has none.

    They are the whole frame's, since a part may have no values that tell a column's type.
    """
    for column in frame:
        try:
            pa.array(frame[column], from_pandas=True)
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
            raise TypeError(
                f"Column {column!r} of applications cannot be written as Parquet ({error}). "
                "Convert it, for example with .astype(str), or drop it."
            ) from error
    schema = pa.Schema.from_pandas(frame)
    if frame.attrs and b'"attributes"' not in schema.metadata[b"pandas"]:
        # Arrow 19 forgets them; this is where pandas itself notes them.
        attributes = json.dumps(frame.attrs, default=str)
        schema = schema.with_metadata({**schema.metadata, b"PANDAS_ATTRS": attributes})
    for field in schema:
        try:
            pq.ParquetWriter(pa.BufferOutputStream(), pa.schema([field])).close()
        except pa.ArrowNotImplementedError as error:
            raise TypeError(
                f"Column {field.name!r} of applications is of type {field.type}, which Parquet "
                "does not have. Convert it, or drop it."
            ) from error
    return schema


def write_parts(
    frame: pd.DataFrame,
    schema: pa.Schema,
    name: str,
    pieces: Iterable[pa.ChunkedArray],
    folder: Path,
    output: Path,
) -> int:
    """Write a frame and the pieces of its nested column as one Parquet file for each piece.

    The files come to be in the folder, and are moved to the output when all are complete.
    Returns the number of events.
    """
    parts = folder / "parts"
    parts.mkdir()
    start = n_events = 0
    for number, piece in enumerate(pieces):
        table = pa.Table.from_pandas(frame.iloc[start : start + len(piece)], schema)
        # Of the nested column pandas gets no note: it could not read one that has a time zone.
        table = table.replace_schema_metadata(schema.metadata).append_column(name, piece)
        try:
            pq.write_table(table, parts / f"part-{number:05d}.parquet")
        except OSError as error:  # the system's own does not say where
            raise OSError(error.errno, error.strerror or str(error), str(output)) from error
        start += len(piece)
        n_events += sum(len(chunk.values) for chunk in piece.chunks)
    parts.rename(output)
    return n_events


def write_ibis(table: Any, output: Path) -> Path:
    """Have an Ibis table's own engine write it, as a folder that is there when it is complete."""
    with work_folder(output) as folder:
        parts = folder / "parts"
        parts.mkdir()
        table.to_parquet(parts / "part-00000.parquet")
        parts.rename(output)
    return output
