"""Why this score: Shapley values of profile fields, columns, sessions and behaviors."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.utils._param_validation import Interval, Options, validate_params
from tqdm.auto import tqdm

from skhuihen._events.frames import as_frame, is_table
from skhuihen._events.nested import is_nested
from skhuihen.inspection._explanation import Explanation
from skhuihen.inspection._plan import Plan, make_plan
from skhuihen.inspection._scores import HUIHENScores, TableScores, ask, log_odds, split
from skhuihen.inspection._table import PlayersTable, Selection, find_fields
from skhuihen.preprocessing._profile import is_clear

#: Coalitions that are scored before the next applications come.
COALITIONS = 20_000
#: Scores that differ by more than this are not those of one model.
TOLERANCE = 1e-3


@validate_params(
    {
        "depth": [Options(Integral, {1, 2, 3})],
        "n_sessions": [Interval(Integral, 1, None, closed="left")],
        "n_background": [Interval(Integral, 1, None, closed="left")],
        "max_exact": [Interval(Integral, 1, 15, closed="both")],
        "n_orders": [Interval(Integral, 1, None, closed="left")],
        "column": [str],
        "applied_at": [str, None],
        "id_columns": ["array-like"],
        "verbose": ["verbose"],
    },
    prefer_skip_nested_validation=True,
)
def explain(
    model: Any,
    X: Any,
    background: Any = None,
    *,
    depth: int = 2,
    n_sessions: int = 8,
    n_background: int = 5,
    max_exact: int = 5,
    n_orders: int = 40,
    column: str = "behaviors",
    applied_at: str | None = "applied_at",
    id_columns: Sequence[str] = ("user_id", "application_id"),
    verbose: int = 0,
) -> Explanation:
    """Share the log-odds of each application among its profile and its history.

    The values are Shapley values down a tree of players (Owen values): at the top the profile
    fields and the history; below a field its columns; below the history its sessions, the last one
    before the application first; below a session its behaviors. The values at the top add up to
    the log-odds of the application less those of the background, and the values of the players of a
    group to that of the group.

    What is absent: of a column, the values of the background's rows stand in its place, one row
    after the other, and the log-odds are averaged. A session or a behavior that is absent is not in
    the history at all.

    Parameters
    ----------
    model : classifier
        Fitted, with two classes and `predict_proba`: a pipeline, `HUIHENClassifier`, a calibrated
        classifier, LightGBM on `WindowStatistics`; whatever takes `X`. A pipeline that ends in
        `HUIHENClassifier`, behind none but `BehaviorAbstractor` and `Sessionizer`, is explained
        fast, any other by scoring tables from which parts are taken out.
    X : DataFrame, other table or array of shape (n_applications, n_columns)
        What `model` takes.
    background : DataFrame, other table or array of shape (n, n_columns), default=None
        Applications whose profile stands for what is absent, such as approved ones; their history
        is not read. Of more than `n_background` rows, those are taken that are evenly spread by
        the model's log-odds of a profile without history. None takes X itself; values then depend
        on which other rows are in X.
    depth : {1, 2, 3}, default=2
        1 explains by fields and the history as a whole, 2 by columns and sessions too, 3 by
        behaviors too.
    n_sessions : int, default=8
        So many sessions, the latest, are players of their own; all older ones are one together.
    n_background : int, default=5
        Number of background rows to use at most; time grows with it.
    max_exact : int, default=5
        A group of at most so many players is enumerated, subset by subset. In a larger one players
        join in orders that are drawn; values still add up.
    n_orders : int, default=40
        So many orders at least are drawn for each larger group, in pairs of which one is the
        reverse of the other.
    column : str, default="behaviors"
        The nested column, if X has one.
    applied_at : str or None, default="applied_at"
        The column with the application's time; events at or after it are cut off. None, said on
        purpose, cuts nothing.
    id_columns : sequence of str, default=("user_id", "application_id")
        Columns that are no players and stay as they are, as times do.
    verbose : int, default=0
        1 shows a progress bar.

    Returns
    -------
    Explanation

    Raises
    ------
    NotFittedError
        If the model is not fitted.
    TypeError, ValueError
        If the model has no `predict_proba` or not two classes, or the background has no row or
        lacks a column.

    See Also
    --------
    reason_codes : The principal reasons, in the words of a table.

    Notes
    -----
    Orders are drawn once for each number of players, by a fixed seed: the values of an application
    do not depend on what else is in X, and repeat. `max_exact` and `n_orders` say how exact and how
    slow the values are.

    Where the first steps of a pipeline are `BehaviorAbstractor` and `Sessionizer`, sessions and
    behaviors are those that these leave. Otherwise sessions are those of the subfield ``session``,
    or are cut at pauses of more than an hour. With the subfields ``session`` and ``interval``, the
    interval of a behavior whose predecessor is absent counts from the one before that: the history
    is as if the absent had never been. Ages and days stay as they are.

    References
    ----------
    G. Owen, Values of games with a priori unions, in Mathematical Economics and Game Theory, 1977.
    S. Lundberg and S.-I. Lee, A unified approach to interpreting model predictions, NeurIPS 2017.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from skhuihen import HUIHENClassifier, Sessionizer, attach_behaviors
    >>> from skhuihen.datasets import make_loan_data
    >>> from skhuihen.inspection import explain
    >>> bank = make_loan_data(n_new=200, n_old=0, overdue_rate=0.3, random_state=0)
    >>> X = attach_behaviors(bank.applications, bank.events)
    >>> model = make_pipeline(
    ...     Sessionizer(), HUIHENClassifier(max_epochs=1, n_estimators=1, random_state=0))
    >>> explanation = explain(model.fit(X, bank.y), X[:3], X[bank.y == 0], depth=1)
    >>> explanation.matrix("top").columns.to_list()
    ['user', 'device', 'item', 'history']
    """
    if not hasattr(model, "predict_proba"):
        raise TypeError(
            f"model is a {type(model).__name__}, which has no predict_proba; a fitted classifier "
            "that gives probabilities is wanted. Wrap it in CalibratedClassifierCV, for example."
        )
    as_array = not is_table(X)
    frame = _read(X, column)
    if not len(frame):
        raise ValueError("X has no row; pass at least one application to explain.")
    _check_classes(model)
    own = log_odds(model, X)
    steps, rest = split(model)
    prepared = frame
    for step in steps:
        prepared = step.transform(prepared)
    fixed = [*np.asarray(id_columns, dtype=object).tolist(), *([applied_at] if applied_at else [])]
    fields = find_fields(prepared, column, fixed, _own_fields(rest))
    columns = [name for names in fields.values() for name in names]
    if not columns and column not in prepared.columns:
        raise ValueError(
            f"X has neither a profile column nor a column {column!r} to explain by; it has "
            f"{list(prepared.columns)}."
        )
    others = _read_background(X, background, frame, columns, column)
    if len(others) > n_background:
        others = _spread(others, rest, prepared, columns, column, n_background, as_array)
    table = PlayersTable(prepared, fields, others, column, applied_at, depth, n_sessions)
    scorer = _scorer(rest, table, others, as_array)

    def plan_of(application: int) -> Plan:
        return make_plan(
            table.tree(application), table.n_profile_leaves, len(others), max_exact, n_orders
        )

    values: list[NDArray[np.float64]] = []
    base = np.empty(len(table))
    bar = tqdm(total=len(table), desc="explain", unit="application", disable=not verbose)
    with bar:
        start = 0
        while start < len(table):
            chunk, plans, size = [], [], 0
            while start < len(table) and size < COALITIONS:
                plans.append(plan_of(start))
                chunk.append(start)
                size += len(plans[-1].background)
                start += 1
            scores = scorer.scores(chunk, plans)
            for application, plan, score in zip(chunk, plans, scores, strict=True):
                _check_same(score[plan.full], own[application], application)
                # In a batch of another size the last digits differ: the score itself counts.
                score[plan.full] = own[application]
                values.append(plan.weights @ score)
                base[application] = plan.empty @ score
            bar.update(len(chunk))
    return Explanation(
        players=[table.players(application) for application in range(len(table))],
        values=values,
        log_odds=own,
        base=base,
        index=frame.index,
        catalog=table.catalog(),
        table=prepared,
        column=column,
        applied_at=applied_at,
    )


def _read(X: Any, column: str, parameter: str = "X") -> pd.DataFrame:
    """Return a table, or an array, as a frame."""
    if is_table(X):
        frame = as_frame(X, column, parameter=parameter)
        for name, dtype in zip(frame.columns, frame.dtypes, strict=True):
            if name != column and not is_clear(dtype) and is_nested(frame[name]):
                raise ValueError(
                    f"Column {name!r} of {parameter} holds events, but column={column!r} is where "
                    f"they are looked for. Pass column={name!r}."
                )
        return frame
    array = np.asarray(X)
    if array.ndim != 2:
        raise ValueError(
            f"{parameter} is of shape {array.shape}; a table or an array of two dimensions is "
            "wanted, one row per application."
        )
    return pd.DataFrame(array, columns=[f"x{i}" for i in range(array.shape[1])])


def _check_classes(model: Any) -> None:
    classes = getattr(model, "classes_", None)
    if classes is not None and len(classes) != 2:
        raise ValueError(
            f"model has the classes {list(classes)}; log-odds are explained of two. Explain a "
            "model of one class against the others."
        )


def _own_fields(model: Any) -> dict[str, list[Any]] | None:
    """Return the profile fields that a classifier was told, if it was."""
    told = getattr(getattr(model, "profile_encoder", None), "profile_fields", None)
    return None if told is None else {name: list(columns) for name, columns in told.items()}


def _read_background(
    X: Any, background: Any, frame: pd.DataFrame, columns: list[Any], column: str
) -> pd.DataFrame:
    """Return the rows that may stand for what is absent."""
    if background is None:
        if len(frame) < 2 and columns:
            raise ValueError(
                "X has one row, which cannot be compared with itself. Pass background: "
                "applications to compare with, such as approved ones."
            )
        return frame.reset_index(drop=True)
    others = _read(background, column, "background").reset_index(drop=True)
    if not len(others):
        raise ValueError("background has no row; pass applications to compare with.")
    lacking = [name for name in columns if name not in others.columns]
    if lacking:
        raise ValueError(
            f"background has no column {lacking[0]!r}, which X has (lacking in all: {lacking}). "
            "Pass applications with the columns of X."
        )
    return others


def _spread(
    others: pd.DataFrame,
    model: Any,
    prepared: pd.DataFrame,
    columns: list[Any],
    column: str,
    n: int,
    as_array: bool,
) -> pd.DataFrame:
    """Return so many background rows, evenly spread by the log-odds of their profile alone."""
    if not columns:
        return others.iloc[:1]
    nobody = prepared.iloc[np.zeros(len(others), dtype=np.int64)].reset_index(drop=True)
    for name in prepared.columns:
        if name == column:
            table = PlayersTable(prepared.iloc[:1], {}, others.iloc[:0], column, None, 1, 1)
            nothing = Selection(np.empty(0, np.int64), np.zeros(len(others) + 1, np.int64))
            nobody[name] = table.take(table.behaviors, nothing).to_array()
        elif name in others.columns:
            nobody[name] = others[name].array
    scores = ask(model, nobody, as_array)
    # Equal scores in the order of the rows; rounding must not decide.
    order = np.argsort(np.round(scores, 6), kind="stable")
    at = (np.arange(n) * 2 + 1) * len(others) // (2 * n)
    return others.iloc[order[at]].reset_index(drop=True)


def _scorer(model: Any, table: PlayersTable, others: pd.DataFrame, as_array: bool) -> TableScores:
    if HUIHENScores.can_score(model):
        fast = HUIHENScores(model, table, others)
        if fast.fits:
            return fast
    return TableScores(model, table, as_array)


def _check_same(found: float, own: float, application: int) -> None:
    if abs(found - own) > TOLERANCE * (1 + abs(own)):
        raise ValueError(
            f"The model gives row {application} log-odds of {own:.6g}, and of {found:.6g} when "
            "asked again, so that nothing can be said of the difference that a part makes. Explain "
            "a model that gives the same row the same score, whatever rows are beside it."
        )
