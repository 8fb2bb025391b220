"""Validation that matches a bank's use: folds by the time of the application."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.model_selection import BaseCrossValidator
from sklearn.utils import check_scalar
from sklearn.utils.validation import check_consistent_length, column_or_1d

from skhuihen._events.frames import as_frame
from skhuihen._tables.times import application_times, microseconds_of

__all__ = ["OutOfTimeSplit"]

Rows = NDArray[np.int64]
#: The possible fates of an application in a fold; the first that applies counts.
FATES = ("too_old", "train", "label_unknown", "known_user", "test", "later")
TRAIN, TEST = FATES.index("train"), FATES.index("test")


class OutOfTimeSplit(BaseCrossValidator):
    """Folds by application time: train on what was known at a cut and test on what came after it.

    Each fold has a cut. Its test part contains the applications from the cut to the next one, or
    to the end in the last fold. Its training part contains the applications with a label known at
    the cut. A loan shows only `gap` after the application whether it is overdue, so a bank that
    trains today has no label for yesterday's loans. Rows may be in any order. A cut never
    separates applications with the same time.

    Parameters
    ----------
    n_splits : int, default=5
        Number of folds. 1 gives a single out-of-time sample.
    gap : str or timedelta, default="0D"
        Time from an application until its label is known, such as ``"90D"``. Training rows have
        ``applied_at + gap < cut``; if times are only dates, ``"90D"`` drops 90 whole days.
    test_size : str or timedelta, default=None
        Length of each test period; the last one ends with the last application. None makes
        periods with about equal numbers of applications, ``n // (n_splits + 1)`` each.
    max_train_size : str or timedelta, default=None
        Drop training rows with ``applied_at < cut - gap - max_train_size``. None keeps all.
    applied_at : str, default="applied_at"
        The column with the time of the application.
    by_user : str, default=None
        The column with the applicant, such as ``"user_id"``. No user is then in both parts of a
        fold: the test part drops rows of users who are in the training part. None keeps them, as
        in production, where users come back.

    See Also
    --------
    sklearn.model_selection.TimeSeriesSplit : Splits by row number instead of time.
    skhuihen.attach_behaviors : Excludes events after each application.

    Notes
    -----
    Users are dropped from the test part, not from the training part, because the training part must
    be what the bank had at the cut. Which users come back later is only known after the cut, and it
    is informative: those who paid may borrow again. The score is therefore for users new to the
    model. Groups passed to `split` have the same effect as `by_user`.

    The cut applies to labels. Behaviors are cut at the time of each application by
    `attach_behaviors` and all later steps, in either part.

    Examples
    --------
    >>> import pandas as pd
    >>> from skhuihen.model_selection import OutOfTimeSplit
    >>> X = pd.DataFrame({"applied_at": pd.date_range("2024-01-01", periods=6, freq="30D")})
    >>> for train, test in OutOfTimeSplit(n_splits=2, gap="45D").split(X):
    ...     print(train, test)
    [0] [2 3]
    [0 1 2] [4 5]
    """

    __metadata_request__split = {"groups": True}

    def __init__(
        self,
        n_splits: int = 5,
        *,
        gap: Any = "0D",
        test_size: Any = None,
        max_train_size: Any = None,
        applied_at: str = "applied_at",
        by_user: str | None = None,
    ) -> None:
        self.n_splits = check_scalar(n_splits, "n_splits", Integral, min_val=1)
        self.gap = gap
        self.test_size = test_size
        self.max_train_size = max_train_size
        self.applied_at = applied_at
        self.by_user = by_user
        # Splitters have no fit in which to reject these later.
        self._gap = microseconds_of(gap, "gap", or_zero=True)
        self._test_size = None if test_size is None else microseconds_of(test_size, "test_size")
        self._max_train = (
            None if max_train_size is None else microseconds_of(max_train_size, "max_train_size")
        )

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return the number of folds.

        Parameters
        ----------
        X, y, groups : object
            Ignored.

        Returns
        -------
        int
        """
        return self.n_splits

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[tuple[Rows, Rows]]:
        """Return the training rows and the test rows of each fold, oldest first.

        Parameters
        ----------
        X : DataFrame or other table of shape (n_applications, n_columns)
            Must have the column `applied_at`, and `by_user` if set.
        y : array-like of shape (n_applications,), default=None
            If given, both parts of each fold must contain two classes.
        groups : array-like of shape (n_applications,), default=None
            The user of each application, instead of `by_user`.

        Returns
        -------
        iterator of (int64 ndarray, int64 ndarray)

        Raises
        ------
        ValueError
            If a part of a fold is empty or has one class only, or if times or users are missing.
        """
        periods, fate = self._assign(X, groups)
        label = None if y is None else column_or_1d(y)
        check_consistent_length(fate.T, label)
        folds = []
        for fold, (start, _) in enumerate(periods):
            is_of = [fate[fold] == name for name in (TRAIN, TEST)]
            for part, rows in zip(("training", "test"), is_of, strict=True):
                found = rows if label is None else label[rows]
                if not rows.any():
                    lack = "no row"
                elif label is not None and len(np.unique(found)) < 2:
                    lack = f"one class only, {found[:1].tolist()[0]!r}"
                else:
                    continue
                counts = _count(fate)[fold]
                raise ValueError(
                    f"The {part} part of fold {fold} (cut at {start}) has {lack}. The fold "
                    f"has these rows: {counts}. Pass fewer n_splits, a shorter gap, or a longer "
                    "test_size or max_train_size; report(X) counts the rows of each fold."
                )
            train, test = map(np.flatnonzero, is_of)
            folds.append((train, test))
        return iter(folds)

    def report(self, X: Any, groups: Any = None) -> pd.DataFrame:
        """Count what happens to the applications in each fold.

        Parameters
        ----------
        X : DataFrame or other table of shape (n_applications, n_columns)
        groups : array-like of shape (n_applications,), default=None
            The user of each application, instead of `by_user`.

        Returns
        -------
        DataFrame
            One row per fold. ``cut`` and ``end`` delimit the test period; ``end`` is excluded. The
            other columns count applications, each once: ``train``, ``test``, ``too_old`` (beyond
            `max_train_size`), ``label_unknown`` (less than `gap` before the cut), ``known_user``
            (in the test period, by a user in the training part) and ``later`` (after the test
            period).
        """
        periods, fate = self._assign(X, groups)
        counts = pd.DataFrame(_count(fate))
        counts.insert(0, "cut", [start for start, _ in periods])
        counts.insert(1, "end", [end for _, end in periods])
        return counts.rename_axis("fold")

    def _assign(
        self, X: Any, groups: Any
    ) -> tuple[list[tuple[pd.Timestamp, pd.Timestamp]], NDArray[np.int8]]:
        """Return each fold's test period, and the fate (by number) of each application in it."""
        frame = as_frame(X, only=[self.applied_at, self.by_user])
        for parameter, column in (("applied_at", self.applied_at), ("by_user", self.by_user)):
            if column is not None and column not in frame.columns:
                raise ValueError(
                    f"X has no column {column!r}. Name the right one with {parameter}=..."
                )
        time, zone = application_times(frame, self.applied_at)
        user = self._users(frame, groups)
        cuts = self._cuts(time)
        stamps = pd.to_datetime(cuts, unit="us", utc=zone is not None)
        if zone is not None:
            stamps = stamps.tz_convert(zone)
        fates = []
        for cut, end in pairwise(cuts):
            known = time < cut - self._gap
            old = np.zeros(len(time), dtype=bool)
            if self._max_train is not None:
                old = time < cut - self._gap - self._max_train
            in_test = (time >= cut) & (time < end)
            seen = np.zeros(len(time), dtype=bool)
            if user is not None:
                seen = np.isin(user, user[known & ~old])
            held = [old, known, time < cut, in_test & seen, in_test, np.ones(len(time), bool)]
            fates.append(np.argmax(held, axis=0).astype(np.int8))
        return list(pairwise(stamps)), np.array(fates)

    def _users(self, frame: pd.DataFrame, groups: Any) -> NDArray[np.int64] | None:
        """Return a number for each user; None if users are not considered."""
        if groups is None and self.by_user is None:
            return None
        if groups is not None and self.by_user is not None:
            raise ValueError(
                f"Both groups and by_user={self.by_user!r} identify users. Pass only one of them."
            )
        users = frame[self.by_user] if groups is None else pd.Series(column_or_1d(groups))
        check_consistent_length(frame, users)
        code, _ = pd.factorize(users)
        if (code < 0).any():
            where = "groups" if groups is not None else f"column {self.by_user!r}"
            raise ValueError(
                f"The {where} has {int((code < 0).sum())} missing users. Fill them in or drop the "
                "rows."
            )
        return code

    def _cuts(self, time: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the cut of each fold, and the end of the last test period."""
        ordered = np.sort(time)
        size = len(time) // (self.n_splits + 1)
        if not size:
            raise ValueError(
                f"n_splits={self.n_splits} folds require at least {self.n_splits + 1} "
                f"applications; X has {len(time)}. Pass fewer n_splits, or more applications."
            )
        end = ordered[-1] + 1
        back = np.arange(self.n_splits, 0, -1)
        if self._test_size is not None:
            return np.append(end - back * self._test_size, end)
        cuts = np.append(ordered[len(time) - back * size], end)
        if (np.diff(cuts) == 0).any():
            raise ValueError(
                f"Too many applications have the same time for {self.n_splits} distinct cuts "
                f"(n_splits): X has {len(np.unique(time))} distinct times in {len(time)} rows. "
                "Pass fewer n_splits, or a test_size."
            )
        return cuts


def _count(fate: NDArray[np.int8]) -> list[dict[str, int]]:
    """Return how many applications of each fold have each fate."""
    counts = [np.bincount(of_fold, minlength=len(FATES)).tolist() for of_fold in fate]
    return [dict(zip(FATES, of_fold, strict=True)) for of_fold in counts]
