"""Made-up applications, kept as plain Python objects, and the dataset made from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from skhuihen.network.batch import ApplicationDataset, EncodedBehaviors

# Number of behaviors in each session of each application; no session is an empty history.
histories = st.lists(st.lists(st.integers(1, 5), max_size=4), min_size=1, max_size=6)

MIXED = [[3, 1, 4], [], [2], [1, 1, 1, 5], [], [4, 2]]


@dataclass
class Behavior:
    index: int
    """Row in the embedding table, one past the end if unknown."""
    amount: float | None = None
    interval: float = 0.0
    weekday: int = 0
    """0 is Monday."""
    monthday: int = 1
    """1 to 31."""
    numbers: tuple[float, ...] = ()


@dataclass
class Application:
    profile: NDArray[np.float64]
    sessions: list[list[Behavior]] = field(default_factory=list)
    overdue: int = 0
    topics: tuple[float, ...] = ()


def draw_session(
    rng: np.random.Generator, length: int, n_behaviors: int, n_numbers: int = 0
) -> list[Behavior]:
    """Draw a session; one behavior in ten is unknown, one in three moves money."""
    return [
        Behavior(
            index=n_behaviors if rng.random() < 0.1 else int(rng.integers(n_behaviors)),
            amount=float(rng.normal() * 10 ** rng.uniform(-1, 5)) if rng.random() < 0.3 else None,
            interval=float(np.exp(rng.normal(1, 2))) if position else 0.0,
            weekday=int(rng.integers(7)),
            monthday=int(rng.integers(1, 32)),
            numbers=tuple(rng.normal(size=n_numbers)),
        )
        for position in range(length)
    ]


def draw_applications(
    history: Sequence[Sequence[int]],
    n_profile: int,
    n_behaviors: int,
    seed: int = 0,
    n_numbers: int = 0,
    n_topics: int = 0,
) -> list[Application]:
    """Draw one application for each list of session lengths."""
    rng = np.random.default_rng(seed)
    return [
        Application(
            profile=rng.normal(size=n_profile),
            sessions=[draw_session(rng, length, n_behaviors, n_numbers) for length in lengths],
            overdue=int(rng.integers(2)),
            topics=tuple(rng.normal(size=n_topics)),
        )
        for lengths in history
    ]


def as_dataset(applications: Sequence[Application], dtype: type = np.float64) -> ApplicationDataset:
    """Lay the applications out as the flat arrays that batches are cut from."""
    sessions = [session for application in applications for session in application.sessions]
    behaviors = [behavior for session in sessions for behavior in session]
    scale = [1 if b.amount is None else np.log1p(abs(b.amount)) for b in behaviors]
    encoded = EncodedBehaviors(
        behavior=np.array([b.index for b in behaviors], dtype=np.int64),
        scale=np.array(scale, dtype=dtype),
        interval=np.array([b.interval for b in behaviors], dtype=dtype),
        weekday=np.array([b.weekday for b in behaviors], dtype=np.int64),
        monthday=np.array([b.monthday - 1 for b in behaviors], dtype=np.int64),
        numbers=np.array([b.numbers for b in behaviors], dtype=dtype).reshape(
            len(behaviors), len(behaviors[0].numbers) if behaviors else 0
        ),
        session_lengths=np.array([len(session) for session in sessions], dtype=np.int64),
        n_sessions=np.array([len(a.sessions) for a in applications], dtype=np.int64),
        topics=np.array([a.topics for a in applications], dtype=dtype),
    )
    return ApplicationDataset(
        np.array([a.profile for a in applications], dtype=dtype),
        encoded,
        y=np.array([a.overdue for a in applications], dtype=np.int64),
    )
