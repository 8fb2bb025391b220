"""WindowStatistics: the counts, sums and recencies that risk teams use today."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted

from skhuihen._estimators.fitting import all_or_nothing
from skhuihen._events.behaviors import Behaviors, OptionalSubfields
from skhuihen._events.frames import as_frame
from skhuihen._tables.times import microseconds_of
from skhuihen.preprocessing._base import (
    COLUMN_CONSTRAINTS,
    DAY,
    BehaviorTransformer,
    as_feature_names,
    most_frequent,
    positions,
    weigh_rows,
)

OTHER = "other"
#: The hours at which the parts of the day begin.
PARTS_OF_DAY = (0, 6, 12, 18)
#: The days at which the parts of the month begin.
PARTS_OF_MONTH = (1, 11, 21)


class WindowStatistics(BehaviorTransformer):
    """Turn each applicant's events into a flat table of window statistics.

    This is the usual way to pass behaviors to a tree model, and the baseline for a sequence model.
    It captures how often and how much, but not in what order.

    Parameters
    ----------
    windows : sequence of str or timedelta, default=("2D", "21D", "60D")
        Lengths of the windows that end at the application. The whole history is always added as
        ``all``.
    group_by : str, default="operation"
        The subfield that distinguishes events; use ``"behavior"`` after a `BehaviorAbstractor`.
    n_operations : int, default=50
        Number of operations to count separately, the most frequent ones. All others, and those not
        seen in `fit`, are counted as ``other``.
    session_gap : str, timedelta or None, default="1h"
        A longer interval starts a new session, for the session statistics. None omits these.
    behaviors : str, default="behaviors"
        Name of the nested column.
    applied_at : str, default="applied_at"
        The column with the time of the application. Events at or after it are dropped.
    lookback : str or timedelta, default=None
        Events older than this at the application are dropped.

    Attributes
    ----------
    operations_ : list of str
        The operations counted separately, most frequent first.
    feature_names_in_ : ndarray of str
        Columns seen in `fit`.
    n_features_in_ : int
        Number of these columns.

    See Also
    --------
    ProfileEncoder : The profile as numbers; combine both in a `FeatureUnion`.
    IntervalStatistics : The times between operations.

    Notes
    -----
    For each window ``w`` and operation ``o``, the columns are ``count_w``, ``days_w`` (UTC days
    with an event), ``amount_sum_w``, ``amount_mean_w``, ``count_w_o``, and, if ``o`` had amounts in
    `fit`, ``amount_sum_w_o`` and ``amount_mean_w_o``.

    For the whole history they are ``recency`` and ``recency_o`` (days from the last event to the
    application), ``age`` (days from the first), ``interval_mean``, ``interval_std``,
    ``interval_least``, ``interval_most`` and ``interval_latest`` (of log1p seconds between events),
    ``hours_0``, ``hours_6``, ``hours_12`` and ``hours_18`` (share of the events in the six hours
    of the day that begin then, in UTC), ``hour_latest`` (of the last event, with its minutes as a
    fraction), and ``monthdays_1``, ``monthdays_11`` and ``monthdays_21`` (share of the events in
    the part of the month that begins on that day, in UTC: many customers behave otherwise before
    their salary than after it).

    With `session_gap` there are also ``sessions``, ``session_length`` and ``session_length_most``
    (mean and largest number of events), ``session_seconds`` and ``session_seconds_most``, and of
    the last session ``last_length``, ``last_seconds`` and ``last_interval`` (mean of log1p
    seconds).

    Statistics that do not exist are NaN; counts and sums are 0. In names, spaces and characters
    that LightGBM rejects become underscores. Duplicate names get a numeric suffix.

    Examples
    --------
    >>> import pandas as pd
    >>> from skhuihen import WindowStatistics, attach_behaviors
    >>> applications = pd.DataFrame(
    ...     {"user_id": [1], "applied_at": pd.to_datetime(["2024-05-03"])})
    >>> events = pd.DataFrame({
    ...     "user_id": 1,
    ...     "time": pd.to_datetime(
    ...         ["2024-04-01 00:00", "2024-05-02 00:00", "2024-05-02 12:00"]),
    ...     "operation": ["login", "login", "fund_buy"],
    ...     "amount": [None, None, 500.0],
    ... })
    >>> table = WindowStatistics(["2D"]).fit_transform(attach_behaviors(applications, events))
    >>> table[["count_2D", "count_all", "count_2D_login", "amount_sum_2D", "recency"]]
       count_2D  count_all  count_2D_login  amount_sum_2D  recency
    0       2.0        3.0             1.0          500.0      0.5
    """

    _parameter_constraints: dict = {
        "windows": ["array-like"],
        "group_by": [str],
        "n_operations": [Interval(Integral, 0, None, closed="left")],
        "session_gap": "no_validation",
        **COLUMN_CONSTRAINTS,
        "applied_at": [str],
    }

    def __init__(
        self,
        windows: Sequence[Any] = ("2D", "21D", "60D"),
        group_by: str = "operation",
        n_operations: int = 50,
        session_gap: Any = "1h",
        *,
        behaviors: str = "behaviors",
        applied_at: str = "applied_at",
        lookback: Any = None,
    ) -> None:
        self.windows = windows
        self.group_by = group_by
        self.n_operations = n_operations
        self.session_gap = session_gap
        self.behaviors = behaviors
        self.applied_at = applied_at
        self.lookback = lookback

    @all_or_nothing
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Choose the operations to count separately.

        Parameters
        ----------
        X : DataFrame or other table of shape (n_applications, n_columns)
            Applications with the nested column.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_applications,), default=None
            Frequencies are weighted by application: a weight of two equals two rows, and rows of
            weight 0 are ignored.

        Returns
        -------
        self
        """
        self._window_lengths()
        if self.session_gap is not None:
            microseconds_of(self.session_gap, "session_gap")
        frame, weight = weigh_rows(as_frame(X, self.behaviors), sample_weight)
        frame, as_of = self._read(frame)
        self.operations_ = most_frequent(as_of.behaviors, self.group_by, self.n_operations, weight)
        self._optional = OptionalSubfields("amount")
        (behaviors,) = self._optional.learn([as_of.behaviors])
        has_amount = ~np.isnan(behaviors.numbers("amount"))
        operation = positions(as_of.behaviors, self.group_by, self.operations_)
        self._with_amount = np.unique(operation[has_amount]).tolist()
        # Absent in files of models that were fitted before these columns existed.
        self._has_monthdays = True
        return self._remember_columns(frame)

    def transform(self, X: Any) -> pd.DataFrame:
        """Compute the statistics.

        Parameters
        ----------
        X : DataFrame or other table of shape (n_applications, n_columns)

        Returns
        -------
        DataFrame of shape (n_applications, n_statistics)
            Of floats, with the index of X.
        """
        check_is_fitted(self)
        frame, as_of = self._read(X)
        assert as_of.applied_at is not None
        behaviors = as_of.behaviors
        self._optional.check(behaviors, stacklevel=3)
        row = behaviors.rows
        time, n = behaviors.times(), len(behaviors)
        age = as_of.applied_at[row] - time
        operation = positions(behaviors, self.group_by, self.operations_)
        columns = [
            *self._in_windows(behaviors, operation, age),
            *self._recencies(behaviors, operation, age),
            *_interval_statistics(row, time, n),
            *_hours(row, time, n),
            *(_monthdays(row, time, n) if hasattr(self, "_has_monthdays") else ()),
            *self._session_statistics(row, time, n),
        ]
        return pd.DataFrame(
            np.column_stack(columns), columns=self.get_feature_names_out(), index=frame.index
        )

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Return the names of the statistics.

        Parameters
        ----------
        input_features : None
            Ignored.

        Returns
        -------
        ndarray of str
        """
        check_is_fitted(self)
        operations = [*self.operations_, OTHER]
        names = []
        for window in self._window_lengths():
            names += [f"{what}_{window}" for what in ("count", "days", "amount_sum", "amount_mean")]
            names += [f"count_{window}_{operation}" for operation in operations]
            for code in self._with_amount:
                names += [f"amount_{what}_{window}_{operations[code]}" for what in ("sum", "mean")]
        names += ["recency", "age", *(f"recency_{operation}" for operation in operations)]
        names += [f"interval_{what}" for what in ("mean", "std", "least", "most", "latest")]
        names += [*(f"hours_{hour}" for hour in PARTS_OF_DAY), "hour_latest"]
        if hasattr(self, "_has_monthdays"):
            names += [f"monthdays_{day}" for day in PARTS_OF_MONTH]
        if self.session_gap is not None:
            names += ["sessions", "session_length", "session_length_most"]
            names += ["session_seconds", "session_seconds_most"]
            names += ["last_length", "last_seconds", "last_interval"]
        return as_feature_names(names)

    def _window_lengths(self) -> dict[str, int]:
        """Return the length of each window in microseconds, by name."""
        lengths = {str(window): microseconds_of(window, "windows") for window in self.windows}
        return {**lengths, "all": np.iinfo(np.int64).max}

    def _in_windows(
        self, behaviors: Behaviors, operation: NDArray[np.int64], age: NDArray[np.int64]
    ) -> list[NDArray[Any]]:
        n, n_codes, row = len(behaviors), len(self.operations_) + 1, behaviors.rows
        amount = behaviors.numbers("amount")
        day = behaviors.times() // DAY
        columns: list[NDArray[Any]] = []
        for length in self._window_lengths().values():
            within = age <= length
            r, o, a, d = row[within], operation[within], amount[within], day[within]
            new_day = np.append(True, (np.diff(r) != 0) | (np.diff(d) != 0))[: len(r)]
            columns += [np.bincount(r, minlength=n), np.bincount(r[new_day], minlength=n)]
            known = ~np.isnan(a)
            columns += _sum_and_mean(r[known], a[known], n)
            counts = np.bincount(r * n_codes + o, minlength=n * n_codes)
            columns += list(counts.reshape(n, n_codes).T)
            for code in self._with_amount:
                mine = known & (o == code)
                columns += _sum_and_mean(r[mine], a[mine], n)
        return [np.asarray(column, dtype=np.float64) for column in columns]

    def _recencies(
        self, behaviors: Behaviors, operation: NDArray[np.int64], age: NDArray[np.int64]
    ) -> list[NDArray[Any]]:
        n, n_codes, row = len(behaviors), len(self.operations_) + 1, behaviors.rows
        # Events are in time order, so the last one written is the latest.
        latest = np.full((n, n_codes), np.nan)
        latest[row, operation] = age / DAY
        recency, oldest = np.full(n, np.nan), np.full(n, np.nan)
        recency[row] = age / DAY
        some = behaviors.lengths > 0
        oldest[some] = age[behaviors.offsets[:-1][some]] / DAY
        return [recency, oldest, *list(latest.T)]

    def _session_statistics(
        self, row: NDArray[np.int64], time: NDArray[np.int64], n: int
    ) -> list[NDArray[Any]]:
        if self.session_gap is None:
            return []
        gap = microseconds_of(self.session_gap, "session_gap")
        same = (np.diff(row) == 0) & (np.diff(time) <= gap)
        start = np.flatnonzero(np.append(True, ~same)[: len(row)])
        length = np.diff(np.append(start, len(row)))
        n_sessions = np.bincount(row[start], minlength=n).astype(np.float64)
        mean_length = _divide(np.bincount(row, minlength=n), n_sessions)
        seconds = (time[start + length - 1] - time[start]) / 1e6
        mean_seconds = _divide(np.bincount(row[start], weights=seconds, minlength=n), n_sessions)
        most_length, most_seconds = np.full((2, n), np.nan)
        last_length, last_seconds, last_interval = np.full((3, n), np.nan)
        np.fmax.at(most_length, row[start], length)
        np.fmax.at(most_seconds, row[start], seconds)
        last_length[row[start]] = length
        last_seconds[row[start]] = seconds
        wait = np.append(0.0, np.log1p(np.where(same, np.diff(time), 0) / 1e6))[: len(row)]
        total = np.add.reduceat(wait, start) if len(start) else wait
        last_interval[row[start]] = _divide(total, length - 1)
        of_all = [n_sessions, mean_length, most_length, mean_seconds, most_seconds]
        return [*of_all, last_length, last_seconds, last_interval]


def _sum_and_mean(row: NDArray[np.int64], value: NDArray[np.float64], n: int) -> list[NDArray[Any]]:
    total = np.bincount(row, weights=value, minlength=n)
    return [total, _divide(total, np.bincount(row, minlength=n))]


def _interval_statistics(
    row: NDArray[np.int64], time: NDArray[np.int64], n: int
) -> list[NDArray[Any]]:
    same = np.diff(row) == 0
    value = np.log1p(np.diff(time)[same] / 1e6)
    at = row[1:][same]
    count = np.bincount(at, minlength=n)
    mean = _divide(np.bincount(at, weights=value, minlength=n), count)
    square = np.bincount(at, weights=(value - mean[at]) ** 2, minlength=n)
    least, most, latest = np.full((3, n), np.nan)
    np.fmin.at(least, at, value)
    np.fmax.at(most, at, value)
    latest[at] = value  # events are in time order
    return [mean, np.sqrt(_divide(square, count)), least, most, latest]


def _hours(row: NDArray[np.int64], time: NDArray[np.int64], n: int) -> list[NDArray[Any]]:
    hour = (time % DAY) / (DAY / 24)
    latest = np.full(n, np.nan)
    latest[row] = hour
    return [*_shares(row, hour, PARTS_OF_DAY, n), latest]


def _monthdays(row: NDArray[np.int64], time: NDArray[np.int64], n: int) -> list[NDArray[Any]]:
    day = (time // DAY).astype("datetime64[D]")
    first = day.astype("datetime64[M]").astype("datetime64[D]")
    return _shares(row, (day - first).astype(np.int64) + 1, PARTS_OF_MONTH, n)


def _shares(
    row: NDArray[np.int64], value: NDArray[Any], begins: Sequence[int], n: int
) -> list[NDArray[Any]]:
    """Return the share of each row's values in each part of their range."""
    part = np.searchsorted(begins, value, side="right") - 1
    counts = np.bincount(row * len(begins) + part, minlength=n * len(begins))
    counts = counts.reshape(n, len(begins))
    return [_divide(count, counts.sum(axis=1)) for count in counts.T]


def _divide(total: NDArray[Any], count: NDArray[Any]) -> NDArray[Any]:
    """Divide; NaN where the divisor is 0."""
    result = np.full(len(total), np.nan)
    return np.divide(total, count, out=result, where=np.asarray(count) > 0)
