"""Whatever a table holds: a result, or a clear error of our own, never one from deep inside."""

from __future__ import annotations

import datetime as dt
import linecache
import resource
import uuid
import warnings
from collections.abc import Callable, Iterable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import sklearn
from hypothesis import given, settings
from hypothesis import strategies as st

import skhuihen
from skhuihen import (
    BehaviorAbstractor,
    BehaviorTopics,
    HUIHENClassifier,
    IntervalStatistics,
    ProfileEncoder,
    Sessionizer,
    WindowStatistics,
    attach_behaviors,
)

OURS = Path(skhuihen.__file__).parent
SKLEARN = Path(sklearn.__file__).parent


def assert_result_or_clear_error(call: Callable[[], Any], *names: str) -> bool:
    """Check that a call returns, without a warning of a dependency, or raises a clear error.

    A clear error is a ValueError or TypeError (or the FileNotFoundError of a path) that is raised
    by a ``raise`` of skhuihen, with one of ``names`` in its message, or by scikit-learn.

    Returns
    -------
    bool
        Whether there was a result.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            call()
        except Exception as error:
            _assert_clear(error, names)
            return False
    foreign = [str(warning.message) for warning in caught if warning.category is not UserWarning]
    # numpy before 2.4 takes an array of one value for that value.
    # And pandas before 3 a Series of one.
    known = "ndim > 0 to a scalar", "int on a single element Series"
    foreign = [message for message in foreign if not any(part in message for part in known)]
    assert not foreign, foreign
    return True


def _assert_clear(error: Exception, names: Iterable[str]) -> None:
    innermost = error.__traceback__
    assert innermost is not None
    while innermost.tb_next is not None:
        innermost = innermost.tb_next
    code = innermost.tb_frame.f_code
    path = Path(code.co_filename)
    where = f"{type(error).__name__} at {path}:{innermost.tb_lineno}: {error}"
    is_ours = type(error) in (ValueError, TypeError, FileNotFoundError)
    if not (is_ours or type(error).__module__.startswith("sklearn.")):
        raise AssertionError(where) from error
    if OURS in path.parents:
        # What C code raises has no frame of its own: ask what the frame was doing.
        line, _, column, _ = list(code.co_positions())[innermost.tb_lasti // 2]
        if not linecache.getline(str(path), line or 0)[column or 0 :].startswith("raise "):
            raise AssertionError(f"not raised here: {where}") from error
    elif SKLEARN in path.parents:
        return  # in its own words
    else:
        raise AssertionError(where) from error
    if not any(name in str(error) for name in names):
        raise AssertionError(f"names none of {names}: {where}") from error


@pytest.mark.parametrize(
    "call",
    [
        lambda: pd.DataFrame({"a": [1]})["b"],  # KeyError, inside pandas
        lambda: pd.Timestamp("soon"),  # ValueError, inside pandas
        lambda: pa.array([1, "a"]),  # ArrowInvalid is a ValueError
        lambda: int("a"),  # ValueError, of C code
        lambda: np.float64(1e308) * np.float64(10),  # a RuntimeWarning
        lambda: Sessionizer(time_zone="Nowhere").fit(frame()),  # clear, but not of "gap"
    ],
)
def test_the_helper_can_fail(call: Callable[[], Any]) -> None:
    with pytest.raises(AssertionError):
        assert_result_or_clear_error(call, "gap")
    assert assert_result_or_clear_error(lambda: 1)
    assert not assert_result_or_clear_error(
        lambda: Sessionizer(session_gap="soon").fit(frame()), "gap"
    )


# ---- a table, and what may stand in it

DAY = pd.Timestamp("2024-05-01")
N = 4


def history(**subfields: Callable[[int, Any], Any]) -> list[dict[str, Any]]:
    """Return four events; each subfield may be replaced, knowing its position and value."""
    events: list[dict[str, Any]] = [
        {
            "time": DAY + pd.Timedelta(minutes=i),
            "operation": "ab"[i % 2],
            "item": "x" if i % 3 else None,
            "amount": 2.5 if i % 2 else None,
        }
        for i in range(4)
    ]
    for i, event in enumerate(events):
        event |= {name: make(i, event.get(name)) for name, make in subfields.items()}
    return events


def frame(events: Any = None, **columns: Any) -> pd.DataFrame:
    events = history() if events is None else events
    return pd.DataFrame(
        {
            "user_id": range(N),
            "applied_at": DAY + pd.Timedelta("1D"),
            "user__age": [30.0, 40.0, None, 50.0],
            "device__os": list("abaa"),
            "behaviors": pd.Series([events] * N, dtype=object),
            **columns,
        }
    )


VALUES: dict[str, Any] = {
    "none": None,
    "NaT": pd.NaT,
    "NA": pd.NA,
    "nan": np.nan,
    "int": 3,
    "long": 2**70,
    "unsigned": 2**64 - 1,
    "float": 0.5,
    "huge": 1e308,
    "large": -1e30,
    "infinite": -np.inf,
    "complex": 1j,
    "bool": True,
    "decimal": Decimal("1.5"),
    "long decimal": Decimal("1e40"),
    "fraction": Fraction(1, 2),
    "text": "x",
    "no text": "",
    "zero byte": "\0",
    "surrogate": "\ud800",
    "time as text": "2024-05-01 12:00",
    "bytes": b"x",
    "date": dt.date(2024, 5, 1),
    "clock": dt.time(12),
    "length": dt.timedelta(1),
    "time": DAY,
    "day": np.datetime64("2024-05-01"),
    "UTC": DAY.tz_localize("UTC"),
    "Kathmandu": DAY.tz_localize("Asia/Kathmandu"),
    "odd zone": dt.datetime(2024, 5, 1, tzinfo=dt.timezone(dt.timedelta(seconds=20701))),
    "year 1": dt.datetime(1, 1, 1),
    "year 9999": dt.datetime(9999, 12, 31, 23, 59, 59, 999999),
    "period": pd.Period("2024-05"),
    "interval": pd.Interval(0, 1),
    "list": [1],
    "set": {1},
    "dict": {"a": 1},
    "object": object(),
    "array": np.array([1]),
    "frame": pd.DataFrame({"a": [1]}),
    "series": pd.Series([1]),
    "uuid": uuid.UUID(int=1),
}

ESTIMATORS: dict[str, Callable[[pd.DataFrame], Any]] = {
    "abstractor": lambda X: BehaviorAbstractor().fit(X).transform(X),
    "sessionizer": lambda X: Sessionizer(min_behaviors=1).fit(X).transform(X),
    "intervals": lambda X: IntervalStatistics().fit(X).transform(X),
    "topics": lambda X: BehaviorTopics().fit(X).transform(X),
    "windows": lambda X: WindowStatistics().fit(X).transform(X),
    "profile": lambda X: ProfileEncoder().fit(X).transform(X),
    "classifier": lambda X: quick().fit(X, [0, 1, 0, 1]).predict_proba(X),
}


def quick() -> HUIHENClassifier:
    """Return a classifier of raw operations that has seen everything once."""
    return HUIHENClassifier(
        max_epochs=1,
        n_estimators=1,
        random_state=0,
        net_params={
            "module__hierarchical": False,
            "module__behavior_dim": 2,
            "module__habit_dim": 2,
            "module__hidden_units": (2,),
        },
    )


def check_all(X: Any, *names: str) -> None:
    for estimate in ESTIMATORS.values():
        assert_result_or_clear_error(lambda run=estimate: run(X), *names, "X ")


values = pytest.mark.parametrize("kind", VALUES)


@values
@pytest.mark.parametrize("subfield", ["time", "operation", "item", "amount", "seq"])
def test_values_in_a_subfield(kind: str, subfield: str) -> None:
    value = VALUES[kind]
    some = frame(history(**{subfield: lambda i, old: value if i % 2 else old}))
    check_all(some, subfield, "behaviors")
    everywhere = frame(history(**{subfield: lambda i, old: value}))
    assert_result_or_clear_error(
        lambda: ESTIMATORS["windows"](everywhere), subfield, "time", "behaviors"
    )


@values
@pytest.mark.parametrize("column", ["applied_at", "user__age", "device__os", "user_id"])
def test_values_in_a_column(kind: str, column: str) -> None:
    value = VALUES[kind]
    old = frame()[column]
    some = [value if i % 2 else old[i] for i in range(N)]
    for values, names in ((some, ["windows", "profile", "classifier"]), ([value] * N, ["windows"])):
        X = frame(**{column: pd.Series(values, dtype=object)})
        for name in names:
            assert_result_or_clear_error(lambda X=X, run=ESTIMATORS[name]: run(X), column)


@values
def test_values_in_the_nested_column(kind: str) -> None:
    value = VALUES[kind]
    for rows in ([value] * N, [value, history()] * 2, [[value]] * N, [[*history(), value]] * N):
        X = frame(behaviors=pd.Series(rows, dtype=object))
        for name in ("windows", "classifier"):
            run = ESTIMATORS[name]
            assert_result_or_clear_error(lambda X=X, run=run: run(X), "behaviors", "'time'")


@values
def test_values_as_table_or_name(kind: str) -> None:
    value = VALUES[kind]
    for name, run in ESTIMATORS.items():
        if name != "classifier" or not isinstance(value, pd.DataFrame):
            assert_result_or_clear_error(lambda run=run: run(value), "X ", "X:", "y ")
    X = frame()
    X.columns = pd.Index([*X.columns[:-3], value, *X.columns[-2:]], dtype=object)
    check_all(X, "names")


E = pd.DataFrame({"user_id": [0, 0, 1], "page": [1, 2, 3], **pd.DataFrame(history()[:3])})
A = frame().drop(columns="behaviors")


@values
@pytest.mark.parametrize("column", ["user_id", "time", "operation", "amount", "page", "applied_at"])
def test_values_in_the_tables_of_the_join(kind: str, column: str) -> None:
    value = VALUES[kind]
    for table in (A, E):
        if column not in table or (table is E and column == "user_id"):
            continue
        old = table[column]
        mixed = [value if i % 2 else old[i] for i in range(len(table))]
        other = table.assign(**{column: pd.Series(mixed, dtype=object)})
        call = (other, E) if table is A else (A, other)
        assert_result_or_clear_error(lambda call=call: attach_behaviors(*call), column)


@values
def test_values_as_arguments_of_the_join(kind: str) -> None:
    value = VALUES[kind]
    assert_result_or_clear_error(lambda: attach_behaviors(value, E), "applications")
    assert_result_or_clear_error(lambda: attach_behaviors(A, value), "events")
    for parameter in ("by", "applied_at", "time", "known_at", "order", "lookback", "behaviors"):
        for argument in (value, [value]):
            assert_result_or_clear_error(
                lambda p=parameter, a=argument: attach_behaviors(A, E, **{p: a}),
                parameter,
                repr(value),
                "events",
                "applications",
            )


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("tick", [-(2**63), -(2**63) + 1, 2**63 - 1])
def test_times_far_away(unit: str, tick: int) -> None:
    def stamps(n: int) -> pa.Array:
        return pa.array([tick] * n, pa.int64()).cast(pa.timestamp(unit))

    applications, events = (pa.Table.from_pandas(t, preserve_index=False) for t in (A, E))
    far = applications.set_column(1, "applied_at", stamps(len(A)))
    at = events.column_names.index("time")
    late = events.set_column(at, "time", stamps(len(E)))
    for call in ((far, events), (applications, late), (far, late)):
        assert_result_or_clear_error(
            lambda call=call: attach_behaviors(*call, lookback="1D"), "applied_at", "time"
        )
    table = pa.Table.from_pandas(frame(), preserve_index=False)
    check_all(table.set_column(1, "applied_at", stamps(N)), "applied_at", "time")


# ---- tables of an odd shape

ODD: dict[str, Callable[[pd.DataFrame], Any]] = {
    "no row": lambda X: X[:0],
    "one row": lambda X: X[:1],
    "no column": lambda X: X[[]],
    "nothing": lambda X: X.iloc[:0, :0],
    "rows of one index": lambda X: X.set_axis([0] * len(X)),
    "rows twice": lambda X: pd.concat([X, X]),
    "columns twice": lambda X: pd.concat([X, X], axis=1),
    "index of levels": lambda X: X.set_index(["user_id", "device__os"]),
    "columns of levels": lambda X: X.set_axis(
        pd.MultiIndex.from_product([X.columns, [""]]), axis=1
    ),
    "columns of numbers": lambda X: X.set_axis(range(X.shape[1]), axis=1),
    "one number": lambda X: X.rename(columns={"user__age": 5}),
    "events twice": lambda X: frame([*history(), *history()]),
    "two nested columns": lambda X: X.assign(again=X["behaviors"]),
    "nested profile": lambda X: X.assign(user__age=[[1], [2], None, []]),
    "categories": lambda X: X.assign(
        user__age=pd.Categorical([1.5, None, 2, 2]), device__os=X["device__os"].astype("category")
    ),
    "array": lambda X: X.to_numpy(),
    "text array": lambda X: np.array([["a"]]),
}


@pytest.mark.parametrize("shape", ODD)
def test_odd_shapes(shape: str) -> None:
    X = ODD[shape](frame())
    labels = np.arange(len(X)) % 2
    for name, estimate in ESTIMATORS.items():

        def run(name: str = name, estimate: Any = estimate) -> Any:
            if name == "classifier":
                return quick().fit(X, labels).predict_proba(X)
            return estimate(X)

        names = ["X ", "X:", "behaviors", "user__age", "y "]
        assert_result_or_clear_error(run, *names)
    if isinstance(X, pd.DataFrame):
        names = ["applications", "events"]
        assert_result_or_clear_error(lambda: attach_behaviors(X, E, behaviors="new"), *names)
        assert_result_or_clear_error(lambda: attach_behaviors(A, X), *names)


@pytest.mark.parametrize("name", ["", "\0", "seq", "Time", "__row", "__key0", 'a"b', "select", "é"])
def test_odd_column_names_in_the_join(name: str) -> None:
    for call in (
        lambda: attach_behaviors(A, E.rename(columns={"page": name})),
        lambda: attach_behaviors(A.rename(columns={"user__age": name}), E),
        lambda: attach_behaviors(A, E, behaviors=name),
        lambda: attach_behaviors(
            *(table.rename(columns={"user_id": name}) for table in (A, E)), by=name
        ),
        lambda: attach_behaviors(
            A.rename(columns={"applied_at": name}),
            E.rename(columns={"time": name}),
            applied_at=name,
            time=name,
        ),
    ):
        assert_result_or_clear_error(call, repr(name))


# ---- drawn tables

TYPES = [
    pa.null(),
    pa.int8(),
    pa.uint64(),
    pa.float32(),
    pa.float64(),
    pa.bool_(),
    pa.string(),
    pa.large_string(),
    pa.string_view(),
    pa.binary(),
    pa.date32(),
    pa.time64("us"),
    pa.duration("ms"),
    pa.timestamp("s"),
    pa.timestamp("ns"),
    pa.timestamp("us", "UTC"),
    pa.timestamp("ms", "+05:45"),
    pa.timestamp("us", "Nowhere/Land"),
    pa.decimal128(38, 3),
    pa.list_(pa.int64()),
    pa.struct([("a", pa.int64())]),
]


@st.composite
def arrays(draw: Any, n: int) -> pa.Array:
    """Draw an array of any type, with nulls, extremes or repetitions."""
    kind = draw(st.sampled_from(TYPES))
    ints = st.none() | st.integers(-2, 3) | st.sampled_from([-100, 100])
    drawn = draw(st.lists(ints, min_size=n, max_size=n))
    if pa.types.is_null(kind):
        return pa.nulls(n)
    if pa.types.is_list(kind):
        return pa.array([None if v is None else [v] for v in drawn], kind)
    if pa.types.is_struct(kind):
        return pa.array([None if v is None else {"a": v} for v in drawn], kind)
    if pa.types.is_unsigned_integer(kind):
        drawn = [None if v is None else 2**64 - 1 if v < 0 else v for v in drawn]
    elif pa.types.is_floating(kind):
        extremes = {-100: np.inf, 100: np.nan, 3: 1e38}
        drawn = [extremes.get(v, v) for v in drawn]
    elif pa.types.is_boolean(kind):
        drawn = [None if v is None else v > 0 for v in drawn]
    elif pa.types.is_decimal(kind):
        drawn = [None if v is None else Decimal(v) for v in drawn]
    elif pa.types.is_temporal(kind):
        width = pa.int32() if kind.bit_width == 32 else pa.int64()
        return pa.array(drawn, width).cast(kind)
    elif not pa.types.is_integer(kind):
        drawn = [None if v is None else str(v) for v in drawn]
    array = pa.array(drawn, kind)
    return array.dictionary_encode() if draw(st.booleans()) and kind == pa.string() else array


@st.composite
def arrow_tables(draw: Any) -> pa.Table:
    """Draw a table in which up to two columns or subfields hold anything."""
    n = draw(st.integers(0, 5))
    lengths = draw(st.lists(st.integers(0, 4), min_size=n, max_size=n))
    n_events = sum(lengths)
    ticks = draw(st.lists(st.integers(0, 10), min_size=n_events, max_size=n_events))
    subfields = {
        "time": pa.array([tick * 10**9 for tick in ticks], pa.int64()).cast(pa.timestamp("us")),
        "operation": pa.array(["ab"[tick % 2] for tick in ticks], pa.string()),
    }
    columns = {
        "applied_at": pa.array([6 * 10**9] * n, pa.int64()).cast(pa.timestamp("us")),
        "user__age": pa.array([float(length) for length in lengths], pa.float64()),
    }
    names = st.sampled_from(["time", "operation", "item", "amount", "seq", "extra"])
    for name in draw(st.lists(names, max_size=2)):
        subfields[name] = draw(arrays(n_events))
    names = st.sampled_from(["applied_at", "user__age", "user__new", "user_id"])
    for name in draw(st.lists(names, max_size=2)):
        columns[name] = draw(arrays(n))
    events = pa.StructArray.from_arrays(list(subfields.values()), list(subfields))
    missing = draw(st.lists(st.booleans(), min_size=n, max_size=n))
    columns["behaviors"] = pa.ListArray.from_arrays(
        pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32()),
        events,
        mask=pa.array(missing, pa.bool_()),
    )
    return pa.table(columns)


@given(table=arrow_tables(), as_pandas=st.booleans())
@settings(max_examples=20)
def test_drawn_tables(table: pa.Table, as_pandas: bool) -> None:
    X = table.to_pandas(types_mapper=pd.ArrowDtype) if as_pandas else table
    n = len(table)
    names = ["applied_at", "user_", "time", "operation", "item", "amount", "seq", "X ", "X:"]
    for name, estimate in ESTIMATORS.items():
        if name != "classifier":
            assert_result_or_clear_error(lambda run=estimate: run(X), *names)
    if n > 1:
        assert_result_or_clear_error(
            lambda: quick().fit(X, np.arange(n) % 2).predict_proba(X), *names
        )


@given(data=st.data())
@settings(max_examples=20)
def test_drawn_joins(data: Any) -> None:
    n_left, n_right = data.draw(st.integers(0, 3)), data.draw(st.integers(0, 4))
    left = {
        "user_id": pa.array(range(n_left), pa.int64()),
        "applied_at": pa.array([10] * n_left, pa.timestamp("us")),
    }
    right = {
        "user_id": pa.array([i % 2 for i in range(n_right)], pa.int64()),
        "time": pa.array(range(n_right), pa.timestamp("us")),
        "operation": pa.array(["a"] * n_right, pa.string()),
    }
    for name in data.draw(st.lists(st.sampled_from(list(left)), max_size=1)):
        left[name] = data.draw(arrays(n_left))
    names = st.sampled_from([*right, "item", "amount", "page"])
    for name in data.draw(st.lists(names, max_size=2)):
        right[name] = data.draw(arrays(n_right))
    options = data.draw(
        st.sampled_from([{}, {"lookback": "1D"}, {"order": "page"}, {"known_at": "page"}])
    )
    assert_result_or_clear_error(
        lambda: attach_behaviors(pa.table(left), pa.table(right), **options),
        *left,
        *right,
        "item",
        "amount",
        "page",
    )


# ---- many rows


@pytest.mark.slow
def test_many_rows() -> None:
    n = 400_000
    start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    time = pa.array(np.arange(n) * 10**6, pa.int64()).cast(pa.timestamp("us"))
    operation = pa.array(["a"], pa.string()).take(pa.array(np.zeros(n, dtype=np.int64)))
    events = pa.StructArray.from_arrays([time, operation], ["time", "operation"])
    X = pa.table(
        {
            "applied_at": pa.array(np.arange(n) * 10**6 + 1, pa.int64()).cast(pa.timestamp("us")),
            "user__age": pa.array(np.arange(n) % 50 * 1.0),
            "behaviors": pa.LargeListArray.from_arrays(np.arange(n + 1), events),
        }
    )
    assert len(Sessionizer(min_behaviors=1).fit(X).transform(X)) == n
    assert (WindowStatistics(["1h"]).fit_transform(X)["count_1h"] == 1).all()
    assert ProfileEncoder().fit_transform(X).shape == (n, 7)
    small = X.slice(0, 4)
    assert len(quick().fit(small, [0, 1, 0, 1]).predict_proba(X)) == n
    # In kibibytes: a table of some 20 MB takes less than 1 GiB.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start < 2**20
