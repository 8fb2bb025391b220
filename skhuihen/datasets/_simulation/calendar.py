"""The end of the month, when the salary of the month is used up."""

from __future__ import annotations

import numpy as np

from skhuihen.datasets._simulation.draws import DAY, BoolArray, IntArray

LATE_FROM = 24  # the day of the month
PAYDAYS = 5  # salaries come on the first days of the month


def _of_month(days: IntArray) -> tuple[IntArray, IntArray]:
    """Return the first day of each day's month and of the next month, in days since the epoch."""
    month = days.astype("datetime64[D]").astype("datetime64[M]")
    next_month = month + np.timedelta64(1, "M")
    first, following = (m.astype("datetime64[D]").astype(np.int64) for m in (month, next_month))
    return first, following


def monthday(times: IntArray) -> IntArray:
    """Return the day of the month, from 1, of times in seconds since the epoch."""
    days = times // DAY
    if not len(days):
        return days
    # Many events but few days: one table of days is enough.
    earliest = days.min()
    every_day = np.arange(earliest, days.max() + 1)
    return (every_day - _of_month(every_day)[0] + 1)[days - earliest]


def put_late(times: IntArray, moved: BoolArray, rng: np.random.Generator) -> IntArray:
    """Move some times to a late day of their month, keeping the time of day."""
    days, of_day = times // DAY, times % DAY
    first, following = _of_month(days)
    late = first + LATE_FROM - 1
    late += (rng.random(len(times)) * (following - late)).astype(np.int64)
    return np.where(moved, late, days) * DAY + of_day
