"""The role of each column in a table of applications, decided once in `fit`."""

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

    The role of a column with an unclear dtype, such as object, depends on its values. Only the
    values in `fit` decide, so a later table with only missing values is read in the same way.

    Attributes
    ----------
    column : str
        The nested column.
    identifiers : frozenset of str
        Columns that never count as profile: `id_columns` and the keys of the join.
    times : frozenset of str
        Columns of dates and times.
    """

    column: str
    identifiers: frozenset[Any]
    times: frozenset[Any] = frozenset()

    @classmethod
    def learn(cls, frame: pd.DataFrame, column: str, id_columns: Sequence[str]) -> TableSchema:
        """Decide the role of each column.

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
        """Return the columns that are compared with `fit`: all except identifiers and times.

        Parameters
        ----------
        frame : DataFrame
        known : sequence of str, default=()
            The columns of `fit`; their values are not examined again.

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
        """Raise if a column other than the nested column contains events."""
        for name, dtype in zip(frame.columns.tolist(), frame.dtypes.tolist(), strict=True):
            if is_clear(dtype) or name == self.column:
                continue
            if is_nested(frame[name]):
                raise ValueError(
                    f"Column {name!r} contains events, but behaviors={self.column!r} names another "
                    f"column. Pass behaviors={name!r}, or drop column {name!r}."
                    f"{cure_for_renaming([name], self.column)}"
                )
