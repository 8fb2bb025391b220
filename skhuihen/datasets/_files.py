"""Shared parts of the loaders of public data: find files, check their contents, build a Bunch."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import Bunch

_FOLDER_VARIABLE = "SKHUIHEN_DATA"
_NO_FEATURES = ("user_id", "application_id", "applied_at")


def find_files(
    folder: str | os.PathLike[str] | None, name: str, *layouts: list[str], source: str
) -> list[Path]:
    """Find the files of a data set in the given folder or its subfolder.

    Parameters
    ----------
    folder : path or None
        None uses the folder in the environment variable ``SKHUIHEN_DATA``.
    name : str
        Name of the data set and of the subfolder.
    *layouts : list of str
        The file names of each published form of the data set. The first complete form is used.
    source : str
        Where to get the files, for the error.

    Returns
    -------
    list of Path
        In the order of the layout.

    Raises
    ------
    FileNotFoundError
        If no folder is given or none contains a complete layout.
    """
    named = folder if folder is not None else os.environ.get(_FOLDER_VARIABLE)
    if not named:
        raise FileNotFoundError(
            f"No folder given: pass folder=, or set the environment variable {_FOLDER_VARIABLE}. "
            f"{source}"
        )
    candidates = [Path(named), Path(named) / name]
    absent = []
    for layout in layouts:
        for candidate in candidates:
            paths = [candidate / file for file in layout]
            if all(path.is_file() for path in paths):
                return paths
        missing = [file for file in layout if not any((c / file).is_file() for c in candidates)]
        absent.append(" and ".join(missing) or "a complete set")
    raise FileNotFoundError(
        f"{', or '.join(absent)} not found in {os.fspath(candidates[0])!r} or its {name!r} folder. "
        f"{source}"
    )


def read_table(path: Path, columns: Iterable[str], **options: Any) -> pd.DataFrame:
    """Read a CSV or Parquet file with the given columns; the options apply to CSV."""
    parquet = path.suffix == ".parquet"
    try:
        table = pd.read_parquet(path) if parquet else pd.read_csv(path, **options)
    except ValueError as error:
        raise ValueError(
            f"{path.name} cannot be read: {error}. Use the file exactly as it was downloaded."
        ) from error
    check_columns(table, columns, path.name)
    return table


def check_columns(table: pd.DataFrame, columns: Iterable[str], file: str) -> None:
    """Reject a table with missing columns."""
    absent = [column for column in columns if column not in table]
    if absent:
        raise ValueError(
            f"{file}: the columns {absent} are missing; it has {list(table.columns)}. Use the file "
            "exactly as it was downloaded."
        )


def check_unique(column: pd.Series, file: str) -> None:
    """Reject a key with repeated values."""
    repeated = column.duplicated()
    if repeated.any():
        raise ValueError(
            f"{file}: column {column.name!r} must have unique values, but {repeated.sum()} rows "
            f"repeat one, for example {column[repeated].iloc[0]!r}. Remove these rows."
        )


def check_present(column: pd.Series, file: str, what: str) -> None:
    """Reject a column with empty rows."""
    absent = int(column.isna().sum())
    if absent:
        raise ValueError(
            f"{file}: column {column.name!r} must have {what} in every row, but {absent} rows "
            "have no value. Remove these rows."
        )


def to_times(column: pd.Series, file: str, *, zone: str | None = None) -> pd.Series:
    """Read ISO 8601 times to the microsecond; if a zone is given, they must have an offset."""
    try:
        times = pd.to_datetime(column, format="ISO8601", utc=zone is not None)
        times = times if zone is None else times.dt.tz_convert(zone)
        return times.dt.as_unit("us")
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"{file}: column {column.name!r} contains an invalid date: {error}"
        ) from None


def to_numbers(column: pd.Series, file: str) -> pd.Series:
    """Read numbers; empty cells become missing values."""
    numbers = pd.to_numeric(column, errors="coerce")
    strange = numbers.isna() & column.notna()
    if strange.any():
        raise ValueError(
            f"{file}: column {column.name!r} must hold numbers, but {strange.sum()} rows have "
            f"other values, for example {column[strange].iloc[0]!r}. Correct or remove these rows."
        )
    return numbers


def to_labels(column: pd.Series, classes: tuple[Any, Any], file: str) -> np.ndarray:
    """Return 1 where a column has the second of two values and 0 where it has the first."""
    strange = ~column.isin(classes)
    if strange.any():
        raise ValueError(
            f"{file}: column {column.name!r} must be {classes[0]!r} or {classes[1]!r}, but "
            f"{strange.sum()} rows have other values, for example {column[strange].iloc[0]!r}. "
            "Correct or remove these rows."
        )
    return (column == classes[1]).to_numpy(dtype=np.int64)


def make_bunch(
    applications: pd.DataFrame,
    events: pd.DataFrame | None,
    y: np.ndarray | None,
    target_names: list[str],
    dropped: dict[str, int],
    descr: str,
) -> Bunch:
    """Build the result of every loader, with events sorted by user and time."""
    if events is not None:
        events = events.sort_values(["user_id", "time"], kind="stable", ignore_index=True)
    left_out = ", ".join(f"{number:,} {reason}" for reason, number in dropped.items())
    return Bunch(
        applications=applications,
        events=events,
        y=y,
        feature_names=[name for name in applications.columns if name not in _NO_FEATURES],
        target_names=target_names,
        dropped=dropped,
        DESCR=f"{descr}\nDropped: {left_out or 'nothing'}.\n",
    )
