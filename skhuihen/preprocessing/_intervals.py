"""IntervalStatistics: the time from one operation to another."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from numbers import Integral
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted

from skhuihen._estimators.fitting import all_or_nothing
from skhuihen._events.behaviors import Behaviors
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
from skhuihen.preprocessing._sessionizer import Sessionizer

STATISTICS = ("mean", "last", "most")


class IntervalStatistics(BehaviorTransformer):
    """Turn each applicant's sessions into a flat table of times between operations.

    A lending expert computes how late a loan was paid: the time from ``due`` to ``repaid``,
    negative if it came early. This transformer computes such times for every pair of the most
    frequent operations, without an expert. They suit tree models, because `WindowStatistics`
    contains nothing about order. Only events of one session are paired. If related events lie days
    apart, name the subfield that connects them in `session`.

    Parameters
    ----------
    n_operations : int, default=8
        Number of operations to pair, the most frequent ones; they give ``n * (n - 1) / 2`` pairs.
    group_by : str, default="operation"
        The subfield that distinguishes events; use ``"behavior"`` after a `BehaviorAbstractor`.
    session_gap : str or timedelta, default="1h"
        A longer interval starts a new session, as in `Sessionizer`. Not used if `session` is
        given.
    session : str, default=None
        A subfield that identifies each event's session, such as a loan, instead of `session_gap`.
        Use ``"session"`` after a `Sessionizer`.
    behaviors : str, default="behaviors"
        Name of the nested column.
    applied_at : str or None, default="applied_at"
        The column with the time of the application. Events at or after it are dropped. Pass None
        to disable the cut.
    lookback : str or timedelta, default=None
        Events older than this at the application are dropped.

    Attributes
    ----------
    operations_ : list of str
        The paired operations, most frequent first.
    feature_names_in_ : ndarray of str
        Columns seen in `fit`.
    n_features_in_ : int
        Number of these columns.

    See Also
    --------
    WindowStatistics : How often, how much and how long ago.

    Notes
    -----
    For operations ``a`` and ``b``, where ``a`` is more frequent in `fit`, the statistics use the
    days from the first ``a`` of a session to its first ``b``, negative if ``b`` came first.
    ``days_mean_a_to_b``, ``days_last_a_to_b`` and ``days_most_a_to_b`` are the mean over the
    sessions with both, the value of the last such session, and the largest value. They are NaN if
    no session has both. Sessions given by `session` are ordered by their last event. A missing
    operation counts as the operation ``missing``. Names are adapted to LightGBM as in
    `WindowStatistics`.

    Examples
    --------
    >>> import pandas as pd
    >>> from skhuihen import IntervalStatistics, attach_behaviors
    >>> applications = pd.DataFrame(
    ...     {"user_id": [1], "applied_at": pd.to_datetime(["2024-05-03"])})
    >>> events = pd.DataFrame({
    ...     "user_id": 1,
    ...     "loan": [1, 1, 2, 2],
    ...     "time": pd.to_datetime(["2024-02-01", "2024-02-04", "2024-03-31", "2024-04-01"]),
    ...     "operation": ["due", "repaid", "repaid", "due"],
    ... })
    >>> X = attach_behaviors(applications, events)
    >>> IntervalStatistics(session="loan").fit_transform(X)
       days_mean_due_to_repaid  days_last_due_to_repaid  days_most_due_to_repaid
    0                      1.0                     -1.0                      3.0
    """

    _parameter_constraints: dict = {
        "n_operations": [Interval(Integral, 2, None, closed="left")],
        "group_by": [str],
        "session_gap": "no_validation",
        "session": [str, None],
        **COLUMN_CONSTRAINTS,
    }

    def __init__(
        self,
        n_operations: int = 8,
        group_by: str = "operation",
        session_gap: Any = "1h",
        session: str | None = None,
        *,
        behaviors: str = "behaviors",
        applied_at: str | None = "applied_at",
        lookback: Any = None,
    ) -> None:
        self.n_operations = n_operations
        self.group_by = group_by
        self.session_gap = session_gap
        self.session = session
        self.behaviors = behaviors
        self.applied_at = applied_at
        self.lookback = lookback

    @all_or_nothing
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Choose the operations to pair.

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
        frame, weight = weigh_rows(as_frame(X, self.behaviors), sample_weight)
        frame, as_of = self._read(frame)
        if self.session is None:
            microseconds_of(self.session_gap, "session_gap")
        elif as_of.behaviors.n_events:
            as_of.behaviors.require(self.session)
        self.operations_ = most_frequent(as_of.behaviors, self.group_by, self.n_operations, weight)
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
        frame, pieces = self._read_piecewise(X)
        parts = [self._statistics(as_of.behaviors) for as_of in pieces]
        names = self.get_feature_names_out()
        return pd.DataFrame(np.concatenate(parts), columns=names, index=frame.index)

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
        pairs = combinations(self.operations_, 2)
        return as_feature_names(f"days_{what}_{a}_to_{b}" for a, b in pairs for what in STATISTICS)

    def _statistics(self, behaviors: Behaviors) -> NDArray[np.float64]:
        behaviors, start = Sessionizer(self.session_gap, session=self.session)._split(behaviors)
        row, session = behaviors.rows, np.cumsum(start) - 1
        operation = positions(behaviors, self.group_by, self.operations_)
        # The last column holds all operations that are not paired.
        first = np.full((int(start.sum()), len(self.operations_) + 1), np.nan)
        np.fmin.at(first, (session, operation), behaviors.times().astype(np.float64))
        columns = list(self._of_pairs(first, row[start], len(behaviors)))
        return np.column_stack(columns) if columns else np.empty((len(behaviors), 0))

    def _of_pairs(
        self, first: NDArray[np.float64], row: NDArray[np.int64], n: int
    ) -> Iterator[NDArray[np.float64]]:
        for a, b in combinations(range(len(self.operations_)), 2):
            days = (first[:, b] - first[:, a]) / DAY
            both = ~np.isnan(days)
            at, days = row[both], days[both]
            mean, last, most = np.full((3, n), np.nan)
            count = np.bincount(at, minlength=n)
            total = np.bincount(at, weights=days, minlength=n)
            np.divide(total, count, out=mean, where=count > 0)
            last[at] = days
            np.fmax.at(most, at, days)
            yield from (mean, last, most)
