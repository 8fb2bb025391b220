"""Explanation: the values of the players of many applications."""

from __future__ import annotations

import importlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from skhuihen.inspection._table import Player

_KINDS = {"top": ("field", "history"), "middle": ("column", "session")}


@dataclass(frozen=True)
class Explanation:
    """The effect of each part of each application on its log-odds of overdue.

    `explain` returns it.

    Attributes
    ----------
    players : list of list of Player
        For each application, its players; a group comes before the players in it.
    values : list of float64 ndarray
        For each application, the values of its players.
    log_odds : float64 ndarray of shape (n_applications,)
        The log-odds that are explained.
    base : float64 ndarray of shape (n_applications,)
        Mean log-odds of the background's profiles without a history. Together with the values at
        the top it adds up to `log_odds`.
    index : Index
        The index of the explained table.
    catalog : list of Player
        All possible players except behaviors.
    table : DataFrame
        The applications after the steps that change only events.
    column, applied_at : str or None
        As in `explain`.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skhuihen.inspection import explain
    >>> X = pd.DataFrame({"age": [20.0, 30.0, 40.0, 50.0], "income": [1.0, 3.0, 2.0, 4.0]})
    >>> model = LogisticRegression().fit(X, [1, 0, 1, 0])
    >>> explanation = explain(model, X[:1], X[1:])
    >>> explanation.to_frame()[["player", "parent", "shown"]]
               player   parent shown
    0         profile           None
    1     profile/age  profile  20.0
    2  profile/income  profile   1.0
    """

    players: list[list[Player]]
    values: list[NDArray[np.float64]]
    log_odds: NDArray[np.float64]
    base: NDArray[np.float64]
    index: pd.Index
    catalog: list[Player]
    table: pd.DataFrame
    column: str
    applied_at: str | None

    def __len__(self) -> int:
        return len(self.values)

    def __repr__(self) -> str:
        return f"Explanation of {len(self):,} applications by {len(self.catalog)} players"

    def __getitem__(self, rows: Any) -> Explanation:
        """Return the explanation of some applications, by position or mask."""
        at = np.atleast_1d(np.arange(len(self))[rows])
        return replace(
            self,
            players=[self.players[i] for i in at],
            values=[self.values[i] for i in at],
            log_odds=self.log_odds[at],
            base=self.base[at],
            index=self.index[at],
            table=self.table.iloc[at],
        )

    def of(self, row: int) -> pd.DataFrame:
        """Return the players of one application.

        Parameters
        ----------
        row : int
            Its position.

        Returns
        -------
        DataFrame
            With the columns of `Player` and ``value``.
        """
        if not -len(self) <= row < len(self):
            raise IndexError(f"row={row} is outside the explanation of {len(self)} applications.")
        return _describe(self.players[row], self.values[row])

    def leaves(self, row: int) -> pd.DataFrame:
        """Return the players of one application that are not groups."""
        players = self.of(row)
        return players[~players["player"].isin(players["parent"])]

    def to_frame(self) -> pd.DataFrame:
        """Return all values as a table, one row for each player of each application.

        Returns
        -------
        DataFrame
            ``application`` (position), ``index`` (label), ``player``, ``parent``, ``kind``,
            ``shown`` (the value of a column, or a text for a session) and ``value``.
        """
        sizes = [len(players) for players in self.players]
        flat = _describe(
            [player for players in self.players for player in players],
            np.concatenate([np.empty(0), *self.values]),
        )
        flat.insert(0, "application", np.repeat(np.arange(len(self)), sizes))
        flat.insert(1, "index", self.index.repeat(sizes))
        return flat

    def to_json(self, path: Any = None) -> str | None:
        """Write all values as JSON, one object for each application.

        Parameters
        ----------
        path : str or path, default=None
            A file to write; None returns the text.

        Returns
        -------
        str or None
        """
        objects = [
            {
                "index": _plain(self.index[i]),
                "log_odds": float(self.log_odds[i]),
                "background": float(self.base[i]),
                "values": [
                    {"player": player.path, "value": float(value), "shown": _plain(player.shown)}
                    for player, value in zip(self.players[i], self.values[i], strict=True)
                ],
            }
            for i in range(len(self))
        ]
        text = json.dumps(objects, ensure_ascii=False, allow_nan=False)
        if path is None:
            return text
        Path(path).write_text(text + "\n", encoding="utf-8")
        return None

    def matrix(self, level: str = "middle") -> pd.DataFrame:
        """Return the values side by side, one row for each application.

        Parameters
        ----------
        level : {"top", "middle"}, default="middle"
            ``"top"`` for fields and history, ``"middle"`` for columns and sessions.

        Returns
        -------
        DataFrame of shape (n_applications, n_players)
            0 if an application has no such player.
        """
        names = self._names(level)
        place = {name: i for i, name in enumerate(names)}
        values = np.zeros((len(self), len(names)))
        for row, (players, own) in enumerate(zip(self.players, self.values, strict=True)):
            for player, value in zip(players, own, strict=True):
                if player.path in place:
                    values[row, place[player.path]] = value
        return pd.DataFrame(values, index=self.index, columns=names)

    def _names(self, level: str) -> list[str]:
        if level not in _KINDS:
            raise ValueError(f"level must be one of {list(_KINDS)}, found {level!r}.")
        kinds = _KINDS[level]
        if level == "middle" and not any(player.kind in kinds for player in self.catalog):
            kinds = _KINDS["top"]  # depth=1
        return [player.path for player in self.catalog if player.kind in kinds]

    def shown(self, level: str = "middle") -> pd.DataFrame:
        """Return the values of columns, or the texts of sessions, for the players of `matrix`."""
        names = self._names(level)
        rows = [{player.path: player.shown for player in players} for players in self.players]
        return pd.DataFrame(
            [[row.get(name) for name in names] for row in rows],
            index=self.index,
            columns=names,
            dtype=object,
        )

    def to_shap(self, level: str = "middle") -> Any:
        """Return the values as an explanation of the package shap, for its plots.

        Parameters
        ----------
        level : {"top", "middle"}, default="middle"
            As in `matrix`.

        Returns
        -------
        shap.Explanation

        Raises
        ------
        ImportError
            If shap is not installed.
        """
        try:
            shap: Any = importlib.import_module("shap")
        except ImportError as error:
            raise ImportError(
                "to_shap requires shap, which is not installed. Run: pip install shap"
            ) from error
        values = self.matrix(level)
        return shap.Explanation(
            values=values.to_numpy(),
            base_values=self.base,
            data=self.shown(level).to_numpy(),
            feature_names=list(values.columns),
        )


def _describe(players: Sequence[Player], values: NDArray[np.float64]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "player": [player.path for player in players],
            "parent": [player.parent for player in players],
            "kind": [player.kind for player in players],
            "shown": pd.Series([player.shown for player in players], dtype=object),
            "value": values,
        }
    )


def _plain(value: Any) -> Any:
    """Return a value that JSON can represent."""
    if value is None or value is pd.NaT or value is pd.NA:
        return None
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    return value if isinstance(value, bool | int | str) else str(value)
