"""Numbers of events: their encoding for the network, and their ranges in `fit`."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import Self

import numpy as np
from numpy.typing import NDArray

from skhuihen._events.behaviors import Behaviors
from skhuihen.preprocessing._bounded import Extremes, Outside, Range, tell_codes

#: Used if present: seconds since the previous behavior, seconds from the behavior to the
#: application, and amount of money.
USUAL = ("interval", "age", "amount")


class EventNumbers:
    """Encode numeric subfields of events as columns of mean 0 and variance 1.

    Seconds and amounts range over many orders of magnitude, so a column is the logarithm of
    ``1 + |x|``, with the sign of ``x``. Missing values are 0, the mean. Values outside the range
    of `fit` are clipped to it.

    Parameters
    ----------
    names : sequence of str or "auto"
        The subfields. ``"auto"`` uses interval, age and amount, if present.

    Attributes
    ----------
    names_ : list of str
        The subfields that had a value in `fit`.
    mean_, scale_ : ndarray of shape (n_names,)
        Mean and standard deviation of the logarithms.
    low_, high_ : ndarray of shape (n_names,)
        The smallest and the largest logarithm.
    """

    def __init__(self, names: Sequence[str] | str) -> None:
        self.names = names

    def fit(self, behaviors: Behaviors, weight: NDArray[np.float64] | None = None) -> Self:
        """Learn means and deviations.

        Parameters
        ----------
        behaviors : Behaviors
        weight : ndarray of shape (n_applications,), default=None
            An event has the weight of its application; None is ones.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a subfield in `names` is missing.
        """
        for _ in self.fit_on_the_way([behaviors], weight):
            pass
        return self

    def fit_on_the_way(
        self, pieces: Iterable[Behaviors], weight: NDArray[np.float64] | None = None
    ) -> Iterator[Behaviors]:
        """Fit on pieces of events that do not fit into memory together; yield the pieces.

        Results are rounded to six digits, because sums over pieces differ from the sum over the
        whole in the last digits.
        """
        sums: dict[str, NDArray[np.float64]] = {}
        ranges: dict[str, tuple[float, float]] = {}
        start = 0
        for piece in pieces:
            stop = start + len(piece)
            for name in self._wanted(piece):
                values = _logarithms(piece, name)
                known = ~np.isnan(values)
                values = values[known]
                of_event = np.ones(len(values))
                if weight is not None:
                    of_event = weight[start:stop][piece.rows[known]]
                weighted = of_event * values
                moments = np.array([of_event.sum(), weighted.sum(), weighted @ values])
                sums[name] = sums.get(name, 0) + moments
                if len(values):
                    low, high = ranges.get(name, (np.inf, -np.inf))
                    ranges[name] = min(low, values.min()), max(high, values.max())
            start = stop
            yield piece
        order = USUAL if isinstance(self.names, str) else self.names
        self.names_ = [name for name in order if name in sums and sums[name][0]]
        means, scales = [], []
        for name in self.names_:
            n, total, squares = sums[name].tolist()
            mean = total / n
            variance = max(squares / n - mean**2, 0.0)
            means.append(float(f"{mean:.6g}"))
            # For a constant column, rounding alone would give a positive deviation.
            scales.append(float(f"{variance**0.5:.6g}") if variance > 1e-9 * mean**2 else 1.0)
        self.mean_, self.scale_ = np.array(means), np.array(scales)
        self.low_ = np.array([ranges[name][0] for name in self.names_])
        self.high_ = np.array([ranges[name][1] for name in self.names_])

    def _wanted(self, behaviors: Behaviors) -> list[str]:
        """Return the subfields to use; those in `names` must be present."""
        if not behaviors.n_events:
            return []
        if isinstance(self.names, str):
            return [name for name in USUAL if name in behaviors.fields]
        lacking = [name for name in self.names if name not in behaviors.fields]
        if lacking:
            raise ValueError(
                f"event_numbers contains {lacking[0]!r}, but the events have no such subfield. "
                f"Their subfields are {sorted(behaviors.fields)}."
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
            values = values.clip(self.low_[column], self.high_[column])
            values = (values - self.mean_[column]) / self.scale_[column]
            numbers[:, column] = np.nan_to_num(values)
        return numbers


class EventRanges:
    """The ranges of numeric subfields in `fit`, and later values outside them.

    Parameters
    ----------
    column : str
        The nested column, for messages.
    names : sequence of str
        The subfields. Absent ones are ignored.

    Attributes
    ----------
    ranges_ : dict of str to Range
        The ranges of the subfields that had a value in `fit`.
    """

    def __init__(self, column: str, names: Sequence[str]) -> None:
        self.column = column
        self.names = list(dict.fromkeys(names))

    def learn(self, pieces: Iterable[Behaviors]) -> Iterator[Behaviors]:
        """Learn the ranges; yield the pieces."""
        self._extremes = {name: Extremes() for name in self.names}
        for piece in pieces:
            for name in self._present(piece):
                self._extremes[name].add(piece.numbers(name))
            yield piece
        self.ranges_ = {
            name: Range.of_events(min(found.lowest), max(found.highest), found.n)
            for name, found in self._extremes.items()
            if found.n
        }

    def tell_codes(self, stacklevel: int) -> None:
        """Warn of likely codes for missing values; once, after `learn`."""
        for name, extremes in self._extremes.items():
            tell_codes(
                extremes,
                f"Subfield {name!r} of the events in column {self.column!r}",
                f"events[{name!r}] = events[{name!r}].replace({{}}, np.nan), before "
                "attach_behaviors",
                stacklevel=stacklevel + 1,
            )
        del self._extremes

    def clip(self, name: str, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return values clipped to the range of a subfield; unchanged if it has no range."""
        known = self.ranges_.get(name)
        return values if known is None else values.clip(known.low, known.high)

    def look(self, behaviors: Behaviors, found: dict[str, Outside]) -> None:
        """Count values outside the ranges, and add them to earlier counts."""
        for name in self._present(behaviors):
            if name in self.ranges_:
                outside = self.ranges_[name].look(behaviors.numbers(name))
                found.setdefault(name, Outside()).add(outside)

    def tell(self, found: dict[str, Outside], stacklevel: int) -> None:
        """Warn of subfields with values far outside the range, or too many outside it."""
        for name, outside in found.items():
            known = self.ranges_[name]
            if known.is_unusual(outside):
                warnings.warn(
                    f"Subfield {name!r} of the events in column {self.column!r} holds "
                    f"{known.describe(outside)}. They are clipped to the range. Check the unit, "
                    "and replace codes for missing values with NaN before attach_behaviors: "
                    f"events[{name!r}].replace({known.farthest(outside):.15g}, np.nan).",
                    stacklevel=stacklevel + 1,
                )

    def _present(self, behaviors: Behaviors) -> list[str]:
        return [name for name in self.names if name in behaviors.fields]


def _logarithms(behaviors: Behaviors, name: str) -> NDArray[np.float64]:
    """Return log1p of the absolute values of a subfield, with their sign; NaN if missing."""
    values = behaviors.numbers(name)
    return np.copysign(np.log1p(np.abs(values)), values)
