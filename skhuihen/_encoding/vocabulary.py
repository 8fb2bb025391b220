"""BehaviorVocabulary: the behaviors that have a vector, and the behavior of each event."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

import numpy as np
from numpy.typing import NDArray

from skhuihen._events.behaviors import Behaviors
from skhuihen.preprocessing._abstraction.rules import FIELDS

TRANSFORM = 1  # position of the transform operation in FIELDS


class BehaviorVocabulary:
    """Number the behaviors seen in training, field by field.

    Events without the subfields ``field`` and ``behavior`` are used as they are (the paper's
    Table 4): the behavior is the raw operation, and the field depends on whether the event has an
    amount or an item. A transform operation with amounts of both signs counts as two behaviors,
    because the logarithm that scales its vector drops the sign. If it had only one sign in
    training, it is one behavior for later amounts of either sign.

    Attributes
    ----------
    behaviors_ : list of (field, behavior, sign)
        In the order of their numbers; sign is ``"-"`` for the negative half of a transform
        operation of both signs and ``""`` otherwise.
    sizes_ : tuple of 3 int
        Number of item clicks, transform operations and function widgets.
    scales_ : tuple of 2 float
        The smallest and the largest scale of a transform operation with an amount; later scales
        are clipped to this range. 1 if there was no amount.
    """

    def fit(self, behaviors: Behaviors) -> Self:
        """Give each behavior of the events a number.

        Parameters
        ----------
        behaviors : Behaviors

        Returns
        -------
        self
        """
        return self.fit_pieces([behaviors])

    def fit_pieces(self, pieces: Iterable[Behaviors]) -> Self:
        """Fit on pieces of events that do not fit into memory together."""
        signs: dict[tuple[int, str], set[bool]] = {}
        low, high = np.inf, 0.0
        for piece in pieces:
            field, name, names, negative, amount = _read(piece)
            scale = _scales(field, amount)
            if len(scale):
                low, high = min(low, scale.min()), max(high, scale.max())
            present = np.zeros((len(FIELDS), len(names), 2), dtype=bool)
            present[field, name, negative.astype(np.int64)] = True
            for f, n, sign in np.argwhere(present).tolist():
                signs.setdefault((f, names[n]), set()).add(bool(sign))
        found = sorted(
            (f, behavior, sign)
            for (f, behavior), seen in signs.items()
            for sign in (("", "-") if len(seen) == 2 else ("",))
        )
        self.scales_ = (float(low), float(high)) if low <= high else (1.0, 1.0)
        self.behaviors_ = [(FIELDS[f], behavior, sign) for f, behavior, sign in found]
        self.sizes_ = tuple(sum(f == field for f, _, _ in found) for field in range(len(FIELDS)))
        # For each text, the number in each field for amounts of either sign. The last row is for
        # unknown texts.
        self._row_of: dict[str, int] = {}
        for _, behavior, _ in found:
            self._row_of.setdefault(behavior, len(self._row_of))
        table = np.full((len(self._row_of) + 1, len(FIELDS), 2), len(found))
        for number, (f, behavior, half) in enumerate(found):
            table[self._row_of[behavior], f, 1 if half else slice(None)] = number
        self._numbers = table
        return self

    def transform(self, behaviors: Behaviors) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the number and the scale of each event's behavior.

        Parameters
        ----------
        behaviors : Behaviors

        Returns
        -------
        number : int64 ndarray of shape (n_events,)
            The number of behaviors for a behavior not seen in `fit`.
        scale : float64 ndarray of shape (n_events,)
            ``log1p(|amount|)`` for a transform operation with an amount, clipped to the range of
            `fit`; otherwise 1.
        """
        field, name, names, negative, amount = _read(behaviors)
        rows = np.array([self._row_of.get(text, -1) for text in names], dtype=np.int64)
        number = self._numbers[rows[name], field, negative.astype(np.int64)]
        scale = np.ones(len(amount))
        scale[_is_scaled(field, amount)] = _scales(field, amount).clip(*self.scales_)
        return number, scale


def _is_scaled(field: NDArray[np.int64], amount: NDArray[np.float64]) -> NDArray[np.bool_]:
    return (field == TRANSFORM) & ~np.isnan(amount)


def _scales(field: NDArray[np.int64], amount: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the scale of each transform operation with an amount."""
    return np.log1p(np.abs(amount[_is_scaled(field, amount)]))


def _read(
    behaviors: Behaviors,
) -> tuple[NDArray[np.int64], NDArray[np.int64], list[str], NDArray[np.bool_], NDArray[np.float64]]:
    """Return field, behavior, distinct behaviors, negative sign, and amount of each event."""
    amount = behaviors.numbers("amount")
    if "field" in behaviors.fields and "behavior" in behaviors.fields:
        code, fields = behaviors.texts("field")
        unknown = sorted(set(fields) - set(FIELDS))
        if unknown:
            raise ValueError(
                f"The events' subfield 'field' contains {unknown[0]!r}, but must be one of "
                f"{FIELDS}. BehaviorAbstractor writes this subfield; if yours is another one, "
                "rename it."
            )
        field = np.array([FIELDS.index(text) for text in fields], dtype=np.int64)[code]
        name, names = behaviors.texts("behavior")
    else:
        has_item = np.zeros(behaviors.n_events, dtype=bool)
        if "item" in behaviors.fields:
            has_item = behaviors.fields["item"].is_valid().to_numpy(zero_copy_only=False)
        field = np.where(~np.isnan(amount), TRANSFORM, np.where(has_item, 0, 2))
        name, names = behaviors.texts("operation")
    negative = (field == TRANSFORM) & (amount < 0)
    return field, name, names, negative, amount
