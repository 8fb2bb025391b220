"""Times and durations in whole microseconds, the unit of every computation with them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from skhuihen._tables.arrow import UNFIT, is_number


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


def how_to_convert(are_numbers: bool) -> str:
    """Say how numbers or texts become times."""
    if are_numbers:
        return (
            "with pandas.to_datetime(numbers, unit='s') if they count seconds since 1970, or "
            "unit='ms' if they count milliseconds (without a unit they count nanoseconds)"
        )
    return "with pandas.to_datetime (utc=True if texts have offsets)"


def microseconds(values: pa.Array | pa.ChunkedArray, what: str) -> NDArray[np.int64]:
    """Cut timestamps to microseconds since 1970; refuse nulls and other types."""
    missing = pa.types.is_null(values.type) and len(values) > 0
    if not missing and not pa.types.is_timestamp(values.type):
        raise TypeError(
            f"The {what} is of type {values.type}; timestamps are wanted. Convert it "
            f"{how_to_convert(is_number(values.type))}."
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
    times = microseconds(values, f"column {applied_at!r}")
    return times, values.type.tz if len(times) else None
