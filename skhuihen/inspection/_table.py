"""A table of applications with removable parts: profile columns, sessions, behaviors."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from skhuihen._events.as_of import read_as_of
from skhuihen._events.behaviors import Behaviors
from skhuihen.inspection._plan import Tree
from skhuihen.preprocessing._profile import PROFILE_FIELDS, is_datetime

#: Session gap if there is no subfield for sessions, as in `Sessionizer`.
GAP = 3_600_000_000  # microseconds
HISTORY, OLDER = "history", "older_sessions"


class Player(NamedTuple):
    """A part of an application that gets a share of the score.

    Attributes
    ----------
    path : str
        Its names from the top, such as ``"history/session_1"``.
    parent : str
        The path of its group; empty at the top.
    kind : {"field", "column", "history", "session", "behavior"}
    shown : object
        The value of a column, or a text for a session or behavior.
    """

    path: str
    parent: str
    kind: str
    shown: Any


class Selection(NamedTuple):
    """The remaining events of some histories: positions in the table's events, by history."""

    event: NDArray[np.int64]
    offsets: NDArray[np.int64]


class PlayersTable:
    """Applications, prepared for the explained model, and their players.

    Parameters
    ----------
    frame : DataFrame of shape (n_applications, n_columns)
    fields : dict of str to list of str
        The profile columns by group.
    background : DataFrame of shape (n_background, n_columns)
        Rows that replace absent columns.
    column : str
        The nested column.
    applied_at : str or None
    depth : {1, 2, 3}
    n_sessions : int
        Number of latest sessions that are separate players; all older ones are one player.
    """

    def __init__(
        self,
        frame: pd.DataFrame,
        fields: dict[str, list[Any]],
        background: pd.DataFrame,
        column: str,
        applied_at: str | None,
        depth: int,
        n_sessions: int,
    ) -> None:
        self.frame = frame
        self.fields = fields
        self.columns = [name for names in fields.values() for name in names]
        self.n_background = len(background)
        self.column = column
        self.depth = depth
        self.n_sessions = n_sessions
        self._pool = {
            name: pd.concat([frame[name], background[name]], ignore_index=True).array
            for name in self.columns
        }
        self.behaviors = Behaviors(np.zeros(len(frame) + 1, dtype=np.int64), {})
        if column in frame.columns:
            self.behaviors = read_as_of(frame, column, applied_at, by_session=True).behaviors
        self._number_events()

    def __len__(self) -> int:
        return len(self.frame)

    def _number_events(self) -> None:
        """Find the sessions, and the leaf of the tree for each event."""
        sizes = [len(names) for names in self.fields.values()]
        self.leaf_of_column = (
            np.repeat(np.arange(len(sizes)), sizes) if self.depth == 1 else np.arange(sum(sizes))
        )
        self.n_profile_leaves = len(sizes) if self.depth == 1 else sum(sizes)

        behaviors = self.behaviors
        n = behaviors.n_events
        first = np.ones(n, dtype=bool)
        if n:
            if "session" in behaviors.fields:
                new = np.diff(behaviors.integers("session")) != 0
            else:
                new = np.diff(behaviors.times()) > GAP
            first[1:] = new | (np.diff(behaviors.rows) != 0)
        self.session_of_event = np.cumsum(first) - 1
        self.session_starts = np.flatnonzero(first)
        self.session_lengths = np.diff(np.append(self.session_starts, n))
        row = behaviors.rows[self.session_starts]
        self.sessions_of = np.bincount(row, minlength=len(self))
        stop = np.cumsum(self.sessions_of)
        self.first_session = stop - self.sessions_of
        # 0 is the last session before the application.
        rank = stop[row] - 1 - np.arange(len(row))
        self.player_of_session = np.minimum(rank, self.n_sessions)

        base = self.n_profile_leaves
        if self.depth == 1:
            self.leaf_of_event = np.full(n, base, dtype=np.int64)
        elif self.depth == 2:
            self.leaf_of_event = base + self.player_of_session[self.session_of_event]
        else:
            # Each behavior of a session is a leaf; all older sessions are one leaf.
            leaves = np.where(self.player_of_session < self.n_sessions, self.session_lengths, 0)
            up_to = np.cumsum(leaves)
            later = up_to[stop[row] - 1] - up_to  # leaves of the later sessions of the row
            within = np.arange(n) - self.session_starts[self.session_of_event]
            is_leaf = leaves[self.session_of_event] > 0
            self.leaf_of_event = base + later[self.session_of_event] + np.where(is_leaf, within, 0)

    # Players.

    def tree(self, application: int) -> Tree:
        """Return the tree of an application's players."""
        deep = self.depth > 1
        groups = self.fields.values()
        tree: list[Tree | None] = [(None,) * len(names) if deep else None for names in groups]
        sessions = self._sessions(application)
        if sessions:
            tree.append(tuple(self._branch(of) for of in sessions) if deep else None)
        return tuple(tree)

    def _branch(self, sessions: list[int]) -> Tree | None:
        if self.depth < 3 or self.player_of_session[sessions[0]] == self.n_sessions:
            return None
        return (None,) * int(self.session_lengths[sessions[0]])

    def _sessions(self, application: int) -> list[list[int]]:
        """Return the sessions of each session player, the last session first."""
        start = int(self.first_session[application])
        sessions = range(start, start + int(self.sessions_of[application]))
        latest = [[s] for s in sessions[::-1][: self.n_sessions]]
        older = list(sessions[: max(0, len(sessions) - self.n_sessions)])
        return latest + ([older] if older else [])

    def players(self, application: int) -> list[Player]:
        """Return the players in the order of a plan's weights."""
        players = []
        for field, names in self.fields.items():
            players.append(Player(field, "", "field", None))
            if self.depth > 1:
                players += [
                    Player(f"{field}/{name}", field, "column", self._pool[name][application])
                    for name in names
                ]
        sessions = self._sessions(application)
        if not sessions:
            return players
        n_events = int(self.behaviors.lengths[application])
        shown = _count(sum(map(len, sessions)), "session") + f", {_count(n_events, 'behavior')}"
        players.append(Player(HISTORY, "", HISTORY, shown))
        for number, of in enumerate(sessions if self.depth > 1 else [], start=1):
            players += self._session_players(number, of)
        return players

    def _session_players(self, number: int, sessions: list[int]) -> list[Player]:
        is_older = number > self.n_sessions
        path = f"{HISTORY}/{OLDER if is_older else f'session_{number}'}"
        n_events = int(self.session_lengths[sessions].sum())
        start = int(self.session_starts[sessions[0]])
        shown = _count(n_events, "behavior")
        if is_older:
            shown = f"{_count(len(sessions), 'session')}, {shown}"
        else:
            shown += f", {self._time(start):%Y-%m-%d %H:%M}"
        players = [Player(path, HISTORY, "session", shown)]
        if self._branch(sessions) is not None:
            for place in range(n_events):
                name, time = self._names[start + place], self._time(start + place)
                players.append(
                    Player(f"{path}/{place + 1}:{name}", path, "behavior", f"{time:%H:%M:%S}")
                )
        return players

    def catalog(self) -> list[Player]:
        """Return every possible player of an application except behaviors."""
        players = []
        for field, names in self.fields.items():
            players.append(Player(field, "", "field", None))
            if self.depth > 1:
                players += [Player(f"{field}/{name}", field, "column", None) for name in names]
        if self.column in self.frame.columns:
            players.append(Player(HISTORY, "", HISTORY, None))
            if self.depth > 1:
                numbered = [f"session_{number + 1}" for number in range(self.n_sessions)]
                players += [
                    Player(f"{HISTORY}/{name}", HISTORY, "session", None)
                    for name in [*numbered, OLDER]
                ]
        return players

    @cached_property
    def _names(self) -> list[str]:
        fields = self.behaviors.fields
        code, texts = self.behaviors.texts("behavior" if "behavior" in fields else "operation")
        return [texts[i] for i in code]

    def _time(self, event: int) -> Any:
        return self._times[event]

    @cached_property
    def _times(self) -> pd.DatetimeIndex:
        return pd.DatetimeIndex(pd.to_datetime(self.behaviors.times(), unit="us"))

    # Tables with parts removed.

    def select(self, application: NDArray[np.int64], present: NDArray[np.bool_]) -> Selection:
        """Return the remaining events, given the present leaves.

        Parameters
        ----------
        application : int64 ndarray of shape (n,)
        present : bool ndarray of shape (n, n_leaves)
        """
        lengths = self.behaviors.lengths[application]
        row = np.repeat(np.arange(len(application)), lengths)
        start = np.cumsum(lengths) - lengths
        event = np.arange(len(row)) + (self.behaviors.offsets[application] - start)[row]
        keep = present[row, self.leaf_of_event[event]]
        kept = np.bincount(row[keep], minlength=len(application))
        return Selection(event[keep], np.concatenate([[0], np.cumsum(kept)]))

    def take(self, behaviors: Behaviors, selection: Selection) -> Behaviors:
        """Return the selected events of `behaviors`, which has the events of this table.

        If the previous behavior in the session is absent, the interval counts from the last
        present one. The first behavior has no interval. So absent behaviors seem never to have
        happened.
        """
        event = selection.event
        at = pa.array(event)
        taken = Behaviors(
            selection.offsets, {name: values.take(at) for name, values in behaviors.fields.items()}
        )
        if not len(event) or not {"interval", "session"} <= set(behaviors.fields):
            return taken
        same = np.zeros(len(event), dtype=bool)
        before = np.append(-1, event[:-1])
        same[1:] = np.diff(self.session_of_event[event]) == 0
        first_of_history = selection.offsets[:-1][np.diff(selection.offsets) > 0]
        same[first_of_history] = False
        starts = self.session_starts[self.session_of_event[event]] == event
        moved = np.where(same, before != event - 1, ~starts)
        if not moved.any():
            return taken
        interval = np.nan_to_num(behaviors.numbers("interval"))
        clock = np.cumsum(interval)
        since = np.where(same, clock[event] - clock[before], 0.0)
        interval = np.where(moved, since, taken.numbers("interval"))
        return taken.with_fields(interval=pa.array(interval))

    def perturbed(
        self,
        application: NDArray[np.int64],
        background: NDArray[np.int64],
        present: NDArray[np.bool_],
    ) -> pd.DataFrame:
        """Return applications with absent columns from the background and without absent events.

        Parameters
        ----------
        application, background : int64 ndarray of shape (n,)
        present : bool ndarray of shape (n, n_leaves)

        Returns
        -------
        DataFrame of shape (n, n_columns)
        """
        own = present[:, self.leaf_of_column]
        of_column = {name: i for i, name in enumerate(self.columns)}
        data: dict[Any, Any] = {}
        for name in self.frame.columns:
            if name in of_column:
                at = np.where(own[:, of_column[name]], application, len(self) + background)
                data[name] = self._pool[name].take(at)
            elif name == self.column:
                left = self.take(self.behaviors, self.select(application, present))
                data[name] = left.to_array()
            else:
                data[name] = self.frame[name].array.take(application)
        return pd.DataFrame(data, columns=self.frame.columns)


def find_fields(
    frame: pd.DataFrame, column: str, fixed: Sequence[Any], known: dict[str, list[Any]] | None
) -> dict[str, list[Any]]:
    """Return the profile columns of a table by group.

    Parameters
    ----------
    frame : DataFrame
    column : str
        The nested column.
    fixed : sequence of str
        Columns that never count as profile, in addition to times.
    known : dict of str to list of str, or None
        The fields of the classifier.

    Returns
    -------
    dict of str to list of str
        Groups with at least one column: the fields, and ``"profile"`` for all other columns.
    """
    candidates = [
        name
        for name in frame.columns
        if name != column and name not in fixed and not is_datetime(frame[name])
    ]
    if known is None:
        known = {
            field: [name for name in candidates if str(name).startswith(f"{field}__")]
            for field in PROFILE_FIELDS
        }
    of_fields = {field: [c for c in names if c in candidates] for field, names in known.items()}
    taken = {name for names in of_fields.values() for name in names}
    rest = [name for name in candidates if name not in taken]
    return {field: names for field, names in {**of_fields, "profile": rest}.items() if names}


def _count(n: int, thing: str) -> str:
    return f"{n:,} {thing}{'' if n == 1 else 's'}"
