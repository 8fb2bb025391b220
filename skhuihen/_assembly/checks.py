"""Checks of the columns and types of both tables of the join."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from skhuihen._assembly.join import (
    Names,
    is_sortable,
    subfields,
)
from skhuihen._tables.times import how_to_convert, in_zone


def check_absent(columns: Sequence[Any], name: str) -> None:
    if name in columns:
        raise ValueError(
            f"applications already has a column {name!r}. Drop it, or choose another name with "
            "behaviors=..."
        )


def require(columns: Sequence[Any], wanted: Sequence[str], table: str) -> None:
    """Reject a table with missing or duplicate columns."""
    missing = [column for column in wanted if column not in columns]
    if missing:
        raise ValueError(
            f"{table} has no column {', '.join(map(repr, missing))}; it has {list(columns)}. "
            "Rename a column, or pass another name: keys and times have a parameter for it."
        )
    index = pd.Index(columns)
    if not index.is_unique:
        twice = list(index[index.duplicated()].unique())
        raise ValueError(f"{table} has several columns named {twice}. Rename or drop all but one.")


def check(applications: Any, events: Any, names: Names) -> None:
    """Reject tables that, by their Ibis schemas, cannot be joined or nested."""
    require(applications.names, names.of_applications, "applications")
    require(events.names, names.of_events, "events")
    _check_subfields(events, names)
    _check_types(events, names)
    for column, other in zip(names.by, names.by_of_events, strict=True):
        kinds = [_kind(applications[column]), _kind(events[other])]
        if kinds[0] != kinds[1] and "null" not in kinds:
            key = f"{column!r}" if column == other else f"{column!r} = {other!r}"
            raise TypeError(
                f"Key {key} is {applications[column]} in applications and {events[other]} in "
                "events; these types never match. Convert one, for example with .astype(str)."
            )
    clocks = [("applications", names.applied_at, applications[names.applied_at])]
    clocks.append(("events", names.time, events[names.time]))
    if names.known_at is not None:
        clocks.append(("events", names.known_at, events[names.known_at]))
    for table, column, dtype in clocks:
        if not (dtype.is_timestamp() or dtype.is_null()):
            raise TypeError(
                f"Column {column!r} of {table} is of type {dtype}; it must hold timestamps. "
                f"Convert it {how_to_convert(dtype.is_numeric())}, or .cast('timestamp') in Ibis."
            )
    zones = [(table, column, d.timezone) for table, column, d in clocks if not d.is_null()]
    for table, column, zone in zones[1:]:
        if zone != zones[0][2]:
            raise ValueError(
                f"Column {zones[0][1]!r} of {zones[0][0]} is {in_zone(zones[0][2])}, but column "
                f"{column!r} of {table} is {in_zone(zone)}. All times must be in one time zone, "
                "or all without one. Use tz_convert on one column, or tz_localize on one without "
                "a time zone."
            )


def _check_subfields(events: Any, names: Names) -> None:
    columns = ["seq", *subfields(events.names, names)]
    # Engines ignore case in the names of struct fields and of columns.
    for group in (columns, events.names):
        lowered = [column.lower() for column in group]
        clashing = [column for column in group if lowered.count(column.lower()) > 1]
        if clashing:
            raise ValueError(
                f"Columns of events clash as subfields: {clashing}. The join itself creates 'seq' "
                "and 'time', and it treats names that differ only in case as equal. Rename or drop "
                "some of them."
            )


def _check_types(events: Any, names: Names) -> None:
    for column in names.order:
        if not (is_sortable(events[column]) or events[column].is_null()):
            raise TypeError(
                f"Column {column!r} of events is of type {events[column]}, which cannot be sorted. "
                "Use columns of numbers, text or times in order=..."
            )
    for column in ("operation", "item"):
        dtype = events.get(column)
        if dtype is None or dtype.is_string() or dtype.is_integer() or dtype.is_null():
            continue
        cure = ".astype('Int64')" if dtype.is_floating() else ".astype(str)"
        raise TypeError(
            f"Column {column!r} of events is of type {dtype}; it must hold text or integers. "
            f"Convert it with {cure}."
        )
    if "amount" in events and _kind(events["amount"]) not in ("number", "null"):
        raise TypeError(
            f"Column 'amount' of events is of type {events['amount']}; it must hold numbers. "
            "Convert it with pandas.to_numeric."
        )


def check_orderable(events: Any) -> None:
    """Reject types that Spark cannot carry in a sorted list."""
    for column, dtype in events.items():
        if "map<" in str(dtype):
            raise TypeError(
                f"Column {column!r} of events is of type {dtype}; Spark cannot sort lists that "
                "contain maps. Drop it, or convert it to an array of structs with map_entries."
            )


def _kind(dtype: Any) -> str:
    """Return the kind of type that a key can be compared with."""
    if dtype.is_boolean():  # Ibis counts booleans as numbers
        return "boolean"
    if dtype.is_numeric():
        return "number"
    return "text" if dtype.is_string() else type(dtype).__name__.lower()
