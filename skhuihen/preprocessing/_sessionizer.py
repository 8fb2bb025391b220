"""Sessionizer: cuts an applicant's behaviors into sessions (sections 3.4 and 5.2)."""

from __future__ import annotations

from numbers import Integral
from typing import Any, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from sklearn.utils._param_validation import Interval
from sklearn.utils._tags import Tags

from skhuihen._compat import local
from skhuihen._estimators.fitting import all_or_nothing
from skhuihen._events.behaviors import Behaviors
from skhuihen._tables.times import microseconds_of
from skhuihen.preprocessing._base import COLUMN_CONSTRAINTS, BehaviorTransformer


class Sessionizer(BehaviorTransformer):
    """Cut behaviors into sessions and keep the latest.

    A new session begins after a gap longer than `session_gap`. If `session` names a subfield,
    behaviors with the same value form a session instead. Short sessions are dropped as noise. Then
    the latest sessions and the latest behaviors of each are kept.

    Each event gets the subfields ``session`` (0 is the oldest kept session of the row),
    ``interval`` (seconds since the previous kept behavior of the session, 0 for the first),
    ``weekday`` (0 is Monday) and ``monthday`` (1 to 31). Nothing is learned: the result for an
    application depends on that application only.

    Parameters
    ----------
    session_gap : str or timedelta, default="1h"
        A longer interval starts a new session. Not used if `session` is given.
    session : str, default=None
        A subfield that identifies each event's session, such as a loan number. Sessions may
        overlap in time; they are ordered by their last event. Events without a value form one
        session together.
    min_behaviors : int, default=3
        Shorter sessions are dropped.
    max_sessions : int or None, default=50
        Maximum number of sessions to keep, the latest ones. None keeps all.
    max_behaviors : int or None, default=25
        Maximum number of behaviors to keep in each session, the latest ones; must be at least
        `min_behaviors`. None keeps all.
    time_zone : str, default=None
        Time zone for weekday and day of the month, such as ``"Asia/Shanghai"``. None uses the zone
        of the timestamps, or reads them as they are if they have none.
    behaviors : str, default="behaviors"
        Name of the nested column.
    applied_at : str or None, default="applied_at"
        The column with the time of the application. Events at or after it are dropped. Pass None
        to disable the cut.
    lookback : str or timedelta, default=None
        Events older than this at the application are dropped, for example ``"180D"``.

    Attributes
    ----------
    feature_names_in_ : ndarray of str
        Columns seen in `fit`.
    n_features_in_ : int
        Number of these columns.

    See Also
    --------
    BehaviorAbstractor : Merges raw operations; may come before or after.

    Notes
    -----
    With `session_gap`, applying the transformer to its own result changes nothing. The paper uses
    one hour, at least 3 behaviors, the 50 latest sessions and the 25 latest behaviors of each.

    References
    ----------
    The HUIHEN paper, section 3.4 (cutting at one hour) and section 5.2 (the limits).

    Examples
    --------
    >>> import pandas as pd
    >>> from skhuihen import Sessionizer, attach_behaviors
    >>> applications = pd.DataFrame(
    ...     {"user_id": [1], "applied_at": pd.to_datetime(["2024-05-03"])})
    >>> events = pd.DataFrame({
    ...     "user_id": 1,
    ...     "time": pd.to_datetime(["2024-05-01 10:00:00", "2024-05-01 10:00:20",
    ...                             "2024-05-02 09:00:00", "2024-05-02 09:00:05"]),
    ...     "operation": ["login", "fund_list", "login", "loan_page"],
    ... })
    >>> X = Sessionizer(min_behaviors=2).fit_transform(attach_behaviors(applications, events))
    >>> X["behaviors"].iloc[0][["operation", "session", "interval", "weekday", "monthday"]]
       operation  session  interval  weekday  monthday
    0      login        0       0.0        2         1
    1  fund_list        0      20.0        2         1
    2      login        1       0.0        3         2
    3  loan_page        1       5.0        3         2
    """

    _parameter_constraints: dict = {
        "session_gap": "no_validation",
        "session": [str, None],
        "min_behaviors": [Interval(Integral, 1, None, closed="left")],
        "max_sessions": [Interval(Integral, 1, None, closed="left"), None],
        "max_behaviors": [Interval(Integral, 1, None, closed="left"), None],
        "time_zone": [str, None],
        **COLUMN_CONSTRAINTS,
    }

    def __init__(
        self,
        session_gap: Any = "1h",
        session: str | None = None,
        min_behaviors: int = 3,
        max_sessions: int | None = 50,
        max_behaviors: int | None = 25,
        time_zone: str | None = None,
        *,
        behaviors: str = "behaviors",
        applied_at: str | None = "applied_at",
        lookback: Any = None,
    ) -> None:
        self.session_gap = session_gap
        self.session = session
        self.min_behaviors = min_behaviors
        self.max_sessions = max_sessions
        self.max_behaviors = max_behaviors
        self.time_zone = time_zone
        self.behaviors = behaviors
        self.applied_at = applied_at
        self.lookback = lookback

    @all_or_nothing
    def fit(self, X: Any, y: Any = None) -> Self:
        """Check parameters and input; nothing is learned.

        Parameters
        ----------
        X : DataFrame or other table of shape (n_applications, n_columns)
            Applications with the nested column.
        y : None
            Ignored.

        Returns
        -------
        self
        """
        frame, pieces = self._read_piecewise(X)
        for as_of in pieces:
            self._cut(as_of.behaviors)
        return self._remember_columns(frame)

    @all_or_nothing
    def fit_transform(self, X: Any, y: Any = None) -> pd.DataFrame:
        """Do the same as `fit` and `transform`, but read X once.

        Parameters
        ----------
        X : DataFrame or other table of shape (n_applications, n_columns)
        y : None
            Ignored.

        Returns
        -------
        DataFrame
            See `transform`.
        """
        result = self._sessions(X)
        self._remember_columns(result)
        return result

    def transform(self, X: Any) -> pd.DataFrame:
        """Cut each application's behaviors into sessions.

        Parameters
        ----------
        X : DataFrame or other table of shape (n_applications, n_columns)

        Returns
        -------
        DataFrame
            X with the kept events in the nested column, ordered by session and time.
        """
        self._validate_params()
        return self._sessions(X)

    def report(self, X: Any) -> pd.Series:
        """Count what `transform` would do.

        Parameters
        ----------
        X : DataFrame or other table of shape (n_applications, n_columns)

        Returns
        -------
        Series of int
            Every event is counted once: ``events`` = ``events_too_late`` +
            ``events_before_lookback`` + ``events_in_short_sessions`` +
            ``events_in_older_sessions`` (beyond `max_sessions`) + ``events_truncated`` (beyond
            `max_behaviors`) + ``events_kept``. In the same way ``sessions`` = ``sessions_short`` +
            ``sessions_older`` + ``sessions_kept``; of the kept ones, ``sessions_truncated`` lost
            events. ``applications`` and ``applications_without_sessions`` count rows.
        """
        self._validate_params()
        counts = [
            pd.concat([as_of.counts(), pd.Series(self._cut(as_of.behaviors)[1])])
            for as_of in self._read_piecewise(X)[1]
        ]
        return sum(counts[1:], counts[0]).drop("events_used")

    def _sessions(self, X: Any) -> pd.DataFrame:
        frame, pieces = self._read_piecewise(X)
        return self._with_events(frame, (self._cut(as_of.behaviors)[0] for as_of in pieces))

    def _cut(self, behaviors: Behaviors) -> tuple[Behaviors, dict[str, int]]:
        """Return the kept events with their subfields, and the counts for the report."""
        if self.max_behaviors is not None and self.max_behaviors < self.min_behaviors:
            raise ValueError(
                f"max_behaviors={self.max_behaviors} is less than "
                f"min_behaviors={self.min_behaviors}, so every kept session would be too short. "
                "Raise max_behaviors or lower min_behaviors."
            )
        if self.time_zone is not None:
            _check_zone(self.time_zone)
        behaviors, first = self._split(behaviors)
        n = behaviors.n_events
        start = np.flatnonzero(first)
        session = np.cumsum(first) - 1
        length = np.diff(np.append(start, n))
        row = behaviors.rows[start]

        long_enough = length >= self.min_behaviors
        # Number of long enough sessions that come after this one in its row.
        rank = np.cumsum(long_enough)
        last_of_row = np.searchsorted(row, row, side="right") - 1
        later: NDArray[np.int64] = rank[last_of_row] - rank
        recent = later < (np.inf if self.max_sessions is None else self.max_sessions)
        kept = long_enough & recent

        behind = start[session] + length[session] - 1 - np.arange(n)
        fits = behind < (np.inf if self.max_behaviors is None else self.max_behaviors)
        keep = kept[session] & fits

        n_kept = int(keep.sum())
        n_in_short = int(length[~long_enough].sum())
        n_in_older = int(length[long_enough & ~recent].sum())
        report = {
            "events_in_short_sessions": n_in_short,
            "events_in_older_sessions": n_in_older,
            "events_truncated": n - n_in_short - n_in_older - n_kept,
            "events_kept": n_kept,
            "sessions": len(start),
            "sessions_short": int((~long_enough).sum()),
            "sessions_older": int((long_enough & ~recent).sum()),
            "sessions_kept": int(kept.sum()),
            "sessions_truncated": int((kept & (length > (self.max_behaviors or np.inf))).sum()),
            "applications": len(behaviors),
            "applications_without_sessions": len(behaviors) - len(np.unique(row[kept])),
        }
        # Kept sessions are numbered from 0 within each row.
        number = np.cumsum(kept) - 1
        first_of_row = np.searchsorted(row[kept], row)
        session_number = (number - first_of_row)[session][keep]
        return self._describe(behaviors.filter(keep), session_number), report

    def _split(self, behaviors: Behaviors) -> tuple[Behaviors, NDArray[np.bool_]]:
        """Return all events, session by session, and whether each starts a session."""
        if self.session is not None:
            return self._cut_where_known(behaviors)
        return behaviors, self._cut_at_gaps(behaviors)

    def _cut_at_gaps(self, behaviors: Behaviors) -> NDArray[np.bool_]:
        """Return whether each event starts a session."""
        gap = microseconds_of(self.session_gap, "session_gap")
        first = np.ones(behaviors.n_events, dtype=bool)
        first[1:] = np.diff(behaviors.times()) > gap
        first[behaviors.offsets[:-1][behaviors.lengths > 0]] = True
        return first

    def _cut_where_known(self, behaviors: Behaviors) -> tuple[Behaviors, NDArray[np.bool_]]:
        """Sort events by known session; return whether each starts a session."""
        assert self.session is not None
        if not behaviors.n_events:
            return behaviors, np.ones(0, dtype=bool)
        values = behaviors.require(self.session)
        if pa.types.is_dictionary(values.type):
            values = values.dictionary_decode()
        if pa.types.is_nested(values.type):
            raise TypeError(
                f"Subfield {self.session!r} is of type {values.type}; texts, numbers or times that "
                "identify each event's session are required."
            )
        if pa.types.is_floating(values.type):  # NaN counts as missing too
            values = pc.if_else(pc.is_nan(values), None, values)
        encoded = values.dictionary_encode(null_encoding="encode").indices.to_numpy()
        pair = behaviors.rows * (encoded.max() + 1) + encoded
        _, group = np.unique(pair, return_inverse=True)
        last = np.empty(group.max() + 1, dtype=np.int64)
        last[group] = np.arange(len(group))  # events are in time order: the last one wins
        order = np.lexsort([np.arange(len(group)), last[group], behaviors.rows])
        return behaviors.reorder(order), np.append(True, np.diff(group[order]) != 0)

    def _describe(self, behaviors: Behaviors, session: NDArray[np.int64]) -> Behaviors:
        """Add the four subfields."""
        time = behaviors.times()
        interval = np.zeros(len(time))
        if len(time):
            same = (np.diff(behaviors.rows) == 0) & (np.diff(session) == 0)
            interval[1:] = np.where(same, np.diff(time) / 1e6, 0.0)
            stamps = pa.array(time, pa.timestamp("us", behaviors.fields["time"].type.tz))
        else:
            stamps = pa.array([], pa.timestamp("us"))
        if self.time_zone is not None and len(time):
            stamps = _in_zone(stamps, self.time_zone)
        stamps = local(stamps)
        return behaviors.with_fields(
            session=pa.array(session, pa.int32()),
            interval=pa.array(interval),
            weekday=pc.day_of_week(stamps).cast(pa.int8()),
            monthday=pc.day(stamps).cast(pa.int8()),
        )

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        return tags


def _in_zone(stamps: pa.Array, time_zone: str) -> pa.Array:
    """Return the same instants in another time zone."""
    if stamps.type.tz is None:
        raise ValueError(
            f"time_zone={time_zone!r} was given, but the events' subfield 'time' has no zone to "
            "convert from. Pass time_zone=None, or set a zone with tz_localize."
        )
    return stamps.cast(pa.timestamp("us", time_zone))


def _check_zone(time_zone: str) -> None:
    try:
        ZoneInfo(time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(
            f"time_zone={time_zone!r} is not known. Pass a name such as 'Asia/Shanghai'."
        ) from error
