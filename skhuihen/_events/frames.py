"""Tables of every accepted kind as pandas frames."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Sequence
from typing import Any

import pandas as pd
import pyarrow as pa

from skhuihen._compat import signed
from skhuihen._events.behaviors import Behaviors
from skhuihen._tables.arrow import UNFIT, without_views
from skhuihen._tables.texts import is_unicode


def is_table(X: Any) -> bool:
    """Return whether X may be a table, rather than an array or a list."""
    # A Series of pandas 2 has no Arrow interface; as_frame refuses it by name.
    is_pandas = isinstance(X, pd.DataFrame | pd.Series)
    return is_pandas or hasattr(X, "__arrow_c_stream__") or _cure(X) is not None


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
        pandas frames are returned unchanged (subclasses such as NestedFrame as a plain frame).
        polars frames and pyarrow tables are converted once.
    column : str, default=None
        The nested column, if the table may have one.
    parameter : str, default="X"
        The name of the table in messages.
    only : collection of str, default=None
        The required columns, if not all. Other columns are not converted from polars or pyarrow.

    Returns
    -------
    DataFrame

    Raises
    ------
    TypeError
        If ``X`` is not a table, or its rows are not in memory.
    ValueError
        If column names are repeated or have several levels.
    """
    if isinstance(X, pd.DataFrame):
        _check_column_names(X.columns, parameter)
        # A NestedFrame overrides some methods, which then warn or behave differently.
        return _readable(X if type(X) is pd.DataFrame else pd.DataFrame(X), parameter)
    table = _as_arrow(X, parameter)
    _check_column_names(pd.Index(table.column_names, dtype=object), parameter)
    if only is not None:
        table = table.select([name for name in table.column_names if name in only])
    plain = table.select([name for name in table.column_names if name != column])
    try:
        frame = signed(plain).to_pandas(ignore_metadata=True)
    except (*UNFIT, KeyError):  # a KeyError is pandas 2's for an unknown time zone
        _refuse_what_pandas_cannot_hold(plain, parameter)
        raise
    if column in table.column_names:
        position = table.column_names.index(column)
        nested = Behaviors.from_column(
            pd.Series(pd.array(table[column], dtype=pd.ArrowDtype(table[column].type)), name=column)
        )
        frame.insert(position, column, nested.to_array())
    return frame


def _as_arrow(X: Any, parameter: str) -> pa.Table:
    """Return any other table than a pandas frame as an Arrow table, or say why it cannot be one."""
    refuse_series(X, parameter)
    cure = _cure(X)
    if cure is not None:
        raise TypeError(
            f"{parameter} is a {type(X).__name__}, which can be read only once or has no fixed row "
            f"order; the table must be in memory. Load it with .{cure}()."
        )
    not_a_table = TypeError(
        f"{parameter} is a {type(X).__name__}; it must be a table with one row per application: a "
        "pandas or polars DataFrame or a pyarrow Table. skhuihen.attach_behaviors makes one. After "
        "a ColumnTransformer, call its set_output(transform='pandas') to keep a table."
    )
    if not hasattr(X, "__arrow_c_stream__"):
        raise not_a_table
    try:
        # Arrow before 25 crashes if it converts a table with nested string views again.
        return X if isinstance(X, pa.Table) else pa.table(X)
    except pa.ArrowInvalid as error:  # a stream of one column rather than of a table
        raise not_a_table from error


def refuse_series(X: Any, parameter: str) -> None:
    """Reject a single row or column of a table, and say how to select it as a table."""
    if isinstance(X, pd.Series):
        raise TypeError(
            f"{parameter} is a Series, which is one row or one column of a table. Select it with "
            f"a list to keep a table: {parameter}.iloc[[3]] for one row, or "
            f"{parameter}[['age']] for one column."
        )


def _cure(X: Any) -> str | None:
    """Return the method that loads a stream or a lazy table into memory, or None for other types.

    After `fit` has read a stream, no row is left for `transform`. A query may return its rows in
    another order each time, while the labels keep theirs.
    """
    # For polars LazyFrames, pyarrow RecordBatchReaders, DuckDB relations and Ibis tables.
    for method in ("collect", "read_all", "to_arrow_table", "to_pyarrow"):
        if callable(getattr(type(X), method, None)):
            return method
    return None


def _refuse_what_pandas_cannot_hold(table: pa.Table, parameter: str) -> None:
    for field in table.schema:
        try:
            table.select([field.name]).to_pandas(ignore_metadata=True)
        except (*UNFIT, KeyError) as error:
            raise TypeError(
                f"Column {field.name!r} of {parameter} is of type {field.type}, which pandas "
                f"cannot hold ({error}). Convert it, or drop it."
            ) from error


def _readable(frame: pd.DataFrame, parameter: str) -> pd.DataFrame:
    """Convert or reject the columns of Arrow dtypes that pandas can hold but not read."""
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
    """Reject column names that do not identify a column."""
    if columns.nlevels > 1:
        raise ValueError(
            f"{parameter} has column names of {columns.nlevels} levels, such as {columns[0]!r}; "
            "only one level is allowed. Rename the columns."
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


#: The key in a frame's ``attrs`` where `attach_behaviors` records the columns it joined by.
_JOINED_BY = "skhuihen_joined_by"


def note_keys(frame: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Return a frame that records which columns it was joined by."""
    noted = frame.copy(deep=False)
    noted.attrs = {**frame.attrs, _JOINED_BY: list(by)}
    return noted


def joined_by(frame: pd.DataFrame) -> list[str]:
    """Return the columns that a frame was joined by, if recorded; they identify the applicant.

    pandas keeps the record through most operations; other tables do not. So only `fit` may read
    it, and stores what it learns: scores must not depend on it.
    """
    return list(frame.attrs.get(_JOINED_BY, ()))


def cure_for_renaming(columns: Iterable[Any], name: str) -> str:
    """Return advice if a ColumnTransformer has put a prefix in front of a name."""
    renamed = [column for column in columns if str(column).endswith(f"__{name}")]
    if not renamed:
        return ""
    return (
        f" {renamed[0]!r} looks like {name!r} after a ColumnTransformer: pass it "
        "verbose_feature_names_out=False to keep the names."
    )
