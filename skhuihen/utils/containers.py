"""A table of applications in each container that a bank may use.

Each function takes a pandas frame with a nested column ``behaviors`` of nested_pandas' dtype, and
keeps rows and columns. Containers without an index lose it. The functions are meant for tests: two
of them build an object for each row.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import nested_pandas as npd
import pandas as pd
import pyarrow as pa


def as_it_is(X: pd.DataFrame) -> Any:
    """Return the frame."""
    return X


def as_nested_frame(X: pd.DataFrame) -> Any:
    """Return a frame of nested_pandas."""
    return npd.NestedFrame(X)


def as_arrow_column(X: pd.DataFrame) -> Any:
    """Return a frame with an Arrow ``list<struct>`` column."""
    return X.assign(behaviors=X["behaviors"].array.to_arrow_ext_array(list_struct=True))


def as_lists_of_dicts(X: pd.DataFrame) -> Any:
    """Return a frame with a column of Python lists, with one dict per event."""
    histories = as_arrow(X)["behaviors"].to_pylist()
    return X.assign(behaviors=pd.Series(histories, X.index, dtype=object))


def as_frames(X: pd.DataFrame) -> Any:
    """Return a frame with a column of frames, with one row per event."""
    frames = [
        _events(history.values).to_pandas() if history.is_valid else None
        for history in as_arrow(X)["behaviors"]
    ]
    return X.assign(behaviors=pd.Series(frames, X.index, dtype=object))


def _events(structs: pa.StructArray) -> pa.Table:
    # Table.from_struct_array of Arrow 19 takes no notice of where a slice ends.
    return pa.table(structs.flatten(), names=[field.name for field in structs.type])


def as_polars(X: pd.DataFrame) -> Any:
    """Return a polars frame."""
    import polars as pl

    return pl.from_arrow(as_arrow(X))


def as_arrow(X: pd.DataFrame) -> Any:
    """Return a table with a ``large_list`` as nested column, without pandas' metadata."""
    return pa.Table.from_pandas(X, preserve_index=False).replace_schema_metadata()


#: The available containers by name.
CONTAINERS: dict[str, Callable[[pd.DataFrame], Any]] = {
    "pandas, nested": as_it_is,
    "nested_pandas": as_nested_frame,
    "pandas, Arrow column": as_arrow_column,
    "pandas, lists of dicts": as_lists_of_dicts,
    "pandas, frames": as_frames,
    "pyarrow": as_arrow,
}
if find_spec("polars") is not None:
    CONTAINERS["polars"] = as_polars
