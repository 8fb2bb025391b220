"""Point-in-time assembly: applications and events in, one row per application with its events out.

The join is one Ibis expression (`Join`) that runs nowhere by itself. For frames and Parquet files
an embedded DuckDB runs it; for Ibis tables the caller's engine does, when the caller asks. Here is
the door: what is asked for, whether the tables can be joined, and how they are read.
"""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from nested_pandas.series.ext_array import NestedExtensionArray
from sklearn.utils import check_scalar

from skhuihen.behaviors import (
    UNFIT,
    as_frame,
    how_to_convert,
    is_unicode,
    microseconds_of,
    note_keys,
    refuse_mixed_zones,
    refuse_series,
)
from skhuihen.embedded import EmbeddedJoin, concat_chunks, open_duckdb
from skhuihen.parquet import (
    as_pandas,
    check_output,
    is_parquet,
    open_parquet,
    schema_to_write,
    work_folder,
    write_ibis,
    write_parts,
)
from skhuihen.point_in_time import (
    DAY,
    STALE,
    Join,
    Names,
    audit_tables,
    is_sortable,
    report_pairs,
    subfields,
)
from skhuihen.spark import schema_with_zones, spark_frame, spark_of, write_spark

#: Fewer rows than these show nothing: that some have no event, or that all are midnight.
FEW = 20
#: What share of applications has events by chance where the keys do not match.
HARDLY_ANY = 0.05
#: What share of midnights shows that only dates were known.
NEARLY_ALL = 0.95

_SIZE = r"\d+(\.\d+)?\s*[KMGT]i?B"


def attach_behaviors(
    applications: Any,
    events: Any,
    *,
    by: str | Sequence[str | Sequence[str]] = "user_id",
    applied_at: str = "applied_at",
    time: str = "time",
    known_at: str | None = None,
    known_after: Any = None,
    order: str | Sequence[str] | None = None,
    lookback: Any = None,
    name: str = "behaviors",
    return_report: bool = False,
    output: str | Path | None = None,
    n_partitions: int | None = None,
    memory_limit: str | None = None,
    verbose: int = 0,
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
    by : str, pair of str, or sequence of these, default="user_id"
        The columns that say who applied and whose event it is. Where the tables name one
        differently, it is a pair of the name in ``applications`` and that in ``events``:
        ``by=("customer", "client")``, or ``by=["bank", ("customer", "client")]`` if there are
        several. Integers match the floats that pandas makes of them among missing values, but
        floats of 2**53 and more have lost digits and count as missing.
    applied_at : str, default="applied_at"
        The column of ``applications`` with the application's time.
    time : str, default="time"
        The column of ``events`` with the event's time. Times are cut to microseconds, and both
        tables' times are in one time zone, or both without.
    known_at : str, default=None
        The column of ``events`` with the time at which the bank learned of the event, where that
        differs. A missing value means that the event was not known yet.
    known_after : str or timedelta, default=None
        How long after its time the bank learned of each event, for example ``"10min"``, where that
        is always so late and no column says it. Not together with ``known_at``.
    order : str or sequence of str, default=None
        The columns of ``events`` that order events of one instant. Ties are settled by operation,
        item and amount, then by the further columns as they come; missing values come last. Events
        that differ in lists or other columns without an order alone come as it happens.
    lookback : str or timedelta, default=None
        How long before the application events count, for example ``"180D"``. None: forever.
    name : str, default="behaviors"
        The name of the new column.
    return_report : bool, default=False
        Also return the counts below.
    output : path, default=None
        A folder that is not there yet, to write the result to as Parquet, one file for each
        partition. Of Ibis tables their engine writes it, so it must see this folder. None: the
        result is returned, and must fit into memory.
    n_partitions : int, default=None
        In how many partitions to join. Each has some consecutive rows of ``applications`` and the
        events of their users, so that more partitions need less memory. The result is the same.
        None: as many as ``memory_limit`` asks for.
    memory_limit : str, default=None
        How much DuckDB may use, for example ``"2GB"``; see the notes. None: 80% of the memory.
    verbose : int, default=0
        1 shows a progress bar of the partitions.

    Returns
    -------
    X : DataFrame, Path or Ibis table of shape (n_applications, n_columns + 1)
        ``applications`` and the nested column ``name``. Frames keep row order, index and dtypes;
        Parquet comes as a frame with a fresh index. The column is of dtype
        `nested_pandas.NestedDtype` with the subfields ``seq`` (from 0, the order inside the row),
        ``time``, ``operation``, ``item`` and ``amount`` where the events have them, and then every
        other column of ``events`` but its keys. An application without events has an empty list,
        so that each element is a DataFrame. The columns of ``by`` are noted in ``X.attrs``, so that
        `ProfileEncoder` and `HUIHENClassifier` do not take them for profile (pandas keeps the note,
        also in Parquet; of other tables name the columns in ``id_columns``).

        With ``output`` the path of that folder comes back. Its files, in the order of their names,
        hold the same rows in the same order; `nested_pandas.read_parquet` makes the
        nested column of them; to other readers it is a list of structs.

        From Ibis tables an unexecuted Ibis table comes back, on the same backend, or with
        ``output`` the path of what that backend has written. Rows are in no order there, and an
        application without events has a null.
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
        If columns are missing or clash, time zones differ, keys or times are missing where
        they must not be, or both ``known_at`` and ``known_after`` are given.
    FileNotFoundError
        If no Parquet file is where a path points, or no folder where ``output`` should be made.
    FileExistsError
        If ``output`` is there already.
    MemoryError
        If ``memory_limit`` is not enough for a partition.

    Warns
    -----
    UserWarning
        Without ``return_report``, if the keys hardly match: no application has an event (where
        there are no events at all, only of 20 applications or more), or fewer than 1 of 20
        applications have one while most events belong to nobody.

        If times cannot be right: 1% or more of those in one column are in January 1970; of 20
        applications or more, most are over 60 days after the last event; or nearly all times (95%)
        of one table are midnight, those of the other are not, and applications are of more than one
        instant.

    Notes
    -----
    An event is used if ``applied_at - lookback <= time < applied_at`` and, where ``known_at`` is
    named, ``known_at < applied_at``, or, where ``known_after`` is given, ``time + known_after <
    applied_at``. Amounts that are NaN become missing.

    An element read by ``X["behaviors"].iloc[i]`` shows its times in UTC and without their zone;
    ``X["behaviors"].nest["time"]`` keeps it.

    Events in Parquet may be larger than memory; ``applications`` may not. At a time there are in
    memory: Python and the buffers that files are read through (about 350 MB), what DuckDB is given
    (``memory_limit``), and the events of one partition with their lists. The number of partitions
    that is chosen lets those events take an eighth of ``memory_limit`` as Arrow has them, in which
    DuckDB joins them with room to spare. Without ``output`` the result is added to that. Events
    wait for their partition in a temporary folder, beside ``output`` or where `tempfile` makes
    one; it has an event once for each partition that needs it, and goes away whatever happens.
    With ``memory_limit="500MB"`` and ``output``, 5 million events took 676 MB at most, and 20
    million 821 MB, on two cores (``examples/benchmarks/join_memory.py``).

    ``output`` is there only when it is complete.

    For Ibis tables nothing is executed without ``return_report`` or ``output``, so missing keys and
    times cannot be refused: such applications get no events, and such events belong to no
    application. Nor can anything be warned of. With either both is as with frames. DuckDB and Spark
    give the same rows, ties and nulls included (``tests/test_spark.py``). On Spark, ``TIMESTAMP``
    counts as a time in UTC and ``TIMESTAMP_NTZ`` as one without zone, and events cannot have maps.

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
    for parameter, column in (("applied_at", applied_at), ("time", time), ("name", name)):
        _check_name(column, parameter)
    if known_at is not None:
        _check_name(known_at, "known_at")
    keys = _as_keys(by)
    names = Names(
        by=tuple(key for key, _ in keys),
        by_of_events=tuple(key for _, key in keys),
        applied_at=applied_at,
        time=time,
        known_at=known_at,
        order=() if order is None else _as_names(order, "order"),
        name=name,
    )
    window = _window(lookback, known_at, known_after)
    folder = check_output(output)
    if is_ibis(applications) or is_ibis(events):
        _check_unused({"n_partitions": n_partitions, "memory_limit": memory_limit})
        return _attach_in_place(applications, events, names, window, return_report, folder)
    _check_partitions(n_partitions, memory_limit)
    return _attach_embedded(
        applications,
        events,
        names,
        window,
        return_report,
        output=folder,
        n_partitions=n_partitions,
        memory_limit=memory_limit,
        verbose=verbose,
    )


def _as_keys(by: Any) -> list[tuple[str, str]]:
    """Return the name of each key in applications, and in events."""
    several = (by,) if isinstance(by, str) or not isinstance(by, Iterable) else tuple(by)
    pairs = [key if isinstance(key, (tuple, list)) else (key, key) for key in several]
    for pair in pairs:
        if len(pair) != 2:
            raise ValueError(
                f"by={by!r} holds {pair!r}, which is not a pair of names. Give the name in "
                "applications and that in events."
            )
    _as_names([key for key, _ in pairs], "by")
    _as_names([key for _, key in pairs], "by")
    return [(key, other) for key, other in pairs]


def _window(lookback: Any, known_at: str | None, known_after: Any) -> tuple[int | None, int]:
    """Return how long before the application events count, from when and until when."""
    reach = None if lookback is None else microseconds_of(lookback, "lookback")
    if known_after is None:
        return reach, 0
    if known_at is not None:
        raise ValueError(
            f"known_at={known_at!r} and known_after={known_after!r} both say when an event was "
            "known. Give one of them."
        )
    lag = microseconds_of(known_after, "known_after", or_zero=True)
    if reach is not None and lag >= reach:
        raise ValueError(
            f"known_after={known_after!r} is not shorter than lookback={lookback!r}, so that no "
            "event could be used. Give a longer lookback."
        )
    return reach, lag


def _as_names(value: str | Sequence[str], parameter: str) -> tuple[str, ...]:
    names = (value,) if isinstance(value, str) or not isinstance(value, Iterable) else tuple(value)
    for name in names:
        _check_name(name, parameter)
    if not names or len(set(names)) < len(names):
        raise ValueError(
            f"{parameter}={value!r} is no choice of columns. Name one column, or several distinct "
            "ones."
        )
    return names


def _check_name(name: Any, parameter: str) -> None:
    """Refuse what can be no column's name in the join."""
    if not isinstance(name, str):
        raise TypeError(
            f"{parameter} names {name!r} of type {type(name).__name__}; the name of a column is "
            "wanted, a string."
        )
    own = parameter in ("by", "applied_at", "name") and name.startswith("__")
    if own or _is_unusable(name):
        raise ValueError(
            f"{parameter} names {name!r}, which the join cannot carry: it is empty, holds a zero "
            "byte or broken text, or begins with two underscores, as the join's own columns do. "
            "Rename the column."
        )


def _is_unusable(name: str) -> bool:
    """Tell names that DuckDB cannot quote."""
    return not name or "\0" in name or not is_unicode(name)


# --------------------------------------------------------------------------------------------------
# The two ways to run the join.


def _attach_in_place(
    applications: Any,
    events: Any,
    names: Names,
    window: tuple[int | None, int],
    return_report: bool,
    output: Path | None,
) -> Any:
    """Attach Ibis tables on their own engine, without running anything but what is asked for."""
    if not (is_ibis(applications) and is_ibis(events)):
        raise TypeError(
            f"applications is a {type(applications).__name__} and events a "
            f"{type(events).__name__}; an Ibis table joins only an Ibis table. Bring the other "
            "into the same backend (connection.create_table), or execute the Ibis one "
            "(.to_pandas())."
        )
    connections = connections_of(applications, events)
    if len(connections) > 1:
        raise ValueError(
            "applications and events are Ibis tables of different connections. Open both from one."
        )
    _check_absent(applications.columns, names.name)
    names = names.settle(applications.columns, events.columns)
    spark = spark_of(connections)
    if spark is None:
        _check(applications.schema(), events.schema(), names)
    else:
        of_events = schema_with_zones(spark, events)
        _check(schema_with_zones(spark, applications), of_events, names)
        _check_orderable(of_events)
    join = Join(applications, events, names, *window)

    def run(expression: Any) -> pa.Table:
        return (
            expression.to_pyarrow() if spark is None else spark_frame(spark, expression).toArrow()
        )

    X = join.attached()
    if not return_report and output is None:
        return X
    audit = audit_tables(run, join)
    report = report_pairs(run, join, audit) if return_report else None
    if output is not None and spark is not None:
        X = write_spark(spark_frame(spark, X), output)
    elif output is not None:
        X = write_ibis(X, output)
    _warn_of_times(audit, names, window)
    if report is not None:
        return X, report
    lengths = ds.dataset(X).to_table({"n": pc.list_value_length(ds.field(names.name))})["n"]
    _warn_of_strangers(audit, _count_true(pc.greater(lengths, 0)), names)
    return X


def _count_true(values: pa.ChunkedArray) -> int:
    return pc.sum(values).as_py() or 0


def _attach_embedded(
    applications: Any,
    events: Any,
    names: Names,
    window: tuple[int | None, int],
    return_report: bool,
    *,
    output: Path | None,
    n_partitions: int | None,
    memory_limit: str | None,
    verbose: int,
) -> Any:
    """Attach frames and files by a DuckDB of our own, which sees of the profile only the keys."""
    frame = _read_applications(applications)
    _check_absent(list(frame.columns), names.name)
    source = _read_events(events, names)
    names = names.settle(list(frame.columns), source.schema.names)
    _require(list(frame.columns), names.of_applications, "applications")
    frame = note_keys(frame, names.by)
    schema = None if output is None else schema_to_write(frame)
    keys = _as_arrow(frame[names.of_applications], "applications", names)
    _check(_ibis_schema(keys.schema, "applications"), _ibis_schema(source.schema, "events"), names)

    X: pd.DataFrame | Path
    with work_folder(output) as folder, open_duckdb(folder, memory_limit) as connection:
        embedded = EmbeddedJoin(connection, keys, source, names, *window)
        audit = audit_tables(embedded.run, embedded.join)
        report = report_pairs(embedded.run, embedded.join, audit) if return_report else None
        n_found = 0

        def histories() -> Iterator[pa.ChunkedArray]:
            nonlocal n_found
            for piece in embedded.histories(folder, n_partitions, verbose):
                n_found += _count_true(pc.greater(pc.list_value_length(piece), 0))
                yield piece

        if output is None or schema is None:
            column = NestedExtensionArray(concat_chunks(list(histories())))
            X = frame.assign(**{names.name: column})
        else:
            X = output
            write_parts(frame, schema, names.name, histories(), folder, output)
    _warn_of_times(audit, names, window)
    if report is not None:
        return X, report
    _warn_of_strangers(audit, n_found, names)
    return X


def _warn_of_strangers(audit: dict[str, int], n_found: int, names: Names) -> None:
    """Warn if the two tables hardly meet; `n_found` applications have an event."""
    n, n_nobody, n_events = audit["applications"], audit["events_of_nobody"], audit["events"]
    # A few applicants, or new ones, may well have nothing; and the log is mostly of others, where
    # the applications of a day are joined with the whole of it.
    if n_found:
        suspicious = n >= FEW and n_found < HARDLY_ANY * n and 2 * n_nobody > n_events
    else:
        suspicious = n >= FEW or (n_events > 0 and (n > 1 or (n == 1 and n_nobody < n_events)))
    if not suspicious:
        return
    facts = [f"only {n_found} of {n} applications have an event before them"]
    if not n_found:
        facts = ["no application has an event before it"]
    if 2 * n_nobody > n_events:
        facts.append(f"{n_nobody} of {n_events} events belong to no application")
    keys = [
        key if key == other else f"{key} = {other}"
        for key, other in zip(names.by, names.by_of_events, strict=True)
    ]
    spans = ""
    if n_events:
        spans = (
            f" ({names.applied_at!r} is from {_span(audit, 'applied_at')}, {names.time!r} from "
            f"{_span(audit, 'time')})"
        )
    warnings.warn(
        f"After the join by {keys}, {' and '.join(facts)}. Check that keys are written alike in "
        f"both tables, and that times are right{spans}; return_report=True says what became of "
        "every pair.",
        UserWarning,
        stacklevel=4,
    )


def _warn_of_times(audit: dict[str, int], names: Names, window: tuple[int | None, int]) -> None:
    """Warn of times that cannot be right, or let the future in."""
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
                f"{n_old} of {n} times in column {column!r} of {table} are in January 1970. That "
                "happens when numbers are converted in the wrong unit, or when 0 stands for a "
                "missing time. Convert with pandas.to_datetime(numbers, unit='s') if they count "
                "seconds, or unit='ms' if they count milliseconds."
            )
    n, n_after = audit["applications"], audit["applications_after_all"]
    if audit["events"] and n >= FEW and 2 * n_after > n and not found:
        found.append(
            f"{n_after} of {n} applications are more than {STALE // DAY} days after the last event "
            f"of all: {names.applied_at!r} is from {_span(audit, 'applied_at')}, {names.time!r} "
            f"from {_span(audit, 'time')}. Check the units and the years of both: as they are, "
            "hardly an event can be too late. If both are right, the log of events is old."
        )
    for message in found or _midnights(audit, names, window[1]):
        warnings.warn(message, UserWarning, stacklevel=4)


def _midnights(audit: dict[str, int], names: Names, known_after: int) -> list[str]:
    """Say what goes wrong if one of the tables has dates where the other has times."""
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
            "applications are midnight, as if only dates were known, so that no event of the day "
            "of the application is used. Take the time of the application if it is known."
        ]
    if are_dates[known] and known_after < DAY * 1_000_000:
        return [
            f"{audit[f'{known}_midnight']} of {n_events} times in column {column!r} of events are "
            "midnight, as if only dates were known, but those of applications are not: events that "
            "came after the application on the same day are used, which lets the future in. Take "
            "the full times, or pass known_after='1D', by which an event counts when its day is "
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


# --------------------------------------------------------------------------------------------------
# Checks at the door.


def _check_unused(options: dict[str, Any]) -> None:
    """Refuse what only the embedded DuckDB can do."""
    given = [option for option, value in options.items() if value is not None]
    if given:
        raise ValueError(
            f"{', '.join(given)} cannot be given with Ibis tables, which their own engine joins. "
            "Leave it out."
        )


def _check_partitions(n_partitions: int | None, memory_limit: str | None) -> None:
    if n_partitions is not None:
        check_scalar(n_partitions, "n_partitions", Integral, min_val=1)
    if memory_limit is not None and not re.fullmatch(_SIZE, str(memory_limit)):
        raise ValueError(
            f"memory_limit={memory_limit!r} is no size. Write it with its unit, as in '500MB' or "
            "'2GB'."
        )


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
            "Rename a column to it; keys and times have a parameter each that may name another."
        )
    index = pd.Index(columns)
    if not index.is_unique:
        twice = list(index[index.duplicated()].unique())
        raise ValueError(f"{table} has several columns named {twice}. Rename or drop one of each.")


def _check(applications: Any, events: Any, names: Names) -> None:
    """Refuse tables, by their Ibis schemas, that cannot be joined or nested."""
    _require(applications.names, names.of_applications, "applications")
    _require(events.names, names.of_events, "events")
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


def _check_orderable(events: Any) -> None:
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


# --------------------------------------------------------------------------------------------------
# Reading tables.


def is_ibis(table: Any) -> bool:
    """Tell Ibis tables."""
    # Anything that is an Ibis table has Ibis loaded already.
    ibis = sys.modules.get("ibis")
    return ibis is not None and isinstance(table, ibis.Table)


def connections_of(*tables: Any) -> list[Any]:
    """Return the connections of Ibis tables, each once.

    To Ibis, all in-memory databases are equal; and its get_backend would open a connection for a
    table that has none.
    """
    from ibis.expr.operations import DatabaseTable, SQLQueryResult

    found = (
        op.source for table in tables for op in table.op().find((DatabaseTable, SQLQueryResult))
    )
    return list({id(source): source for source in found}.values())


def batches_of(table: Any, size: int) -> Any:
    """Execute an Ibis table and return its rows as a reader of Arrow batches."""
    match connections_of(table):
        case [duckdb] if duckdb.name == "duckdb":
            # Ibis 12 asks DuckDB 2 for its batches by a name that is gone.
            duckdb._run_pre_execute_hooks(table)
            return duckdb.con.sql(duckdb.compile(table)).to_arrow_reader(size)
    return table.to_pyarrow_batches(chunk_size=size)


def _read_applications(applications: Any) -> pd.DataFrame:
    if is_parquet(applications):
        return as_pandas(open_parquet(applications, "applications").to_table())
    refuse_series(applications, "applications")
    if isinstance(applications, pd.DataFrame) or hasattr(applications, "__arrow_c_stream__"):
        return as_frame(applications, parameter="applications")
    raise TypeError(_not_a_table(applications, "applications"))


def _read_events(events: Any, names: Names) -> pa.Table | ds.Dataset:
    if is_parquet(events):
        return open_parquet(events, "events")
    refuse_series(events, "events")
    if isinstance(events, pd.DataFrame):
        return _as_arrow(as_frame(events, parameter="events"), "events", names)
    if hasattr(events, "__arrow_c_stream__"):
        try:
            return pa.table(events)
        except pa.ArrowInvalid as error:  # a stream of one column, not of a table
            raise TypeError(_not_a_table(events, "events")) from error
    raise TypeError(_not_a_table(events, "events"))


def _not_a_table(table: Any, parameter: str) -> str:
    return (
        f"{parameter} is a {type(table).__name__}; a table is wanted: a pandas or polars "
        "DataFrame, a pyarrow Table, the path of Parquet files, or an Ibis table."
    )


def _as_arrow(frame: pd.DataFrame, parameter: str, names: Names) -> pa.Table:
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
        except UNFIT as error:
            raise TypeError(
                f"Column {column!r} of {parameter} holds values that do not fit one type "
                f"({error}). Convert it, for example with .astype(str)."
            ) from error
        values = columns[column]
        if pa.types.is_timestamp(values.type) and pd.api.types.is_object_dtype(frame[column].dtype):
            refuse_mixed_zones(frame[column], f"rows of column {column!r} of {parameter}")
        untyped = pa.types.is_floating(values.type) and values.null_count == len(values)
        if untyped and column in typed:
            # pandas calls a column without any value a float, which says nothing of its type.
            columns[column] = pa.nulls(len(values))
    return pa.table(columns)


def _ibis_schema(schema: pa.Schema, parameter: str) -> Any:
    """Return the Ibis schema, or refuse by name what DuckDB would return as something else."""
    import ibis

    for field in schema:
        if _is_unusable(field.name):
            raise ValueError(
                f"{parameter} has a column named {field.name!r}, which the join cannot carry. "
                "Rename it."
            )
        if not _is_carried(field.type):
            raise TypeError(
                f"Column {field.name!r} of {parameter} is of type {field.type}, which the join "
                "cannot carry. Convert it to numbers or text, or drop it."
            )
    return ibis.Schema.from_pyarrow(schema)


def _is_carried(kind: pa.DataType) -> bool:
    """Say whether values of a type come back from DuckDB as they were, inside others too."""
    import ibis

    if isinstance(kind, pa.BaseExtensionType):
        return False
    if kind.num_fields:  # lists, maps and structs
        inner = [kind.field(i).type for i in range(kind.num_fields)]
        if pa.types.is_union(kind) or not all(map(_is_carried, inner)):
            return False
    if (
        pa.types.is_duration(kind)
        or pa.types.is_interval(kind)
        or pa.types.is_float16(kind)
        or pa.types.is_decimal256(kind)
    ):
        return False
    try:
        ibis.expr.datatypes.DataType.from_pyarrow(kind)
    except (KeyError, NotImplementedError, TypeError, ValueError):  # which Ibis does not know
        return False
    return True
