"""The events of each application as of its time, cut off there and sorted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from skhuihen._events.behaviors import Behaviors
from skhuihen._events.frames import cure_for_renaming
from skhuihen._events.nested import as_lists
from skhuihen._tables.times import application_times, in_zone

#: Number of events per piece: all arrays made from a piece should fit in a processor's cache.
PIECE = 250_000


@dataclass(frozen=True)
class AsOf:
    """The sorted events known before each application, and the counts of dropped events.

    Attributes
    ----------
    behaviors : Behaviors
    n_events : int
        Events in the column.
    n_too_late : int
        Events at or after the application.
    n_before_lookback : int
        Events before the lookback.
    applied_at : int64 ndarray of shape (n_applications,) or None
        Time of each application in microseconds since 1970.
    """

    behaviors: Behaviors
    n_events: int
    n_too_late: int
    n_before_lookback: int
    applied_at: NDArray[np.int64] | None = None

    def counts(self) -> pd.Series:
        """Return the counts of used and dropped events."""
        return pd.Series(
            {
                "events": self.n_events,
                "events_too_late": self.n_too_late,
                "events_before_lookback": self.n_before_lookback,
                "events_used": self.behaviors.n_events,
            }
        )


def read_as_of(
    X: pd.DataFrame,
    column: str,
    applied_at: str | None,
    lookback: int | None = None,
    *,
    by_session: bool = False,
) -> AsOf:
    """Read the nested column, drop events the bank could not know yet, and sort by time.

    Parameters
    ----------
    X : DataFrame
        One row per application, as `as_frame` returns it.
    column : str
        The nested column.
    applied_at : str or None
        The column with the time of the application. None disables the cut.
    lookback : int, default=None
        How far back events count, in microseconds before the application.
    by_session : bool, default=False
        Sort by the subfield ``session`` before time, as a `Sessionizer` with known sessions does.

    Returns
    -------
    AsOf
        Events with ``applied_at - lookback <= time < applied_at``, sorted by time. Simultaneous
        events are sorted by the subfield ``seq``; without it they keep their given order.
    """
    lists = _lists_of(X, column, applied_at, lookback)
    return _as_of(X, lists, column, applied_at, lookback, by_session)


def read_piecewise(
    X: pd.DataFrame, column: str, applied_at: str | None, lookback: int | None = None
) -> Iterator[AsOf]:
    """Like `read_as_of`, but for some consecutive applications at a time.

    Yields
    ------
    AsOf
        For as many applications as have about `PIECE` events, or for one that has more.
    """
    lists = _lists_of(X, column, applied_at, lookback)
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy()
    piece = np.cumsum(lengths, dtype=np.int64) // PIECE
    cuts = np.flatnonzero(np.diff(piece)) + 1
    for start, stop in pairwise([0, *cuts.tolist(), len(X)]):
        rows = X.iloc[start:stop] if len(cuts) else X
        yield _as_of(rows, lists.slice(start, stop - start), column, applied_at, lookback)


def _lists_of(
    X: pd.DataFrame, column: str, applied_at: str | None, lookback: int | None
) -> pa.Array | pa.ChunkedArray:
    if column not in X.columns:
        raise ValueError(
            f"X has no column {column!r}; it has {list(X.columns)}. Make it with "
            "skhuihen.attach_behaviors, or name the column that holds the events."
            f"{cure_for_renaming(X.columns, column)}"
        )
    if applied_at is None and lookback is not None:
        raise ValueError(
            "lookback requires applied_at, which is None. Pass the column with the time of the "
            "application."
        )
    return as_lists(X[column])


def _as_of(
    X: pd.DataFrame,
    lists: pa.Array | pa.ChunkedArray,
    column: str,
    applied_at: str | None,
    lookback: int | None,
    by_session: bool = False,
) -> AsOf:
    behaviors = Behaviors._from_lists(lists, column)
    n_events = behaviors.n_events
    n_too_late = n_before = 0
    limits = None
    if applied_at is not None:
        of_frames = pd.api.types.is_object_dtype(X[column].dtype)
        limits = _application_times(X, applied_at, behaviors, of_frames)
        limit = limits[behaviors.rows]
        time = behaviors.times()
        keep = time < limit
        n_too_late = n_events - int(keep.sum())
        if lookback is not None:
            old = time < limit - lookback
            n_before = int(old.sum())
            keep &= ~old
        behaviors = behaviors.filter(keep)
    return AsOf(_in_order(behaviors, by_session), n_events, n_too_late, n_before, limits)


def _application_times(
    X: pd.DataFrame, applied_at: str, behaviors: Behaviors, of_frames: bool
) -> NDArray[np.int64]:
    """Return the time of each application in microseconds, after checking the time zone."""
    if applied_at not in X.columns:
        raise ValueError(
            f"X has no column {applied_at!r}, so events after the application could leak into its "
            "score. Rename the column, pass its name as applied_at=... to every step, or pass "
            "applied_at=None if the events are already cut off."
            f"{cure_for_renaming(X.columns, applied_at)}"
        )
    limits, zone = application_times(X, applied_at)
    if behaviors.n_events:
        time = behaviors.require("time")
        if pa.types.is_timestamp(time.type) and time.type.tz != zone:
            if of_frames and time.type.tz is None:
                raise ValueError(
                    f"Column {applied_at!r} is in time zone {zone}, but the column 'time' in each "
                    "of the DataFrames with the events has no time zone. This happens if "
                    "pandas.concat joins nested columns with different subfields, because it "
                    "drops the time zone. If so, give the events of each part the same columns "
                    "before attach_behaviors, for example with events.assign(amount=float('nan')), "
                    "and concatenate again. If the DataFrames are your own, set the time zone with "
                    "tz_localize."
                )
            raise ValueError(
                f"Column {applied_at!r} is {in_zone(zone)}, but the subfield 'time' of the events "
                f"is {in_zone(time.type.tz)}. Both must be in the same time zone, or both without "
                "one. Use tz_convert on one of them, or tz_localize on one without a time zone."
            )
    return limits


def _in_order(behaviors: Behaviors, by_session: bool) -> Behaviors:
    """Sort events by (session,) time and seq within each application, unless already sorted."""
    if behaviors.n_events == 0:
        return behaviors
    keys = [behaviors.times()]
    if "seq" in behaviors.fields:
        keys.append(behaviors.integers("seq"))
    if by_session and "session" in behaviors.fields:
        keys.insert(0, behaviors.integers("session"))
    # An event is in order if the first key that differs from the previous event's is larger.
    wrong = np.zeros(behaviors.n_events - 1, dtype=bool)
    for key in reversed(keys):
        step = np.diff(key)
        wrong = (step < 0) | ((step == 0) & wrong)
    starts = behaviors.offsets[1:-1]
    wrong[starts[(starts > 0) & (starts < behaviors.n_events)] - 1] = False
    if not wrong.any():
        return behaviors
    return behaviors.reorder(np.lexsort([*reversed(keys), behaviors.rows]))
