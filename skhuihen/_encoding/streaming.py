"""Training on prepared Parquet larger than memory: events are read in buffers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset, Subset

from skhuihen._tables.parquet import ParquetPath, ParquetTable, as_pandas, is_parquet
from skhuihen.network.batch import ApplicationDataset, EncodedBehaviors

#: Approximate number of behaviors in memory. Each takes 32 bytes plus four for each of its
#: numbers, and twice as much while it is read.
BUFFER = 8_000_000
#: Subfields that a classifier reads.
_OF_SESSIONS = ("time", "seq", "amount", "session", "interval", "weekday", "monthday")
_ABSTRACT, _RAW = ("field", "behavior"), ("operation", "item")


@dataclass(frozen=True)
class _RowGroup:
    """Some consecutive applications of one file."""

    path: ParquetPath
    number: int
    start: int
    stop: int


class PreparedParquet(ParquetTable):
    """Applications in Parquet: the profile is read at once, events by row group.

    Parameters
    ----------
    paths : path or list of paths
    column : str
        The nested column.
    applied_at : str or None
        The column with the time of the application.
    numbers : sequence of str
        Additional subfields to read, after those that every classifier reads.
    """

    def __init__(
        self, paths: Any, column: str, applied_at: str | None, numbers: Sequence[str] = ()
    ) -> None:
        super().__init__(paths, "X")
        self.column = column
        self.numbers = tuple(numbers)
        wanted = [column] if applied_at is None else [column, applied_at]
        self._columns = [name for name in wanted if name in self.columns]
        self.groups: list[_RowGroup] = []
        start = 0
        for path in self.files:
            metadata = pq.read_metadata(path.path)
            for number in range(metadata.num_row_groups):
                stop = start + metadata.row_group(number).num_rows
                self.groups.append(_RowGroup(path, number, start, stop))
                start = stop

    def read_profile(self) -> pd.DataFrame:
        """Return all columns, with the nested column empty."""
        plain = [name for name in self.columns if name not in self.nested]
        tables = []
        for path in self.files:
            with self.reading(path) as file:
                stored = [name for name in plain if name not in path.keys]
                tables.append(path.add_keys(file.read(columns=stored)).select(plain))
        frame = as_pandas(pa.concat_tables(tables))
        for position, name in enumerate(self.columns):
            if name in self.nested:
                # The classifier raises for other nested columns, as with a frame.
                kind = None if name == self.column else pd.ArrowDtype(self.schema.field(name).type)
                empty: Any = pd.Series([None] * len(frame), dtype=kind or object)
                frame.insert(min(position, frame.shape[1]), name, empty)
        return frame

    def frames_of(self, rows: NDArray[np.int64]) -> Iterator[pd.DataFrame]:
        """Yield the events of the given rows, one row group at a time."""
        for group in self.groups:
            frame, _ = self.read_rows(group, rows)
            if len(frame):
                yield frame

    def read_rows(self, group: _RowGroup, rows: NDArray[np.int64]) -> tuple[pd.DataFrame, slice]:
        """Return the events of the given rows (ascending) in a row group, and their slice."""
        inside = slice(*np.searchsorted(rows, [group.start, group.stop]))
        wanted = rows[inside] - group.start
        if not len(wanted):
            return pd.DataFrame(), inside
        return self.read_group(group).iloc[wanted], inside

    def read_group(self, group: _RowGroup) -> pd.DataFrame:
        """Return the events of a row group, with the subfields that a classifier reads."""
        with self.reading(group.path) as file:
            paths = [file.schema.column(i).path for i in range(len(file.schema))]
            names = {path: path.split(".")[-1] for path in paths}
            prepared = set(_ABSTRACT) <= set(names.values())
            wanted = {*_OF_SESSIONS, *self.numbers, *(_ABSTRACT if prepared else _RAW)}
            columns = [
                path
                for path in paths
                if path in self._columns
                or (path.startswith(f"{self.column}.") and names[path] in wanted)
            ]
            return as_pandas(file.read_row_group(group.number, columns=columns))


def open_applications(
    X: Any,
    y: Any,
    sample_weight: Any,
    column: str,
    applied_at: str | None,
    numbers: Sequence[str] = (),
) -> tuple[Any, Any, Any, PreparedParquet | None]:
    """Return profile, labels, weights and event source of Parquet; other tables unchanged."""
    if not is_parquet(X):
        return X, y, sample_weight, None
    source = PreparedParquet(X, column, applied_at, numbers)
    frame = source.read_profile()
    found = []
    for parameter, values in (("y", y), ("sample_weight", sample_weight)):
        if isinstance(values, str):
            if values not in frame.columns:
                raise ValueError(
                    f"{parameter}={values!r} is not a column of X. Its columns are "
                    f"{list(frame.columns)}. Pass one of them, or one value for each application "
                    "in the order of the files."
                )
            values = frame.pop(values)
        found.append(values)
    return frame, *found, source if column in source.columns else None


class StreamedApplications(Dataset):
    """Applications with events that are read from Parquet in buffers.

    Parameters
    ----------
    source : PreparedParquet
    rows : int64 ndarray of shape (n_applications,)
        Their positions in the source, in ascending order.
    profile, y, weight, device
        As in `ApplicationDataset`.
    encode : callable
        Makes `EncodedBehaviors` of a frame with the nested column.
    """

    def __init__(
        self,
        source: PreparedParquet,
        rows: NDArray[np.int64],
        profile: NDArray[np.floating],
        y: NDArray[np.int64],
        weight: NDArray[np.floating],
        encode: Callable[[pd.DataFrame], EncodedBehaviors],
        device: str | torch.device,
    ) -> None:
        self.source = source
        self.rows = rows
        self.profile = profile
        self.y = y
        self.weight = weight
        self.encode = encode
        self.device = device

    def __len__(self) -> int:
        return len(self.rows)

    def buffers(
        self, indices: NDArray[np.int64], random: np.random.Generator | None
    ) -> Iterator[ApplicationDataset]:
        """Yield the applications in buffers of about `BUFFER` behaviors.

        Parameters
        ----------
        indices : int64 ndarray
            The applications to yield, in ascending order.
        random : Generator or None
            Draws the order of row groups; None keeps the order of the files.
        """
        groups = np.arange(len(self.source.groups))
        if random is not None:
            groups = random.permutation(groups)
        buffer: dict[int, tuple[EncodedBehaviors, NDArray[np.int64]]] = {}
        n_behaviors = 0
        for position, number in enumerate(groups.tolist()):
            frame, inside = self.source.read_rows(self.source.groups[number], self.rows[indices])
            if len(frame):
                encoded = self.encode(frame)
                buffer[number] = encoded, indices[inside]
                n_behaviors += len(encoded.behavior)
            is_last = position == len(groups) - 1
            if buffer and (n_behaviors >= BUFFER or is_last):
                yield self._join(buffer)
                buffer, n_behaviors = {}, 0

    def _join(
        self, buffer: dict[int, tuple[EncodedBehaviors, NDArray[np.int64]]]
    ) -> ApplicationDataset:
        """Concatenate row groups in the order of the files."""
        parts, found = zip(*(buffer[number] for number in sorted(buffer)), strict=True)
        indices = np.concatenate(found)
        behaviors = EncodedBehaviors(
            **{
                field.name: np.concatenate([getattr(part, field.name) for part in parts])
                for field in fields(EncodedBehaviors)
            }
        )
        return ApplicationDataset(
            self.profile[indices], behaviors, self.y[indices], self.weight[indices], self.device
        )


class Batches:
    """The batches of streamed applications, by buffer; each pass reads the files again.

    Parameters
    ----------
    dataset : StreamedApplications
    indices : sequence of int
        The applications to use, in ascending order.
    load : callable
        Makes the batches of a data set in memory.
    random : Generator or None
        Draws the order of row groups; None keeps the order of the files.
    """

    def __init__(
        self,
        dataset: StreamedApplications,
        indices: Sequence[int],
        load: Callable[[Dataset], Iterable[Any]],
        random: np.random.Generator | None,
    ) -> None:
        self.dataset = dataset
        self.indices = np.asarray(indices, dtype=np.int64)
        self.load = load
        self.random = random

    def __iter__(self) -> Iterator[Any]:
        for buffer in self.dataset.buffers(self.indices, self.random):
            yield from self.load(buffer)


def find_streamed(dataset: Any) -> tuple[StreamedApplications, Sequence[int]] | None:
    """Return the streamed applications and indices of a data set; None if not streamed."""
    if isinstance(dataset, Subset) and isinstance(dataset.dataset, StreamedApplications):
        return dataset.dataset, dataset.indices
    if isinstance(dataset, StreamedApplications):
        return dataset, range(len(dataset))
    return None
