"""A teacher in step two: guidance probabilities that do not depend on held-out labels."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit, logit
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.utils import _safe_indexing
from tqdm.auto import tqdm

from skhuihen._companions.blending import (
    WITH_BASE,
    base_log_odds,
    explain_failure,
    n_folds_of,
    weigh,
)
from skhuihen._companions.cross_fitting import MARGIN, differ, fit_weighted
from skhuihen._compat import chances
from skhuihen._events.behaviors import Behaviors
from skhuihen._training.folds import folds
from skhuihen.preprocessing import IntervalStatistics, WindowStatistics

#: From this number of folds, one fit on the others can judge the rows of two folds.
FEW_FOLDS = 5


class Teacher(Protocol):
    """A source of guidance probabilities.

    Attributes
    ----------
    must_learn : bool
        Whether it must be fitted. If so, it must not judge rows that it has seen.
    """

    must_learn: bool

    def judge(self, train: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.floating]:
        """Return the log-odds of overdue for some rows from models fitted on others.

        Parameters
        ----------
        train, rows : int64 ndarray

        Returns
        -------
        ndarray of shape (len(rows), n_models)
        """

    def weigh(self, judged: NDArray[np.floating], rows: NDArray[np.int64]) -> NDArray[np.floating]:
        """Return one log-odds for each row from those of several models; NaN stays NaN.

        Parameters
        ----------
        judged : ndarray of shape (n, n_models)
        rows : int64 ndarray
            Rows with labels that the weights may depend on.

        Returns
        -------
        ndarray of shape (n,)
        """


class GivenTeacher:
    """A classifier passed by the user.

    Parameters
    ----------
    estimator : classifier
        Cloned and fitted; a `FrozenEstimator` is used as it is.
    table : DataFrame or ndarray of shape (n, n_columns)
    y : ndarray of shape (n,)
        Two labels.
    weight : ndarray of shape (n,)
        Passed to the estimator if they differ.
    """

    def __init__(
        self, estimator: Any, table: Any, y: NDArray[Any], weight: NDArray[np.floating]
    ) -> None:
        self.estimator = estimator
        self.table = table
        self.y = y
        self.weight = weight if differ(weight) else None
        self.classes = np.unique(y)
        self.must_learn = not isinstance(estimator, FrozenEstimator)

    def judge(self, train: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.floating]:
        """See `Teacher`."""
        fitted = self.estimator
        if self.must_learn:
            weight = None if self.weight is None else self.weight[train]
            with explain_failure("teacher", self.estimator, self.table):
                of_train = _safe_indexing(self.table, train)
                fitted = fit_weighted(self.estimator, of_train, self.y[train], weight)
        asked = _safe_indexing(self.table, rows)
        return base_log_odds(fitted, asked, self.classes, "teacher")[:, None]

    def weigh(self, judged: NDArray[np.floating], rows: NDArray[np.int64]) -> NDArray[np.floating]:
        """See `Teacher`."""
        return judged[:, 0]


class UsualTeacher:
    """LightGBM on profile and statistics of the behaviors, and a scorecard of the profile.

    Trees find what goes together. Among hundreds of statistics they may miss what is plain in a
    thin profile, which a logistic regression on piecewise-linear columns finds. Another logistic
    regression weighs both scores.

    After a warm start the network of step one replaces the scorecard, and its scores are one more
    column for the trees. It knows the profile from many old rows.

    Parameters
    ----------
    profile : ndarray of shape (n, n_columns)
        The encoded profile.
    statistics : ndarray of shape (n, n_statistics)
        See `usual_statistics`.
    label : int64 ndarray of shape (n,)
    weight : ndarray of shape (n,)
    seed : int
        Of the trees.
    known : ndarray of shape (n,), default=None
        Log-odds from a model that has seen none of these rows, such as the network of step one.
    """

    must_learn = True

    def __init__(
        self,
        profile: NDArray[np.floating],
        statistics: NDArray[np.floating],
        label: NDArray[np.int64],
        weight: NDArray[np.floating],
        seed: int,
        known: NDArray[np.floating] | None = None,
    ) -> None:
        self.profile = profile
        self.known = known
        of_known = [] if known is None else [known[:, None]]
        self.columns = np.hstack([profile, statistics, *of_known])
        self.label = label
        self.weight = weight
        self.seed = seed

    def judge(self, train: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.floating]:
        """See `Teacher`."""
        from lightgbm import LGBMClassifier  # not needed for scoring

        trees = LGBMClassifier(
            # Small settings; they were measured on a few thousand rows.
            n_estimators=150,
            learning_rate=0.03,
            num_leaves=15,
            subsample=0.8,
            subsample_freq=1,
            colsample_bytree=0.8,
            n_jobs=1,
            random_state=self.seed,
            verbose=-1,
        )
        models: list[Any] = [(trees, self.columns)]
        if self.known is None:
            models.append((LogisticRegression(C=0.003, max_iter=1000), self.profile))
        judged = []
        for model, columns in models:
            if columns.shape[1]:
                model.fit(columns[train], self.label[train], sample_weight=self.weight[train])
                probability = chances(model, columns[rows])[:, 1]
                judged.append(logit(probability.clip(MARGIN, 1 - MARGIN)))
        if self.known is not None:
            judged.append(self.known[rows])
        return np.stack(judged, axis=1)

    def weigh(self, judged: NDArray[np.floating], rows: NDArray[np.int64]) -> NDArray[np.floating]:
        """See `Teacher`."""
        before = WITH_BASE if judged.shape[1] == 2 else (1.0,)
        columns = list(judged[rows].T)
        intercept, *weights = weigh(columns, self.label[rows], self.weight[rows], before)
        return intercept + judged @ weights


def usual_statistics(
    table: pd.DataFrame, column: str, applied_at: str | None, weight: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Return window and interval statistics of the behaviors, as `UsualTeacher` sees them.

    No label has a part in them, so they are computed once for all folds.

    Parameters
    ----------
    table : DataFrame of shape (n, n_columns)
    column : str
        The nested column, which may be absent.
    applied_at : str or None
        Without it there are no windows.
    weight : ndarray of shape (n,)

    Returns
    -------
    ndarray of shape (n, n_statistics)
    """
    parts: list[NDArray[np.float64]] = [np.empty((len(table), 0))]
    fields = Behaviors.from_column(table[column]).fields if column in table.columns else {}
    if fields:
        where: dict[str, Any] = {"behaviors": column, "applied_at": applied_at}
        by = "behavior" if "behavior" in fields else "operation"
        session = "session" if "session" in fields else None
        steps: list[Any] = [IntervalStatistics(group_by=by, session=session, **where)]
        if applied_at is not None:
            steps.append(WindowStatistics(group_by=by, **where))
        for step in steps:
            step.set_output(transform="default").fit(table, sample_weight=weight)
            parts.append(step.transform(table).to_numpy())
    return np.hstack(parts)


class Guide:
    """Makes the guidance probabilities of several networks.

    Parameters
    ----------
    teacher : Teacher
    label : int64 ndarray of shape (n,)
    users : int64 ndarray of shape (n,) or None
        The user of each row; rows of one user are in one fold.
    shift : float
        Shift of the log-odds of the guidance by the class weights, which apply to labels too.
    verbose : int
    """

    def __init__(
        self,
        teacher: Teacher,
        label: NDArray[np.int64],
        users: NDArray[np.int64] | None,
        shift: float,
        verbose: int,
    ) -> None:
        self.teacher = teacher
        self.label = label
        self.users = users
        self.shift = shift
        self.verbose = verbose

    def teach(
        self,
        held_out: Sequence[NDArray[np.int64]],
        n_estimators: int,
        random: np.random.RandomState,
        *,
        is_scored: bool,
    ) -> list[NDArray[np.floating]]:
        """Return the guidance probability of each row, for each network.

        If the guidance depended on the labels of held-out rows, the network would learn these
        labels through its teacher. Its scores of the held-out rows would be too good, and early
        stopping would choose the wrong epoch. So models are fitted only on rows that the network
        learns from, and each row is judged by a model that has not seen it.

        Parameters
        ----------
        held_out : sequence of int64 ndarray
            The rows that each network holds out; empty if none does.
        n_estimators : int
        random : RandomState
        is_scored : bool
            Whether the held-out rows need guidance too.

        Returns
        -------
        list of ndarray of shape (n,)
            NaN for held-out rows that need no guidance.
        """
        rows = np.arange(len(self.label))
        if not self.teacher.must_learn:
            found = self.teacher.judge(rows, rows)[:, 0]
            return [self._as_probability(found)] * n_estimators
        # With few rows, or users, of a class, networks share folds.
        parts = list({id(part): part for part in held_out}.values())
        if not is_scored and len(parts) >= FEW_FOLDS:
            by_part = dict(zip(map(id, parts), self._by_pairs(parts), strict=True))
            return [by_part[id(part)] for part in held_out]
        none = np.empty(0, dtype=np.int64)
        found_for = []
        for part in held_out or [none] * n_estimators:
            found_for.append(self._by_folds(part, random, is_scored=is_scored))
        return found_for

    def _by_pairs(self, parts: list[NDArray[np.int64]]) -> list[NDArray[np.floating]]:
        """Judge the rows of each pair of folds by a model of all others, for two networks.

        For folds i and j, the network that holds out i learns from j with guidance of a model that
        has seen neither, and vice versa.
        """
        rows = np.arange(len(self.label))
        pairs = list(combinations(range(len(parts)), 2))
        judged: list[Any] = [None] * len(parts)
        for one, other in tqdm(pairs, desc="Teacher", unit="fit", disable=not self.verbose):
            unseen = np.concatenate([parts[one], parts[other]])
            found = self.teacher.judge(np.setdiff1d(rows, unseen), unseen)
            of_one, of_other = np.split(found, [len(parts[one])])
            for network, part, of_part in ((one, other, of_other), (other, one, of_one)):
                if judged[network] is None:
                    judged[network] = np.full((len(rows), found.shape[1]), np.nan)
                judged[network][parts[part]] = of_part
        return [
            self._as_probability(self.teacher.weigh(of_rows, np.setdiff1d(rows, part)))
            for of_rows, part in zip(judged, parts, strict=True)
        ]

    def _by_folds(
        self, held_out: NDArray[np.int64], random: np.random.RandomState, *, is_scored: bool
    ) -> NDArray[np.floating]:
        """Split the training rows of one network into folds, each judged by the others."""
        rows = np.arange(len(self.label))
        train = np.setdiff1d(rows, held_out)
        label = self.label[train]
        users = None if self.users is None else self.users[train]
        cut = folds(label, users, n_folds_of(label, users, "teacher"), random)
        jobs = [(np.setdiff1d(train, train[fold]), train[fold]) for fold in cut]
        if is_scored and len(held_out):
            jobs.append((train, held_out))
        judged: Any = None
        for seen, unseen in tqdm(jobs, desc="Teacher", unit="fit", disable=not self.verbose):
            found = self.teacher.judge(seen, unseen)
            if judged is None:
                judged = np.full((len(rows), found.shape[1]), np.nan)
            judged[unseen] = found
        return self._as_probability(self.teacher.weigh(judged, train))

    def _as_probability(self, log_odds: NDArray[np.floating]) -> NDArray[np.floating]:
        return expit(log_odds + self.shift).clip(MARGIN, 1 - MARGIN)
