"""prepare_parquet: fitted steps applied file by file to Parquet larger than memory.

Each file is written under a temporary name and renamed when it is complete, and so is the folder.
So every file that exists is complete, and files finished before a failure are kept.
"""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from numbers import Integral
from pathlib import Path
from typing import Any

import joblib
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.pipeline import Pipeline
from sklearn.utils import check_scalar
from tqdm.auto import tqdm

from skhuihen._events.nested import as_lists
from skhuihen._tables.parquet import (
    ParquetPath,
    ParquetTable,
    as_pandas,
    cast_columns,
    is_list_of_structs,
)
from skhuihen._tables.parts import begun_parts, check_output, part_name, writing

_UNFINISHED = ".unfinished"


def prepare_parquet(
    steps: Any,
    source: Any,
    output: str | Path,
    *,
    n_jobs: int | None = None,
    verbose: int = 0,
) -> Path:
    """Abstract and sessionize applications from Parquet to Parquet, in batches.

    Parameters
    ----------
    steps : transformer or Pipeline of transformers
        Fitted, such as a `BehaviorAbstractor` and a `Sessionizer`. They must change only the
        events, and treat each application separately.
    source : path or list of paths
        Parquet with a nested column, as written by `attach_behaviors`: a file, a folder, a glob or
        a list of files, all with the same columns and types.
    output : path
        A new folder, which must not exist yet. It gets one file per file of `source`, in the same
        order.
    n_jobs : int, default=None
        Number of processes. None means 1; -1 means one per processor. The result is the same.
    verbose : int, default=0
        1 shows a progress bar over the files.

    Returns
    -------
    Path
        The path of `output`.

    Raises
    ------
    TypeError, ValueError
        If the steps cannot use the columns or types of the files, which is checked before any work
        is done, or if they reject values. The message names the file.
    FileExistsError
        If `output` already exists, or another call left unfinished files.
    OSError
        If a file cannot be written, for example on a full disk.
    RuntimeError
        If a process was killed.

    Warns
    -----
    UserWarning
        Warnings of the steps, combined into one, with the number of files.

    See Also
    --------
    attach_behaviors : Writes `source`.

    Notes
    -----
    `output` appears only when it is complete. Until then the finished files are next to it, in
    ``<output>.unfinished``. After a failure, the same call continues after the last finished file.
    It is the same call if the steps, their learned state, and the files (name, size and
    modification time) are unchanged.

    Each process holds about a million events at a time with their intermediate results, whatever
    the size of a file, and the compressed columns of a row group.

    Examples
    --------
    >>> import tempfile
    >>> from sklearn.pipeline import make_pipeline
    >>> from skhuihen import BehaviorAbstractor, Sessionizer, attach_behaviors, prepare_parquet
    >>> from skhuihen.datasets import make_loan_data
    >>> bank = make_loan_data(n_new=100, n_old=0, random_state=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     attached = attach_behaviors(
    ...         bank.applications, bank.events, output=f"{folder}/attached", n_partitions=4)
    ...     abstractor = BehaviorAbstractor().fit(attached)
    ...     steps = make_pipeline(abstractor, Sessionizer())
    ...     prepared = prepare_parquet(steps, attached, f"{folder}/prepared")
    ...     len(list(prepared.iterdir()))
    4
    """
    if n_jobs is not None:
        check_scalar(n_jobs, "n_jobs", Integral)
    if not hasattr(steps, "transform"):
        raise TypeError(
            f"steps is a {type(steps).__name__}; it must be a fitted transformer or a Pipeline of "
            "transformers: sklearn.pipeline.make_pipeline(abstractor, sessionizer)."
        )
    folder = check_output(output)
    assert folder is not None
    files = ParquetTable(source, "source")
    if not files.nested:
        raise ValueError(
            f"source has no column of events; the files have {files.columns}. Use "
            "attach_behaviors to add it."
        )
    stored = files.schemas[0].empty_table()  # the output keeps an index that pandas wrote
    empty = as_pandas(stored.select(files.columns))
    schema = _replace_events(stored, _apply(steps, empty, files)).schema

    unfinished = folder.with_name(folder.name + _UNFINISHED)
    parts = _open(unfinished, steps, files)
    wanted = [parts / part_name(number) for number in range(len(files.files))]
    todo = [
        (path, part)
        for path, part, n_rows in zip(files.files, wanted, files.n_rows, strict=True)
        if not _is_whole(part, n_rows)
    ]
    bar = tqdm(total=len(wanted), desc="prepare_parquet", unit="file", disable=not verbose)
    bar.update(len(wanted) - len(todo))
    run = joblib.Parallel(n_jobs=n_jobs, return_as="generator_unordered")
    told: list[str] = []
    with bar, _explaining(parts, len(wanted)):
        for messages in run(
            joblib.delayed(_prepare)(steps, files, path, part, schema) for path, part in todo
        ):
            told += messages[:1]
            bar.update()
    if told:
        warnings.warn(
            f"{len(told)} of {len(todo)} prepared files gave a warning, for example: {told[0]}",
            UserWarning,
            stacklevel=2,
        )
    parts.rename(folder)
    shutil.rmtree(unfinished)
    return folder


def _prepare(
    steps: Any, files: ParquetTable, path: ParquetPath, part: Path, schema: pa.Schema
) -> list[str]:
    """Prepare one file and return its warnings."""
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            with _naming(path.path), writing(part, schema) as writer:
                for table in files.tables(path):
                    frame = as_pandas(table.select(files.columns))
                    prepared = _replace_events(table, _apply(steps, frame, files))
                    writer.write_table(cast_columns(prepared, schema))
    except OSError as error:
        raise OSError(
            error.errno, f"{error.strerror or error} (while preparing {path.path})", str(part)
        ) from error
    return [f"{path.path}: {warning.message}" for warning in caught]


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Name the file with the values that the steps reject."""
    try:
        yield
    except (TypeError, ValueError) as error:
        if str(path) in str(error):
            raise
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"source: in the file {path}: {error}") from error


def _apply(steps: Any, frame: pd.DataFrame, files: ParquetTable) -> pd.DataFrame:
    """Return some applications after the steps, which may change only the events."""
    prepared = steps.transform(frame)
    others = [name for name in frame.columns if name not in files.nested]
    if not (
        isinstance(prepared, pd.DataFrame)
        and list(prepared.columns) == list(frame.columns)
        and prepared[others].reset_index(drop=True).equals(frame[others])
    ):
        columns = getattr(prepared, "columns", None)
        found = "" if columns is None else f" with the columns {list(columns)}"
        raise ValueError(
            f"steps turn the applications into a {type(prepared).__name__}{found}; they must keep "
            f"the rows and change only the events. The files have {files.columns}. Pass only the "
            "steps that change events, without the classifier: model[:2], for example."
        )
    return prepared


def _replace_events(table: pa.Table, prepared: pd.DataFrame) -> pa.Table:
    """Replace the events with the prepared ones; everything else stays as it was read."""
    for position, field in enumerate(table.schema):
        if is_list_of_structs(field.type):
            table = table.set_column(position, field.name, as_lists(prepared[field.name]))
    return table


# --------------------------------------------------------------------------------------------------
# Files kept from a failed call.


def _open(unfinished: Path, steps: Any, files: ParquetTable) -> Path:
    """Return the folder of finished files, which may contain some from an earlier equal call."""
    parts, note = unfinished / "parts", unfinished / "made_from.json"
    made_from = {
        "steps": joblib.hash(_describe(steps)),
        "files": [
            [str(path), path.stat().st_size, path.stat().st_mtime_ns]
            for path in (file.path for file in files.files)
        ],
    }
    if note.exists():
        before = json.loads(note.read_text())
        for what, found in made_from.items():
            if before[what] != found:
                raise FileExistsError(
                    f"{str(unfinished)!r} contains finished files of an earlier call with other "
                    f"{what}. Remove it to start again, or repeat the earlier call to continue."
                )
    else:
        parts.mkdir(parents=True, exist_ok=True)
        begun = note.with_suffix(_UNFINISHED)
        begun.write_text(json.dumps(made_from))
        begun.replace(note)
    for left in begun_parts(parts):  # left by a killed process
        left.unlink()
    return parts


def _describe(steps: Any) -> list[Any]:
    """Return everything that determines the result: classes, parameters and learned state."""
    if isinstance(steps, Pipeline):
        return [_describe(step) for _, step in steps.steps]
    values = {name: value for name, value in vars(steps).items() if not name.startswith("_")}
    # A frame as text, since equal frames may differ in memory layout.
    return [
        type(steps).__qualname__,
        {k: v.to_csv() if isinstance(v, pd.DataFrame) else v for k, v in values.items()},
    ]


def _is_whole(part: Path, n_rows: int) -> bool:
    """Return whether a finished file is complete, even after a crash of the machine."""
    try:
        return pq.read_metadata(part).num_rows == n_rows
    except (OSError, pa.ArrowException):
        return False


@contextmanager
def _explaining(parts: Path, n: int) -> Iterator[None]:
    """Name the files that a killed process was working on."""
    try:
        yield
    except BrokenProcessPool as error:
        begun = [path.name.split(".")[1] for path in begun_parts(parts)]
        done = len(list(parts.glob("*.parquet")))
        raise RuntimeError(
            f"A process was killed while working on one of {', '.join(begun)}. The usual cause is "
            f"too little memory. {done} of {n} files are finished and kept; the same call "
            "continues after them. n_jobs=1 needs the least memory."
        ) from error
