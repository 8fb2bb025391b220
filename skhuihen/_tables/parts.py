"""A folder of Parquet parts that appears only when it is whole."""

from __future__ import annotations

import tempfile
import uuid
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


def part_name(number: int) -> str:
    """Return the name of a part by its number; parts lie in the order of their names."""
    return f"part-{number:05d}.parquet"


@contextmanager
def writing(part: Path, schema: pa.Schema) -> Iterator[pq.ParquetWriter]:
    """Write a part under a name that no reader looks at, and rename it when it is complete.

    So a part that has its name is whole, whatever ended the process.
    """
    begun = part.with_name(f".{part.name}.{uuid.uuid4().hex}")
    try:
        with pq.ParquetWriter(begun, schema) as writer:
            yield writer
        begun.replace(part)
    except OSError as error:  # the system's own does not say where
        raise OSError(error.errno, error.strerror or str(error), str(part)) from error
    finally:
        begun.unlink(missing_ok=True)


def begun_parts(folder: Path) -> list[Path]:
    """Return what is being written, or was when a process was killed."""
    return sorted(folder.glob(".part-*"))


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
        with writing(parts / part_name(number), table.schema) as writer:
            writer.write_table(table)
        start += len(piece)
        n_events += sum(len(chunk.values) for chunk in piece.chunks)
    parts.rename(output)
    return n_events


def write_ibis(table: Any, output: Path) -> Path:
    """Have an Ibis table's own engine write it, as a folder that is there when it is complete."""
    with work_folder(output) as folder:
        parts = folder / "parts"
        parts.mkdir()
        table.to_parquet(parts / part_name(0))
        parts.rename(output)
    return output
