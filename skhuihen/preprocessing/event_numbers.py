"""EventNumbers: what of an event is a number, as the network takes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.typing import NDArray

from skhuihen.behaviors import Behaviors

#: Taken where they are there: seconds since the behavior before, seconds from the behavior to the
#: application, and money moved.
USUAL = ("interval", "age", "amount")


class EventNumbers:
    """Turn numeric subfields of events into columns of mean 0 and variance 1.

    Seconds and amounts range over many orders of magnitude, so that a column is the logarithm of
    ``1 + |x|``, with the sign of ``x``. What is missing is 0, the mean.

    Parameters
    ----------
    names : sequence of str or "auto"
        The subfields. ``"auto"`` takes interval, age and amount, as far as they are there.

    Attributes
    ----------
    names_ : list of str
        The subfields that had a value in `fit`.
    mean_, scale_ : ndarray of shape (n_names,)
        Mean and standard deviation of the logarithms.
    """

    def __init__(self, names: Sequence[str] | str) -> None:
        self.names = names

    def fit(self, behaviors: Behaviors) -> Self:
        """Learn means and deviations.

        Parameters
        ----------
        behaviors : Behaviors

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a subfield that is named is not there.
        """
        there = set(behaviors.fields) if behaviors.n_events else set()
        if self.names == "auto":
            names = [name for name in USUAL if name in there]
        else:
            names = list(self.names)
            lacking = [name for name in names if there and name not in there]
            if lacking:
                raise ValueError(
                    f"event_numbers names {lacking[0]!r}, which the events do not have; they have "
                    f"{sorted(there)}."
                )
            names = names if there else []
        self.names_: list[str] = []
        means, scales = [], []
        for name in names:
            values = _logarithms(behaviors, name)
            values = values[~np.isnan(values)]
            if len(values):
                self.names_.append(name)
                means.append(values.mean())
                scales.append(values.std() or 1.0)
        self.mean_, self.scale_ = np.array(means), np.array(scales)
        return self

    def transform(self, behaviors: Behaviors) -> NDArray[np.float64]:
        """Return the columns.

        Parameters
        ----------
        behaviors : Behaviors

        Returns
        -------
        ndarray of shape (n_events, n_names)
        """
        numbers = np.empty((behaviors.n_events, len(self.names_)))
        for column, name in enumerate(self.names_):
            values = _logarithms(behaviors, name)
            values = (values - self.mean_[column]) / self.scale_[column]
            numbers[:, column] = np.nan_to_num(values)
        return numbers


def _logarithms(behaviors: Behaviors, name: str) -> NDArray[np.float64]:
    """Return log1p of the size of a subfield's values, with their sign; NaN where missing."""
    values = behaviors.numbers(name)
    return np.copysign(np.log1p(np.abs(values)), values)
