"""A folder of Parquet parts that appears only when it is whole."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet as pq


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
