"""Warnings of the join: keys and times that look wrong."""

from __future__ import annotations

import warnings

import numpy as np

from skhuihen._assembly.join import (
    DAY,
    STALE,
    Names,
)

#: With fewer rows it proves nothing if some have no events, or if all times are midnight.
FEW = 20
#: Below this share of applications with events, the keys probably do not match.
HARDLY_ANY = 0.05
#: From this share of midnights on, a column probably holds only dates.
NEARLY_ALL = 0.95


def warn_of_strangers(audit: dict[str, int], n_found: int, names: Names) -> None:
    """Warn if the two tables hardly match; `n_found` applications have events."""
    n, n_nobody, n_events = audit["applications"], audit["events_of_nobody"], audit["events"]
    # A few applicants, or new ones, may well have no events. And most of the log belongs to others
    # if the applications of one day are joined with the full log.
    if n_found:
        suspicious = n >= FEW and n_found < HARDLY_ANY * n and 2 * n_nobody > n_events
    else:
        suspicious = n >= FEW or (n_events > 0 and (n > 1 or (n == 1 and n_nobody < n_events)))
    if not suspicious:
        return
    facts = [f"only {n_found} of {n} applications have earlier events"]
    if not n_found:
        facts = ["no application has an earlier event"]
    if 2 * n_nobody > n_events:
        facts.append(f"{n_nobody} of {n_events} events belong to no application")
    keys = [
        key if key == other else f"{key} = {other}"
        for key, other in zip(names.by, names.by_of_events, strict=True)
    ]
    spans = ""
    if n_events:
        spans = (
            f" ({names.applied_at!r} ranges from {_span(audit, 'applied_at')}, {names.time!r} from "
            f"{_span(audit, 'time')})"
        )
    warnings.warn(
        f"After the join by {keys}, {' and '.join(facts)}. Check that both tables write the keys "
        f"in the same way and that the times are right{spans}. return_report=True shows why each "
        "pair was used or not.",
        UserWarning,
        stacklevel=4,
    )


def warn_of_times(audit: dict[str, int], names: Names, window: tuple[int | None, int]) -> None:
    """Warn of times that look wrong or let the future in."""
    clocks = [
        ("applied_at", names.applied_at, "applications"),
        ("time", names.time, "events"),
        *([("known_at", names.known_at, "events")] if names.known_at else []),
    ]
    found = []
    for clock, column, table in clocks:
        n, n_old = audit[table], audit[f"{clock}_1970"]
        if n_old and n_old >= 0.01 * n:
            found.append(
                f"{n_old} of {n} times in column {column!r} of {table} are in January 1970. This "
                "happens if numbers were converted in the wrong unit, or if 0 stands for a missing "
                "time. Use pandas.to_datetime(numbers, unit='s') if they count seconds, or "
                "unit='ms' if they count milliseconds."
            )
    n, n_after = audit["applications"], audit["applications_after_all"]
    if audit["events"] and n >= FEW and 2 * n_after > n and not found:
        found.append(
            f"{n_after} of {n} applications are more than {STALE // DAY} days after the last "
            f"event: {names.applied_at!r} ranges from {_span(audit, 'applied_at')}, "
            f"{names.time!r} from {_span(audit, 'time')}. Check the unit and the year of both: "
            "with these times hardly any event can be too late. If both are right, the event log "
            "is out of date."
        )
    for message in found or _midnights(audit, names, window[1]):
        warnings.warn(message, UserWarning, stacklevel=4)


def _midnights(audit: dict[str, int], names: Names, known_after: int) -> list[str]:
    """Warn if one table has dates where the other has times."""
    n, n_events = audit["applications"], audit["events"]
    one_instant = audit["applied_at_first"] == audit["applied_at_last"]
    if n < FEW or n_events < FEW or one_instant:
        return []
    are_dates = {
        clock: audit[f"{clock}_midnight"] >= NEARLY_ALL * audit[table]
        for clock, table in (("applied_at", "applications"), ("time", "events"))
    }
    known, column = "time", names.time
    if names.known_at is not None:
        known, column = "known_at", names.known_at
        are_dates["known_at"] = audit["known_at_midnight"] >= NEARLY_ALL * n_events
    if are_dates["applied_at"]:
        if are_dates["time"]:
            return []
        return [
            f"{audit['applied_at_midnight']} of {n} times in column {names.applied_at!r} of "
            "applications are midnight, as if only the dates were known. Then no event on the day "
            "of the application is used. Use the full time of the application if it is known."
        ]
    if are_dates[known] and known_after < DAY * 1_000_000:
        return [
            f"{audit[f'{known}_midnight']} of {n_events} times in column {column!r} of events are "
            "midnight, as if only the dates were known, but the times of applications are not. "
            "Events after the application on the same day are then used, which lets the future in. "
            "Use the full times, or pass known_after='1D' to use an event only once its day is "
            "over."
        ]
    return []


def _span(audit: dict[str, int], clock: str) -> str:
    return " to ".join(_moment(audit[f"{clock}_{end}"]) for end in ("first", "last"))


def _moment(seconds: int) -> str:
    try:
        return str(np.datetime64(seconds, "s"))
    except (OverflowError, ValueError):
        return f"{seconds} seconds after 1970"
