"""The events of a nested column as flat arrays, row after row."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from nested_pandas import NestedDtype
from nested_pandas.series.ext_array import NestedExtensionArray
from numpy.typing import NDArray

from skhuihen._events.nested import as_lists
from skhuihen._tables.arrow import is_number, without_views
from skhuihen._tables.times import microseconds

MISSING = "missing"
#: Sums of squares of numbers up to this limit do not overflow.
HUGE = 1e150


@dataclass(frozen=True)
class Behaviors:
    """The events of many applications, in flat arrays.

    Parameters
    ----------
    offsets : int64 ndarray of shape (n_applications + 1,)
        The events of application ``i`` are ``offsets[i]`` to ``offsets[i + 1] - 1``.
    fields : mapping of str to pyarrow.Array of shape (n_events,)
        The subfields.

    Examples
    --------
    >>> import pandas as pd
    >>> from skhuihen._events.behaviors import Behaviors
    >>> column = pd.Series([
    ...     [{"time": pd.Timestamp("2024-05-01"), "operation": "login"}],
    ...     None,
    ... ])
    >>> behaviors = Behaviors.from_column(column)
    >>> behaviors.offsets
    array([0, 1, 1])
    >>> behaviors.texts("operation")
    (array([0]), ['login'])
    """

    offsets: NDArray[np.int64]
    fields: Mapping[str, pa.Array]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def n_events(self) -> int:
        """Number of events of all applications."""
        return int(self.offsets[-1])

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Number of events of each application."""
        return np.diff(self.offsets)

    @cached_property
    def rows(self) -> NDArray[np.int64]:
        """Position of the application that each event belongs to."""
        return np.repeat(np.arange(len(self)), self.lengths)

    # From a column and back.

    @classmethod
    def from_column(cls, column: pd.Series) -> Behaviors:
        """Read a nested column.

        Parameters
        ----------
        column : Series
            Of dtype `nested_pandas.NestedDtype`, Arrow ``list<struct>``, or objects that are lists
            of dicts or DataFrames. Missing values become empty histories.

        Returns
        -------
        Behaviors

        Raises
        ------
        TypeError
            If the column holds anything else.
        ValueError
            If an event itself is null, rather than one of its subfields.
        """
        return cls._from_lists(as_lists(column), column.name)

    @classmethod
    def _from_lists(cls, lists: pa.Array | pa.ChunkedArray, name: Any) -> Behaviors:
        if isinstance(lists, pa.ChunkedArray):
            try:
                if lists.num_chunks == 1:
                    lists = lists.chunk(0)  # shared, while combining would copy it
                    lists.validate()
                else:
                    lists = lists.combine_chunks()
            except pa.ArrowException as error:
                raise ValueError(
                    f"Column {name!r} of type {lists.type} contains invalid lists ({error}). "
                    "pandas before 3.1 produces them if a subfield has the type null. Cast that "
                    "subfield to another type, or drop it."
                ) from error
        lengths = pc.fill_null(pc.list_value_length(lists), 0)
        offsets = np.concatenate([[0], np.cumsum(lengths.to_numpy(), dtype=np.int64)])
        events = lists.flatten()  # unlike .values, respects slices and skips data under nulls
        if events.null_count:
            raise ValueError(
                f"Column {name!r} contains {events.null_count} null events. "
                "Remove them from the lists."
            )
        if pa.types.is_null(events.type):
            return cls(offsets, {})
        fields = {}
        for name, values in zip(events.type.names, events.flatten(), strict=True):
            kind = without_views(values.type)
            fields[name] = values if kind == values.type else values.cast(kind)
        return cls(offsets, fields)

    def to_array(self) -> NestedExtensionArray:
        """Return the array of a nested column, with empty histories as empty lists."""
        return join([self])

    # Selecting events.

    def filter(self, mask: NDArray[np.bool_]) -> Behaviors:
        """Keep the events where ``mask`` is true, and all applications."""
        if mask.all():
            return self
        kept = np.concatenate([[0], np.cumsum(mask, dtype=np.int64)])
        arrow_mask = pa.array(mask)
        return Behaviors(
            kept[self.offsets],
            {name: values.filter(arrow_mask) for name, values in self.fields.items()},
        )

    def reorder(self, order: NDArray[np.int64]) -> Behaviors:
        """Reorder events; ``order`` must keep each within its application."""
        return Behaviors(
            self.offsets,
            {name: values.take(pa.array(order)) for name, values in self.fields.items()},
        )

    def with_fields(self, **fields: pa.Array) -> Behaviors:
        """Add subfields or replace existing ones."""
        return Behaviors(self.offsets, {**self.fields, **fields})

    # Reading subfields.

    def require(self, name: str) -> pa.Array:
        """Return a subfield, or raise an error with the names of all subfields."""
        if name not in self.fields:
            raise ValueError(
                f"The events have no subfield {name!r}; they have {sorted(self.fields)}. "
                f"Rename or add it."
            )
        return self.fields[name]

    def times(self, name: str = "time") -> NDArray[np.int64]:
        """Return a timestamp subfield in microseconds since 1970."""
        if self.n_events == 0:
            return np.empty(0, dtype=np.int64)
        return microseconds(self.require(name), f"subfield {name!r}")

    def numbers(self, name: str) -> NDArray[np.float64]:
        """Return a numeric subfield, with NaN for missing values or a missing subfield."""
        values = self.fields.get(name)
        if values is None or pa.types.is_null(values.type):
            return np.full(self.n_events, np.nan)
        if not is_number(values.type):
            raise TypeError(
                f"Subfield {name!r} is of type {values.type}; it must hold numbers. "
                "Convert it with pandas.to_numeric."
            )
        numbers = values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        check_finite(numbers, f"Subfield {name!r}")
        return numbers

    def integers(self, name: str) -> NDArray[np.int64]:
        """Return an integer subfield without missing values."""
        if self.n_events == 0:
            return np.empty(0, dtype=np.int64)
        values = self.require(name)
        if not pa.types.is_integer(values.type) or values.null_count:
            raise TypeError(
                f"Subfield {name!r} is of type {values.type} with {values.null_count} missing "
                "values; it must hold integers without missing values. Renumber the events, or "
                "rename the subfield if it has another meaning."
            )
        return values.to_numpy().astype(np.int64, copy=False)

    def texts(self, name: str) -> tuple[NDArray[np.int64], list[str]]:
        """Return a text subfield as codes and distinct texts, with null as ``"missing"``.

        Integers are converted to text, since operation codes are often stored as integers.
        """
        if self.n_events == 0:
            return np.empty(0, dtype=np.int64), []
        values = self.require(name)
        if pa.types.is_dictionary(values.type):
            values = values.dictionary_decode()
        if (
            pa.types.is_null(values.type)
            or pa.types.is_integer(values.type)
            or pa.types.is_string_view(values.type)  # Arrow cannot fill nulls there
        ):
            values = values.cast(pa.string())
        if not (pa.types.is_string(values.type) or pa.types.is_large_string(values.type)):
            raise TypeError(
                f"Subfield {name!r} is of type {values.type}; it must hold text. "
                "Convert it with .astype(str)."
            )
        encoded = pc.fill_null(values, MISSING).dictionary_encode()
        return encoded.indices.to_numpy().astype(np.int64), encoded.dictionary.to_pylist()


@pd.api.extensions.register_extension_dtype
class _WrittenDtype(NestedDtype):
    """Lets pandas read its own record of a nested column with a time zone or decimals.

    `pandas.read_parquet` looks up a column's dtype by the text that `to_parquet` wrote, and
    nested_pandas cannot parse types with parameters. This class returns a plain `NestedDtype`.
    """

    @classmethod
    def construct_from_string(cls, string: str) -> NestedDtype:
        found = re.findall(r"(?:^nested<|, )(.+?): \[(.+?)\](?=, .+?: \[|>$)", string)
        known = ", ".join(f"{name}: [{kind}]" for name, kind in found)
        if not found or string != f"nested<{known}>":
            raise TypeError(f"{string!r} is not a nested dtype")
        fields = {name: _arrow_type(kind) for name, kind in found}
        return NestedDtype.from_columns(fields)


def _arrow_type(text: str) -> pa.DataType:
    """Return the type that Arrow writes as this text; raise TypeError for unknown ones."""
    if found := re.fullmatch(r"timestamp\[(\w+), tz=(.+)\]", text):
        return pa.timestamp(*found.groups())
    if found := re.fullmatch(r"decimal128\((\d+), (-?\d+)\)", text):
        return pa.decimal128(*map(int, found.groups()))
    try:
        return pa.type_for_alias(text)
    except ValueError as error:
        raise TypeError(str(error)) from error


class OptionalSubfields:
    """Optional subfields that had values in `fit`; warns if one is missing later.

    Parameters
    ----------
    *names : str
        Names of optional subfields, such as ``"amount"``.
    """

    def __init__(self, *names: str) -> None:
        self.names = names
        self.known: set[str] = set()

    def learn(self, pieces: Iterable[Behaviors]) -> Iterator[Behaviors]:
        """Record which of the subfields have a value, and pass the events on."""
        for piece in pieces:
            self.known |= {name for name in self.names if _has_value(piece.fields.get(name))}
            yield piece

    def check(self, behaviors: Behaviors, stacklevel: int) -> None:
        """Warn of a missing subfield that had values in `fit`."""
        lacking = sorted(self.known - set(behaviors.fields)) if behaviors.n_events else []
        if lacking:
            warnings.warn(
                f"The events have no subfield {' and no '.join(map(repr, lacking))}, which had "
                f"values in fit; they have {sorted(behaviors.fields)}. Absent values count as "
                "missing. Add the subfield, or rename the one that matches it.",
                stacklevel=stacklevel + 1,
            )


def _has_value(values: pa.Array | None) -> bool:
    return values is not None and values.null_count < len(values)


def join(pieces: Iterable[Behaviors]) -> NestedExtensionArray:
    """Return the array of a nested column with the applications of one or more pieces."""
    lists = []
    for piece in pieces:
        # A nested column without subfields cannot be sliced or written.
        fields = piece.fields or {
            "time": pa.array([], pa.timestamp("us")),
            "operation": pa.array([], pa.string()),
        }
        events = pa.StructArray.from_arrays(list(fields.values()), list(fields))
        lists.append(pa.LargeListArray.from_arrays(piece.offsets, events))
    return NestedExtensionArray(pa.chunked_array(lists))


def check_finite(numbers: NDArray[np.float64], what: str) -> None:
    """Reject infinite numbers and those too large to square and sum; NaN is allowed."""
    for limit, kind in (
        (np.finfo(float).max, "infinite values"),
        (HUGE, f"values beyond {HUGE:g}"),
    ):
        n = int((np.abs(numbers) > limit).sum())
        if n:
            raise ValueError(
                f"{what} contains {n} {kind}; only finite numbers and missing values are allowed. "
                "Replace them, for example with NaN."
            )


def decode(codes: NDArray[np.integer], texts: list[str]) -> pa.Array:
    """Return the text subfield given by codes and distinct texts."""
    dictionary = pa.array(texts, pa.string())
    return pa.DictionaryArray.from_arrays(codes.astype(np.int32), dictionary).dictionary_decode()
