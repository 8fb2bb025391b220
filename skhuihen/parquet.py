"""Parquet files: opened as one table, read as pandas noted them, written part by part."""

from __future__ import annotations

import glob
import json
import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

#: What pandas calls an index without a name.
UNNAMED_INDEX = r"__index_level_\d+__"


def is_parquet(table: Any) -> bool:
    """Say whether this is a path or a list of paths."""
    if isinstance(table, (list, tuple)):
        return len(table) > 0 and all(isinstance(part, (str, Path)) for part in table)
    return isinstance(table, (str, Path))


def find_parquet(paths: Any, parameter: str) -> list[str]:
    """Return the files and folders that a path, a glob or a list of them names."""
    found = []
    for part in map(str, paths if isinstance(paths, (list, tuple)) else [paths]):
        here = sorted(glob.glob(part, recursive=True)) if glob.has_magic(part) else [part]
        if not here or not Path(here[0]).exists():
            raise FileNotFoundError(f"{parameter}: no Parquet file is at {part!r}.")
        found += here
    return found


def open_parquet(paths: Any, parameter: str) -> ds.Dataset:
    """Open a file, a folder, a glob or a list of files as one table, read when it is needed."""
    files = find_parquet(paths, parameter)
    one_folder = len(files) == 1 and Path(files[0]).is_dir()
    source = files[0] if one_folder else files
    options = {"format": "parquet", "partitioning": "hive" if one_folder else None}
    problem = ""
    try:
        first = ds.dataset(source, **options)
        schema = first.schema
        # By default pyarrow drops the columns that the first file lacks.
        for fragment in first.get_fragments():
            problem = f"{fragment.path!r} does not fit: "
            more = [schema, fragment.physical_schema]
            schema = pa.unify_schemas(more, promote_options="permissive")
        # What pandas calls an index without a name; a DataFrame's own is no column either.
        columns = [field for field in schema if not re.fullmatch(UNNAMED_INDEX, field.name)]
        schema = pa.schema(columns, schema.metadata)
        return ds.dataset(source, schema=schema, **options)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OSError) as error:
        raise ValueError(
            f"{parameter}: the files at {files} cannot be read as one Parquet table ({problem}"
            f"{error}). Read other formats into a DataFrame first; give all files the same column "
            "types; write a file anew that was cut off."
        ) from error


def as_pandas(table: pa.Table) -> pd.DataFrame:
    """Convert what Parquet held, with the dtypes that pandas noted there, to a fresh index."""
    nested = [field.name for field in table.schema if pa.types.is_nested(field.type)]
    plain = table.drop_columns(nested)
    notes = plain.schema.pandas_metadata
    if notes:
        # pandas cannot read its own notes on nested columns.
        notes["columns"] = [n for n in notes["columns"] if n["field_name"] not in nested]
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
    return pa.Schema.from_pandas(frame)


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
