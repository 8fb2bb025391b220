"""The applications that the benchmarks run on, made up in the sizes of a bank's app log."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from skhuihen._events.behaviors import Behaviors, decode

#: The paper's bank A (Table 1).
N_APPLICATIONS = 26_602
_APPLIED_AT = np.datetime64("2024-06-03T12:00:00", "us").astype(np.int64)
_FIELDS = ["item_click", "transform_operation", "function_widget"]


def make_prepared(
    n_applications: int = N_APPLICATIONS,
    *,
    max_sessions: int = 50,
    max_behaviors: int = 25,
    random_state: int = 0,
) -> tuple[pd.DataFrame, NDArray[np.int64]]:
    """Make applications as they leave a `Sessionizer`, and their labels.

    Sessions per application are 12 at the median and 45 at the 90th percentile; behaviors per
    session, at least 3, are 7 and 22. There are 250 behaviors and 200 profile columns at most.
    """
    rng = np.random.default_rng(random_state)
    n_sessions = _counts(n_applications, 12, 45, 1, max_sessions, rng)
    lengths = _counts(int(n_sessions.sum()), 7, 22, 3, max_behaviors, rng)
    n = int(lengths.sum())
    session_start = np.cumsum(lengths) - lengths
    first = np.zeros(n, dtype=bool)
    first[session_start] = True
    interval = np.where(first, 0, np.exp(rng.normal(2.0, 1.5, n))).round(3)
    row_of_session = np.repeat(np.arange(n_applications), n_sessions)
    session = np.arange(len(lengths)) - (np.cumsum(n_sessions) - n_sessions)[row_of_session]
    # A session a day, the last one today.
    day = np.repeat(session - n_sessions[row_of_session], lengths)
    elapsed = np.cumsum(interval) - np.repeat(np.cumsum(interval)[session_start], lengths)
    time = _APPLIED_AT + day * 86_400_000_000 + (elapsed * 1e6).astype(np.int64)
    behavior = rng.choice(250, size=n, p=_shares(250))
    field = behavior % 3
    amount = np.where(field == 1, np.exp(rng.normal(5, 2, n)), np.nan)
    stamps = time.view("datetime64[us]")
    days = stamps.astype("datetime64[D]")
    fields = {
        "time": pa.array(stamps),
        "amount": pa.array(amount, from_pandas=True),
        "field": decode(field, _FIELDS),
        "behavior": decode(behavior, [f"behavior_{i:03d}" for i in range(250)]),
        "session": pa.array(np.repeat(session, lengths)),
        "interval": pa.array(interval),
        "weekday": pa.array((days.astype(np.int64) + 3) % 7),
        "monthday": pa.array((days - days.astype("datetime64[M]")).astype(np.int64) + 1),
    }
    offsets = np.append(
        0, np.cumsum(np.bincount(np.repeat(row_of_session, lengths), minlength=n_applications))
    )
    X = make_profile(n_applications, 20, rng)
    X.insert(0, "applied_at", np.full(n_applications, _APPLIED_AT).view("datetime64[us]"))
    X["behaviors"] = Behaviors(offsets.astype(np.int64), fields).to_array()
    y = (rng.random(n_applications) < 0.0527).astype(np.int64)
    return X, y


def make_raw(n_events: int, *, per_application: int = 163, random_state: int = 0) -> pd.DataFrame:
    """Make applications with raw events: 452 operations, 80 items, amounts, pauses of hours.

    As many events for each application as `make_prepared` has behaviors at the mean.
    """
    rng = np.random.default_rng(random_state)
    n = n_events // per_application
    n_events = n * per_application
    operation = rng.choice(452, size=n_events, p=_shares(452)).astype(np.int32)
    pause = rng.random(n_events) < 0.12
    seconds = np.exp(rng.normal(2.0, 1.2, n_events)) + pause * rng.exponential(72_000, n_events)
    elapsed = np.cumsum((seconds * 1e6).astype(np.int64).reshape(n, -1), axis=1)
    time = (_APPLIED_AT - 1_000_000 + elapsed - elapsed[:, -1:]).ravel()
    item = pa.array(rng.integers(80, size=n_events).astype(np.int32), mask=operation % 5 != 0)
    amount = np.where(operation % 7 == 1, rng.normal(0, 1000, n_events), np.nan)
    names = [f"Page{i // 7}.widget{i % 7}" for i in range(452)]
    fields = {
        "time": pa.array(time.view("datetime64[us]")),
        "operation": decode(operation, names),
        "item": pa.DictionaryArray.from_arrays(
            item, pa.array([f"A{i:02d}" for i in range(80)])
        ).dictionary_decode(),
        "amount": pa.array(amount, from_pandas=True),
    }
    X = make_profile(n, 5, rng)
    X.insert(0, "applied_at", np.full(n, _APPLIED_AT).view("datetime64[us]"))
    offsets = np.arange(0, n_events + 1, per_application)
    X["behaviors"] = Behaviors(offsets, fields).to_array()
    return X


def make_profile(n: int, n_columns: int, rng: np.random.Generator) -> pd.DataFrame:
    """Make a profile of numbers and, one column in four, categories."""
    columns: dict[str, NDArray] = {}
    for i in range(n_columns):
        name = f"{('user', 'device', 'item')[i % 3]}__{i:02d}"
        if i % 4:
            columns[name] = rng.normal(size=n)
        else:
            columns[name] = rng.choice(["a", "b", "c", "d"], size=n)
    return pd.DataFrame(columns)


def _counts(
    n: int, median: float, p90: float, least: int, most: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    spread = np.log(p90 / median) / 1.2816  # the normal distribution's 90th percentile
    drawn = np.exp(rng.normal(np.log(median), spread, n)).round()
    return np.clip(drawn, least, most).astype(np.int64)


def _shares(n: int) -> NDArray[np.float64]:
    share = 1 / np.arange(1, n + 1)
    return share / share.sum()
