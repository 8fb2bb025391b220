"""A folder of Parquet parts that appears only when complete."""

from __future__ import annotations

import json
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
    """Return the output folder; reject it if it exists or cannot be created."""
    if output is None:
        return None
    if "://" in str(output):
        raise ValueError(
            f"output={str(output)!r} is not a local folder. Pass a local folder, or omit output "
            "and let the engine write the result: .to_parquet(...) for Ibis tables, "
            ".write.parquet(...) for Spark."
        )
    folder = Path(output)
    if folder.exists():
        raise FileExistsError(
            f"output={str(output)!r} already exists. Remove it, or choose a new folder."
        )
    if not folder.parent.is_dir():
        raise FileNotFoundError(
            f"output={str(output)!r}: the folder {str(folder.parent)!r} does not exist. Create it "
            "first."
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
    finally:
        begun.unlink(missing_ok=True)


def begun_parts(folder: Path) -> list[Path]:
    """Return what is being written, or was when a process was killed."""
    return sorted(folder.glob(".part-*"))


@contextmanager
def work_folder(output: Path | None) -> Iterator[Path]:
    """Open a temporary folder that is removed with its contents.

    It is next to the output, so complete parts only need to be renamed.
    """
    parent, name = (None, "skhuihen") if output is None else (output.parent, f".{output.name}")
    with tempfile.TemporaryDirectory(prefix=f"{name}-", dir=parent) as folder:
        yield Path(folder)


def schema_to_write(frame: pd.DataFrame) -> pa.Schema:
    """Return the types and pandas metadata for all parts of a frame; reject unsupported columns.

    They come from the whole frame, since a part may have no values that show a column's type.
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
        # Arrow 19 forgets them; pandas itself keeps them here.
        attributes = json.dumps(frame.attrs, default=str)
        schema = schema.with_metadata({**schema.metadata, b"PANDAS_ATTRS": attributes})
    for field in schema:
        try:
            pq.ParquetWriter(pa.BufferOutputStream(), pa.schema([field])).close()
        except pa.ArrowNotImplementedError as error:
            raise TypeError(
                f"Column {field.name!r} of applications is of type {field.type}, which Parquet "
                "does not support. Convert it, or drop it."
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
    """Write a frame and the pieces of its nested column as one Parquet file per piece.

    The files are written in ``folder`` and moved to ``output`` when all are complete. Returns the
    number of events.
    """
    parts = folder / "parts"
    parts.mkdir()
    start = n_events = 0
    for number, piece in enumerate(pieces):
        table = pa.Table.from_pandas(frame.iloc[start : start + len(piece)], schema)
        # No pandas metadata for the nested column: pandas cannot read it with a time zone.
        table = table.replace_schema_metadata(schema.metadata).append_column(name, piece)
        try:
            with writing(parts / part_name(number), table.schema) as writer:
                writer.write_table(table)
        except OSError as error:  # the error of the system does not name the folder
            raise OSError(error.errno, error.strerror or str(error), str(output)) from error
        start += len(piece)
        n_events += sum(len(chunk.values) for chunk in piece.chunks)
    parts.rename(output)
    return n_events


def write_ibis(table: Any, output: Path) -> Path:
    """Let an Ibis table's own engine write it; the folder appears only when complete."""
    with work_folder(output) as folder:
        parts = folder / "parts"
        parts.mkdir()
        table.to_parquet(parts / part_name(0))
        parts.rename(output)
    return output
