"""The point-in-time join: attach to each application the events before it, as a nested column."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from nested_pandas.series.ext_array import NestedExtensionArray
from sklearn.utils import check_scalar

from skhuihen._assembly.audit import warn_of_strangers, warn_of_times
from skhuihen._assembly.checks import check, check_absent, check_orderable, require
from skhuihen._assembly.duckdb import EmbeddedJoin, concat_chunks, open_duckdb
from skhuihen._assembly.join import (
    Join,
    Names,
    audit_tables,
    report_pairs,
)
from skhuihen._assembly.read import as_arrow, read_applications, read_events
from skhuihen._events.frames import note_keys
from skhuihen._tables.ibis import connections_of, ibis_schema, is_ibis, is_unusable
from skhuihen._tables.parts import (
    check_output,
    schema_to_write,
    work_folder,
    write_ibis,
    write_parts,
)
from skhuihen._tables.spark import schema_with_zones, spark_frame, spark_of, write_spark
from skhuihen._tables.times import microseconds_of

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
    behaviors: str = "behaviors",
    return_report: bool = False,
    output: str | Path | None = None,
    n_partitions: int | None = None,
    memory_limit: str | None = None,
    verbose: int = 0,
) -> Any:
    """Attach to each application the events known before it: a point-in-time join.

    Parameters
    ----------
    applications : table with one row per application
        A pandas or polars DataFrame, a pyarrow Table, Parquet (a path, a glob, a folder or a list
        of files), or an Ibis table. Must have the columns ``by`` and ``applied_at``.
    events : table with one row per event
        Accepts the same kinds of table. Must be an Ibis table if and only if ``applications`` is
        one. Must have the columns ``by``, ``time`` and ``operation``. May have ``item``,
        ``amount`` and any others.
    by : str, pair of str, or sequence of these, default="user_id"
        The key columns, which identify the applicant in both tables. If a key has a different name
        in each table, pass a pair of the name in ``applications`` and the name in ``events``:
        ``by=("customer", "client")``, or ``by=["bank", ("customer", "client")]`` for several keys.
        pandas converts integers to floats where values are missing; such floats still match
        integers. Floats of 2**53 and above have lost digits and count as missing.
    applied_at : str, default="applied_at"
        The column of ``applications`` with the time of the application.
    time : str, default="time"
        The column of ``events`` with the time of the event. Times are truncated to microseconds.
        The times of both tables must be in one time zone, or all without one.
    known_at : str, default=None
        The column of ``events`` with the time when the bank learned of the event, if that differs
        from ``time``. A missing value means that the event was not known yet.
    known_after : str or timedelta, default=None
        How long after each event the bank learned of it, for example ``"10min"``. Use it if the
        delay is constant and no column holds it. Cannot be combined with ``known_at``.
    order : str or sequence of str, default=None
        The columns of ``events`` that order simultaneous events. Remaining ties are broken by
        operation, item and amount, then by the other columns in their given order. Missing values
        come last. The order is arbitrary for events that differ only in lists or other columns that
        cannot be sorted.
    lookback : str or timedelta, default=None
        How far back before the application events count, for example ``"180D"``. None means no
        limit.
    behaviors : str, default="behaviors"
        The name of the new column.
    return_report : bool, default=False
        Whether to also return the counts below.
    output : path, default=None
        A new folder to write the result to as Parquet, one file per partition. It must not exist
        yet. The engine of Ibis tables writes the folder itself, so it must have access to it. None
        returns the result, which must then fit into memory.
    n_partitions : int, default=None
        The number of partitions. Each one joins some consecutive rows of ``applications`` with the
        events of their users, so more partitions need less memory. The result is the same. None
        uses as many as ``memory_limit`` requires.
    memory_limit : str, default=None
        How much memory DuckDB may use, for example ``"2GB"``; see the notes. None means 80% of the
        memory.
    verbose : int, default=0
        1 shows a progress bar over the partitions.

    Returns
    -------
    X : DataFrame, Path or Ibis table of shape (n_applications, n_columns + 1)
        ``applications`` with the nested column ``behaviors`` added. Frames keep row order, index
        and dtypes. Parquet becomes a frame with a new index.

        The column has dtype `nested_pandas.NestedDtype`. Its subfields are ``seq`` (the position in
        the row, from 0), ``time``, then ``operation``, ``item`` and ``amount`` if the events have
        them, then every other column of ``events`` except its keys. An application without events
        has an empty list, so every element is a DataFrame.

        ``X.attrs`` records the columns of ``by``, so `ProfileEncoder` and `HUIHENClassifier` do not
        use them as profile. pandas keeps this record, also in Parquet. For other tables list the
        columns in ``id_columns``.

        With ``output``, the path of that folder is returned. Its files, sorted by name, hold the
        same rows in the same order. `nested_pandas.read_parquet` reads the column as a nested
        column; other readers see a list of structs.

        For Ibis tables, an unexecuted Ibis table on the same backend is returned, or with
        ``output`` the path that the backend wrote. Its rows have no defined order, and an
        application without events has a null.
    report : Series of int
        Only if ``return_report``. A pair is an application and an event of the same user. Each pair
        is counted once, under the first reason that applies.

        - ``applications``, ``applications_with_events`` (with at least one event in the result)
        - ``events``, ``events_of_nobody`` (no application has their key), including
          ``events_with_null_key``
        - ``pairs_too_late``: the event is not before the application
        - ``pairs_known_too_late``: the event was not known before the application
        - ``pairs_before_lookback``: the event is older than ``lookback``
        - ``pairs_used``: the remaining pairs, which are the events of the result

    Raises
    ------
    TypeError
        If the join cannot use the type of a table or column.
    ValueError
        If columns are missing or clash, time zones differ, required keys or times are missing, or
        both ``known_at`` and ``known_after`` are given.
    FileNotFoundError
        If a path does not lead to a Parquet file, or the parent folder of ``output`` does not
        exist.
    FileExistsError
        If ``output`` already exists.
    MemoryError
        If ``memory_limit`` is not enough for a partition.

    Warns
    -----
    UserWarning
        Without ``return_report``, if the keys hardly match: if no application has an event (for an
        empty ``events``, only with 20 applications or more), or if fewer than 1 in 20 applications
        have events while most events belong to nobody.

        If times look wrong: 1% or more of the times in a column are in January 1970; with 20
        applications or more, most are over 60 days after the last event; or nearly all times (95%)
        of one table are midnight while those of the other are not, and the applications do not all
        share one timestamp.

    Notes
    -----
    An event is used if ``applied_at - lookback <= time < applied_at``. With ``known_at``, it must
    also satisfy ``known_at < applied_at``; with ``known_after``, ``time + known_after <
    applied_at``. Amounts that are NaN become missing.

    An element read with ``X["behaviors"].iloc[i]`` shows its times in UTC without the time zone;
    ``X["behaviors"].nest["time"]`` keeps the zone.

    Events in Parquet may be larger than memory; ``applications`` may not. Memory holds Python and
    its read buffers (about 350 MB), DuckDB's share (``memory_limit``), and the events of one
    partition with their lists. The default number of partitions limits those events to an eighth of
    ``memory_limit`` in Arrow format, which leaves DuckDB enough space to join them. Without
    ``output``, memory also holds the result. Events wait for their partition in a temporary folder,
    next to ``output`` or in the default location of `tempfile`. That folder holds an event once for
    each partition that needs it and is always removed. With ``memory_limit="500MB"`` and
    ``output``, peak memory was 676 MB for 5 million events and 821 MB for 20 million, on two cores
    (``benchmarks/join_memory.py``).

    ``output`` appears only when it is complete.

    For Ibis tables, nothing runs without ``return_report`` or ``output``. Missing keys and times
    then raise no error: such applications get no events, and such events belong to no application.
    No warnings are given either. With ``return_report`` or ``output``, errors and warnings are
    those for frames. DuckDB and Spark return the same rows, including ties and nulls
    (``tests/test_spark.py``). On Spark, ``TIMESTAMP`` counts as a time in UTC and ``TIMESTAMP_NTZ``
    as a time without zone; events cannot contain maps.

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
    for parameter, column in (("applied_at", applied_at), ("time", time), ("behaviors", behaviors)):
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
        behaviors=behaviors,
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
    """Return the name of each key in applications and in events."""
    several = (by,) if isinstance(by, str) or not isinstance(by, Iterable) else tuple(by)
    pairs = [key if isinstance(key, (tuple, list)) else (key, key) for key in several]
    for pair in pairs:
        if len(pair) != 2:
            raise ValueError(
                f"by={by!r} contains {pair!r}, which is not a pair of names. Pass the name in "
                "applications and the name in events."
            )
    _as_names([key for key, _ in pairs], "by")
    _as_names([key for _, key in pairs], "by")
    return [(key, other) for key, other in pairs]


def _window(lookback: Any, known_at: str | None, known_after: Any) -> tuple[int | None, int]:
    """Return the lookback and the reporting delay, both in microseconds."""
    reach = None if lookback is None else microseconds_of(lookback, "lookback")
    if known_after is None:
        return reach, 0
    if known_at is not None:
        raise ValueError(
            f"known_at={known_at!r} and known_after={known_after!r} both define when an event "
            "was known. Pass only one of them."
        )
    lag = microseconds_of(known_after, "known_after", or_zero=True)
    if reach is not None and lag >= reach:
        raise ValueError(
            f"known_after={known_after!r} is not shorter than lookback={lookback!r}, so no event "
            "could be used. Pass a longer lookback."
        )
    return reach, lag


def _as_names(value: str | Sequence[str], parameter: str) -> tuple[str, ...]:
    names = (value,) if isinstance(value, str) or not isinstance(value, Iterable) else tuple(value)
    for name in names:
        _check_name(name, parameter)
    if not names or len(set(names)) < len(names):
        raise ValueError(
            f"{parameter}={value!r} is not a valid choice of columns. Pass one column name, or "
            "several distinct names."
        )
    return names


def _check_name(name: Any, parameter: str) -> None:
    """Reject values that cannot be a column name in the join."""
    if not isinstance(name, str):
        raise TypeError(
            f"{parameter} contains {name!r} of type {type(name).__name__}; a column name must be "
            "a string."
        )
    own = parameter in ("by", "applied_at", "behaviors") and name.startswith("__")
    if own or is_unusable(name):
        raise ValueError(
            f"{parameter} contains the name {name!r}, which the join cannot use. A name must not "
            "be empty, contain a zero byte or invalid Unicode, or start with two underscores, "
            "which mark the join's own columns. Rename the column."
        )


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
    """Attach Ibis tables on their own engine; run only what the caller asked for."""
    if not (is_ibis(applications) and is_ibis(events)):
        raise TypeError(
            f"applications is a {type(applications).__name__} and events is a "
            f"{type(events).__name__}; an Ibis table can only be joined with an Ibis table. Load "
            "the other table into the same backend (connection.create_table), or execute the Ibis "
            "table (.to_pandas())."
        )
    connections = connections_of(applications, events)
    if len(connections) > 1:
        raise ValueError(
            "applications and events are Ibis tables of different connections. Open both from the "
            "same connection."
        )
    check_absent(applications.columns, names.behaviors)
    names = names.settle(applications.columns, events.columns)
    spark = spark_of(connections)
    if spark is None:
        check(applications.schema(), events.schema(), names)
    else:
        of_events = schema_with_zones(spark, events)
        check(schema_with_zones(spark, applications), of_events, names)
        check_orderable(of_events)
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
    warn_of_times(audit, names, window)
    if report is not None:
        return X, report
    lengths = ds.dataset(X).to_table({"n": pc.list_value_length(ds.field(names.behaviors))})["n"]
    warn_of_strangers(audit, _count_true(pc.greater(lengths, 0)), names)
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
    """Attach frames and files with an embedded DuckDB, which sees only the keys of the profile."""
    frame = read_applications(applications)
    check_absent(list(frame.columns), names.behaviors)
    source = read_events(events, names)
    names = names.settle(list(frame.columns), source.schema.names)
    require(list(frame.columns), names.of_applications, "applications")
    frame = note_keys(frame, names.by)
    schema = None if output is None else schema_to_write(frame)
    keys = as_arrow(frame[names.of_applications], "applications", names)
    check(ibis_schema(keys.schema, "applications"), ibis_schema(source.schema, "events"), names)

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
            X = frame.assign(**{names.behaviors: column})
        else:
            X = output
            write_parts(frame, schema, names.behaviors, histories(), folder, output)
    warn_of_times(audit, names, window)
    if report is not None:
        return X, report
    warn_of_strangers(audit, n_found, names)
    return X


# --------------------------------------------------------------------------------------------------
# Checks of the arguments.


def _check_unused(options: dict[str, Any]) -> None:
    """Reject options that only the embedded DuckDB supports."""
    given = [option for option, value in options.items() if value is not None]
    if given:
        raise ValueError(
            f"{', '.join(given)} cannot be used with Ibis tables, because their own engine joins "
            "them. Remove the argument."
        )


def _check_partitions(n_partitions: int | None, memory_limit: str | None) -> None:
    if n_partitions is not None:
        check_scalar(n_partitions, "n_partitions", Integral, min_val=1)
    if memory_limit is not None and not re.fullmatch(_SIZE, str(memory_limit)):
        raise ValueError(
            f"memory_limit={memory_limit!r} is not a valid size. Write it with a unit, such as "
            "'500MB' or '2GB'."
        )
