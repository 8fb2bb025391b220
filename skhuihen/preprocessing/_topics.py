"""BehaviorTopics: summarizes an applicant's behaviors in a few numbers."""

from __future__ import annotations

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
from skhuihen.preprocessing._base import (
    COLUMN_CONSTRAINTS,
    BehaviorTransformer,
    positions,
    weigh_rows,
)
from skhuihen.preprocessing._correspondence import Correspondence, Table


class BehaviorTopics(BehaviorTransformer):
    """Summarize each applicant's events in a few numbers.

    Which of hundreds of items and operations occur together, such as the risky funds, is hard to
    learn from some hundred overdue applications. The counts of each applicant show it without
    labels. This transformer finds the directions in which applicants differ most, and places each
    applicant on them.

    Parameters
    ----------
    n_topics : int, default=10
        Number of topics.
    group_by : str, default="operation"
        The subfield that distinguishes events; use ``"behavior"`` after a `BehaviorAbstractor`,
        which keeps the frequent items distinct.
    behaviors : str, default="behaviors"
        Name of the nested column.
    applied_at : str or None, default="applied_at"
        The column with the time of the application. Events at or after it are dropped. Pass None
        to disable the cut.
    lookback : str or timedelta, default=None
        Events older than this at the application are dropped.

    Attributes
    ----------
    loadings_ : DataFrame of shape (n_behaviors, n_topics)
        Position of each behavior seen in `fit` on each topic. Behaviors at one end occur together,
        and apart from those at the other end. Dropped behaviors (see the notes) have 0. Topics are
        sorted by how much applicants differ on them. This is a copy; `transform` does not read it.
    feature_names_in_ : ndarray of str
        Columns seen in `fit`.
    n_features_in_ : int
        Number of these columns.

    See Also
    --------
    WindowStatistics : How often, how much and how long ago; use it next to these.
    HUIHENClassifier : Uses such topics directly with ``n_topics=10``.

    Notes
    -----
    The topics come from a correspondence analysis of the square roots of counts. If an applicant
    has behavior ``j`` ``n_j`` times, a topic is
    ``sum_j(sqrt(n_j) loading_j) / (sum_j sqrt(n_j) + 20)``. This is the mean of the loadings,
    shrunk toward the average; a burst of one behavior counts little more than a few events of it.
    Both sums ignore behaviors that `fit` did not see, those of fewer than 20 applicants, and all
    but the 1,000 with most applicants. A missing text counts as the behavior ``missing``.

    The loadings are the leading principal axes of such profiles by chi-squared distance. They are
    scaled so that topics have mean 0 and standard deviation 1 in `fit`; topics are clipped at 5.
    Applicants without events are average, with topics of 0. If there are fewer axes than
    `n_topics`, the remaining topics are 0 for all applicants. If there are few applications, all
    topics are 0.

    `fit` uses no labels, and the order of rows has no effect except through rounding, which may
    rotate axes of equal variance. On other rows, topics may come in another order or with opposite
    sign, so their names are valid for one fit only. An applicant counts once per application.

    References
    ----------
    M. Greenacre, "Correspondence Analysis in Practice", 3rd edition (2017).

    M. Greenacre, "Power transformations in correspondence analysis", Computational Statistics and
    Data Analysis 53 (2009).

    Examples
    --------
    >>> from skhuihen import BehaviorAbstractor, BehaviorTopics, attach_behaviors
    >>> from skhuihen.datasets import make_loan_data
    >>> bank = make_loan_data(n_new=300, n_old=0, random_state=0)
    >>> X = attach_behaviors(bank.applications, bank.events)
    >>> X = BehaviorAbstractor().fit_transform(X)
    >>> topics = BehaviorTopics(3, group_by="behavior").fit(X)
    >>> topics.transform(X).shape
    (300, 3)
    >>> topics.loadings_.shape[1]
    3
    """

    _parameter_constraints: dict = {
        "n_topics": [Interval(Integral, 1, None, closed="left")],
        "group_by": [str],
        **COLUMN_CONSTRAINTS,
    }

    def __init__(
        self,
        n_topics: int = 10,
        group_by: str = "operation",
        *,
        behaviors: str = "behaviors",
        applied_at: str | None = "applied_at",
        lookback: Any = None,
    ) -> None:
        self.n_topics = n_topics
        self.group_by = group_by
        self.behaviors = behaviors
        self.applied_at = applied_at
        self.lookback = lookback

    @all_or_nothing
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Find the topics.

        Parameters
        ----------
        X : DataFrame or other table of shape (n_applications, n_columns)
            Applications with the nested column.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_applications,), default=None
            A weight of two equals two rows, also when behaviors of fewer than 20 applicants are
            dropped. Rows of weight 0 are ignored.

        Returns
        -------
        self

        Warns
        -----
        UserWarning
            If there are events but no topics in them. All topics are then 0.
        """
        frame, weight = weigh_rows(as_frame(X, self.behaviors), sample_weight)
        frame, as_of = self._read(frame)
        behaviors = as_of.behaviors
        self._names = sorted(set(behaviors.texts(self.group_by)[1]))
        self._topics = Correspondence(len(self._names), self.n_topics)
        self._topics.fit(lambda: [self._table(behaviors)._replace(weight=weight)])
        self._topics.tell_nothing_found(self.behaviors, stacklevel=3)
        self.loadings_ = pd.DataFrame(
            self._topics.loadings_,
            index=pd.Index(self._names, dtype=object, name=self.group_by),
            columns=self.get_feature_names_out(),
        )
        return self._remember_columns(frame)

    def transform(self, X: Any) -> pd.DataFrame:
        """Place each applicant.

        Parameters
        ----------
        X : DataFrame or other table of shape (n_applications, n_columns)

        Returns
        -------
        DataFrame of shape (n_applications, n_topics)
            Of floats, with the index of X.
        """
        check_is_fitted(self)
        frame, as_of = self._read(X)
        topics = self._topics.transform(self._table(as_of.behaviors))
        return pd.DataFrame(topics, columns=self.get_feature_names_out(), index=frame.index)

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Return the names of the topics, ``topic_1`` and so on.

        Parameters
        ----------
        input_features : None
            Ignored.

        Returns
        -------
        ndarray of str
        """
        check_is_fitted(self, "_topics")
        return np.array([f"topic_{i + 1}" for i in range(self._topics.n_axes)], dtype=object)

    def _table(self, behaviors: Behaviors) -> Table:
        return Table(
            behaviors.rows, positions(behaviors, self.group_by, self._names), len(behaviors)
        )
