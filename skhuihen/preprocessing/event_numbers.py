"""EventNumbers: what of an event is a number, as the network takes it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
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
        for _ in self.fit_on_the_way([behaviors]):
            pass
        return self

    def fit_on_the_way(self, pieces: Iterable[Behaviors]) -> Iterator[Behaviors]:
        """Do what `fit` does, for events that need not be in memory together; pass them on.

        What is learned is rounded to six digits: sums over pieces differ from those over the
        whole in the last ones.
        """
        sums: dict[str, NDArray[np.float64]] = {}
        for piece in pieces:
            for name in self._wanted(piece):
                values = _logarithms(piece, name)
                values = values[~np.isnan(values)]
                moments = np.array([len(values), values.sum(), values @ values])
                sums[name] = sums.get(name, 0) + moments
            yield piece
        order = USUAL if isinstance(self.names, str) else self.names
        self.names_ = [name for name in order if name in sums and sums[name][0]]
        means, scales = [], []
        for name in self.names_:
            n, total, squares = sums[name].tolist()
            mean = total / n
            variance = max(squares / n - mean**2, 0.0)
            means.append(float(f"{mean:.6g}"))
            # Of one value, rounding alone would make a deviation.
            scales.append(float(f"{variance**0.5:.6g}") if variance > 1e-9 * mean**2 else 1.0)
        self.mean_, self.scale_ = np.array(means), np.array(scales)

    def _wanted(self, behaviors: Behaviors) -> list[str]:
        """Return the subfields to take; those that are named must be there."""
        if not behaviors.n_events:
            return []
        if isinstance(self.names, str):
            return [name for name in USUAL if name in behaviors.fields]
        lacking = [name for name in self.names if name not in behaviors.fields]
        if lacking:
            raise ValueError(
                f"event_numbers names {lacking[0]!r}, which the events do not have; they have "
                f"{sorted(behaviors.fields)}."
            )
        return list(self.names)

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
