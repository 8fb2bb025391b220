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

from skhuihen._events.frames import as_frame, is_table, joined_by
from skhuihen._events.nested import is_nested
from skhuihen.inspection._explanation import Explanation
from skhuihen.inspection._plan import Plan, make_plan
from skhuihen.inspection._scores import HUIHENScores, TableScores, ask, log_odds, split
from skhuihen.inspection._table import PlayersTable, Selection, find_fields
from skhuihen.preprocessing._profile import is_clear

#: Coalitions per batch of applications.
COALITIONS = 20_000
#: Largest accepted relative difference between two scores of the same row.
TOLERANCE = 1e-3


@validate_params(
    {
        "depth": [Options(Integral, {1, 2, 3})],
        "n_sessions": [Interval(Integral, 1, None, closed="left")],
        "n_background": [Interval(Integral, 1, None, closed="left")],
        "max_exact": [Interval(Integral, 1, 15, closed="both")],
        "n_orders": [Interval(Integral, 1, None, closed="left")],
        "behaviors": [str],
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
    behaviors: str = "behaviors",
    applied_at: str | None = "applied_at",
    id_columns: Sequence[str] = ("user_id", "application_id"),
    verbose: int = 0,
) -> Explanation:
    """Divide the log-odds of each application among its profile and its history.

    The values are Shapley values for a tree of players (Owen values). The profile fields and the
    history are at the top. Below a field are its columns. Below the history are its sessions, the
    last one before the application first. Below a session are its behaviors. The values at the
    top add up to the log-odds of the application minus those of the background. The values in a
    group add up to the value of the group.

    The values of the background rows replace an absent column, one row after the other, and the
    log-odds are averaged. An absent session or behavior is removed from the history.

    Parameters
    ----------
    model : classifier
        Fitted, with two classes and `predict_proba`: a pipeline, `HUIHENClassifier`, a calibrated
        classifier, LightGBM on `WindowStatistics`, or any other that accepts `X`. A pipeline that
        ends in `HUIHENClassifier`, with no other steps than `BehaviorAbstractor` and
        `Sessionizer`, is explained fast. Any other model must score many modified tables.
    X : DataFrame, other table or array of shape (n_applications, n_columns)
        The applications to explain.
    background : DataFrame, other table or array of shape (n, n_columns), default=None
        Applications, such as approved ones, that supply the values of absent columns. Their history
        is not read. If there are more than `n_background` rows, a subset is used, evenly spread by
        the model's log-odds for a profile without history. None uses X itself; values then depend
        on the other rows in X.
    depth : {1, 2, 3}, default=2
        1 explains by fields and the whole history, 2 also by columns and sessions, 3 also by
        behaviors.
    n_sessions : int, default=8
        Number of latest sessions that are separate players; all older ones are one player.
    n_background : int, default=5
        Maximum number of background rows; computing time grows with it.
    max_exact : int, default=5
        Maximum number of players in a group for which all subsets are enumerated. In a larger
        group, players join in random orders; values still add up.
    n_orders : int, default=40
        Minimum number of random orders for each larger group, in pairs of an order and its
        reverse.
    behaviors : str, default="behaviors"
        The nested column, if X has one.
    applied_at : str or None, default="applied_at"
        The column with the application's time; events at or after it are cut off. Pass None to
        disable the cut.
    id_columns : sequence of str, default=("user_id", "application_id")
        Columns that are not players and do not change. The same applies to times, and to the keys
        by which `attach_behaviors` joined ``X``.
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
        If the model has no `predict_proba` or not two classes, or if the background is empty or
        a column is missing from it.

    See Also
    --------
    reason_codes : The principal reasons, with texts from a table.

    Notes
    -----
    Orders are drawn once for each number of players, with a fixed seed. So the values of an
    application can be reproduced and do not depend on the other rows in X. Larger `max_exact` and
    `n_orders` give more exact values and take more time.

    If the first steps of a pipeline are `BehaviorAbstractor` and `Sessionizer`, sessions and
    behaviors are those in the output of these steps. Otherwise, sessions are those of the subfield
    ``session``, or a session gap is a pause of more than an hour. With the subfields ``session``
    and ``interval``, the interval after an absent behavior counts from the last present one, as
    if the absent one had never happened. Ages and days do not change.

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
            f"model is a {type(model).__name__}, which has no predict_proba. Pass a fitted "
            "classifier with predict_proba, for example this model in CalibratedClassifierCV."
        )
    as_array = not is_table(X)
    frame = _read(X, behaviors)
    if not len(frame):
        raise ValueError("X is empty. Pass at least one application to explain.")
    _check_classes(model)
    own = log_odds(model, X)
    steps, rest = split(model)
    prepared = frame
    for step in steps:
        prepared = step.transform(prepared)
    ids = [*np.asarray(id_columns, dtype=object).tolist(), *joined_by(frame)]
    fixed = [*ids, *([applied_at] if applied_at else [])]
    fields = find_fields(prepared, behaviors, fixed, _own_fields(rest))
    columns = [name for names in fields.values() for name in names]
    if not columns and behaviors not in prepared.columns:
        raise ValueError(
            f"X has neither a profile column nor a column {behaviors!r}, so nothing can explain "
            f"the score. Its columns are {list(prepared.columns)}. Pass a table with at least "
            "one of the two."
        )
    others = _read_background(X, background, frame, columns, behaviors)
    if len(others) > n_background:
        others = _spread(others, rest, prepared, columns, behaviors, n_background, as_array)
    table = PlayersTable(prepared, fields, others, behaviors, applied_at, depth, n_sessions)
    table_scores = _find_scores(rest, table, others, as_array)

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
            scores = table_scores.scores(chunk, plans)
            for application, plan, score in zip(chunk, plans, scores, strict=True):
                _check_same(score[plan.full], own[application], application)
                # The last digits depend on the batch size, so use the score of X itself.
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
        column=behaviors,
        applied_at=applied_at,
    )


def _read(X: Any, column: str, parameter: str = "X") -> pd.DataFrame:
    """Return a table, or an array, as a frame."""
    if is_table(X):
        frame = as_frame(X, column, parameter=parameter)
        for name, dtype in zip(frame.columns, frame.dtypes, strict=True):
            if name != column and not is_clear(dtype) and is_nested(frame[name]):
                raise ValueError(
                    f"Column {name!r} of {parameter} contains events, but behaviors={column!r}. "
                    f"Pass behaviors={name!r}, or drop column {name!r}."
                )
        return frame
    array = np.asarray(X)
    if array.ndim != 2:
        raise ValueError(
            f"{parameter} has shape {array.shape}. Pass a table or a two-dimensional array with "
            "one row per application."
        )
    return pd.DataFrame(array, columns=[f"x{i}" for i in range(array.shape[1])])


def _check_classes(model: Any) -> None:
    classes = getattr(model, "classes_", None)
    if classes is not None and len(classes) != 2:
        raise ValueError(
            f"model has the classes {list(classes)}, but log-odds require two. Pass a model of one "
            "class against the others."
        )


def _own_fields(model: Any) -> dict[str, list[Any]] | None:
    """Return the profile fields that were passed to a classifier, if any."""
    told = getattr(getattr(model, "profile_encoder", None), "profile_fields", None)
    return None if told is None else {name: list(columns) for name, columns in told.items()}


def _read_background(
    X: Any, background: Any, frame: pd.DataFrame, columns: list[Any], column: str
) -> pd.DataFrame:
    """Return the background rows."""
    if background is None:
        if len(frame) < 2 and columns:
            raise ValueError(
                "X has only one row, which cannot be its own background. Pass background: "
                "applications to compare with, such as approved ones."
            )
        return frame.reset_index(drop=True)
    others = _read(background, column, "background").reset_index(drop=True)
    if not len(others):
        raise ValueError("background is empty. Pass applications to compare with.")
    lacking = [name for name in columns if name not in others.columns]
    if lacking:
        raise ValueError(
            f"Column {lacking[0]!r} of X is missing from background (all missing columns: "
            f"{lacking}). Pass applications with the columns of X."
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
    """Return n background rows, evenly spread by the log-odds of their profile alone."""
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
    # Keep the order of rows with equal scores; rounding errors must not decide.
    order = np.argsort(np.round(scores, 6), kind="stable")
    at = (np.arange(n) * 2 + 1) * len(others) // (2 * n)
    return others.iloc[order[at]].reset_index(drop=True)


def _find_scores(
    model: Any, table: PlayersTable, others: pd.DataFrame, as_array: bool
) -> TableScores:
    if HUIHENScores.can_score(model):
        fast = HUIHENScores(model, table, others)
        if fast.fits:
            return fast
    return TableScores(model, table, as_array)


def _check_same(found: float, own: float, application: int) -> None:
    if abs(found - own) > TOLERANCE * (1 + abs(own)):
        raise ValueError(
            f"The model gave row {application} log-odds of {own:.6g}, and {found:.6g} when it "
            "scored the row again, so effects cannot be computed. Pass a model with scores that "
            "do not change and do not depend on other rows."
        )
