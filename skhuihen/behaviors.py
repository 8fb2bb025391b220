"""The nested column: many applicants' events as flat arrays and offsets, and back.

Everything below this module works on `Behaviors`: one flat Arrow array per subfield, and offsets
that say which stretch of them belongs to which application. No step loops over rows.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import pairwise, product
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from nested_pandas import NestedDtype
from nested_pandas.series.ext_array import NestedExtensionArray
from numpy.typing import NDArray

from skhuihen.utils._compat import stack

MISSING = "missing"
#: The sum of squares of numbers up to this does not overflow.
HUGE = 1e150
#: Events that are worked on at a time: all that is made of them should stay in a processor's cache.
PIECE = 250_000
#: What Arrow raises for objects that have no type in common.
UNFIT = (pa.ArrowException, OverflowError, TypeError, ValueError)


@dataclass(frozen=True)
class Behaviors:
    """The events of many applications, flat.

    Parameters
    ----------
    offsets : int64 ndarray of shape (n_applications + 1,)
        The events of application ``i`` are ``offsets[i]`` to ``offsets[i + 1] - 1``.
    fields : mapping of str to pyarrow.Array of shape (n_events,)
        The subfields.

    Examples
    --------
    >>> import pandas as pd
    >>> from skhuihen.behaviors import Behaviors
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
            Of dtype `nested_pandas.NestedDtype` or Arrow ``list<struct>``, or of objects that
            are lists of dicts or DataFrames. Missing values are empty histories.

        Returns
        -------
        Behaviors

        Raises
        ------
        TypeError
            If the column holds anything else.
        ValueError
            If an event itself, rather than one of its subfields, is null.
        """
        return cls._from_lists(as_lists(column), column.name)

    @classmethod
    def _from_lists(cls, lists: pa.Array | pa.ChunkedArray, name: Any) -> Behaviors:
        if isinstance(lists, pa.ChunkedArray):
            try:
                if lists.num_chunks == 1:
                    lists = lists.chunk(0)  # shared, where combining would copy it
                    lists.validate()
                else:
                    lists = lists.combine_chunks()
            except pa.ArrowException as error:
                raise ValueError(
                    f"Column {name!r} of {lists.type} holds lists that are broken inside "
                    f"({error}), as pandas before 3.1 leaves those with a subfield of type null. "
                    "Cast it to another type, or drop it."
                ) from error
        lengths = pc.fill_null(pc.list_value_length(lists), 0)
        offsets = np.concatenate([[0], np.cumsum(lengths.to_numpy(), dtype=np.int64)])
        events = lists.flatten()  # unlike .values, minds slices and skips what is under a null
        if events.null_count:
            raise ValueError(
                f"Column {name!r} holds {events.null_count} null events. "
                "Leave them out of the lists."
            )
        if pa.types.is_null(events.type):
            return cls(offsets, {})
        fields = {}
        for name, values in zip(events.type.names, events.flatten(), strict=True):
            kind = _without_views(values.type)
            fields[name] = values if kind == values.type else values.cast(kind)
        return cls(offsets, fields)

    def to_array(self) -> NestedExtensionArray:
        """Return the array of a nested column; empty histories become empty lists."""
        return join([self])

    # Choosing events.

    def filter(self, mask: NDArray[np.bool_]) -> Behaviors:
        """Keep the events where ``mask`` is true; every application stays."""
        if mask.all():
            return self
        kept = np.concatenate([[0], np.cumsum(mask, dtype=np.int64)])
        arrow_mask = pa.array(mask)
        return Behaviors(
            kept[self.offsets],
            {name: values.filter(arrow_mask) for name, values in self.fields.items()},
        )

    def reorder(self, order: NDArray[np.int64]) -> Behaviors:
        """Put events in another order, which must keep each within its application."""
        return Behaviors(
            self.offsets,
            {name: values.take(pa.array(order)) for name, values in self.fields.items()},
        )

    def with_fields(self, **fields: pa.Array) -> Behaviors:
        """Add subfields, or replace those of the same names."""
        return Behaviors(self.offsets, {**self.fields, **fields})

    # Reading subfields.

    def require(self, name: str) -> pa.Array:
        """Return a subfield, or say which ones there are."""
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
        return _microseconds(self.require(name), f"subfield {name!r}")

    def numbers(self, name: str) -> NDArray[np.float64]:
        """Return a numeric subfield, NaN where it is missing or absent."""
        values = self.fields.get(name)
        if values is None or pa.types.is_null(values.type):
            return np.full(self.n_events, np.nan)
        if not _is_number(values.type):
            raise TypeError(
                f"Subfield {name!r} is of type {values.type}; numbers are wanted. "
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
                "values; integers without missing values are wanted. Number the events anew, or "
                "rename the subfield if it means something else."
            )
        return values.to_numpy().astype(np.int64, copy=False)

    def texts(self, name: str) -> tuple[NDArray[np.int64], list[str]]:
        """Return a text subfield as codes and the distinct texts; null is ``"missing"``.

        Integers are read as their decimal digits, since operation codes are often stored so.
        """
        if self.n_events == 0:
            return np.empty(0, dtype=np.int64), []
        values = self.require(name)
        if pa.types.is_dictionary(values.type):
            values = values.dictionary_decode()
        if (
            pa.types.is_null(values.type)
            or pa.types.is_integer(values.type)
            or pa.types.is_string_view(values.type)  # Arrow fills no nulls there
        ):
            values = values.cast(pa.string())
        if not (pa.types.is_string(values.type) or pa.types.is_large_string(values.type)):
            raise TypeError(
                f"Subfield {name!r} is of type {values.type}; text is wanted. "
                "Convert it with .astype(str)."
            )
        encoded = pc.fill_null(values, MISSING).dictionary_encode()
        return encoded.indices.to_numpy().astype(np.int64), encoded.dictionary.to_pylist()


@pd.api.extensions.register_extension_dtype
class _WrittenDtype(NestedDtype):
    """Lets pandas read back what it noted of a nested column with a time zone, or with decimals.

    `pandas.read_parquet` looks a column's dtype up by the text that `to_parquet` has written, and
    nested_pandas reads no types with parameters. A `NestedDtype` comes of it, as of any other text.
    """

    @classmethod
    def construct_from_string(cls, string: str) -> NestedDtype:
        found = re.findall(r"(?:^nested<|, )(.+?): \[(.+?)\](?=, .+?: \[|>$)", string)
        known = ", ".join(f"{name}: [{kind}]" for name, kind in found)
        if not found or string != f"nested<{known}>":
            raise TypeError(f"{string!r} is no nested dtype")
        fields = {name: _arrow_type(kind) for name, kind in found}
        return NestedDtype.from_columns(fields)


def _arrow_type(text: str) -> pa.DataType:
    """Return the type that Arrow writes so; TypeError for those that are not known here."""
    if found := re.fullmatch(r"timestamp\[(\w+), tz=(.+)\]", text):
        return pa.timestamp(*found.groups())
    if found := re.fullmatch(r"decimal128\((\d+), (-?\d+)\)", text):
        return pa.decimal128(*map(int, found.groups()))
    try:
        return pa.type_for_alias(text)
    except ValueError as error:
        raise TypeError(str(error)) from error


class OptionalSubfields:
    """What events may do without had a value in `fit`: its absence later is said, not passed over.

    Parameters
    ----------
    *names : str
        Of subfields that events need not have, such as ``"amount"``.
    """

    def __init__(self, *names: str) -> None:
        self.names = names
        self.known: set[str] = set()

    def learn(self, pieces: Iterable[Behaviors]) -> Iterator[Behaviors]:
        """Note which of the subfields have a value, and pass the events on."""
        for piece in pieces:
            self.known |= {name for name in self.names if _has_value(piece.fields.get(name))}
            yield piece

    def check(self, behaviors: Behaviors, stacklevel: int) -> None:
        """Warn of a subfield that had values in `fit` and is not there at all."""
        lacking = sorted(self.known - set(behaviors.fields)) if behaviors.n_events else []
        if lacking:
            warnings.warn(
                f"The events have no subfield {' and no '.join(map(repr, lacking))}, which they "
                f"had in fit; they have {sorted(behaviors.fields)}. What is absent is taken "
                "as missing. Add it, or rename what it is called here.",
                stacklevel=stacklevel + 1,
            )


def _has_value(values: pa.Array | None) -> bool:
    return values is not None and values.null_count < len(values)


def join(pieces: Iterable[Behaviors]) -> NestedExtensionArray:
    """Return the array of a nested column from the applications of several pieces, one at least."""
    lists = []
    for piece in pieces:
        # A nested column without subfields could be neither sliced nor written.
        fields = piece.fields or {
            "time": pa.array([], pa.timestamp("us")),
            "operation": pa.array([], pa.string()),
        }
        events = pa.StructArray.from_arrays(list(fields.values()), list(fields))
        lists.append(pa.LargeListArray.from_arrays(piece.offsets, events))
    return NestedExtensionArray(pa.chunked_array(lists))


def check_finite(numbers: NDArray[np.float64], what: str) -> None:
    """Refuse infinite numbers, and those of which no sum of squares can be taken; NaN may be."""
    for limit, kind in (
        (np.finfo(float).max, "infinite values"),
        (HUGE, f"values beyond {HUGE:g}"),
    ):
        n = int((np.abs(numbers) > limit).sum())
        if n:
            raise ValueError(
                f"{what} holds {n} {kind}; finite numbers or missing values are wanted. Replace "
                "them, for example by NaN."
            )


def decode(codes: NDArray[np.integer], texts: list[str]) -> pa.Array:
    """Return the text subfield that codes and distinct texts stand for."""
    dictionary = pa.array(texts, pa.string())
    return pa.DictionaryArray.from_arrays(codes.astype(np.int32), dictionary).dictionary_decode()


def is_unicode(text: str) -> bool:
    """Tell text from what was read in the wrong encoding, which Arrow cannot hold."""
    return text.isascii() or text == text.encode(errors="replace").decode()


def as_text(value: Any) -> str:
    """Return a value as text; a code beside missing ones has become a float in pandas."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def is_table(X: Any) -> bool:
    """Tell whether X may be a table, rather than an array or a list."""
    return isinstance(X, pd.DataFrame) or hasattr(X, "__arrow_c_stream__") or _cure(X) is not None


def as_frame(
    X: Any,
    column: str | None = None,
    *,
    parameter: str = "X",
    only: Collection[Any] | None = None,
) -> pd.DataFrame:
    """Return any table as a pandas DataFrame.

    Parameters
    ----------
    X : DataFrame or object with the Arrow stream interface
        pandas frames come back as they are (of subclasses, such as NestedFrame, the plain frame);
        polars frames and pyarrow tables are converted once.
    column : str, default=None
        The nested column, if the table may have one.
    parameter : str, default="X"
        What messages call the table.
    only : collection of str, default=None
        The columns that are wanted, if not all; what is not pandas is not converted beyond them.

    Returns
    -------
    DataFrame

    Raises
    ------
    TypeError
        If ``X`` is no table, or one whose rows are not in memory.
    ValueError
        If columns are of one name, or their names of several levels.
    """
    if isinstance(X, pd.DataFrame):
        _check_column_names(X.columns, parameter)
        # A NestedFrame has methods of its own, which warn or do something else.
        return _readable(X if type(X) is pd.DataFrame else pd.DataFrame(X), parameter)
    refuse_series(X, parameter)
    cure = _cure(X)
    if cure is not None:
        raise TypeError(
            f"{parameter} is a {type(X).__name__}, which can be read only once or keeps no order "
            f"of rows; a table in memory is wanted. Make one with .{cure}()."
        )
    not_a_table = TypeError(
        f"{parameter} is a {type(X).__name__}; a table with one row per application is wanted: a "
        "pandas or polars DataFrame or a pyarrow Table. skhuihen.attach_behaviors makes one; a "
        "ColumnTransformer in front keeps it after set_output(transform='pandas')."
    )
    if not hasattr(X, "__arrow_c_stream__"):
        raise not_a_table
    try:
        # Arrow before 25 crashes where it hands itself nested string views.
        table = X if isinstance(X, pa.Table) else pa.table(X)
    except pa.ArrowInvalid as error:  # a stream of one column, not of a table
        raise not_a_table from error
    _check_column_names(pd.Index(table.column_names, dtype=object), parameter)
    if only is not None:
        table = table.select([name for name in table.column_names if name in only])
    plain = table.select([name for name in table.column_names if name != column])
    try:
        frame = plain.to_pandas(ignore_metadata=True)
    except UNFIT:
        _refuse_what_pandas_cannot_hold(plain, parameter)
        raise
    if column in table.column_names:
        position = table.column_names.index(column)
        nested = Behaviors.from_column(
            pd.Series(pd.array(table[column], dtype=pd.ArrowDtype(table[column].type)), name=column)
        )
        frame.insert(position, column, nested.to_array())
    return frame


def refuse_series(X: Any, parameter: str) -> None:
    """Refuse one row or column that was cut out of a table, and say how to cut it out."""
    if isinstance(X, pd.Series):
        raise TypeError(
            f"{parameter} is a Series, which is one row or one column of a table. With a list in "
            f"the brackets it stays a table: {parameter}.iloc[[3]] for one row, and "
            f"{parameter}[['age']] for one column."
        )


def _cure(X: Any) -> str | None:
    """Return the method that brings a stream or a lazy table into memory; None for all else.

    A stream, read in `fit`, would have no row left for `transform`; a query may give its rows in
    another order each time, while labels stay where they are.
    """
    # Of polars LazyFrames, pyarrow RecordBatchReaders, DuckDB relations and Ibis tables.
    for method in ("collect", "read_all", "to_arrow_table", "to_pyarrow"):
        if callable(getattr(type(X), method, None)):
            return method
    return None


def _refuse_what_pandas_cannot_hold(table: pa.Table, parameter: str) -> None:
    for field in table.schema:
        try:
            table.select([field.name]).to_pandas(ignore_metadata=True)
        except UNFIT as error:
            raise TypeError(
                f"Column {field.name!r} of {parameter} is of type {field.type}, which pandas "
                f"cannot hold ({error}). Convert it, or drop it."
            ) from error


def _readable(frame: pd.DataFrame, parameter: str) -> pd.DataFrame:
    """Replace or refuse the columns of Arrow dtypes that pandas can carry but not look into."""
    changed: dict[Any, Any] = {}
    for position, dtype in enumerate(frame.dtypes.tolist()):
        if not isinstance(dtype, pd.ArrowDtype):
            continue
        name = frame.columns[position]
        kind = _without_views(dtype.pyarrow_dtype)
        if kind != dtype.pyarrow_dtype:
            values = frame[name].array.__arrow_array__().cast(kind)
            changed[name] = pd.array(values, dtype=pd.ArrowDtype(kind))
            continue
        try:
            _ = dtype.type
        except NotImplementedError as error:
            raise TypeError(
                f"Column {name!r} of {parameter} is of Arrow type {kind}, which pandas cannot "
                "read. Convert it, or drop it."
            ) from error
    if changed:
        frame = frame.copy(deep=False)
        for name, column in changed.items():
            frame[name] = column
    return frame


def _check_column_names(columns: pd.Index, parameter: str) -> None:
    """Refuse columns that cannot be told apart by a name."""
    if columns.nlevels > 1:
        raise ValueError(
            f"{parameter} has column names of {columns.nlevels} levels, such as {columns[0]!r}; "
            "one level is wanted. Name the columns anew."
        )
    for name in columns.tolist():
        if isinstance(name, str):
            if not is_unicode(name):
                raise ValueError(
                    f"{parameter} has a column named {name!r}, which is not valid Unicode. Rename "
                    "it."
                )
        elif not isinstance(name, Hashable):
            raise TypeError(
                f"{parameter} has a column named {name!r} of type {type(name).__name__}; names "
                "should be strings. Rename it."
            )
    if not columns.is_unique:
        raise ValueError(
            f"{parameter} has more than one column {columns[columns.duplicated()][0]!r}. Rename or "
            "drop all but one."
        )


#: Where `attach_behaviors` notes in a frame's ``attrs`` which columns it joined by.
_JOINED_BY = "skhuihen_joined_by"


def note_keys(frame: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Return a frame that knows which columns it is joined by."""
    noted = frame.copy(deep=False)
    noted.attrs = {**frame.attrs, _JOINED_BY: list(by)}
    return noted


def joined_by(frame: pd.DataFrame) -> list[str]:
    """Return the columns that a frame was joined by, as far as it knows; they say who applied.

    pandas keeps the note through most of what it does, other tables do not. So it may be read in
    `fit` alone, where what comes of it is learned: scores must not depend on it.
    """
    return list(frame.attrs.get(_JOINED_BY, ()))


def cure_for_renaming(columns: Iterable[Any], name: str) -> str:
    """Return what to do where a ColumnTransformer in front put a prefix before a name."""
    renamed = [column for column in columns if str(column).endswith(f"__{name}")]
    if not renamed:
        return ""
    return (
        f" {renamed[0]!r} looks like what a ColumnTransformer in front made of {name!r}: pass it "
        "verbose_feature_names_out=False, and it keeps the names."
    )


def is_nested(column: pd.Series) -> bool:
    """Tell whether a column holds events."""
    dtype = column.dtype
    if isinstance(dtype, NestedDtype):
        return True
    if isinstance(dtype, pd.ArrowDtype):
        return pa.types.is_nested(dtype.pyarrow_dtype)
    if pd.api.types.is_object_dtype(dtype):
        present = column.dropna()
        return len(present) > 0 and isinstance(present.iloc[0], (list, np.ndarray, pd.DataFrame))
    return False


@dataclass(frozen=True)
class AsOf:
    """The events that were known before each application, in order, and what was cut off.

    Attributes
    ----------
    behaviors : Behaviors
    n_events : int
        Events in the column.
    n_too_late : int
        Events at or after the application.
    n_before_lookback : int
        Events before the look-back.
    applied_at : int64 ndarray of shape (n_applications,) or None
        Time of each application in microseconds since 1970.
    """

    behaviors: Behaviors
    n_events: int
    n_too_late: int
    n_before_lookback: int
    applied_at: NDArray[np.int64] | None = None

    def counts(self) -> pd.Series:
        """Return what became of all events."""
        return pd.Series(
            {
                "events": self.n_events,
                "events_too_late": self.n_too_late,
                "events_before_lookback": self.n_before_lookback,
                "events_used": self.behaviors.n_events,
            }
        )


def read_as_of(
    X: pd.DataFrame,
    column: str,
    applied_at: str | None,
    lookback: int | None = None,
    *,
    by_session: bool = False,
) -> AsOf:
    """Read the nested column, cut off what the bank could not know yet, and restore time order.

    Parameters
    ----------
    X : DataFrame
        One row per application, as `as_frame` returns it.
    column : str
        The nested column.
    applied_at : str or None
        The column with the application's time. None, said on purpose, cuts nothing.
    lookback : int, default=None
        Microseconds before the application from which on events count.
    by_session : bool, default=False
        Order by the subfield ``session`` before time, as a `Sessionizer` with known sessions
        leaves them.

    Returns
    -------
    AsOf
        Events with ``applied_at - lookback <= time < applied_at``, ordered by time. Events of
        one instant are ordered by the subfield ``seq``, or keep their given order without it.
    """
    lists = _lists_of(X, column, applied_at, lookback)
    return _as_of(X, lists, column, applied_at, lookback, by_session)


def read_piecewise(
    X: pd.DataFrame, column: str, applied_at: str | None, lookback: int | None = None
) -> Iterator[AsOf]:
    """Do what `read_as_of` does, for some consecutive applications at a time.

    Yields
    ------
    AsOf
        Of as many applications as have some `PIECE` events, or of one that has more.
    """
    lists = _lists_of(X, column, applied_at, lookback)
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy()
    piece = np.cumsum(lengths, dtype=np.int64) // PIECE
    cuts = np.flatnonzero(np.diff(piece)) + 1
    for start, stop in pairwise([0, *cuts.tolist(), len(X)]):
        rows = X.iloc[start:stop] if len(cuts) else X
        yield _as_of(rows, lists.slice(start, stop - start), column, applied_at, lookback)


def _lists_of(
    X: pd.DataFrame, column: str, applied_at: str | None, lookback: int | None
) -> pa.Array | pa.ChunkedArray:
    if column not in X.columns:
        raise ValueError(
            f"X has no column {column!r}; it has {list(X.columns)}. Make it with "
            "skhuihen.attach_behaviors, or name the column that holds the events."
            f"{cure_for_renaming(X.columns, column)}"
        )
    if applied_at is None and lookback is not None:
        raise ValueError("lookback needs applied_at: name the column with the application's time.")
    return as_lists(X[column])


def _as_of(
    X: pd.DataFrame,
    lists: pa.Array | pa.ChunkedArray,
    column: str,
    applied_at: str | None,
    lookback: int | None,
    by_session: bool = False,
) -> AsOf:
    behaviors = Behaviors._from_lists(lists, column)
    n_events = behaviors.n_events
    n_too_late = n_before = 0
    limits = None
    if applied_at is not None:
        of_frames = pd.api.types.is_object_dtype(X[column].dtype)
        limits = _application_times(X, applied_at, behaviors, of_frames)
        limit = limits[behaviors.rows]
        time = behaviors.times()
        keep = time < limit
        n_too_late = n_events - int(keep.sum())
        if lookback is not None:
            old = time < limit - lookback
            n_before = int(old.sum())
            keep &= ~old
        behaviors = behaviors.filter(keep)
    return AsOf(_in_order(behaviors, by_session), n_events, n_too_late, n_before, limits)


def microseconds_of(value: Any, parameter: str, *, or_zero: bool = False) -> int:
    """Turn a pandas offset string or a timedelta into positive microseconds, or zero as well."""
    try:
        # pandas takes a bare number for nanoseconds, which nobody means.
        if isinstance(value, Real) and not isinstance(value, np.timedelta64):
            raise ValueError("a number has no unit")
        if isinstance(value, str) and re.fullmatch(r"[\s\d.+-]+", value):
            raise ValueError("a number has no unit")
        delta = pd.Timedelta(value)
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"{parameter}={value!r} is no length of time. Give a pandas offset string such as "
            "'1h' or '30D', or a timedelta."
        ) from error
    if or_zero and delta == pd.Timedelta(0):
        return 0
    if pd.isna(delta) or delta <= pd.Timedelta(0):
        raise ValueError(f"{parameter}={value!r} must be a positive length of time.")
    return max(1, delta // pd.Timedelta("1us"))


def as_lists(column: pd.Series) -> pa.Array | pa.ChunkedArray:
    """Return a nested column as Arrow lists of structs."""
    dtype = column.dtype
    if isinstance(dtype, NestedDtype):
        lists = column.array.list_array
    elif isinstance(dtype, pd.ArrowDtype) and pa.types.is_struct(dtype.pyarrow_dtype):
        try:
            lists = NestedExtensionArray(column.array.__arrow_array__()).list_array
        except ValueError as error:
            raise TypeError(
                _not_nested(column, f"Arrow type {dtype.pyarrow_dtype} ({error})")
            ) from error
    elif isinstance(dtype, pd.ArrowDtype) and not pa.types.is_null(dtype.pyarrow_dtype):
        lists = column.array.__arrow_array__()
    elif column.isna().all():
        return pa.nulls(len(column), pa.list_(pa.null()))
    elif pd.api.types.is_object_dtype(dtype):
        lists = _lists_of_objects(column)
    else:
        raise TypeError(_not_nested(column, f"dtype {dtype}"))
    kind = lists.type
    if not (
        (pa.types.is_list(kind) or pa.types.is_large_list(kind))
        and (pa.types.is_struct(kind.value_type) or pa.types.is_null(kind.value_type))
    ):
        raise TypeError(_not_nested(column, f"Arrow type {kind}"))
    return lists


def _without_views(kind: pa.DataType) -> pa.DataType:
    """Return a type without the string views of polars, which Arrow can neither filter nor take."""
    if pa.types.is_string_view(kind):
        return pa.large_string()
    if pa.types.is_binary_view(kind):
        return pa.large_binary()
    if pa.types.is_dictionary(kind):
        return pa.dictionary(kind.index_type, _without_views(kind.value_type), kind.ordered)
    if pa.types.is_list(kind):
        return pa.list_(_without_views(kind.value_type))
    if pa.types.is_large_list(kind):
        return pa.large_list(_without_views(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_without_views(field.type)) for field in kind])
    return kind


def _lists_of_objects(column: pd.Series) -> pa.Array:
    """Convert lists of dicts, or DataFrames, in one call to Arrow."""
    present = column.notna().to_numpy()
    values = column[present].tolist()
    times: Iterable[Any] = ()
    try:
        if all(isinstance(value, pd.DataFrame) for value in values):
            events = stack(values)
            lengths = np.zeros(len(column), dtype=np.int64)
            lengths[present] = [len(value) for value in values]
            if "time" in events and events["time"].dtype == object:
                times = events["time"]
            lists = pa.LargeListArray.from_arrays(
                np.concatenate([[0], np.cumsum(lengths)]), _as_structs(events)
            )
        else:
            lists = pa.array(column.where(present, None).tolist(), from_pandas=True)
            if pa.types.is_list(lists.type):
                times = (
                    event.get("time")
                    for value in values
                    for event in value
                    if isinstance(event, dict)
                )
    except UNFIT as error:
        raise TypeError(
            _not_nested(column, f"objects that do not fit together ({error})")
        ) from error
    refuse_mixed_zones(times, f"events of column {column.name!r}")
    return _with_parsed_times(lists, column.name)


def _with_parsed_times(lists: pa.Array, name: Any) -> pa.Array:
    """Parse times that are ISO 8601 texts, as JSON has them; offsets make them times in UTC."""
    kind = lists.type
    is_large = pa.types.is_large_list(kind)
    if not (is_large or pa.types.is_list(kind)) or not pa.types.is_struct(kind.value_type):
        return lists
    position = kind.value_type.get_field_index("time")
    if position < 0:
        return lists
    events = lists.values
    fields = list(events.flatten())
    texts = fields[position]
    if not (pa.types.is_string(texts.type) or pa.types.is_large_string(texts.type)):
        return lists
    for unit, zone in product(("us", "ns"), (None, "UTC")):
        try:
            fields[position] = texts.cast(pa.timestamp(unit, zone))
            break
        except pa.ArrowInvalid:
            continue
    else:
        raise ValueError(
            f"Column {name!r} holds events whose times are texts that do not all read as ISO 8601, "
            "such as '2024-05-01T10:00:00' (all with an offset, or all without); the first is "
            f"{texts.drop_null()[0].as_py()!r}. Convert them with pandas.to_datetime."
        )
    parsed = pa.StructArray.from_arrays(
        fields, kind.value_type.names, mask=events.is_null() if events.null_count else None
    )
    mask = lists.is_null() if lists.null_count else None
    make = pa.LargeListArray if is_large else pa.ListArray
    return make.from_arrays(lists.offsets, parsed, mask=mask)


def _as_structs(events: pd.DataFrame) -> pa.StructArray:
    """Convert a frame with one row per event."""
    table = pa.Table.from_pandas(events, preserve_index=False).combine_chunks()
    if not table.num_columns:
        return pa.nulls(0, pa.struct([]))
    return pa.StructArray.from_arrays(
        [
            table[name].chunk(0) if len(table) else pa.array([], table[name].type)
            for name in table.column_names
        ],
        table.column_names,
    )


def refuse_mixed_zones(times: Iterable[Any], what: str) -> None:
    """Refuse time objects of several zones, which Arrow would convert to one without a word."""
    zones = {
        str(time.tzinfo) for time in times if isinstance(time, datetime) and time is not pd.NaT
    }
    if len(zones) > 1:
        raise ValueError(
            f"The {what} have times in several time zones: {', '.join(sorted(zones))}. All must "
            "be in one zone, or all without: convert with tz_convert, or tz_localize what has none."
        )


def _not_nested(column: pd.Series, found: str) -> str:
    return (
        f"Column {column.name!r} is of {found}; one list of events per row is wanted: a "
        "nested_pandas column, an Arrow list<struct>, or objects that are lists of dicts or "
        "DataFrames. skhuihen.attach_behaviors makes it."
    )


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)


def how_to_convert(are_numbers: bool) -> str:
    """Say how numbers or texts become times."""
    if are_numbers:
        return (
            "with pandas.to_datetime(numbers, unit='s') if they count seconds since 1970, or "
            "unit='ms' if they count milliseconds (without a unit they count nanoseconds)"
        )
    return "with pandas.to_datetime (utc=True if texts have offsets)"


def _microseconds(values: pa.Array | pa.ChunkedArray, what: str) -> NDArray[np.int64]:
    """Cut timestamps to microseconds since 1970; refuse nulls and other types."""
    missing = pa.types.is_null(values.type) and len(values) > 0
    if not missing and not pa.types.is_timestamp(values.type):
        raise TypeError(
            f"The {what} is of type {values.type}; timestamps are wanted. Convert it "
            f"{how_to_convert(_is_number(values.type))}."
        )
    if values.null_count:
        raise ValueError(
            f"The {what} has {values.null_count} missing times. Fill them in or leave the rows out."
        )
    ticks = values.cast(pa.int64()).to_numpy()
    match values.type.unit:
        case "ns":
            return ticks // 1000
        case "us":
            return ticks
        case unit:
            factor = 1000 if unit == "ms" else 1_000_000
    limit = np.iinfo(np.int64).max // factor
    n_far = int(((ticks > limit) | (ticks < -limit)).sum())
    if n_far:
        raise ValueError(
            f"The {what} has {n_far} times too far away to count in microseconds. Leave the rows "
            "out."
        )
    return ticks * factor


def application_times(X: pd.DataFrame, applied_at: str) -> tuple[NDArray[np.int64], str | None]:
    """Return when each application was made, in microseconds since 1970, and the time zone."""
    column = X[applied_at]
    try:
        values = pa.array(column, from_pandas=True)
    except UNFIT as error:
        raise TypeError(
            f"Column {applied_at!r} holds objects that are not all timestamps ({error}). "
            "Convert it with pandas.to_datetime."
        ) from error
    if pd.api.types.is_object_dtype(column.dtype):
        refuse_mixed_zones(column, f"rows of column {applied_at!r}")
    times = _microseconds(values, f"column {applied_at!r}")
    return times, values.type.tz if len(times) else None


def _application_times(
    X: pd.DataFrame, applied_at: str, behaviors: Behaviors, of_frames: bool
) -> NDArray[np.int64]:
    """Return when each application was made, in microseconds, having checked the time zone."""
    if applied_at not in X.columns:
        raise ValueError(
            f"X has no column {applied_at!r}, so nothing could keep events after the application "
            "out of its score. Rename the column to it, name it in every step with "
            "applied_at=..., or pass applied_at=None if the events are cut already."
            f"{cure_for_renaming(X.columns, applied_at)}"
        )
    limits, zone = application_times(X, applied_at)
    if behaviors.n_events:
        time = behaviors.require("time")
        if pa.types.is_timestamp(time.type) and time.type.tz != zone:
            if of_frames and time.type.tz is None:
                raise ValueError(
                    f"Column {applied_at!r} is in time zone {zone}, and each of the DataFrames "
                    "with the events has a column 'time' without one. pandas.concat makes such "
                    "DataFrames, and drops the zone, of nested columns whose subfields "
                    "differ: before attach_behaviors, give the events of each part the same "
                    "columns, such as events.assign(amount=float('nan')), and concatenate anew. "
                    "If they are your own, set the zone with tz_localize."
                )
            raise ValueError(
                f"Column {applied_at!r} is in time zone {zone} and the events' subfield 'time' in "
                f"{time.type.tz}. Both must be in one zone, or both without: convert one with "
                "tz_convert, or tz_localize what has none."
            )
    return limits


def _in_order(behaviors: Behaviors, by_session: bool) -> Behaviors:
    """Sort events by (session,) time and seq within each application, if they are not sorted."""
    if behaviors.n_events == 0:
        return behaviors
    keys = [behaviors.times()]
    if "seq" in behaviors.fields:
        keys.append(behaviors.integers("seq"))
    if by_session and "session" in behaviors.fields:
        keys.insert(0, behaviors.integers("session"))
    # An event stands right if the first key in which it differs from the one before is larger.
    wrong = np.zeros(behaviors.n_events - 1, dtype=bool)
    for key in reversed(keys):
        step = np.diff(key)
        wrong = (step < 0) | ((step == 0) & wrong)
    starts = behaviors.offsets[1:-1]
    wrong[starts[(starts > 0) & (starts < behaviors.n_events)] - 1] = False
    if not wrong.any():
        return behaviors
    return behaviors.reorder(np.lexsort([*reversed(keys), behaviors.rows]))
