"""The point-in-time join as Ibis expressions for any engine, with its counts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import pandas as pd
import pyarrow as pa

# Floats of this size and above have lost digits, so distinct users could look equal.
_EXACT_FLOAT = 2**53

DAY = 86_400  # in seconds, like all times of the audit
#: Applications this long after the last event can hardly belong to the same data.
STALE = 60 * DAY

_APPLIED_AT = "__applied_at"
_TIME = "__time"
_KNOWN_AT = "__known_at"

_USUAL = ("operation", "item", "amount")
_REPORTED = (
    "applications",
    "applications_with_events",
    "events",
    "events_of_nobody",
    "events_with_null_key",
    "pairs_used",
    "pairs_too_late",
    "pairs_known_too_late",
    "pairs_before_lookback",
)

Run = Callable[[Any], pa.Table]


@dataclass(frozen=True)
class Names:
    """The columns that the caller named."""

    by: tuple[str, ...]
    by_of_events: tuple[str, ...]
    applied_at: str
    time: str
    known_at: str | None
    order: tuple[str, ...]
    behaviors: str

    def settle(self, applications: Sequence[Any], events: Sequence[Any]) -> Self:
        """Treat ``by`` as one key with two names if the columns of the tables show it.

        ``by=("customer", "client")`` may mean two keys or one. It means one if
        applications have only the first column and events only the second.
        """
        if len(self.by) != 2 or self.by != self.by_of_events:
            return self
        first, second = self.by
        if {first, second} & set(applications) == {first} and (
            {first, second} & set(events) == {second}
        ):
            return replace(self, by=(first,), by_of_events=(second,))
        return self

    @property
    def of_applications(self) -> list[str]:
        """Columns that the applications must have."""
        return [*self.by, self.applied_at]

    @property
    def of_events(self) -> list[str]:
        """Columns that the events must have."""
        second = [] if self.known_at is None else [self.known_at]
        return [*self.by_of_events, self.time, "operation", *second, *self.order]


class Join:
    """The point-in-time join of two Ibis tables, for any engine; nothing runs here.

    Engines disagree on where nulls sort, and some cannot aggregate in order. So a window function
    with explicit null keys numbers the events. They are collected in any order, and each list is
    then sorted by this number, its first subfield.
    """

    def __init__(
        self,
        applications: Any,
        events: Any,
        names: Names,
        lookback: int | None,
        known_after: int = 0,
    ) -> None:
        import ibis

        #: When a day begins, in seconds after midnight in the engine's time zone.
        self.midnights = [0]

        self.names = names
        self.given = events
        self.columns = list(applications.columns)
        self.clock = _clock(applications.schema(), events.schema(), names)
        keys = [f"__key{i}" for i in range(len(names.by))]
        event_keys = [f"__event_key{i}" for i in range(len(names.by))]
        # Applications equal in these columns get the same events, so they are joined once.
        self.pair = [*keys, _APPLIED_AT]
        self.applications = applications.mutate(
            **{
                key: _key(applications[column], events[other].type())
                for key, column, other in zip(keys, names.by, names.by_of_events, strict=True)
            },
            **{_APPLIED_AT: _cut(applications[names.applied_at], self.clock)},
        )

        others = subfields(events.columns, names)[1:]
        # Neutral names, since a column of events may have the same name as a key.
        self.fields = {"time": _TIME} | {column: f"__field{i}" for i, column in enumerate(others)}
        clocks = {_TIME: names.time} | ({_KNOWN_AT: names.known_at} if names.known_at else {})
        self.event_keys = {
            key: _key(events[column], applications[other].type())
            for key, column, other in zip(event_keys, names.by_of_events, names.by, strict=True)
        }
        self.events = events.select(
            **self.event_keys,
            **{clock: _cut(events[column], self.clock) for clock, column in clocks.items()},
            **{f"__field{i}": _clean(events[column], column) for i, column in enumerate(others)},
        )

        self.twins = self.applications.group_by(self.pair).aggregate(__twins=ibis._.count())
        self.on_keys = list(zip(keys, event_keys, strict=True))
        self.from_events = [(key, own) for own, key in self.on_keys]
        self.joined = self.twins.inner_join(self.events, self.on_keys)
        self.reasons = self._reasons(lookback, known_after)

    def _reasons(self, lookback: int | None, known_after: int) -> dict[str, Any]:
        """Return for each pair whether it is used, or the first reason why it is not."""
        import ibis

        applied_at, time = self.joined[_APPLIED_AT], self.joined[_TIME]
        early = time < applied_at
        known = recent = ibis.literal(True)
        if self.names.known_at is not None:
            known = (self.joined[_KNOWN_AT] < applied_at).fill_null(False)
        if known_after:
            known &= time < applied_at - ibis.interval(microseconds=known_after)
        if lookback is not None:
            # In microseconds, since in some zones two days a year last 23 or 25 hours.
            recent = time >= applied_at - ibis.interval(microseconds=lookback)
        return {
            "pairs_used": early & known & recent,
            "pairs_too_late": ~early,
            "pairs_known_too_late": early & ~known,
            "pairs_before_lookback": early & known & ~recent,
        }

    def attached(self) -> Any:
        """Return the applications with the nested column."""
        import ibis

        used = self.joined.filter(self.reasons["pairs_used"])
        ranks = [used[_TIME]]
        for column in _ranking(self.fields, self.names):
            values = used[self.fields[column]]
            if is_sortable(values.type()):
                ranks += [_is_null(values), values]
        numbered = used.mutate(
            __seq=ibis.row_number().over(
                ibis.window(group_by=[used[column] for column in self.pair], order_by=ranks)
            )
        )
        event = ibis.struct(
            {
                "seq": numbered["__seq"],
                **{column: numbered[field] for column, field in self.fields.items()},
            }
        )
        name = self.names.behaviors
        histories = numbered.group_by(self.pair).aggregate(**{name: event.collect()})
        histories = histories.mutate(**{name: histories[name].sort()})
        return self.applications.left_join(histories, self.pair).select(*self.columns, name)

    def pairs_by_application(self) -> Any:
        """Return the applications that have pairs, with their count in the column ``pairs``."""
        import ibis

        by_pair = self.joined.group_by(self.pair).aggregate(pairs=ibis._.count())
        return self.applications.inner_join(by_pair, self.pair).select(*self.columns, "pairs")

    def events_by(self, group: str) -> Any:
        """Return the original events, once for each group of applications with their key.

        ``group`` names a column of the applications; the result has that column too.
        """
        users = self.applications.select(*(own for own, _ in self.on_keys), group).distinct()
        keyed = self.given.mutate(**self.event_keys)
        return keyed.inner_join(users, self.from_events).select(*self.given.columns, group)

    def application_counts(self, last_event: int) -> Any:
        """Return one row: the number of applications, nulls in each key column, and times.

        ``last_event`` is the time of the last event, in seconds since 1970.
        """
        applied_at = _seconds(self.applications[_APPLIED_AT])
        return self.applications.aggregate(
            applications=self.applications.count(),
            **{column: _is_null(self.applications[column]).sum() for column in self.pair},
            **self._times(self.applications, {"applied_at": _APPLIED_AT}),
            applications_after_all=(applied_at > last_event + STALE).sum(),
        )

    def event_counts(self) -> Any:
        """Return one row: the number of events, of missing times and keys, and times."""
        clocks = {"time": _TIME} | ({"known_at": _KNOWN_AT} if self.names.known_at else {})
        keyless = _is_null(self.events[self.on_keys[0][1]])
        for _, key in self.on_keys[1:]:
            keyless |= _is_null(self.events[key])
        return self.events.aggregate(
            events=self.events.count(),
            null_times=_is_null(self.events[_TIME]).sum(),
            events_with_null_key=keyless.sum(),
            **self._times(self.events, clocks),
        )

    def _times(self, table: Any, clocks: Mapping[str, str]) -> dict[str, Any]:
        """Return what shows whether times look right: their range and where they cluster."""
        found: dict[str, Any] = {}
        for clock, column in clocks.items():
            seconds = _seconds(table[column])
            found |= {
                f"{clock}_first": seconds.min(),
                f"{clock}_last": seconds.max(),
                f"{clock}_midnight": (seconds % DAY).isin(self.midnights).sum(),
                f"{clock}_1970": ((seconds >= 0) & (seconds < 31 * DAY)).sum(),
            }
        return found

    def stranger_counts(self) -> Any:
        """Return one row: the number of events with a key that no application has."""
        strangers = self.events.anti_join(self.twins, self.from_events)
        return strangers.aggregate(events_of_nobody=strangers.count())

    def pair_counts(self) -> Any:
        """Return one row: the number of pairs of each kind, and of applications with events."""
        by_pair = self.joined.group_by([*self.pair, "__twins"]).aggregate(
            **{reason: holds.sum() for reason, holds in self.reasons.items()}
        )
        twins = by_pair["__twins"]
        return by_pair.aggregate(
            applications_with_events=(by_pair["pairs_used"] > 0).ifelse(twins, 0).sum(),
            **{reason: (by_pair[reason] * twins).sum() for reason in self.reasons},
        )


def subfields(columns: Sequence[str], names: Names) -> list[str]:
    """Name the subfields after ``seq``, starting with ``time`` whatever its column's name."""
    usual = [column for column in _USUAL if column in columns]
    taken = {*usual, *names.by_of_events, names.time}
    return ["time", *usual, *(column for column in columns if column not in taken)]


def _ranking(subfields: Mapping[str, str], names: Names) -> list[str]:
    """Name the subfields that break ties in time, most important first."""
    ranking = [column for column in [*names.order, *subfields] if column in subfields]
    return [column for column in dict.fromkeys(ranking) if column != "time"]


def _is_null(values: Any) -> Any:
    return values.isnull()  # noqa: PD003 (Ibis has no isna)


def is_sortable(dtype: Any) -> bool:
    """Return whether every engine can sort values of a type."""
    return any(
        (
            dtype.is_numeric(),
            dtype.is_string(),
            dtype.is_boolean(),
            dtype.is_timestamp(),
            dtype.is_date(),
        )
    )


def _clock(applications: Any, events: Any, names: Names) -> Any:
    """Return the type of all times, in microseconds."""
    import ibis

    zones = [
        dtype.timezone
        for dtype in (applications[names.applied_at], events[names.time])
        if dtype.is_timestamp()
    ]
    return ibis.expr.datatypes.Timestamp(timezone=next(iter(zones), None), scale=6)


def _cut(values: Any, clock: Any) -> Any:
    """Truncate times to microseconds."""
    import ibis

    dtype = values.type()
    if dtype.is_null() or (dtype.scale is not None and dtype.scale < 6):
        return values.cast(clock)
    if dtype.scale is None or dtype.scale == 6:
        return values
    rounded = values.cast(clock)  # DuckDB rounds to nearest
    return ibis.ifelse(rounded > values, rounded - ibis.interval(microseconds=1), rounded)


def _seconds(values: Any) -> Any:
    """Return seconds since 1970 as floats, since engines cannot represent some years."""
    return values.epoch_seconds().cast("float64")


def midnights_of(zone: str | None) -> list[int]:
    """Return the seconds after midnight UTC at which a day begins in a zone, over the year."""
    if zone is None or zone.upper() == "UTC":
        return [0]
    noons = pd.date_range("2000-01-01 12:00", periods=60, freq="6MS").tz_localize(zone)
    offsets = noons.tz_localize(None) - noons.tz_convert("UTC").tz_localize(None)
    starts = {int(-offset.total_seconds()) % DAY for offset in offsets}
    # Engines keep the negative sign of times before 1970.
    return sorted(starts | {start - DAY for start in starts if start})


def _key(values: Any, other: Any) -> Any:
    """Make a key comparable with the key of the other table; null if it is unreliable."""
    dtype = values.type()
    if dtype.is_null():
        return values.cast("string" if other.is_null() else other)
    # pandas converts integers to floats where values are missing.
    if dtype.is_numeric() and (dtype.is_floating() or other.is_floating()):
        values = values.cast("float64")
    if dtype.is_floating():
        values = (values.abs() < _EXACT_FLOAT).ifelse(values, None)  # NaN compares false too
    return values


def _clean(values: Any, column: str) -> Any:
    """Give untyped usual subfields a type, replace NaN amounts with null, and truncate times."""
    dtype = values.type()
    if dtype.is_timestamp() and (dtype.scale or 0) > 6:  # frames are truncated in `_load`
        return _cut(values, dtype.copy(scale=6))
    if dtype.is_null() and column in _USUAL:
        return values.cast("float64" if column == "amount" else "string")
    if dtype.is_floating() and column == "amount":
        return values.isnan().ifelse(None, values)
    return values


# --------------------------------------------------------------------------------------------------
# Counts.


def audit_tables(run: Run, join: Join) -> dict[str, int]:
    """Count rows and reject nulls in required columns."""
    names = join.names
    of_events = _row(run, join.event_counts())
    counts = _row(run, join.application_counts(of_events["time_last"]))
    for key, column in zip(join.pair, names.of_applications, strict=True):
        n_nulls = counts.pop(key)
        if n_nulls:
            is_float = join.applications[column].type().is_floating()
            also = " (or floats of 2**53 and above, which have lost digits)" if is_float else ""
            raise ValueError(
                f"Column {column!r} of applications has {n_nulls} missing values{also}; every "
                "application must have a value. Fill in the values or drop these applications."
            )
    counts |= of_events
    n_nulls = counts.pop("null_times")
    if n_nulls:
        raise ValueError(
            f"Column {names.time!r} of events has {n_nulls} missing times; every event must have "
            "a time. Fill in the times or drop these events."
        )
    return counts | _row(run, join.stranger_counts())


def report_pairs(run: Run, join: Join, audit: dict[str, int]) -> pd.Series:
    """Add the counts of pairs to the counts of rows."""
    counts = audit | _row(run, join.pair_counts())
    return pd.Series({reason: counts[reason] for reason in _REPORTED}, name="report", dtype="int64")


def _row(run: Run, expression: Any) -> dict[str, int]:
    """Run an expression that returns one row of counts; the sum of no rows is null."""
    return {column: int(count or 0) for column, count in run(expression).to_pylist()[0].items()}
