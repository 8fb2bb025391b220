"""Point-in-time assembly: applications and events in, one row per application with its events out.

The join is one Ibis expression (`_Join`) that runs nowhere by itself. For frames and Parquet files
an embedded DuckDB runs it; for Ibis tables the caller's engine does, when the caller asks.
"""

from __future__ import annotations

import glob
import json
import re
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
from nested_pandas.series.ext_array import NestedExtensionArray

from skhuihen.behaviors import as_frame, microseconds_of

# Floats of this size and above have lost digits: two users would become one.
_EXACT_FLOAT = 2**53

_ROW = "__row"
_UNNAMED_INDEX = r"__index_level_\d+__"
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


def attach_behaviors(
    applications: Any,
    events: Any,
    *,
    by: str | Sequence[str] = "user_id",
    applied_at: str = "applied_at",
    time: str = "time",
    known_at: str | None = None,
    order: str | Sequence[str] | None = None,
    lookback: Any = None,
    name: str = "behaviors",
    return_report: bool = False,
) -> Any:
    """Give each application the events that were known before it: a point-in-time join.

    Parameters
    ----------
    applications : table with one row per application
        A pandas or polars DataFrame, a pyarrow Table, Parquet (a path, a glob, a folder or a list
        of files), or an Ibis table. Has the columns ``by`` and ``applied_at``.
    events : table with one row per event
        Of the same kinds; an Ibis table if and only if ``applications`` is one. Has the columns
        ``by``, ``time`` and ``operation``, and may have ``item``, ``amount`` and any others.
    by : str or sequence of str, default="user_id"
        The columns, named alike in both tables, that say who applied and whose event it is.
        Integers match the floats that pandas makes of them among missing values, but floats of
        2**53 and more have lost digits and count as missing.
    applied_at : str, default="applied_at"
        The column of ``applications`` with the application's time.
    time : str, default="time"
        The column of ``events`` with the event's time. Times are cut to microseconds, and both
        tables' times are in one time zone, or both without.
    known_at : str, default=None
        The column of ``events`` with the time at which the bank learned of the event, where that
        differs. A missing value means that the event was not known yet.
    order : str or sequence of str, default=None
        The columns of ``events`` that order events of one instant. Ties are settled by operation,
        item and amount, then by the further columns as they come; missing values come last.
    lookback : str or timedelta, default=None
        How long before the application events count, for example ``"180D"``. None: forever.
    name : str, default="behaviors"
        The name of the new column.
    return_report : bool, default=False
        Also return the counts below.

    Returns
    -------
    X : DataFrame or Ibis table of shape (n_applications, n_columns + 1)
        ``applications`` and the nested column ``name``. Frames keep row order, index and dtypes;
        Parquet comes as a frame with a fresh index. The column is of dtype
        `nested_pandas.NestedDtype` with the subfields ``seq`` (from 0, the order inside the row),
        ``time``, ``operation``, ``item`` and ``amount`` where the events have them, and then every
        other column of ``events`` but ``by``. An application without events has an empty list,
        so that each element is a DataFrame.

        From Ibis tables an unexecuted Ibis table comes back, on the same backend; its rows are in
        no order, and an application without events has a null.
    report : Series of int
        Only if ``return_report``. A pair is an application and an event of its user; each pair is
        counted once, under the first of the reasons that holds.

        - ``applications``, ``applications_with_events`` (with one event at least in the result)
        - ``events``, ``events_of_nobody`` (no application has their key) and, among these,
          ``events_with_null_key``
        - ``pairs_too_late``: the event is not before the application
        - ``pairs_known_too_late``: the event was not known before the application
        - ``pairs_before_lookback``: the event is older than the look-back
        - ``pairs_used``: the rest; the events of the result

    Raises
    ------
    TypeError
        If a table or a column is of a type that the join cannot use.
    ValueError
        If columns are missing or clash, time zones differ, or keys or times are missing where
        they must not be.
    FileNotFoundError
        If no Parquet file is where a path points.

    Warns
    -----
    UserWarning
        Without ``return_report``, if no application has an event or most events belong to nobody.

    Notes
    -----
    An event is used if ``applied_at - lookback <= time < applied_at`` and, where ``known_at`` is
    named, ``known_at < applied_at``. Amounts that are NaN become missing.

    An element read by ``X["behaviors"].iloc[i]`` shows its times in UTC and without their zone;
    ``X["behaviors"].nest["time"]`` keeps it.

    For Ibis tables nothing is executed without ``return_report``, so missing keys and times cannot
    be refused: such applications get no events, and such events belong to no application. With
    ``return_report`` they are refused as in frames.

    Examples
    --------
    >>> import pandas as pd
    >>> from skhuihen import attach_behaviors
    >>> applications = pd.DataFrame({
    ...     "user_id": [1, 2],
    ...     "applied_at": pd.to_datetime(["2024-05-02", "2024-05-02"]),
    ...     "age": [31, 47],
    ... })
    >>> events = pd.DataFrame({
    ...     "user_id": [1, 1, 1],
    ...     "time": pd.to_datetime(["2024-05-01 10:05", "2024-05-01 10:00", "2024-05-03 10:00"]),
    ...     "operation": ["transfer", "login", "login"],
    ...     "amount": [-250.0, None, None],
    ... })
    >>> X, report = attach_behaviors(applications, events, return_report=True)
    >>> X.loc[0, "behaviors"]
       seq                time operation  amount
    0    0 2024-05-01 10:00:00     login     NaN
    1    1 2024-05-01 10:05:00  transfer  -250.0
    >>> int(report["pairs_too_late"])
    1
    """
    names = _Names(
        by=_as_names(by, "by"),
        applied_at=applied_at,
        time=time,
        known_at=known_at,
        order=() if order is None else _as_names(order, "order"),
        name=name,
    )
    reach = None if lookback is None else microseconds_of(lookback, "lookback")
    if _is_ibis(applications) or _is_ibis(events):
        return _attach_in_place(applications, events, names, reach, return_report)
    return _attach_embedded(applications, events, names, reach, return_report)


@dataclass(frozen=True)
class _Names:
    """The columns that the caller named."""

    by: tuple[str, ...]
    applied_at: str
    time: str
    known_at: str | None
    order: tuple[str, ...]
    name: str

    @property
    def of_applications(self) -> list[str]:
        return [*self.by, self.applied_at]

    @property
    def of_events(self) -> list[str]:
        second = [] if self.known_at is None else [self.known_at]
        return [*self.by, self.time, "operation", *second, *self.order]


def _as_names(value: str | Sequence[str], parameter: str) -> tuple[str, ...]:
    names = (value,) if isinstance(value, str) else tuple(value)
    if not names or len(set(names)) < len(names):
        raise ValueError(
            f"{parameter}={value!r} is no choice of columns. Name one column, or several distinct "
            "ones."
        )
    return names


# --------------------------------------------------------------------------------------------------
# The two ways to run the join.


def _attach_in_place(
    applications: Any, events: Any, names: _Names, lookback: int | None, return_report: bool
) -> Any:
    """Attach Ibis tables on their own engine, without running anything but the report."""
    if not (_is_ibis(applications) and _is_ibis(events)):
        raise TypeError(
            f"applications is a {type(applications).__name__} and events a "
            f"{type(events).__name__}; an Ibis table joins only an Ibis table. Bring the other "
            "into the same backend (connection.create_table), or execute the Ibis one "
            "(.to_pandas())."
        )
    if len(_connections(applications) | _connections(events)) > 1:
        raise ValueError(
            "applications and events are Ibis tables of different connections. Open both from one."
        )
    _check_absent(applications.columns, names.name)
    _check(applications.schema(), events.schema(), names)
    join = _Join(applications, events, names, lookback)
    if not return_report:
        return join.attached()

    def run(expression: Any) -> pa.Table:
        return expression.to_pyarrow()

    return join.attached(), _report(run, join, _audit(run, join))


def _attach_embedded(
    applications: Any, events: Any, names: _Names, lookback: int | None, return_report: bool
) -> Any:
    """Attach frames and files by a DuckDB of our own, which sees of the profile only the keys."""
    import ibis

    frame = _read_applications(applications)
    _check_absent(list(frame.columns), names.name)
    _require(list(frame.columns), names.of_applications, "applications")
    keys = _as_arrow(frame[names.of_applications], "applications", names)
    keys = keys.append_column(_ROW, pa.array(np.arange(len(frame))))
    source = _read_events(events, names)
    _check(_ibis_schema(keys.schema, "applications"), _ibis_schema(source.schema, "events"), names)

    with _duckdb() as connection:
        left, right = (
            ibis.table(ibis.Schema.from_pyarrow(_load(connection, table, title)), name=title)
            for title, table in (("applications", keys), ("events", source))
        )
        join = _Join(left, right, names, lookback)

        def run(expression: Any) -> pa.Table:
            return connection.sql(ibis.to_sql(expression, dialect="duckdb")).to_arrow_table()

        audit = _audit(run, join)
        histories = run(join.attached().order_by(_ROW))[names.name]
        report = _report(run, join, audit) if return_report else None

    zones = {field.name: getattr(field.type, "tz", None) for field in source.schema}
    column = _nested(histories, zones | {"time": join.clock.timezone})
    X = frame.assign(**{names.name: column})
    if report is not None:
        return X, report
    _warn_of_strangers(audit, column.flat_length, names)
    return X


@contextmanager
def _duckdb() -> Iterator[Any]:
    """Open an in-memory DuckDB that leaves nothing behind."""
    import duckdb

    # Without a folder of its own an in-memory database spills into the working directory.
    with tempfile.TemporaryDirectory(prefix="skhuihen-") as folder:
        settings: dict[str, str | bool | int | float | list[str]] = {
            "temp_directory": folder,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "python_enable_replacements": False,
        }
        with duckdb.connect(":memory:", config=settings) as connection:
            # The machine's zone would otherwise label the times that come back.
            connection.execute("SET TimeZone = 'UTC'")
            yield connection


def _load(connection: Any, table: pa.Table | ds.Dataset, title: str) -> pa.Schema:
    """Show a table to DuckDB, its timestamps cut to microseconds, and return the schema.

    DuckDB would round nanoseconds, which can move an event to the other side of the application,
    and neither compares nor orders those that have a zone.
    """
    connection.register(f"{title}_as_given", table)
    schema = table.schema
    cut = []
    for position, field in enumerate(schema):
        if pa.types.is_timestamp(field.type) and field.type.unit == "ns":
            zone = field.type.tz
            column = '"' + field.name.replace('"', '""') + '"'
            ns = f"epoch_ns({column})"
            make = "make_timestamp" if zone is None else "make_timestamptz"
            cut.append(f"{make}(({ns} - (({ns} % 1000) + 1000) % 1000) // 1000) AS {column}")
            schema = schema.set(position, field.with_type(pa.timestamp("us", zone)))
    replaced = f"REPLACE ({', '.join(cut)})" if cut else ""
    connection.execute(f"CREATE VIEW {title} AS SELECT * {replaced} FROM {title}_as_given")
    return schema


def _nested(histories: pa.ChunkedArray, zones: dict[str, str | None]) -> NestedExtensionArray:
    """Make the nested column of DuckDB's lists: zones put back, empty lists for missing ones."""
    fields = [
        pa.field(
            field.name,
            pa.timestamp(field.type.unit, zones[field.name])
            if pa.types.is_timestamp(field.type)
            else field.type,
        )
        for field in histories.type.value_type
    ]
    histories = histories.cast(pa.large_list(pa.struct(fields)))
    chunks = [
        pa.LargeListArray.from_arrays(
            np.concatenate([[0], np.cumsum(chunk.value_lengths().fill_null(0).to_numpy())]),
            chunk.flatten(),
        )
        for chunk in histories.chunks
    ]
    return NestedExtensionArray(pa.chunked_array(chunks, histories.type))


# --------------------------------------------------------------------------------------------------
# The join, as Ibis expressions.


class _Join:
    """The point-in-time join of two Ibis tables, for any engine; nothing here runs.

    Engines disagree on where nulls stand in an order, and some refuse to aggregate in an order. So
    a window whose keys leave nulls no choice numbers the events; they are collected in any order,
    and each list is then sorted by that number, the first subfield.
    """

    def __init__(self, applications: Any, events: Any, names: _Names, lookback: int | None) -> None:
        import ibis

        self.names = names
        self.columns = list(applications.columns)
        self.clock = _clock(applications.schema(), events.schema(), names)
        keys = [f"__key{i}" for i in range(len(names.by))]
        event_keys = [f"__event_key{i}" for i in range(len(names.by))]
        # What tells applications apart as far as events go, so that twins are joined once.
        self.pair = [*keys, _APPLIED_AT]
        self.applications = applications.mutate(
            **{
                key: _key(applications[column], events[column].type())
                for key, column in zip(keys, names.by, strict=True)
            },
            **{_APPLIED_AT: _cut(applications[names.applied_at], self.clock)},
        )

        others = _subfields(events.columns, names)[1:]
        # Neutral names, since an event's column may be called what a key is called.
        self.fields = {"time": _TIME} | {column: f"__field{i}" for i, column in enumerate(others)}
        clocks = {_TIME: names.time} | ({_KNOWN_AT: names.known_at} if names.known_at else {})
        self.events = events.select(
            **{
                key: _key(events[column], applications[column].type())
                for key, column in zip(event_keys, names.by, strict=True)
            },
            **{clock: _cut(events[column], self.clock) for clock, column in clocks.items()},
            **{f"__field{i}": _clean(events[column], column) for i, column in enumerate(others)},
        )

        self.twins = self.applications.group_by(self.pair).aggregate(__twins=ibis._.count())
        self.on_keys = list(zip(keys, event_keys, strict=True))
        self.joined = self.twins.inner_join(self.events, self.on_keys)
        self.reasons = self._reasons(lookback)

    def _reasons(self, lookback: int | None) -> dict[str, Any]:
        """Say of each pair whether it is used, or the first reason why not."""
        import ibis

        applied_at, time = self.joined[_APPLIED_AT], self.joined[_TIME]
        early = time < applied_at
        known = recent = ibis.literal(True)
        if self.names.known_at is not None:
            known = (self.joined[_KNOWN_AT] < applied_at).fill_null(False)
        if lookback is not None:
            # In microseconds, since a day has 23 or 25 hours twice a year in some zones.
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
            if _is_sortable(values.type()):
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
        name = self.names.name
        histories = numbered.group_by(self.pair).aggregate(**{name: event.collect()})
        histories = histories.mutate(**{name: histories[name].sort()})
        return self.applications.left_join(histories, self.pair).select(*self.columns, name)

    def application_counts(self) -> Any:
        """Return one row: how many applications there are, and nulls in each of their columns."""
        return self.applications.aggregate(
            applications=self.applications.count(),
            **{column: _is_null(self.applications[column]).sum() for column in self.pair},
        )

    def event_counts(self) -> Any:
        """Return one row: how many events there are, without a time, and without a key."""
        keyless = _is_null(self.events[self.on_keys[0][1]])
        for _, key in self.on_keys[1:]:
            keyless |= _is_null(self.events[key])
        return self.events.aggregate(
            events=self.events.count(),
            null_times=_is_null(self.events[_TIME]).sum(),
            events_with_null_key=keyless.sum(),
        )

    def stranger_counts(self) -> Any:
        """Return one row: how many events no application has the key of."""
        reversed_keys = [(key, own) for own, key in self.on_keys]
        strangers = self.events.anti_join(self.twins, reversed_keys)
        return strangers.aggregate(events_of_nobody=strangers.count())

    def pair_counts(self) -> Any:
        """Return one row: how many pairs there are of each kind, and applications with events."""
        by_pair = self.joined.group_by([*self.pair, "__twins"]).aggregate(
            **{reason: holds.sum() for reason, holds in self.reasons.items()}
        )
        twins = by_pair["__twins"]
        return by_pair.aggregate(
            applications_with_events=(by_pair["pairs_used"] > 0).ifelse(twins, 0).sum(),
            **{reason: (by_pair[reason] * twins).sum() for reason in self.reasons},
        )


def _subfields(columns: Sequence[str], names: _Names) -> list[str]:
    """Name the subfields after ``seq``: first the time, whatever its column is called."""
    usual = [column for column in _USUAL if column in columns]
    taken = {*usual, *names.by, names.time}
    return ["time", *usual, *(column for column in columns if column not in taken)]


def _ranking(subfields: Mapping[str, str], names: _Names) -> list[str]:
    """Name the subfields that settle the order within an instant, the weightiest first."""
    ranking = [column for column in [*names.order, *subfields] if column in subfields]
    return [column for column in dict.fromkeys(ranking) if column != "time"]


def _is_null(values: Any) -> Any:
    return values.isnull()  # noqa: PD003 (Ibis has no isna)


def _is_sortable(dtype: Any) -> bool:
    return any(
        (
            dtype.is_numeric(),
            dtype.is_string(),
            dtype.is_boolean(),
            dtype.is_timestamp(),
            dtype.is_date(),
        )
    )


def _clock(applications: Any, events: Any, names: _Names) -> Any:
    """Return the type of all times, in microseconds."""
    import ibis

    zones = [
        dtype.timezone
        for dtype in (applications[names.applied_at], events[names.time])
        if dtype.is_timestamp()
    ]
    return ibis.expr.datatypes.Timestamp(timezone=next(iter(zones), None), scale=6)


def _cut(values: Any, clock: Any) -> Any:
    """Cut times to microseconds."""
    import ibis

    dtype = values.type()
    if dtype.is_null() or (dtype.scale is not None and dtype.scale < 6):
        return values.cast(clock)
    if dtype.scale is None or dtype.scale == 6:
        return values
    rounded = values.cast(clock)  # to nearest, on DuckDB
    return ibis.ifelse(rounded > values, rounded - ibis.interval(microseconds=1), rounded)


def _key(values: Any, other: Any) -> Any:
    """Make a key comparable with the one in the other table; null where it cannot be trusted."""
    dtype = values.type()
    if dtype.is_null():
        return values.cast("string" if other.is_null() else other)
    # pandas makes floats of integers among missing values.
    if dtype.is_numeric() and (dtype.is_floating() or other.is_floating()):
        values = values.cast("float64")
    if dtype.is_floating():
        values = (values.abs() < _EXACT_FLOAT).ifelse(values, None)  # NaN is not less either
    return values


def _clean(values: Any, column: str) -> Any:
    """Give the usual subfields their types where a table has none, amounts no NaN; cut times."""
    dtype = values.type()
    if dtype.is_timestamp() and (dtype.scale or 0) > 6:  # as frames lose them in `_load`
        return _cut(values, dtype.copy(scale=6))
    if dtype.is_null() and column in _USUAL:
        return values.cast("float64" if column == "amount" else "string")
    if dtype.is_floating() and column == "amount":
        return values.isnan().ifelse(None, values)
    return values


# --------------------------------------------------------------------------------------------------
# Counts.


def _audit(run: Run, join: _Join) -> dict[str, int]:
    """Count rows, and refuse nulls where they must not be."""
    names = join.names
    counts = _row(run, join.application_counts())
    for key, column in zip(join.pair, names.of_applications, strict=True):
        n_nulls = counts.pop(key)
        if n_nulls:
            is_float = join.applications[column].type().is_floating()
            also = " (or floats of 2**53 and more, which have lost digits)" if is_float else ""
            raise ValueError(
                f"Column {column!r} of applications has {n_nulls} missing values{also}; every "
                "application needs one. Fill them in or leave these applications out."
            )
    counts |= _row(run, join.event_counts())
    n_nulls = counts.pop("null_times")
    if n_nulls:
        raise ValueError(
            f"Column {names.time!r} of events has {n_nulls} missing times; every event needs one. "
            "Fill them in or leave these events out."
        )
    return counts | _row(run, join.stranger_counts())


def _report(run: Run, join: _Join, audit: dict[str, int]) -> pd.Series:
    counts = audit | _row(run, join.pair_counts())
    return pd.Series({reason: counts[reason] for reason in _REPORTED}, name="report", dtype="int64")


def _row(run: Run, expression: Any) -> dict[str, int]:
    """Run an expression that makes one row of counts; a sum over nothing is null."""
    return {column: int(count or 0) for column, count in run(expression).to_pylist()[0].items()}


def _warn_of_strangers(audit: dict[str, int], n_used: int, names: _Names) -> None:
    """Warn if the two tables hardly meet."""
    if not audit["applications"]:
        return
    n_nobody, n_events = audit["events_of_nobody"], audit["events"]
    facts = []
    if not n_used:
        facts.append("no application has an event before it")
    if 2 * n_nobody > n_events:
        facts.append(f"{n_nobody} of {n_events} events belong to no application")
    if facts:
        warnings.warn(
            f"After the join by {list(names.by)}, {' and '.join(facts)}. Check that keys are "
            "written alike in both tables; return_report=True says what became of every pair.",
            UserWarning,
            stacklevel=4,
        )


# --------------------------------------------------------------------------------------------------
# Checks at the door.


def _check_absent(columns: Sequence[Any], name: str) -> None:
    if name in columns:
        raise ValueError(
            f"applications already has a column {name!r}. Drop it, or choose another name=..."
        )


def _require(columns: Sequence[Any], wanted: Sequence[str], table: str) -> None:
    """Refuse a table without the wanted columns, or with two of one name."""
    missing = [column for column in wanted if column not in columns]
    if missing:
        raise ValueError(
            f"{table} has no column {', '.join(map(repr, missing))}; it has {list(columns)}. "
            "Rename a column, or name the right one in the call."
        )
    index = pd.Index(columns)
    if not index.is_unique:
        twice = list(index[index.duplicated()].unique())
        raise ValueError(f"{table} has several columns named {twice}. Rename or drop one of each.")


def _check(applications: Any, events: Any, names: _Names) -> None:
    """Refuse tables, by their Ibis schemas, that cannot be joined or nested."""
    _require(applications.names, names.of_applications, "applications")
    _require(events.names, names.of_events, "events")
    _check_subfields(events, names)
    _check_types(events, names)
    for column in names.by:
        kinds = [_kind(schema[column]) for schema in (applications, events)]
        if kinds[0] != kinds[1] and "null" not in kinds:
            raise TypeError(
                f"Key {column!r} is {applications[column]} in applications and {events[column]} in "
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
                "it with pandas.to_datetime, or .cast('timestamp') in Ibis."
            )
    zones = [(table, column, d.timezone) for table, column, d in clocks if not d.is_null()]
    for table, column, zone in zones[1:]:
        if zone != zones[0][2]:
            raise ValueError(
                f"Column {zones[0][1]!r} of {zones[0][0]} is {_in_zone(zones[0][2])} and column "
                f"{column!r} of {table} {_in_zone(zone)}. All times must be in one zone, or all "
                "without: tz_convert one, or tz_localize what has none."
            )


def _check_subfields(events: Any, names: _Names) -> None:
    columns = ["seq", *_subfields(events.names, names)]
    lowered = [column.lower() for column in columns]
    # Engines mind no case in the names of a struct's fields.
    clashing = [column for column in columns if lowered.count(column.lower()) > 1]
    if clashing:
        raise ValueError(
            f"Columns of events clash as subfields: {clashing}. 'seq' and 'time' are set by the "
            "join, and names that differ in case alone are one name to it. Rename or drop some."
        )


def _check_types(events: Any, names: _Names) -> None:
    for column in names.order:
        if not (_is_sortable(events[column]) or events[column].is_null()):
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


def _kind(dtype: Any) -> str:
    """Return what a key's type is comparable with."""
    if dtype.is_boolean():  # which Ibis counts among numbers
        return "boolean"
    if dtype.is_numeric():
        return "number"
    return "text" if dtype.is_string() else type(dtype).__name__.lower()


def _in_zone(zone: str | None) -> str:
    return "without time zone" if zone is None else f"in time zone {zone}"


# --------------------------------------------------------------------------------------------------
# Reading tables.


def _is_ibis(table: Any) -> bool:
    # Anything that is an Ibis table has Ibis loaded already.
    ibis = sys.modules.get("ibis")
    return ibis is not None and isinstance(table, ibis.Table)


def _connections(table: Any) -> set[int]:
    """Tell an Ibis table's connections apart; to Ibis, all in-memory databases are equal.

    Its get_backend would open a connection for a table that has none.
    """
    from ibis.expr.operations import DatabaseTable, SQLQueryResult

    return {id(found.source) for found in table.op().find((DatabaseTable, SQLQueryResult))}


def _is_parquet(table: Any) -> bool:
    if isinstance(table, (list, tuple)):
        return len(table) > 0 and all(isinstance(part, (str, Path)) for part in table)
    return isinstance(table, (str, Path))


def _read_applications(applications: Any) -> pd.DataFrame:
    if _is_parquet(applications):
        return _as_pandas(_open_parquet(applications, "applications").to_table())
    if isinstance(applications, pd.DataFrame) or hasattr(applications, "__arrow_c_stream__"):
        return as_frame(applications)
    raise TypeError(_not_a_table(applications, "applications"))


def _read_events(events: Any, names: _Names) -> pa.Table | ds.Dataset:
    if _is_parquet(events):
        return _open_parquet(events, "events")
    if isinstance(events, pd.DataFrame):
        return _as_arrow(events, "events", names)
    if hasattr(events, "__arrow_c_stream__"):
        return pa.table(events)
    raise TypeError(_not_a_table(events, "events"))


def _not_a_table(table: Any, parameter: str) -> str:
    return (
        f"{parameter} is a {type(table).__name__}; a table is wanted: a pandas or polars "
        "DataFrame, a pyarrow Table, the path of Parquet files, or an Ibis table."
    )


def _open_parquet(paths: Any, parameter: str) -> ds.Dataset:
    """Open a file, a folder, a glob or a list of files as one table, read when it is needed."""
    parts = [str(path) for path in (paths if isinstance(paths, (list, tuple)) else [paths])]
    files = []
    for part in parts:
        found = sorted(glob.glob(part, recursive=True)) if glob.has_magic(part) else [part]
        if not found or not Path(found[0]).exists():
            raise FileNotFoundError(f"{parameter}: no Parquet file is at {part!r}.")
        files += found
    one_folder = len(files) == 1 and Path(files[0]).is_dir()
    source = files[0] if one_folder else files
    options = {"format": "parquet", "partitioning": "hive" if one_folder else None}
    try:
        first = ds.dataset(source, **options)
        # By default pyarrow drops the columns that the first file lacks.
        schemas = [first.schema, *(part.physical_schema for part in first.get_fragments())]
        schema = pa.unify_schemas(schemas, promote_options="permissive")
        # What pandas calls an index without a name; a DataFrame's own is no column either.
        columns = [field for field in schema if not re.fullmatch(_UNNAMED_INDEX, field.name)]
        schema = pa.schema(columns, schema.metadata)
        return ds.dataset(source, schema=schema, **options)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise ValueError(
            f"{parameter}: the files at {parts} cannot be read as one Parquet table ({error}). "
            "Read other formats into a DataFrame first; give all files the same column types."
        ) from error


def _as_pandas(table: pa.Table) -> pd.DataFrame:
    """Convert what Parquet held, with the dtypes that pandas noted there, to a fresh index."""
    nested = [field.name for field in table.schema if pa.types.is_nested(field.type)]
    plain = table.drop_columns(nested)
    notes = plain.schema.pandas_metadata
    if notes:
        # pandas cannot read its own notes on nested columns.
        notes["columns"] = [n for n in notes["columns"] if n["field_name"] not in nested]
        plain = plain.replace_schema_metadata({"pandas": json.dumps(notes)})
    frame = plain.to_pandas()
    named = [level for level in frame.index.names if level is not None]
    frame = frame.reset_index(named).reset_index(drop=True)
    for column in nested:
        values: Any = pd.array(table[column], dtype=pd.ArrowDtype(table[column].type))
        frame.insert(min(table.column_names.index(column), frame.shape[1]), column, values)
    return frame


def _as_arrow(frame: pd.DataFrame, parameter: str, names: _Names) -> pa.Table:
    """Convert a frame column by column, so that an error can name the one that does not fit."""
    _require(list(frame.columns), [], parameter)
    typed = {*names.of_applications, *names.of_events, "item"}
    columns: dict[str, Any] = {}
    for column in frame.columns:
        if not isinstance(column, str):
            raise TypeError(
                f"{parameter} has a column named {column!r} of type {type(column).__name__}; names "
                "must be strings. Rename it."
            )
        try:
            columns[column] = pa.array(frame[column], from_pandas=True)
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
            raise TypeError(
                f"Column {column!r} of {parameter} holds values that do not fit one type "
                f"({error}). Convert it, for example with .astype(str)."
            ) from error
        values = columns[column]
        untyped = pa.types.is_floating(values.type) and values.null_count == len(values)
        if untyped and column in typed:
            # pandas calls a column without any value a float, which says nothing of its type.
            columns[column] = pa.nulls(len(values))
    return pa.table(columns)


def _ibis_schema(schema: pa.Schema, parameter: str) -> Any:
    """Return the Ibis schema, or refuse by name what DuckDB would return as something else."""
    import ibis

    for field in schema:
        if (
            pa.types.is_duration(field.type)
            or pa.types.is_interval(field.type)
            or pa.types.is_float16(field.type)
            or pa.types.is_union(field.type)
            or isinstance(field.type, pa.BaseExtensionType)
        ):
            raise TypeError(
                f"Column {field.name!r} of {parameter} is of type {field.type}, which the join "
                "cannot carry. Convert it to numbers or text, or drop it."
            )
    return ibis.Schema.from_pyarrow(schema)
