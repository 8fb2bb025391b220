"""A teacher in step two: guidance probabilities that no held-out label has come near."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.utils import _safe_indexing

from skhuihen.base_model import base_log_odds, fit_base
from skhuihen.guidance import MARGIN

if TYPE_CHECKING:
    from skhuihen.classifier import HUIHENClassifier


class Guide:
    """The teacher of a classifier, before the rows that `fit` is given.

    Parameters
    ----------
    classifier : HUIHENClassifier
        With ``classes_``, the weights of classes, and a teacher.
    table : DataFrame or ndarray of shape (n, n_columns)
    y : ndarray of shape (n,)
        Two labels.
    weight : ndarray of shape (n,)
        Of rows, handed to the teacher if they differ.
    users : int64 ndarray of shape (n,), default=None
        Whose each row is; those of one user are in one fold.
    """

    def __init__(
        self,
        classifier: HUIHENClassifier,
        table: Any,
        y: NDArray[Any],
        weight: NDArray[np.floating],
        users: NDArray[np.int64] | None = None,
    ) -> None:
        of_base = isinstance(classifier.teacher, str)
        self.teacher = classifier.base_estimator if of_base else classifier.teacher
        self.table = table
        self.y = y
        self.weight = weight
        self.users = users
        self.classes = classifier.classes_
        self.verbose = classifier.verbose
        # Labels are weighed by class, so the guidance must ask for the same odds.
        self.shift = classifier._shift_of_classes()

    def teach(
        self, train: NDArray[np.int64], valid: NDArray[np.int64], random: np.random.RandomState
    ) -> NDArray[np.floating]:
        """Return the guidance probability of each row, for one network.

        Had the held-out rows a part in what the others are taught, the network would know their
        labels by way of its teacher, and early stopping would choose the epoch that knows them
        best. So clones see rows that this network learns from, and each row is judged by one
        that has not seen it.

        Parameters
        ----------
        train, valid : int64 ndarray
            The rows that the network learns from, and that it holds out.
        random : RandomState

        Returns
        -------
        ndarray of shape (n,)
        """
        log_odds = np.empty(len(self.y))
        fitted, log_odds[train] = fit_base(
            self.teacher,
            _safe_indexing(self.table, train),
            self.y[train],
            self.weight[train],
            random,
            self.verbose,
            "teacher",
            None if self.users is None else self.users[train],
        )
        if len(valid):
            rows = _safe_indexing(self.table, valid)
            log_odds[valid] = base_log_odds(fitted, rows, self.classes, "teacher")
        return expit(log_odds + self.shift).clip(MARGIN, 1 - MARGIN)
