"""Code shared by the transformers of raw events."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils._tags import Tags
from sklearn.utils.validation import (
    _check_feature_names_in,
    _check_sample_weight,
    check_is_fitted,
)

from skhuihen._estimators.state import pack_frames, unpack_frames
from skhuihen._events.as_of import AsOf, read_as_of, read_piecewise
from skhuihen._events.behaviors import Behaviors, join
from skhuihen._events.frames import as_frame
from skhuihen._tables.parquet import ParquetTable, is_parquet
from skhuihen._tables.times import microseconds_of

DAY = 86_400_000_000  # microseconds

Constraints = dict[str, list[Any]]

COLUMN_CONSTRAINTS: Constraints = {
    "behaviors": [str],
    "applied_at": [str, None],
    "lookback": "no_validation",  # type: ignore[dict-item]
}


class BehaviorTransformer(TransformerMixin, BaseEstimator):
    """Base class of the transformers that read raw events.

    Subclasses have the parameters ``behaviors``, ``applied_at`` and ``lookback``.
    """

    behaviors: str
    applied_at: str | None
    lookback: Any

    def __getstate__(self) -> dict[str, Any]:
        return pack_frames(super().__getstate__())

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(unpack_frames(state))

    def _read(self, X: Any) -> tuple[pd.DataFrame, AsOf]:
        """Return X as a frame, and the events known at the application, in time order."""
        frame = as_frame(X, self.behaviors)
        return frame, read_as_of(frame, self.behaviors, self.applied_at, self._lookback())

    def _read_piecewise(self, X: Any) -> tuple[pd.DataFrame, Iterator[AsOf]]:
        """Do the same as `_read`, for some applications at a time."""
        frame = as_frame(X, self.behaviors)
        return frame, read_piecewise(frame, self.behaviors, self.applied_at, self._lookback())

    def _read_again(self, X: Any) -> tuple[Iterable[Any], Callable[[], Iterable[Behaviors]]]:
        """Return the columns, and a function that reads the cut events piece by piece."""
        if is_parquet(X):
            source = ParquetTable(X, "X")
            columns = [c for c in (self.behaviors, self.applied_at) if c is not None]
            source.require(columns)
            return source.columns, lambda: self._pieces_of(source.frames(columns))
        frame, pieces = self._read_piecewise(X)
        read = [as_of.behaviors for as_of in pieces]
        return frame.columns, lambda: read

    def _pieces_of(self, frames: Iterable[pd.DataFrame]) -> Iterator[Behaviors]:
        for frame in frames:
            for as_of in self._read_piecewise(frame)[1]:
                yield as_of.behaviors

    def _lookback(self) -> int | None:
        return None if self.lookback is None else microseconds_of(self.lookback, "lookback")

    def _remember_columns(self, columns: Iterable[Any]) -> Self:
        self.feature_names_in_ = np.asarray(list(columns), dtype=object)
        self.n_features_in_ = len(self.feature_names_in_)
        return self

    def _with_events(self, frame: pd.DataFrame, pieces: Iterable[Behaviors]) -> pd.DataFrame:
        """Return a frame in which only the nested column is replaced."""
        return frame.assign(**{self.behaviors: join(pieces)})

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Return the names of the columns that `transform` returns, which are those of X.

        Parameters
        ----------
        input_features : array-like of str, default=None
            If given, must equal the columns seen in `fit`.

        Returns
        -------
        ndarray of str
        """
        check_is_fitted(self, "n_features_in_")
        return _check_feature_names_in(self, input_features)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.allow_nan = True
        return tags


def unique_names(names: Iterable[str]) -> NDArray[np.object_]:
    """Add a numeric suffix to duplicate names."""
    result: list[str] = []
    taken: set[str] = set()
    for name in names:
        candidate, count = name, 1
        while candidate in taken:
            count += 1
            candidate = f"{name}_{count}"
        taken.add(candidate)
        result.append(candidate)
    return np.asarray(result, dtype=object)


def as_feature_names(names: Iterable[Any]) -> NDArray[np.object_]:
    """Make unique names that LightGBM and XGBoost accept.

    Some characters become underscores, and duplicate names get a numeric suffix.
    """
    # LightGBM rejects empty names and JSON's special characters. It also replaces spaces by
    # underscores, which can make names equal. XGBoost rejects brackets and "<".
    unfit = re.compile(r'[",:<>\[\]{}\\\x00-\x1f\x7f]|\s')
    return unique_names([unfit.sub("_", str(name)) or "_" for name in names])


def weigh_rows(frame: pd.DataFrame, sample_weight: Any) -> tuple[pd.DataFrame, NDArray[np.float64]]:
    """Return the rows with a positive weight, and their weights."""
    if sample_weight is None:
        return frame, np.ones(len(frame))
    weight = _check_sample_weight(
        sample_weight, frame.index.to_numpy(), dtype=np.float64, ensure_non_negative=True
    )
    if weight.all():
        return frame, weight
    if not weight.any():
        raise ValueError("sample_weight is 0 in every row; at least one row must have a weight.")
    return frame[weight > 0], weight[weight > 0]


def most_frequent(behaviors: Behaviors, by: str, n: int, weight: NDArray[np.float64]) -> list[str]:
    """Return the `n` most frequent texts of a subfield; names break ties.

    Each event counts with the weight of its application.
    """
    code, names = behaviors.texts(by)
    counts = np.bincount(code, weights=weight[behaviors.rows], minlength=len(names))
    # Summing the same weights in another order may change the last digits.
    counts = np.round(counts / max(counts.sum(), 1e-300), 12)
    by_frequency = sorted(range(len(names)), key=lambda i: (-counts[i], names[i]))
    return [names[i] for i in by_frequency[:n]]


def positions(behaviors: Behaviors, by: str, names: list[str]) -> NDArray[np.int64]:
    """Return the position in `names` of each event's text, or ``len(names)`` if it is missing."""
    code, found = behaviors.texts(by)
    position = {name: i for i, name in enumerate(names)}
    lookup = np.array([position.get(name, len(names)) for name in found], dtype=np.int64)
    return lookup[code]
