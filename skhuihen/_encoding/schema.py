"""What each column of a table of applications is, found once in `fit`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from skhuihen._events.frames import cure_for_renaming, joined_by
from skhuihen._events.nested import is_nested
from skhuihen.preprocessing._profile import is_clear, is_datetime


@dataclass(frozen=True)
class TableSchema:
    """The columns of a table of applications.

    Values decide what a column of an unclear type is, such as one of objects. They are asked in
    `fit` alone: a later table in which they are all missing must not be read in another way.

    Attributes
    ----------
    column : str
        The nested column.
    identifiers : frozenset of str
        Columns that are never profile: those that were named, and the keys of the join.
    times : frozenset of str
        Columns of dates and times.
    """

    column: str
    identifiers: frozenset[Any]
    times: frozenset[Any] = frozenset()

    @classmethod
    def learn(cls, frame: pd.DataFrame, column: str, id_columns: Sequence[str]) -> TableSchema:
        """Find out what each column is.

        Parameters
        ----------
        frame : DataFrame of shape (n_applications, n_columns)
        column : str
            The nested column.
        id_columns : sequence of str

        Returns
        -------
        TableSchema
        """
        identifiers = frozenset([*id_columns, *joined_by(frame)])
        found = cls(column, identifiers)
        features = {*found.features(frame), *identifiers}
        return cls(column, identifiers, frozenset(c for c in frame.columns if c not in features))

    def features(self, frame: pd.DataFrame, known: Sequence[Any] = ()) -> list[Any]:
        """Return the columns that are compared with those of `fit`: all but identifiers and times.

        Parameters
        ----------
        frame : DataFrame
        known : sequence of str, default=()
            Those of `fit`, which are not asked again what they are.

        Returns
        -------
        list of str
        """
        return [
            name
            for name, dtype in zip(frame.columns.tolist(), frame.dtypes.tolist(), strict=True)
            if name not in self.identifiers
            and name not in self.times
            and (name in known or is_clear(dtype) or not is_datetime(frame[name]))
        ]

    def refuse_other_nested(self, frame: pd.DataFrame) -> None:
        """Refuse events in another column than the one that they are looked for in."""
        for name, dtype in zip(frame.columns.tolist(), frame.dtypes.tolist(), strict=True):
            if is_clear(dtype) or name == self.column:
                continue
            if is_nested(frame[name]):
                raise ValueError(
                    f"Column {name!r} holds events, but behaviors={self.column!r} is where they "
                    f"are looked for. Pass behaviors={name!r}, or drop it."
                    f"{cure_for_renaming([name], self.column)}"
                )
