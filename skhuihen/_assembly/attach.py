"""The join: behaviors attached to applications as one nested column, cut at the time of each."""

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
    behaviors : str, default="behaviors"
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
        ``applications`` and the nested column ``behaviors``. Frames keep row order, index and
        dtypes;
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
    million 821 MB, on two cores (``benchmarks/join_memory.py``).

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
    own = parameter in ("by", "applied_at", "behaviors") and name.startswith("__")
    if own or is_unusable(name):
        raise ValueError(
            f"{parameter} names {name!r}, which the join cannot carry: it is empty, holds a zero "
            "byte or broken text, or begins with two underscores, as the join's own columns do. "
            "Rename the column."
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
    """Attach frames and files by a DuckDB of our own, which sees of the profile only the keys."""
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
