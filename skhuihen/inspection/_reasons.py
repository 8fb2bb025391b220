"""Reason codes: the principal reasons for a score, with texts from a table."""

from __future__ import annotations

from fnmatch import fnmatchcase
from numbers import Integral
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.utils import check_scalar

from skhuihen._events.frames import as_frame
from skhuihen.inspection._explanation import Explanation
from skhuihen.inspection._table import Player

#: Texts that do not count as a reason.
_EMPTY_WORDS = {"", "other", "others", "miscellaneous", "various", "n/a"}
_TELL = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
#: Effects that differ by less are equal; smaller effects are zero.
_EQUAL = 1e-9


def reason_codes(
    explanation: Explanation,
    table: Any,
    *,
    n_reasons: int = 4,
    reference: Explanation | None = None,
    against: str = "mean",
) -> pd.DataFrame:
    """Return the principal reasons of each application: those that raised its risk most.

    Parameters
    ----------
    explanation : Explanation
        The explanation of the applications, from `explain`.
    table : DataFrame, other table or path of a CSV file
        The table of reasons, with the columns

        - ``player``: the path of a player, such as ``history/session_1``, or its last part, such as
          ``user__age``, or a glob of either, such as ``device__*``. A row for a group applies to
          all players in it. If several rows match, the first counts.
        - ``code``: the code of the reason. The effects of players with the same code are added up.
        - ``text``: the text of the reason, the same in all rows of a code.
        - ``tell``, optional: whether the applicant may be told, yes or no.
    n_reasons : int, default=4
        Maximum number of reasons per application.
    reference : Explanation, default=None
        The explanation of applications to compare with, such as approved ones, with the same
        background. None compares with the background alone: its profiles, without history.
    against : {"mean", "best"}, default="mean"
        Compare with the mean effect of a code over `reference`, or with the lowest.

    Returns
    -------
    DataFrame
        For each application (``application`` is its position, ``index`` its label), the reasons in
        order: ``rank`` from 1, ``code``, ``text``, ``effect`` in log-odds, ``player`` (the one with
        the largest effect of the code; None if the application has no such player), ``shown``
        (its value) and ``told``. A reason that may not be told has no rank, but keeps its place in
        the order.

    Raises
    ------
    ValueError
        If a possible player has no reason, even if these applications do not have that player, or
        if the table is invalid.

    Notes
    -----
    Reasons with the same effect keep the order of the table.

    Every player by which the model can be explained must have a reason, so no later application can
    have a player without one.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skhuihen.inspection import explain, reason_codes
    >>> X = pd.DataFrame({"inquiries": [9.0, 1.0, 2.0, 5.0], "income": [1.0, 3.0, 2.0, 4.0]})
    >>> model = LogisticRegression().fit(X, [1, 0, 0, 1])
    >>> table = pd.DataFrame({
    ...     "player": ["inquiries", "income"],
    ...     "code": ["R1", "R2"],
    ...     "text": ["Many inquiries at other lenders", "Income is low for the amount"],
    ... })
    >>> codes = reason_codes(explain(model, X[:1], X[1:]), table)
    >>> codes[["rank", "code", "text", "shown"]]
       rank code                             text shown
    0     1   R1  Many inquiries at other lenders   9.0
    """
    check_scalar(n_reasons, "n_reasons", Integral, min_val=1)
    if against not in ("mean", "best"):
        raise ValueError(f'against must be "mean" or "best", found {against!r}.')
    reasons = _read(table)
    reasons.check(explanation.catalog)
    effects, main = reasons.effects(explanation)
    if reference is not None:
        if not len(reference):
            raise ValueError("reference is empty. Explain at least one application.")
        if {p.path for p in reference.catalog} != {p.path for p in explanation.catalog}:
            raise ValueError(
                "reference and explanation have different players. Explain both with the same "
                "model, columns, depth and n_sessions."
            )
        others, _ = reasons.effects(reference)
        effects = effects - (others.mean(axis=0) if against == "mean" else others.min(axis=0))

    rows = []
    order = np.argsort(-np.round(effects / _EQUAL), axis=1, kind="stable")
    for application, of in enumerate(order):
        rank = 0
        for code in of.tolist():
            effect = float(effects[application, code])
            if rank == n_reasons or effect <= _EQUAL:
                break
            told = bool(reasons.tell[code])
            rank += told
            player = main[application][code]
            rows.append(
                {
                    "application": application,
                    "index": explanation.index[application],
                    "rank": rank if told else None,
                    "code": reasons.codes[code],
                    "text": reasons.texts[code],
                    "effect": effect,
                    "player": None if player is None else player.path,
                    "shown": None if player is None else player.shown,
                    "told": told,
                }
            )
    columns = ["application", "index", "rank", "code", "text", "effect", "player", "shown", "told"]
    result = pd.DataFrame(rows, columns=columns)
    result["shown"] = pd.Series([row["shown"] for row in rows], dtype=object)
    return result.astype({"application": np.int64, "rank": "Int64", "effect": float, "told": bool})


class _Reasons(NamedTuple):
    """A table of reasons: patterns and their codes."""

    patterns: list[str]
    code_of: list[int]
    codes: list[str]
    texts: list[str]
    tell: list[bool]

    def find(self, path: str) -> int | None:
        """Return the code of the first row that matches a player or one of its groups."""
        names = []
        while path:
            parent, _, name = path.rpartition("/")
            names += [path, name]
            path = parent
        for pattern, code in zip(self.patterns, self.code_of, strict=True):
            if any(fnmatchcase(name, pattern) for name in names):
                return code
        return None

    def check(self, catalog: list[Player]) -> None:
        """Raise if a player has no reason in the table."""
        groups = {player.parent for player in catalog}
        lacking = [
            player.path
            for player in catalog
            if player.path not in groups and self.find(player.path) is None
        ]
        if lacking:
            raise ValueError(
                f"The table of reasons has no row for {lacking[0]!r} (all players without a row: "
                f"{lacking}). Add a row for each, or for its group."
            )

    def effects(
        self, explanation: Explanation
    ) -> tuple[NDArray[np.float64], list[list[Player | None]]]:
        """Return the effect of each code, and the player with the largest part of it."""
        effects = np.zeros((len(explanation), len(self.codes)))
        main: list[list[Player | None]] = []
        known: dict[str, int] = {}
        for row, (players, values) in enumerate(
            zip(explanation.players, explanation.values, strict=True)
        ):
            groups = {player.parent for player in players}
            largest = np.full(len(self.codes), -np.inf)
            of_row: list[Player | None] = [None] * len(self.codes)
            for player, value in zip(players, values, strict=True):
                if player.path in groups:
                    continue
                if player.path not in known:
                    found = self.find(player.path)
                    assert found is not None
                    known[player.path] = found
                code = known[player.path]
                effects[row, code] += value
                if value > largest[code]:
                    largest[code], of_row[code] = value, player
            main.append(of_row)
        return effects, main


def _read(table: Any) -> _Reasons:
    if isinstance(table, str | Path):
        table = pd.read_csv(table, dtype=str, keep_default_na=False)
    frame = as_frame(table, parameter="table")
    lacking = [name for name in ("player", "code", "text") if name not in frame.columns]
    if lacking:
        raise ValueError(
            f"The table of reasons has no column {lacking[0]!r}. Its columns are "
            f"{list(frame.columns)}; player, code and text are required, tell is optional."
        )
    if not len(frame):
        raise ValueError("The table of reasons is empty. Add a reason for each player.")
    patterns: list[str] = []
    code_of: list[int] = []
    codes: list[str] = []
    texts: list[str] = []
    tell: list[bool] = []
    telling = frame["tell"].tolist() if "tell" in frame.columns else [True] * len(frame)
    told = zip(frame["player"], frame["code"], frame["text"], telling, strict=True)
    for number, (player, code, text, may_tell) in enumerate(told):
        for name, value in (("player", player), ("code", code), ("text", text)):
            if pd.isna(value) or not str(value).strip():
                raise ValueError(f"Row {number} of the table of reasons has no {name}. Fill it in.")
        pattern, code, text = str(player).strip(), str(code).strip(), str(text).strip()
        for value in (code, text):
            if value.casefold().rstrip(".") in _EMPTY_WORDS:
                raise ValueError(
                    f"Row {number} of the table of reasons has {value!r} for {pattern!r}, which is "
                    "not a specific reason. Write a specific one."
                )
        may = _TELL.get(str(may_tell).strip().casefold())
        if may is None:
            raise ValueError(
                f"Row {number} of the table of reasons has tell={may_tell!r}. Use yes or no."
            )
        if code not in codes:
            codes.append(code)
            texts.append(text)
            tell.append(may)
        at = codes.index(code)
        if texts[at] != text or tell[at] != may:
            raise ValueError(
                f"Row {number} of the table of reasons has code {code!r}, but a different text or "
                f"tell than an earlier row with this code: {text!r} and {texts[at]!r}. Use the "
                "same in both rows, or two codes."
            )
        patterns.append(pattern)
        code_of.append(at)
    return _Reasons(patterns, code_of, codes, texts, tell)
