"""Held-out rows: stratified by class, with all applications of a user on one side.

A network recognizes a history that it has seen. If it trains on one application of a user and
another is held out, the held-out score is too good.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold

from skhuihen._compat import group_folds
from skhuihen._events.frames import joined_by

#: For messages: rows of one user stay together.
TOGETHER = (
    "All applications of a user stay together; the user is identified by a column of id_columns, "
    "or by the keys of attach_behaviors."
)


def users_of(frame: pd.DataFrame, id_columns: Sequence[str]) -> NDArray[np.int64] | None:
    """Return a number for the user of each row, if some users have several rows.

    The column is the first of `id_columns` with a repeated value and at least two different
    values. If there is none, users are the keys that `attach_behaviors` joined by, together. Each
    missing value counts as a separate user.

    Parameters
    ----------
    frame : DataFrame of shape (n, n_columns)
    id_columns : sequence of str
        Absent ones are ignored.

    Returns
    -------
    int64 ndarray of shape (n,) or None
        None if no user has several rows, or if there is no such column.
    """
    for column in id_columns:
        if column not in frame.columns:
            continue
        try:
            users, known = pd.factorize(frame[column])
        except TypeError as error:
            raise TypeError(
                f"Column {column!r} of id_columns contains values that cannot be compared "
                f"({error}). It must contain numbers or strings. Convert it, or use another "
                "column in id_columns."
            ) from error
        users = users.astype(np.int64)
        missing = users < 0
        users[missing] = len(known) + np.arange(missing.sum())
        if 1 < len(known) + missing.sum() < len(frame):
            return users
    keys = joined_by(frame)
    if not keys or not {*keys} <= {*frame.columns}:
        return None
    of_keys = np.zeros(len(frame), np.int64)
    missing = frame[keys].isna().any(axis=1).to_numpy()
    of_keys[~missing] = frame[~missing].groupby(keys, sort=False, observed=True).ngroup()
    of_keys[missing] = len(frame) + np.arange(missing.sum())
    return of_keys if 1 < len(np.unique(of_keys)) < len(frame) else None


def n_of_rarest(y: NDArray[Any], users: NDArray[np.int64] | None = None) -> int:
    """Return the number of users, or without users the number of rows, of the rarest class.

    Parameters
    ----------
    y : ndarray of shape (n,)
    users : int64 ndarray of shape (n,), default=None

    Returns
    -------
    int
    """
    if users is None:
        return int(np.unique(y, return_counts=True)[1].min())
    return min(len(np.unique(users[y == label])) for label in np.unique(y))


def folds(
    y: NDArray[Any],
    users: NDArray[np.int64] | None,
    n_folds: int,
    random: np.random.RandomState,
) -> list[NDArray[np.int64]]:
    """Split all rows into stratified folds, with each user in one fold.

    Parameters
    ----------
    y : ndarray of shape (n,)
        Labels, or their codes.
    users : int64 ndarray of shape (n,) or None
        As from `users_of`.
    n_folds : int
        At most `n_of_rarest`.
    random : RandomState

    Returns
    -------
    list of int64 ndarray
        The rows of each fold, ascending. Each row is in one fold, and the rows outside a fold
        have all classes.
    """
    rows = np.arange(len(y))
    if users is None or len(np.unique(users)) == len(users):
        cut = StratifiedKFold(n_folds, shuffle=True, random_state=random).split(rows, y)
    else:
        cut = group_folds(y, users, n_folds, random)
    found = [held_out for _, held_out in cut if len(held_out)]
    if any(len(np.unique(np.delete(y, part))) < len(np.unique(y)) for part in found):
        raise ValueError(
            f"All rows of one class are in a single one of {n_folds} folds, because too few users "
            f"have it. Pass more rows. {TOGETHER}"
        )
    return found


def hold_out(
    y: NDArray[np.int64],
    classes: Sequence[Any],
    users: NDArray[np.int64] | None,
    fraction: float,
    n_parts: int,
    random: np.random.RandomState,
) -> list[NDArray[np.int64]]:
    """Choose several parts, each with a share of each class but at least one row or user.

    The parts do not overlap as long as there are enough rows, or users.

    Parameters
    ----------
    y : int64 ndarray of shape (n,)
        Positions in ``classes``.
    classes : sequence of labels
    users : int64 ndarray of shape (n,) or None
        As from `users_of`.
    fraction : float
        Share of the rows.
    n_parts : int
    random : RandomState

    Returns
    -------
    list of int64 ndarray
        The rows of each part, ascending.
    """
    if users is not None:
        return _hold_out_users(y, classes, users, fraction, n_parts, random)
    parts: list[list[NDArray[np.int64]]] = [[] for _ in range(n_parts)]
    for code, label in enumerate(classes):
        rows = random.permutation(np.flatnonzero(y == code))
        if len(rows) < 2:
            raise ValueError(
                f"early_stopping=True holds out rows of each class, but class {label!r} has only "
                "one row. Pass early_stopping=False, or more rows."
            )
        size = _size(fraction, len(rows))
        for number, part in enumerate(parts):
            part.append(rows.take(np.arange(number * size, (number + 1) * size), mode="wrap"))
    return [np.sort(np.concatenate(part)) for part in parts]


def _hold_out_users(
    y: NDArray[np.int64],
    classes: Sequence[Any],
    users: NDArray[np.int64],
    fraction: float,
    n_parts: int,
    random: np.random.RandomState,
) -> list[NDArray[np.int64]]:
    """Choose users, starting with the rarest class, because its share is the hardest to meet."""
    _, users = np.unique(users, return_inverse=True)
    counts = np.zeros((users.max() + 1, len(classes)), dtype=np.int64)
    np.add.at(counts, (users, y), 1)
    totals = counts.sum(axis=0)
    chosen = np.zeros((n_parts, len(counts)), dtype=bool)
    free = np.ones(len(counts), dtype=bool)
    for code in np.argsort(totals, kind="stable"):
        having = random.permutation(np.flatnonzero(free & (counts[:, code] > 0)))
        free[having] = False
        is_rarest = not chosen.any()
        start = 0
        for part in chosen if len(having) else ():
            wanted = _size(fraction, totals[code]) - part @ counts[:, code]
            order = np.roll(having, -start)
            reached = np.append(0, counts[order, code].cumsum())
            size = int(np.abs(reached - wanted).argmin())
            size = min(max(size, int(is_rarest)), max(len(order) - 1, 0))
            part[order[:size]] = True
            start += size
    parts = [np.flatnonzero(part[users]) for part in chosen]
    for part in parts:
        for code, label in enumerate(classes):
            if not 0 < np.count_nonzero(y[part] == code) < totals[code]:
                raise ValueError(
                    "early_stopping=True holds out whole users, but too few have class "
                    f"{label!r}: it would be missing in one part. Pass early_stopping=False, or "
                    f"more rows. {TOGETHER}"
                )
    return parts


def _size(fraction: float, n: int) -> int:
    """Return the number of rows in the share, with at least one row on either side."""
    return min(max(round(fraction * n), 1), n - 1)
