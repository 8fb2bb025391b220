"""What both tables of the join must have, and in which types."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from skhuihen._assembly.join import (
    Names,
    is_sortable,
    subfields,
)
from skhuihen._tables.times import how_to_convert


def check_absent(columns: Sequence[Any], name: str) -> None:
    if name in columns:
        raise ValueError(
            f"applications already has a column {name!r}. Drop it, or choose another name with "
            "behaviors=..."
        )


def require(columns: Sequence[Any], wanted: Sequence[str], table: str) -> None:
    """Refuse a table without the wanted columns, or with two of one name."""
    missing = [column for column in wanted if column not in columns]
    if missing:
        raise ValueError(
            f"{table} has no column {', '.join(map(repr, missing))}; it has {list(columns)}. "
            "Rename a column to it; keys and times have a parameter each that may name another."
        )
    index = pd.Index(columns)
    if not index.is_unique:
        twice = list(index[index.duplicated()].unique())
        raise ValueError(f"{table} has several columns named {twice}. Rename or drop one of each.")


def check(applications: Any, events: Any, names: Names) -> None:
    """Refuse tables, by their Ibis schemas, that cannot be joined or nested."""
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
                "events, which never match. Convert one, for example with .astype(str)."
            )
    clocks = [("applications", names.applied_at, applications[names.applied_at])]
    clocks.append(("events", names.time, events[names.time]))
    if names.known_at is not None:
        clocks.append(("events", names.known_at, events[names.known_at]))
    for table, column, dtype in clocks:
        if not (dtype.is_timestamp() or dtype.is_null()):
            raise TypeError(
                f"Column {column!r} of {table} is of type {dtype}; timestamps are wanted. Convert "
                f"it {how_to_convert(dtype.is_numeric())}, or .cast('timestamp') in Ibis."
            )
    zones = [(table, column, d.timezone) for table, column, d in clocks if not d.is_null()]
    for table, column, zone in zones[1:]:
        if zone != zones[0][2]:
            raise ValueError(
                f"Column {zones[0][1]!r} of {zones[0][0]} is {_in_zone(zones[0][2])} and column "
                f"{column!r} of {table} {_in_zone(zone)}. All times must be in one zone, or all "
                "without: tz_convert one, or tz_localize what has none."
            )


def _check_subfields(events: Any, names: Names) -> None:
    columns = ["seq", *subfields(events.names, names)]
    # Engines mind no case, neither in the names of a struct's fields nor in those of columns.
    for group in (columns, events.names):
        lowered = [column.lower() for column in group]
        clashing = [column for column in group if lowered.count(column.lower()) > 1]
        if clashing:
            raise ValueError(
                f"Columns of events clash as subfields: {clashing}. 'seq' and 'time' are set by "
                "the join, and names that differ in case alone are one name to it. Rename or drop "
                "some."
            )


def _check_types(events: Any, names: Names) -> None:
    for column in names.order:
        if not (is_sortable(events[column]) or events[column].is_null()):
            raise TypeError(
                f"Column {column!r} of events is of type {events[column]}, which has no order. "
                "Name a column of numbers, text or times in order=..."
            )
    for column in ("operation", "item"):
        dtype = events.get(column)
        if dtype is None or dtype.is_string() or dtype.is_integer() or dtype.is_null():
            continue
        cure = ".astype('Int64')" if dtype.is_floating() else ".astype(str)"
        raise TypeError(
            f"Column {column!r} of events is of type {dtype}; text or integers are wanted. Convert "
            f"it with {cure}."
        )
    if "amount" in events and _kind(events["amount"]) not in ("number", "null"):
        raise TypeError(
            f"Column 'amount' of events is of type {events['amount']}; numbers are wanted. Convert "
            "it with pandas.to_numeric."
        )


def check_orderable(events: Any) -> None:
    """Refuse what Spark cannot carry in a list that it orders."""
    for column, dtype in events.items():
        if "map<" in str(dtype):
            raise TypeError(
                f"Column {column!r} of events is of type {dtype}; Spark cannot order lists that "
                "hold maps. Drop it, or turn it into an array of structs with map_entries."
            )


def _kind(dtype: Any) -> str:
    """Return what a key's type is comparable with."""
    if dtype.is_boolean():  # which Ibis counts among numbers
        return "boolean"
    if dtype.is_numeric():
        return "number"
    return "text" if dtype.is_string() else type(dtype).__name__.lower()


def _in_zone(zone: str | None) -> str:
    return "without time zone" if zone is None else f"in time zone {zone}"
