"""From arrays to tensors: the only connection between frames and network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

#: The arrays of `Batch` with one value per behavior.
OF_BEHAVIORS = ("behavior", "scale", "interval", "weekday", "monthday", "numbers")


@dataclass(frozen=True)
class Batch:
    """Some applications with their behaviors, packed.

    Behaviors are in packed order over sessions (see `skhuihen.network.recurrence`), longest
    session first. Sessions are in packed order over applicants, those with most sessions first.

    Attributes
    ----------
    profile : float Tensor of shape (n_applications, n_encoded_columns)
    topics : float Tensor of shape (n_applications, n_topics)
        Topics of each application's behaviors.
    weight : float Tensor of shape (n_applications,)
        Weight of each application in the loss.
    behavior : int64 Tensor of shape (n_behaviors,)
        Row of the behavior in the embedding table; one past the end if unknown.
    scale : float Tensor of shape (n_behaviors,)
        ``log1p(|amount|)`` for a transform operation, otherwise 1.
    interval : float Tensor of shape (n_behaviors,)
        Seconds since the previous behavior of the session.
    weekday, monthday : int64 Tensor of shape (n_behaviors,)
        0 to 6, and day of the month minus one, 0 to 30.
    numbers : float Tensor of shape (n_behaviors, n_numbers)
        Further numbers of the behavior.
    session : int64 Tensor of shape (n_sessions,)
        For each session in packed order over applicants, its rank by length.
    applicants : int64 Tensor of shape (n_applicants,)
        The applications with at least one behavior, most sessions first.
    last_session : int64 Tensor of shape (n_applicants,)
        Rank by length of each applicant's last session.
    behavior_steps, session_steps : list of int
        Number of sequences still running at each step of the two scans.
    guidance : float Tensor of shape (n_applications,), default=None
        A teacher's probability of overdue, if there is one.
    """

    profile: Tensor
    topics: Tensor
    weight: Tensor
    behavior: Tensor
    scale: Tensor
    interval: Tensor
    weekday: Tensor
    monthday: Tensor
    numbers: Tensor
    session: Tensor
    applicants: Tensor
    last_session: Tensor
    behavior_steps: list[int]
    session_steps: list[int]
    guidance: Tensor | None = None

    def __len__(self) -> int:
        return len(self.profile)

    def target(self, label: Tensor) -> Tensor:
        """Return the target of the loss: the labels, and the guidance if there is one."""
        if self.guidance is None:
            return label
        return torch.stack([label.to(self.guidance), self.guidance], dim=1)

    def to(self, *args: object, **kwargs: object) -> Batch:
        """Move every tensor to a device."""
        moved = {
            field.name: getattr(self, field.name).to(*args, **kwargs)
            for field in fields(self)
            if isinstance(getattr(self, field.name), Tensor)
        }
        return replace(self, **moved)


@dataclass(frozen=True)
class EncodedBehaviors:
    """The behaviors of many applications as flat arrays, sorted by application and session.

    Attributes
    ----------
    behavior, weekday, monthday : int64 ndarray of shape (n_behaviors,)
    scale, interval : float ndarray of shape (n_behaviors,)
    numbers : float ndarray of shape (n_behaviors, n_numbers)
        As in `Batch`.
    session_lengths : int64 ndarray of shape (n_sessions,)
        Number of behaviors of each session, at least 1.
    n_sessions : int64 ndarray of shape (n_applications,)
        Number of sessions of each application, 0 for an empty history.
    topics : float ndarray of shape (n_applications, n_topics)
        As in `Batch`.
    """

    behavior: NDArray[np.int64]
    scale: NDArray[np.floating]
    interval: NDArray[np.floating]
    weekday: NDArray[np.int64]
    monthday: NDArray[np.int64]
    numbers: NDArray[np.floating]
    session_lengths: NDArray[np.int64]
    n_sessions: NDArray[np.int64]
    topics: NDArray[np.floating]

    @classmethod
    def none(
        cls, n_applications: int, dtype: type = np.float32, n_numbers: int = 0, n_topics: int = 0
    ) -> EncodedBehaviors:
        """Return the behaviors of applications without events."""
        index: NDArray[np.int64] = np.empty(0, dtype=np.int64)
        number: NDArray[np.floating] = np.empty(0, dtype=dtype)
        return cls(
            behavior=index,
            scale=number,
            interval=number,
            weekday=index,
            monthday=index,
            numbers=np.empty((0, n_numbers), dtype=dtype),
            session_lengths=index,
            n_sessions=np.zeros(n_applications, dtype=np.int64),
            topics=np.zeros((n_applications, n_topics), dtype=dtype),
        )


class ApplicationDataset(Dataset):
    """Applications from which batches are taken without a Python loop.

    Parameters
    ----------
    profile : float ndarray of shape (n_applications, n_encoded_columns)
    behaviors : EncodedBehaviors
    y : int64 ndarray of shape (n_applications,), default=None
        1 for overdue. Zeros if None.
    weight : float ndarray of shape (n_applications,), default=None
        Ones if None.
    device : str or torch.device, default="cpu"
        Device of the flat arrays, on which batches are made. Only positions are sent there for
        each batch.
    """

    def __init__(
        self,
        profile: NDArray[np.floating],
        behaviors: EncodedBehaviors,
        y: NDArray[np.int64] | None = None,
        weight: NDArray[np.floating] | None = None,
        device: str | torch.device = "cpu",
    ) -> None:
        n = len(profile)
        self.profile = profile
        self.behaviors = behaviors
        self.y = np.zeros(n, dtype=np.int64) if y is None else y
        self.weight = np.ones(n, dtype=profile.dtype) if weight is None else weight
        self.device = torch.device(device)
        of_behaviors = {name: getattr(behaviors, name) for name in OF_BEHAVIORS}
        of_applications = {name: getattr(self, name) for name in ("profile", "weight", "y")}
        of_applications["topics"] = behaviors.topics
        self._on_device = {
            name: self._send(np.require(array, requirements="W"))  # torch warns about read-only
            for name, array in (of_behaviors | of_applications).items()
        }
        self._session_start = _starts(behaviors.session_lengths)
        self._first_session = _starts(behaviors.n_sessions)

    def __len__(self) -> int:
        return len(self.profile)

    def __getitem__(self, index: int) -> tuple[Batch, Tensor]:
        return self.__getitems__([index])

    def __getitems__(self, indices: Sequence[int]) -> tuple[Batch, Tensor]:
        """Return one batch: the applications at ``indices``, and their labels."""
        rows = np.asarray(indices, dtype=np.int64)
        behaviors = self.behaviors
        n_sessions = behaviors.n_sessions[rows]
        applicants = np.flatnonzero(n_sessions)
        counts = n_sessions[applicants]
        sessions = _ranges(self._first_session[rows[applicants]], counts)
        behavior_index, behavior_steps, by_length = pack(
            self._session_start[sessions], behaviors.session_lengths[sessions]
        )
        first = _starts(counts)
        session_index, session_steps, by_count = pack(first, counts)
        rank = np.empty_like(by_length)
        rank[by_length] = np.arange(len(by_length))
        last = (first + counts - 1)[by_count]
        behaviors_at, rows_at = self._send(behavior_index), self._send(rows)
        flat = {
            name: array.index_select(0, behaviors_at if name in OF_BEHAVIORS else rows_at)
            for name, array in self._on_device.items()
        }
        y = flat.pop("y")
        batch = Batch(
            **flat,
            session=self._send(rank[session_index]),
            applicants=self._send(applicants[by_count]),
            last_session=self._send(rank[last]),
            behavior_steps=behavior_steps,
            session_steps=session_steps,
        )
        return batch, y

    def _send(self, array: NDArray[Any]) -> Tensor:
        return torch.from_numpy(array).to(self.device)


def pack(
    starts: NDArray[np.int64], lengths: NDArray[np.int64]
) -> tuple[NDArray[np.int64], list[int], NDArray[np.int64]]:
    """Lay sequences out time-major, longest first.

    Parameters
    ----------
    starts, lengths : int64 ndarray of shape (n_sequences,)
        Where each sequence starts in a flat array, and its length, at least 1.

    Returns
    -------
    index : int64 ndarray of shape (sum of lengths,)
        Positions in the flat array, in packed order.
    steps : list of int
        Number of sequences still running at each step.
    order : int64 ndarray of shape (n_sequences,)
        The sequences, longest first; ties keep their given order.
    """
    order = np.argsort(-lengths, kind="stable")
    if not len(order):
        return np.empty(0, np.int64), [], order
    steps = len(lengths) - np.cumsum(np.bincount(lengths))[:-1]
    step = np.repeat(np.arange(len(steps)), steps)
    rank = np.arange(len(step)) - np.repeat(_starts(steps), steps)
    return starts[order][rank] + step, steps.tolist(), order


def _starts(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the start of each of several adjacent pieces."""
    return np.cumsum(lengths) - lengths


def _ranges(starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the concatenation of ``arange(start, start + length)``."""
    return np.arange(lengths.sum()) + np.repeat(starts - _starts(lengths), lengths)
