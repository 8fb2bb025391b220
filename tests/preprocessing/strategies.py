"""Histories of applicants for the tests: drawn, built into nested columns, and read back.

A history is None or a list of events, and an event is a dict whose ``time`` is an integer number
of microseconds, so that the oracles of the tests need nothing but Python. ``ns`` may hold further
nanoseconds, for columns of that unit.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import pandas as pd
import pyarrow as pa
from hypothesis import strategies as st
from nested_pandas.series.ext_array import NestedExtensionArray

from tests.oracles import DAY, EPOCH
from tests.oracles import known as known

MINUTE = 60_000_000
HOUR = 60 * MINUTE
#: Two hours before a midnight, and two days before a leap day.
ZERO = int(datetime(2024, 2, 27, 22, tzinfo=UTC).timestamp()) * 1_000_000
#: After everything that is drawn.
LATER = ZERO + 100 * DAY

TYPES = {
    "operation": pa.string(),
    "item": pa.string(),
    "amount": pa.float64(),
    "seq": pa.int64(),
    "loan": pa.string(),
    "field": pa.string(),
    "behavior": pa.string(),
}


def event(hours, operation="a", **subfields):
    """Return an event some hours after ZERO."""
    return {"time": ZERO + round(hours * HOUR), "operation": operation, **subfields}


def nested(histories, subfields=None, *, unit="us", tz=None, index=None, name="behaviors"):
    """Build a nested column; ``subfields`` are those of the events unless told."""
    if subfields is None:
        subfields = list(dict.fromkeys(key for h in histories for e in h or () for key in e))
        subfields = subfields or ["time", "operation"]
    per_tick = {"s": 1_000_000, "ms": 1000, "us": 1}
    types = {**TYPES, "time": pa.timestamp(unit, tz)}
    rows = [
        None
        if history is None
        else [
            {
                **{key: e.get(key) for key in subfields},
                "time": e["time"] * 1000 + e.get("ns", 0)
                if unit == "ns"
                else e["time"] // per_tick[unit],
            }
            for e in history
        ]
        for history in histories
    ]
    struct = pa.struct([(key, types[key]) for key in subfields])
    array = NestedExtensionArray(pa.chunked_array([pa.array(rows, pa.large_list(struct))]))
    return pd.Series(array, index=index, name=name)


def times(microseconds, *, tz=None, index=None, name="applied_at"):
    """Build a column of timestamps."""
    values = pa.array(microseconds, pa.timestamp("us")).to_numpy(zero_copy_only=False)
    column = pd.Series(values, index=index, name=name)
    return column if tz is None else column.dt.tz_localize("UTC").dt.tz_convert(tz)


def applications(histories, applied_at=None, *, tz=None, unit="us", subfields=None, **columns):
    """Build a frame of applications whose index is no plain range."""
    index = pd.Index([f"application {i}" for i in range(len(histories))], dtype=object)
    applied_at = [LATER] * len(histories) if applied_at is None else applied_at
    return pd.DataFrame(
        {
            "applied_at": times(applied_at, tz=tz, index=index),
            "behaviors": nested(histories, subfields, unit=unit, tz=tz, index=index),
            **{name: pd.Series(values, index=index) for name, values in columns.items()},
        }
    )


def plain(X, column="behaviors"):
    """Read a nested column back as lists of events; NaN becomes None."""
    rows = pa.table(X[[column]])[column].to_pylist()
    return [[{key: _plain(value) for key, value in e.items()} for e in row or ()] for row in rows]


def _plain(value):
    if isinstance(value, datetime):
        value = value if value.tzinfo else value.replace(tzinfo=UTC)
        return (value - EPOCH) // timedelta(microseconds=1)
    return None if isinstance(value, float) and math.isnan(value) else value


OPERATIONS = ["login", "fund_buy", "fund_detail", "card_detail", "page.back", "*", "[x]", None]
ITEMS = [None, None, "A17", "B2", "*"]
AMOUNTS = [None, None, float("nan"), 0.0, -5.0, 3.5, 1e9]


@st.composite
def moments(draw, last=40, step=20 * MINUTE):
    """Draw a time on a coarse grid, now and then a microsecond beside it."""
    return ZERO + draw(st.integers(0, last)) * step + draw(st.sampled_from([0, 0, 0, -1, 1]))


@st.composite
def events(draw, last=40, step=20 * MINUTE, loans=("x", "y", "z", None)):
    """Draw an event."""
    return {
        "time": draw(moments(last, step)),
        "operation": draw(st.sampled_from(OPERATIONS)),
        "item": draw(st.sampled_from(ITEMS)),
        "amount": draw(st.sampled_from(AMOUNTS)),
        "loan": draw(st.sampled_from(loans)),
    }


@st.composite
def tables(draw, min_rows=0, max_rows=5, max_events=12, last=40, step=20 * MINUTE, seq=True):
    """Draw histories and the time of each application.

    Returns
    -------
    histories : list of (list of dict or None)
    applied_at : list of int
    """
    # Short and long histories alike: lists that are left alone stay short.
    event = events(last, step)
    short = st.lists(event, max_size=max_events // 2)
    long = st.lists(event, min_size=max_events // 2, max_size=max_events)
    history = st.one_of(st.none(), short, long)
    histories = draw(st.lists(history, min_size=min_rows, max_size=max_rows))
    if seq and draw(st.booleans()):
        for h in histories:
            for e in h or ():
                e["seq"] = draw(st.integers(0, 3))
    applied_at = [draw(moments(last + 5, step)) for _ in histories]
    return histories, applied_at


#: Subfields of drawn events, so that a table without any event has them too.
SUBFIELDS = ["time", "operation", "item", "amount", "loan"]


def subfields_of(histories):
    """Return the subfields of drawn histories."""
    has_seq = any("seq" in e for h in histories for e in h or ())
    return [*SUBFIELDS, "seq"] if has_seq else SUBFIELDS


def drawn(histories, applied_at, **kwargs):
    """Build the frame of a drawn table."""
    return applications(histories, applied_at, subfields=subfields_of(histories), **kwargs)
