"""BehaviorTopics: what an applicant's behaviors are about, in a few numbers."""

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
    """Turn each applicant's events into a few numbers that say what they are about.

    Which of hundreds of items and operations go together, such as the risky funds among all, is
    much to learn from some hundred overdue applications. But how often each applicant has each of
    them tells it without any label. This finds the directions along which applicants differ most,
    and places each applicant on them.

    Parameters
    ----------
    n_topics : int, default=10
        Numbers of each applicant.
    group_by : str, default="operation"
        The subfield to tell events apart by; ``"behavior"`` behind a `BehaviorAbstractor`, which
        tells the frequent items apart.
    behaviors : str, default="behaviors"
        The nested column.
    applied_at : str or None, default="applied_at"
        The column with the time of the application; events at or after it are cut off. None,
        said on purpose, cuts nothing.
    lookback : str or timedelta, default=None
        Events longer before the application than this are cut off.

    Attributes
    ----------
    loadings_ : DataFrame of shape (n_behaviors, n_topics)
        Where each behavior seen in `fit` is on each topic: those at one end go together, and
        apart from those at the other; all 0 for those that are left out (see the notes). Topics
        come by how much applicants differ on them. A copy to look at: `transform` does not read it.
    feature_names_in_ : ndarray of str
        Columns seen in `fit`.
    n_features_in_ : int
        Their number.

    See Also
    --------
    WindowStatistics : How often, how much and how long ago, to stand beside these.
    HUIHENClassifier : Takes such numbers in by itself, with ``n_topics=10``.

    Notes
    -----
    By correspondence analysis of the square roots of counts. If an applicant has behavior ``j``
    ``n_j`` times, a topic is ``sum_j(sqrt(n_j) loading_j) / (sum_j sqrt(n_j) + 20)``: the mean of
    the loadings, drawn to the average as if that stood beside; a burst of one behavior counts
    little more than a few. Behaviors that `fit` did not see are left out of both sums, and so are
    those of fewer than 20 applicants and all but the 1,000 of most applicants. A missing text is a
    behavior of its own, ``missing``. The loadings are the leading principal axes of such profiles
    by chi-squared distances, scaled so that topics have mean 0 and standard deviation 1 in `fit`;
    topics are cut at 5. Who has no events is average, at 0. Where there are fewer axes than
    `n_topics`, the rest is 0 for all: on few applications, all are.

    `fit` looks at no label, and does not depend on the order of rows but for rounding; axes of
    equal variance, of which any rotation is as good, may come rotated then. On other rows topics
    may come in another order, or with the other sign: a name holds for one fit. An applicant counts
    once for each application.

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
            A row of weight two counts as two rows, also where behaviors of fewer than 20 are left
            out; one of weight 0 counts as none.

        Returns
        -------
        self

        Warns
        -----
        UserWarning
            If there are events, but no topic is found in them: all are 0 then.
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
