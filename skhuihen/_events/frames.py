"""Tables of every kind that is accepted, as pandas frames."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Sequence
from typing import Any

import pandas as pd
import pyarrow as pa

from skhuihen._events.behaviors import Behaviors
from skhuihen._tables.arrow import UNFIT, without_views
from skhuihen._tables.texts import is_unicode


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
        table = pa.table(X)
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
        kind = without_views(dtype.pyarrow_dtype)
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
