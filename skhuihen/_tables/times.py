"""Times and durations in whole microseconds, the unit for all calculations."""

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
    """Convert a pandas offset string or a timedelta to positive (or zero) microseconds."""
    try:
        # pandas reads a bare number as nanoseconds, which nobody means.
        if isinstance(value, Real) and not isinstance(value, np.timedelta64):
            raise ValueError("a number has no unit")
        if isinstance(value, str) and re.fullmatch(r"[\s\d.+-]+", value):
            raise ValueError("a number has no unit")
        delta = pd.Timedelta(value)
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"{parameter}={value!r} is not a valid duration. Pass a pandas offset string such as "
            "'1h' or '30D', or a timedelta."
        ) from error
    if or_zero and delta == pd.Timedelta(0):
        return 0
    if pd.isna(delta) or delta <= pd.Timedelta(0):
        raise ValueError(f"{parameter}={value!r} must be a positive duration.")
    return max(1, delta // pd.Timedelta("1us"))


def in_zone(zone: str | None) -> str:
    """Say in which time zone times are, for messages."""
    return "without a time zone" if zone is None else f"in time zone {zone}"


def refuse_mixed_zones(times: Iterable[Any], what: str) -> None:
    """Reject time objects of several zones, which Arrow would silently convert to one."""
    zones = {
        "no time zone" if time.tzinfo is None else str(time.tzinfo)
        for time in times
        if isinstance(time, datetime) and time is not pd.NaT
    }
    if len(zones) > 1:
        raise ValueError(
            f"The {what} have times in several time zones: {', '.join(sorted(zones))}. All must "
            "be in one time zone, or all without one. Use tz_convert, or tz_localize on times "
            "without a time zone."
        )


def how_to_convert(are_numbers: bool) -> str:
    """Explain how to convert numbers or texts to times."""
    if are_numbers:
        return (
            "with pandas.to_datetime(numbers, unit='s') if they count seconds since 1970, or "
            "unit='ms' if they count milliseconds (without a unit they count nanoseconds)"
        )
    return "with pandas.to_datetime (utc=True if texts have offsets)"


def microseconds(values: pa.Array | pa.ChunkedArray, what: str) -> NDArray[np.int64]:
    """Truncate timestamps to microseconds since 1970; reject nulls and other types."""
    missing = pa.types.is_null(values.type) and len(values) > 0
    if not missing and not pa.types.is_timestamp(values.type):
        raise TypeError(
            f"The {what} is of type {values.type}; it must hold timestamps. Convert it "
            f"{how_to_convert(is_number(values.type))}."
        )
    if values.null_count:
        raise ValueError(
            f"The {what} has {values.null_count} missing times. Fill them in or drop these rows."
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
            f"The {what} has {n_far} times out of range for microseconds. Drop these rows."
        )
    return ticks * factor


def application_times(X: pd.DataFrame, applied_at: str) -> tuple[NDArray[np.int64], str | None]:
    """Return the time of each application in microseconds since 1970, and the time zone."""
    column = X[applied_at]
    try:
        values = pa.array(column, from_pandas=True)
    except UNFIT as error:
        raise TypeError(
            f"Column {applied_at!r} contains objects that are not all timestamps ({error}). "
            "Convert it with pandas.to_datetime."
        ) from error
    if pd.api.types.is_object_dtype(column.dtype):
        refuse_mixed_zones(column, f"rows of column {applied_at!r}")
    times = microseconds(values, f"column {applied_at!r}")
    return times, values.type.tz if len(times) else None
