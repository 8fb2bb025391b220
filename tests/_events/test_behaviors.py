"""The nested column: every container reads alike, is cut alike, and is refused with its cure."""

from __future__ import annotations

import datetime as dt
import math
import pickle
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nested_pandas import NestedDtype
from packaging.version import Version

from skhuihen import attach_behaviors
from skhuihen._compat import TEXT
from skhuihen._events.as_of import read_as_of
from skhuihen._events.behaviors import Behaviors, decode
from skhuihen._events.frames import as_frame
from skhuihen._events.nested import is_nested
from skhuihen._tables.times import microseconds_of
from tests.preprocessing.strategies import (
    DAY,
    HOUR,
    MINUTE,
    ZERO,
    applications,
    drawn,
    event,
    known,
    nested,
    tables,
)

NOON = pd.Timestamp("2024-05-01 12:00")
A = {"time": NOON, "operation": "login", "amount": 1.5}
B = {"time": NOON + pd.Timedelta("1min"), "operation": "fund_buy", "amount": None}
C = {"time": NOON + pd.Timedelta("1us"), "operation": None, "amount": -3.0}
ROWS = [[A, B], None, [], [C], [B, A, C], None]

STRUCT = pa.struct(
    [("time", pa.timestamp("us")), ("operation", pa.string()), ("amount", pa.float64())]
)


def arrow_series(array):
    return pd.Series(pd.array(array, dtype=pd.ArrowDtype(array.type)), name="behaviors")


def as_nested(rows):
    array = pa.array(rows, pa.list_(STRUCT))
    return pd.Series(array, dtype=NestedDtype(array.type), name="behaviors")


def as_list_of_structs(rows):
    return arrow_series(pa.array(rows, pa.list_(STRUCT)))


def as_large_list_of_structs(rows):
    return arrow_series(pa.array(rows, pa.large_list(STRUCT)))


def as_several_chunks(rows):
    chunks = [pa.array(rows[:1], pa.list_(STRUCT)), pa.array(rows[1:], pa.list_(STRUCT))]
    return pd.Series(
        pd.arrays.ArrowExtensionArray(pa.chunked_array(chunks, pa.list_(STRUCT))), name="behaviors"
    )


def as_struct_of_lists(rows):
    columns = [
        None if row is None else {name: [e[name] for e in row] for name in STRUCT.names}
        for row in rows
    ]
    return arrow_series(
        pa.array(columns, pa.struct([(field.name, pa.list_(field.type)) for field in STRUCT]))
    )


def as_lists_of_dicts(rows):
    return pd.Series(rows, dtype=object, name="behaviors")


def as_arrays_of_dicts(rows):
    values = [None if row is None else np.array(row, dtype=object) for row in rows]
    return pd.Series(values, dtype=object, name="behaviors")


def as_frames(rows):
    values = [
        row if row is None else pd.DataFrame(row, columns=STRUCT.names, index=[7] * len(row))
        for row in rows
    ]
    return pd.Series(values, dtype=object, name="behaviors")


def as_pyarrow_table(rows):
    table = pa.table({"x": range(len(rows)), "behaviors": pa.array(rows, pa.list_(STRUCT))})
    return as_frame(table, "behaviors")["behaviors"]


def as_polars_frame(rows):
    table = pl.DataFrame(
        {"x": range(len(rows)), "behaviors": rows},
        schema_overrides={
            "behaviors": pl.List(
                pl.Struct(
                    {"time": pl.Datetime("us"), "operation": pl.String(), "amount": pl.Float64()}
                )
            )
        },
    )
    return as_frame(table, "behaviors")["behaviors"]


CONTAINERS = [
    as_nested,
    as_list_of_structs,
    as_large_list_of_structs,
    as_several_chunks,
    as_struct_of_lists,
    as_lists_of_dicts,
    as_arrays_of_dicts,
    as_frames,
    as_pyarrow_table,
    as_polars_frame,
]
containers = pytest.mark.parametrize("container", CONTAINERS)


def events_of(behaviors):
    """Return the events as lists of dicts, cut at the offsets; NaN is None."""
    values = {name: array.to_pylist() for name, array in behaviors.fields.items()}
    assert {len(column) for column in values.values()} <= {behaviors.n_events}
    return [
        [
            {
                name: None if isinstance(column[k], float) and math.isnan(column[k]) else column[k]
                for name, column in values.items()
            }
            for k in range(start, stop)
        ]
        for start, stop in zip(behaviors.offsets[:-1], behaviors.offsets[1:], strict=True)
    ]


def expected(rows):
    return [row or [] for row in rows]


# ---- reading every container


@containers
def test_reads_every_container_alike(container):
    behaviors = Behaviors.from_column(container(ROWS))
    assert events_of(behaviors) == expected(ROWS)
    assert behaviors.offsets.dtype == np.int64
    assert behaviors.offsets.tolist() == [0, 2, 2, 2, 3, 6, 6]
    assert len(behaviors) == 6
    assert behaviors.n_events == 6
    assert behaviors.lengths.tolist() == [2, 0, 0, 1, 3, 0]
    assert behaviors.rows.tolist() == [0, 0, 3, 4, 4, 4]
    assert is_nested(container(ROWS))


@containers
@given(
    rows=st.lists(st.none() | st.lists(st.sampled_from([A, B, C]), max_size=4), max_size=5),
    data=st.data(),
)
@settings(max_examples=20)
def test_round_trip_and_slices(container, rows, data):
    column = container(rows)
    once = Behaviors.from_column(column)
    assert events_of(once) == expected(rows)
    written = pd.Series(once.to_array(), name="behaviors")
    assert isinstance(written.dtype, NestedDtype)
    assert events_of(Behaviors.from_column(written)) == expected(rows)

    # After iloc, Arrow offsets do not start at 0 and the values are the whole parent's.
    start = data.draw(st.integers(0, len(rows)))
    stop = data.draw(st.integers(start, len(rows)))
    some = data.draw(st.lists(st.sampled_from(range(len(rows))), max_size=4)) if rows else []
    for kind in (column, written):
        part = Behaviors.from_column(kind.iloc[start:stop])
        assert events_of(part) == expected(rows[start:stop])
        assert part.offsets[0] == 0
        taken = Behaviors.from_column(kind.iloc[some])
        assert events_of(taken) == expected([rows[i] for i in some])


def test_null_rows_may_cover_values():
    # Arrow allows a null list to point at values; they are nobody's.
    array = pa.ListArray.from_arrays(
        pa.array([0, 2, 3], pa.int32()),
        pa.array([A, B, C], STRUCT),
        mask=pa.array([True, False]),
    )
    assert events_of(Behaviors.from_column(arrow_series(array))) == [[], [C]]


def test_empty_histories_become_empty_lists():
    written = pd.Series(Behaviors.from_column(as_nested(ROWS)).to_array())
    assert not written.isna().any()
    assert [len(frame) for frame in written] == [2, 0, 0, 1, 3, 0]


@pytest.mark.parametrize(
    "column",
    [
        pd.Series([None, None], dtype=object),
        pd.Series([np.nan, np.nan]),
        pd.Series([None, pd.NA], dtype=object),
        pd.Series([[], None], dtype=object),
        pd.Series([pd.DataFrame(), pd.DataFrame()], dtype=object),
        arrow_series(pa.nulls(2)),
        arrow_series(pa.array([[], None])),
        arrow_series(pa.array([None, None], pa.list_(STRUCT))),
        as_nested([None, None]),
        as_struct_of_lists([None, []]),
    ],
)
def test_a_column_without_any_event(column):
    behaviors = Behaviors.from_column(column)
    assert behaviors.offsets.tolist() == [0, 0, 0]
    assert behaviors.times().tolist() == []
    assert behaviors.texts("operation") == (pytest.approx([]), [])
    assert behaviors.integers("seq").tolist() == []
    assert behaviors.numbers("amount").tolist() == []

    # What is written can be shown, cut, pickled, and kept.
    written = pd.Series(behaviors.to_array())
    assert [len(frame) for frame in written.iloc[1:]] == [0]
    assert "0" in repr(written)
    restored = pickle.loads(pickle.dumps(written))
    assert Behaviors.from_column(restored).offsets.tolist() == [0, 0, 0]


def test_a_column_without_any_row():
    for column in (
        pd.Series([], dtype=object),
        pd.Series([], dtype=np.float64),
        as_nested(ROWS)[:0],
        as_list_of_structs(ROWS)[:0],
    ):
        behaviors = Behaviors.from_column(column)
        assert len(behaviors) == 0
        assert len(behaviors.to_array()) == 0


@pytest.mark.parametrize("rows", [ROWS, [None, None], [[], None]])
def test_parquet_round_trip(rows, tmp_path):
    frame = pd.DataFrame({"x": range(len(rows)), "behaviors": as_nested(rows)})
    frame["behaviors"] = Behaviors.from_column(frame["behaviors"]).to_array()
    path = tmp_path / "applications.parquet"
    frame.to_parquet(path)
    for back in (
        pd.read_parquet(path),
        pd.read_parquet(path, dtype_backend="pyarrow"),
        as_frame(pq.read_table(path), "behaviors"),
        as_frame(pl.read_parquet(path), "behaviors"),
    ):
        assert list(back.columns) == ["x", "behaviors"]
        assert events_of(Behaviors.from_column(back["behaviors"])) == expected(rows)


def test_further_subfields_pass_through_whatever_their_type():
    rows = [[{**A, "tags": ["x", "y"], "place": {"city": "Turin"}, "price": Decimal("1.50")}], []]
    once = Behaviors.from_column(as_lists_of_dicts(rows))
    again = Behaviors.from_column(pd.Series(once.to_array()))
    assert events_of(again) == rows


def test_polars_types_can_be_cut_and_ordered():
    # polars hands over views, which Arrow itself can neither filter nor take.
    rows = [
        [
            {"time": ZERO + HOUR, "operation": "a", "kind": "x", "tags": ["p"], "raw": b"1"},
            {"time": ZERO, "operation": None, "kind": None, "tags": None, "raw": None},
            {"time": ZERO + 2 * HOUR, "operation": "c", "kind": "y", "tags": [], "raw": b"2"},
        ]
    ]
    kinds = {
        "time": pl.Datetime("us"),
        "operation": pl.String(),
        "kind": pl.Categorical(),
        "tags": pl.List(pl.String()),
        "raw": pl.Binary(),
        "place": pl.Struct({"city": pl.String()}),
    }
    table = pl.DataFrame({"behaviors": rows}, schema={"behaviors": pl.List(pl.Struct(kinds))})
    X = as_frame(table, "behaviors").assign(applied_at=pd.to_datetime([ZERO + 2 * HOUR], unit="us"))
    behaviors = read_as_of(X, "behaviors", "applied_at").behaviors
    assert behaviors.fields["raw"].to_pylist() == [None, b"1"]
    assert behaviors.fields["tags"].to_pylist() == [None, ["p"]]
    for name, texts in {"operation": ["missing", "a"], "kind": ["missing", "x"]}.items():
        codes, distinct = behaviors.texts(name)
        assert [distinct[code] for code in codes] == texts


# ---- refusals


@pytest.mark.parametrize(
    ("column", "found"),
    [
        (
            pd.Series(["a", "b"], name="b", dtype=TEXT),
            "Arrow type string" if TEXT is object else "dtype str",
        ),
        (pd.Series(["a", "b"], name="b", dtype=object), "Arrow type string"),
        (pd.Series([1.0, np.nan], name="b"), "dtype float64"),
        (pd.Series([1, 2], name="b"), "dtype int64"),
        (pd.Series([A, A], name="b", dtype=object), "Arrow type struct"),
        (pd.Series([[1, 2]], name="b", dtype=object), "Arrow type list<item: int64>"),
        (pd.Series([[A], 3], name="b", dtype=object), "objects that do not fit together"),
        (pd.Series([[object()]], name="b", dtype=object), "objects that do not fit together"),
        (pd.Series([[{"a": 1}, {"a": "x"}]], name="b", dtype=object), "do not fit together"),
        (pd.Series([[{"a": 2**70}]], name="b", dtype=object), "do not fit together"),
        (
            pd.Series([pd.DataFrame({"a": [1]}), pd.DataFrame({"a": ["x"]})], name="b"),
            "do not fit together",
        ),
        (
            pd.Series([pd.DataFrame([[1, 2]], columns=["a", "a"])], name="b"),
            "do not fit together",
        ),
        (pd.Series([pd.DataFrame([A]), [A]], name="b"), "do not fit together"),
        (arrow_series(pa.array([[1]])).rename("b"), "Arrow type list<item: int64>"),
        (arrow_series(pa.array([1])).rename("b"), "Arrow type int64"),
        (arrow_series(pa.array([{"a": 1}])).rename("b"), "Arrow type struct<a: int64>"),
        (
            arrow_series(pa.array([{"a": [1], "b": [1, 2]}])).rename("b"),
            "List lengths do not match",
        ),
    ],
)
def test_refuses_what_is_no_nested_column(column, found):
    with pytest.raises(TypeError, match="it must hold one list of events per row") as error:
        Behaviors.from_column(column)
    assert "Column 'b'" in str(error.value)
    assert found in str(error.value)
    assert "attach_behaviors" in str(error.value)


@pytest.mark.parametrize(
    ("column", "n"),
    [
        (as_list_of_structs([[A, None, None], [B]]), 2),
        (as_lists_of_dicts([[A, None], [B]]), 1),
        (as_lists_of_dicts([[None], None]), 1),
        (arrow_series(pa.array([[None, None], []])), 2),
    ],
)
def test_refuses_null_events(column, n):
    with pytest.raises(ValueError, match=f"'behaviors' contains {n} null events. Remove them"):
        Behaviors.from_column(column)


def test_null_events_outside_a_slice_do_not_count():
    column = as_list_of_structs([[None], [A]])
    assert events_of(Behaviors.from_column(column.iloc[1:])) == [[A]]


NAIVE, UTC, SHANGHAI = NOON, NOON.tz_localize("UTC"), NOON.tz_localize("Asia/Shanghai")


def dicts_at(times):
    return [{"time": time, "operation": "a"} for time in times]


def frame_at(times):
    return pd.DataFrame({"time": times, "operation": "a"})


@pytest.mark.parametrize("wrap", [dicts_at, frame_at])
def test_iso_texts_in_lists_of_dicts_are_times(wrap):
    def read(times):
        return Behaviors.from_column(pd.Series([wrap(times), None, wrap(times[:1])], name="app"))

    texts = ["2024-05-01T10:00:00", "2024-05-01 10:00:00.123", "2024-05-02"]
    times = [*pd.to_datetime(texts, format="ISO8601")]
    assert read(texts).fields["time"].equals(read(times).fields["time"].cast(pa.timestamp("us")))
    assert read(texts).lengths.tolist() == [3, 0, 1]
    zoned = read(["2024-05-01T10:00:00Z", "2024-05-01T10:00:00+05:30"])
    assert zoned.fields["time"].type == pa.timestamp("us", "UTC")
    assert np.diff(zoned.times()[:2]).tolist() == [-int(5.5 * 3600e6)]
    assert read(["2024-05-01T10:00:00.123456789"]).times().tolist() == [1714557600123456] * 2
    for wrong in (
        ["2024-05-01", "soon"],
        ["1714557600"],
        ["2024-05-01T10:00Z", "2024-05-01T10:00"],
    ):
        with pytest.raises(ValueError, match=r"'app' .* not all in ISO 8601.*to_datetime"):
            read(wrong)


def test_numbers_as_times_name_both_units():
    numbers = pd.Series([[{"time": 1714557600, "operation": "a"}]])
    with pytest.raises(TypeError, match=r"must hold timestamps.*unit='s'.*unit='ms'"):
        Behaviors.from_column(numbers).times()


@pytest.mark.parametrize("pair", [(NAIVE, UTC), (UTC, NAIVE), (UTC, SHANGHAI), (SHANGHAI, NAIVE)])
@pytest.mark.parametrize("as_objects", [as_lists_of_dicts, as_frames])
def test_refuses_objects_in_several_time_zones(as_objects, pair):
    one, other = ([{**A, "time": time}] for time in pair)
    with pytest.raises(
        ValueError, match=r"'behaviors' have times in several time zones: .*(UTC|Shan)"
    ):
        Behaviors.from_column(as_objects([one, None, other]))
    with pytest.raises(ValueError, match="Use tz_convert"):
        Behaviors.from_column(as_objects([one + other]))


@pytest.mark.parametrize("time", [NAIVE, UTC, SHANGHAI])
@pytest.mark.parametrize("as_objects", [as_lists_of_dicts, as_frames])
def test_objects_in_one_time_zone_keep_it(as_objects, time):
    behaviors = Behaviors.from_column(as_objects([[{**A, "time": time}], None]))
    assert behaviors.fields["time"].type.tz == (None if time.tz is None else str(time.tz))
    assert behaviors.times().tolist() == [time.value // 1000]


# ---- choosing events and reading subfields


def flat(**fields):
    """Return the events of one application."""
    n = len(next(iter(fields.values())))
    return Behaviors(np.array([0, n]), fields)


@given(
    lengths=st.lists(st.integers(0, 4), max_size=5),
    data=st.data(),
)
@settings(max_examples=20)
def test_filter_and_reorder(lengths, data):
    offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    n = int(offsets[-1])
    behaviors = Behaviors(offsets, {"k": pa.array(range(n), pa.int64())})
    rows = [list(range(offsets[i], offsets[i + 1])) for i in range(len(lengths))]

    mask = data.draw(st.lists(st.booleans(), min_size=n, max_size=n))
    kept = behaviors.filter(np.array(mask, dtype=bool))
    assert [[e["k"] for e in row] for row in events_of(kept)] == [
        [k for k in row if mask[k]] for row in rows
    ]

    mixed = [data.draw(st.permutations(row)) for row in rows]
    order = np.array([k for row in mixed for k in row], dtype=np.int64)
    assert [[e["k"] for e in row] for row in events_of(behaviors.reorder(order))] == mixed
    assert [[e["k"] for e in row] for row in events_of(behaviors)] == rows


def test_with_fields_adds_and_replaces_but_leaves_the_old_alone():
    old = flat(a=pa.array([1, 2]))
    new = old.with_fields(a=pa.array([3, 4]), b=pa.array(["x", "y"]))
    assert events_of(new) == [[{"a": 3, "b": "x"}, {"a": 4, "b": "y"}]]
    assert events_of(old) == [[{"a": 1}, {"a": 2}]]


@pytest.mark.parametrize(
    ("unit", "ticks", "microseconds"),
    [
        ("s", [-1, 2], [-1_000_000, 2_000_000]),
        ("ms", [-1, 2], [-1000, 2000]),
        ("us", [-1, 2], [-1, 2]),
        ("ns", [-1, 999, 1000, 1999], [-1, 0, 1, 1]),
    ],
)
def test_times_are_cut_to_microseconds(unit, ticks, microseconds):
    behaviors = flat(time=pa.array(ticks, pa.timestamp(unit)))
    assert behaviors.times().tolist() == microseconds
    assert behaviors.times().dtype == np.int64
    chunked = flat(time=pa.array(ticks, pa.timestamp(unit, "Asia/Shanghai")))
    assert chunked.times().tolist() == microseconds


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        (
            pa.array(["2024"]),
            TypeError,
            "subfield 'time' is of type string; it must hold timestamps",
        ),
        (pa.array([3]), TypeError, "of type int64.*pandas.to_datetime"),
        (pa.array([dt.date(2024, 1, 1)]), TypeError, "of type date32"),
        (pa.array([1, None], pa.timestamp("us")), ValueError, "'time' has 1 missing times"),
        (pa.nulls(2), ValueError, "'time' has 2 missing times. Fill them in or drop"),
    ],
)
def test_refuses_times_that_are_none(values, error, message):
    with pytest.raises(error, match=message):
        flat(time=values).times()


def test_refuses_a_subfield_that_is_not_there():
    with pytest.raises(ValueError, match=r"no subfield 'time'; they have \['a', 'b'\]. Rename"):
        flat(b=pa.array([1]), a=pa.array([1])).times()


@pytest.mark.parametrize(
    "values",
    [
        pa.array([1.5, None, -2.0]),
        pa.array([1.5, math.nan, -2.0]),
        pa.array([1.5, None, -2.0], pa.float32()),
        pa.array([Decimal("1.5"), None, Decimal(-2)]),
        pa.array([9.0, 1.5, None, -2.0]).slice(1),
    ],
)
def test_numbers(values):
    numbers = flat(amount=values).numbers("amount")
    assert numbers.dtype == np.float64
    np.testing.assert_array_equal(numbers, [1.5, np.nan, -2.0])


def test_numbers_of_integers_and_of_nothing():
    np.testing.assert_array_equal(flat(x=pa.array([1, None])).numbers("x"), [1, np.nan])
    np.testing.assert_array_equal(flat(x=pa.array([2**64 - 1], pa.uint64())).numbers("x"), [2**64])
    np.testing.assert_array_equal(flat(x=pa.nulls(2)).numbers("x"), [np.nan] * 2)
    np.testing.assert_array_equal(flat(x=pa.array([1, 2])).numbers("absent"), [np.nan] * 2)


def test_refuses_numbers_that_are_none():
    with pytest.raises(TypeError, match=r"'amount' is of type string; .*pandas.to_numeric"):
        flat(amount=pa.array(["3"])).numbers("amount")
    with pytest.raises(TypeError, match="'amount' is of type bool"):
        flat(amount=pa.array([True])).numbers("amount")
    with pytest.raises(ValueError, match=r"'amount' contains 2 infinite values; .*with NaN"):
        flat(amount=pa.array([math.inf, 1.0, -math.inf])).numbers("amount")


def test_integers():
    for kind in (pa.int8(), pa.int64(), pa.uint32()):
        values = flat(seq=pa.array([3, 1], kind)).integers("seq")
        assert values.tolist() == [3, 1]
        assert values.dtype == np.int64
    with pytest.raises(
        TypeError, match="'seq' is of type int64 with 1 missing values; it must hold integers"
    ):
        flat(seq=pa.array([3, None])).integers("seq")
    with pytest.raises(TypeError, match="'seq' is of type double with 0 missing"):
        flat(seq=pa.array([3.0])).integers("seq")


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        (pa.array(["b", None, "a", "b", "missing"]), ["b", "missing", "a", "b", "missing"]),
        (pa.array(["b", None], pa.large_string()), ["b", "missing"]),
        (pa.array(["b", None, "b"]).dictionary_encode(), ["b", "missing", "b"]),
        (pa.array(["", " b"]), ["", " b"]),
        (pa.array([7, None, -1]), ["7", "missing", "-1"]),
        (pa.nulls(2), ["missing", "missing"]),
        (pa.array(["x", "b", "a"]).slice(1), ["b", "a"]),
    ],
)
def test_texts(values, texts):
    codes, distinct = flat(operation=values).texts("operation")
    assert [distinct[code] for code in codes] == texts
    assert len(set(distinct)) == len(distinct)
    assert codes.dtype == np.int64
    assert decode(codes, distinct).to_pylist() == texts


@pytest.mark.parametrize("values", [pa.array([1.5]), pa.array([True]), pa.array([b"a"])])
def test_refuses_texts_that_are_none(values):
    with pytest.raises(TypeError, match=r"'operation' is of type .*; it must hold text. .*astype"):
        flat(operation=values).texts("operation")


# ---- any table


def test_as_frame_leaves_pandas_alone():
    frame = pd.DataFrame({"a": [1]})
    assert as_frame(frame, "a") is frame


@pytest.mark.parametrize("convert", [pa.table, lambda columns: pl.DataFrame(pa.table(columns))])
def test_as_frame_keeps_columns_where_they_are(convert):
    table = convert(
        {
            "a": pa.array([1, 2]),
            "behaviors": pa.array([[A], None], pa.list_(STRUCT)),
            "b": pa.array(["x", None]),
            "at": pa.array([NOON, NOON], pa.timestamp("us", "UTC")),
        }
    )
    frame = as_frame(table, "behaviors")
    assert list(frame.columns) == ["a", "behaviors", "b", "at"]
    assert isinstance(frame["behaviors"].dtype, NestedDtype)
    assert frame["a"].tolist() == [1, 2]
    assert frame["b"].isna().tolist() == [False, True]
    assert str(frame["at"].dt.tz) == "UTC"
    assert "behaviors" in as_frame(table)
    assert list(as_frame(table.select(["behaviors"]), "behaviors").columns) == ["behaviors"]
    assert len(as_frame(table.select(["behaviors"]), "behaviors")) == 2


def test_as_frame_of_histories_that_are_all_unknown():
    for table in (
        pl.DataFrame({"x": [1, 2], "behaviors": [None, None]}),
        pl.DataFrame({"x": [1, 2], "behaviors": [[], None]}),
        pa.table({"x": [1, 2], "behaviors": pa.nulls(2)}),
    ):
        frame = as_frame(table, "behaviors")
        assert len(Behaviors.from_column(frame["behaviors"].iloc[1:])) == 1


@pytest.mark.parametrize(
    "X", [np.zeros((2, 2)), {"a": [1]}, [1], None, pl.Series([1]), pa.chunked_array([[1]])]
)
def test_as_frame_refuses_what_is_no_table(X):
    with pytest.raises(
        TypeError, match=f"X is a {type(X).__name__}; it must be a table with one row per"
    ):
        as_frame(X)


def test_as_frame_refuses_a_column_without_events():
    with pytest.raises(TypeError, match="Column 'behaviors' is of Arrow type int64"):
        as_frame(pa.table({"behaviors": [1]}), "behaviors")


@pytest.mark.parametrize(
    "column",
    [
        pd.Series(["a"]),
        pd.Series([1.0]),
        pd.Series([None], dtype=object),
        pd.Series(["a"], dtype=object),
        pd.Series(pd.Categorical(["a"])),
        arrow_series(pa.array(["a"])),
    ],
)
def test_is_not_nested(column):
    assert not is_nested(column)


# ---- lengths of time


@pytest.mark.parametrize(
    ("value", "microseconds"),
    [
        ("1h", HOUR),
        ("30D", 30 * DAY),
        ("1 hour 5 min", 65 * MINUTE),
        ("0:20:00", 20 * MINUTE),
        (dt.timedelta(hours=1), HOUR),
        (pd.Timedelta("2s"), 2_000_000),
        (np.timedelta64(1, "h"), HOUR),
        (pd.offsets.Hour(2), 2 * HOUR),
        (pd.Timedelta("1999ns"), 1),
        (pd.Timedelta("1ns"), 1),
        (pd.Timedelta(days=400, microseconds=1, nanoseconds=999), 400 * DAY + 1),
    ],
)
def test_microseconds_of(value, microseconds):
    assert microseconds_of(value, "gap") == microseconds


@pytest.mark.parametrize(
    "value", ["x", "1M", 3600, 3600.0, "3600", " 1.5 ", True, np.int64(5), [1], "1000000D"]
)
def test_refuses_what_is_no_length_of_time(value):
    with pytest.raises(
        ValueError, match=r"is not a valid duration\. Pass a pandas offset"
    ) as error:
        microseconds_of(value, "gap")
    assert f"gap={value!r}" in str(error.value)


@pytest.mark.parametrize("value", ["0h", "-1h", pd.NaT, None, dt.timedelta(0)])
def test_refuses_lengths_that_are_not_positive(value):
    with pytest.raises(ValueError, match=r"lookback=.* must be a positive duration"):
        microseconds_of(value, "lookback")


# ---- the as-of cut


LOOKBACKS = [1, 20 * MINUTE, 5 * HOUR]


@given(
    table=tables(),
    unit=st.sampled_from(["us", "ns"]),
    tz=st.sampled_from([None, "UTC", "Asia/Shanghai"]),
    lookback=st.sampled_from([None, *LOOKBACKS]),
)
@settings(max_examples=20)
def test_read_as_of_cuts_and_orders_as_a_plain_loop_does(table, unit, tz, lookback):
    histories, applied_at = table
    for h in histories:
        for k, e in enumerate(h or ()):
            e["item"] = str(k)  # so that the order is seen
    X = drawn(histories, applied_at, unit=unit, tz=tz)
    as_of = read_as_of(X, "behaviors", "applied_at", lookback)
    wanted = [known(h, limit, lookback) for h, limit in zip(histories, applied_at, strict=True)]
    found = as_of.behaviors
    assert [[e["item"] for e in row] for row in events_of(found)] == [
        [e["item"] for e in row] for row in wanted
    ]
    assert found.times().tolist() == [e["time"] for row in wanted for e in row]
    assert as_of.applied_at.tolist() == applied_at

    everything = [
        (e["time"], limit) for h, limit in zip(histories, applied_at, strict=True) for e in h or ()
    ]
    assert as_of.counts().to_dict() == {
        "events": len(everything),
        "events_too_late": sum(time >= limit for time, limit in everything),
        "events_before_lookback": sum(
            lookback is not None and time < limit - lookback for time, limit in everything
        ),
        "events_used": sum(map(len, wanted)),
    }


def used(X, **kwargs):
    return read_as_of(X, "behaviors", "applied_at", **kwargs).behaviors.times().tolist()


def test_the_cut_is_strictly_before():
    at = ZERO + HOUR
    X = applications([[{"time": at + k, "operation": "a"} for k in (-1, 0, 1)]], [at])
    assert used(X) == [at - 1]


def test_the_lookback_is_inclusive():
    at = ZERO + HOUR
    X = applications([[{"time": at - k, "operation": "a"} for k in (101, 100, 99)]], [at])
    assert used(X, lookback=100) == [at - 100, at - 99]


def test_nanoseconds_are_cut_before_they_are_compared():
    # 999 ns after the event's microsecond is the same instant: not before, so not known.
    at = pd.Timestamp("2024-05-01 12:00:00.000001999")
    events = pd.DataFrame({"time": [pd.Timestamp("2024-05-01 12:00:00.000001")], "operation": "a"})
    X = pd.DataFrame({"applied_at": [at], "behaviors": pd.Series([events], dtype=object)})
    assert X["applied_at"].dtype == "datetime64[ns]"
    assert used(X) == []
    X["applied_at"] += pd.Timedelta("1ns")
    assert len(used(X)) == 1


def test_nothing_is_cut_where_that_was_asked_for():
    X = applications([[event(2), event(1)]], [ZERO]).drop(columns="applied_at")
    as_of = read_as_of(X, "behaviors", None)
    assert as_of.behaviors.times().tolist() == [ZERO + HOUR, ZERO + 2 * HOUR]
    assert as_of.applied_at is None
    with pytest.raises(ValueError, match="lookback requires applied_at, which is None"):
        read_as_of(X, "behaviors", None, lookback=1)


def test_events_of_one_instant_keep_seq_order_or_their_given_order():
    same = [event(1, "b", item="1"), event(1, "a", item="2"), event(0, "c", item="3")]
    X = applications([same])
    assert _items(X) == ["3", "1", "2"]
    X = applications([[{**e, "seq": seq} for e, seq in zip(same, (5, -5, 9), strict=True)]])
    assert _items(X) == ["3", "2", "1"]


def test_seq_alone_may_be_out_of_order():
    same = [event(1, item="1", seq=2), event(1, item="2", seq=1), event(2, item="3", seq=0)]
    assert _items(applications([same])) == ["2", "1", "3"]


def test_sessions_come_before_time_only_where_that_was_asked_for():
    column = Behaviors.from_column(nested([[event(0), event(1), event(2), event(3)]])).with_fields(
        session=pa.array([1, 0, 1, 0])
    )
    X = applications([None]).assign(behaviors=column.to_array())
    hours = lambda **kwargs: [(t - ZERO) // HOUR for t in used(X, **kwargs)]  # noqa: E731
    assert hours() == [0, 1, 2, 3]
    assert hours(by_session=True) == [1, 3, 0, 2]


def _items(X):
    return read_as_of(X, "behaviors", "applied_at").behaviors.fields["item"].to_pylist()


def test_input_is_left_as_it_was():
    X = applications([[event(1), event(0)], None], [ZERO + HOUR, ZERO])
    before = pickle.dumps(X)
    read_as_of(X, "behaviors", "applied_at", 5)
    assert pickle.dumps(X) == before


@pytest.mark.parametrize(
    ("events_zone", "zone"),
    [(None, "UTC"), ("UTC", None), ("UTC", "Asia/Shanghai"), ("Asia/Shanghai", "UTC")],
)
def test_refuses_two_time_zones(events_zone, zone):
    X = applications([[event(0)]], tz=events_zone)
    X["applied_at"] = applications([None], tz=zone)["applied_at"]
    found, of_events = (
        "without a time zone" if name is None else f"in time zone {name}"
        for name in (zone, events_zone)
    )
    with pytest.raises(ValueError, match=rf"'applied_at' is {found}, .* is {of_events}\."):
        used(X)


def test_no_time_zone_is_missed_where_there_is_no_event():
    assert (
        used(
            applications([None], subfields=["time"]).assign(
                applied_at=applications([None], tz="UTC")["applied_at"]
            )
        )
        == []
    )


def test_refuses_application_times_in_several_zones():
    X = applications([[event(0)], None]).assign(applied_at=pd.Series([NAIVE, UTC]).to_numpy())
    assert X["applied_at"].dtype == object
    with pytest.raises(ValueError, match="rows of column 'applied_at' have times in several"):
        used(X)


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ([NOON, pd.NaT], ValueError, "column 'applied_at' has 1 missing times. Fill them in"),
        ([pd.NaT, pd.NaT], ValueError, "column 'applied_at' has 2 missing times"),
        (["2024-05-01", "2024-05-02"], TypeError, "'applied_at' is of type .*string; it must hold"),
        ([1, 2], TypeError, "'applied_at' is of type int64; it must hold timestamps"),
        ([dt.date(2024, 5, 1)] * 2, TypeError, "'applied_at' is of type date32"),
        ([NOON, "x"], TypeError, "'applied_at' contains objects that are not all timestamps"),
    ],
)
def test_refuses_application_times_that_are_none(values, error, message):
    X = applications([[event(0)], None])
    X["applied_at"] = pd.Series(values, index=X.index)
    with pytest.raises(error, match=message):
        used(X)


def test_application_times_may_be_arrow_or_objects():
    X = applications([[event(0), event(1)]], [ZERO + HOUR])
    arrow = X.assign(applied_at=X["applied_at"].astype(pd.ArrowDtype(pa.timestamp("us"))))
    objects = X.assign(applied_at=X["applied_at"].astype(object))
    assert used(arrow) == used(objects) == used(X) == [ZERO]


def test_refuses_columns_that_are_not_there_or_there_twice():
    X = applications([[event(0)]])
    with pytest.raises(ValueError, match=r"no column 'events'; it has \['applied_at', 'behaviors'"):
        read_as_of(X, "events", "applied_at")
    with pytest.raises(ValueError, match=r"no column 'at', so events after .*applied_at=None"):
        read_as_of(X, "behaviors", "at")
    for name in X.columns:
        with pytest.raises(ValueError, match=f"more than one column '{name}'"):
            as_frame(pd.concat([X, X[[name]]], axis=1))


def test_refuses_an_order_that_is_none():
    X = applications([[{**event(0), "seq": None}, {**event(0), "seq": 1}]])
    with pytest.raises(TypeError, match="'seq' is of type int64 with 1 missing values"):
        used(X)


def test_a_subfield_of_type_null_under_arrow_dtypes() -> None:
    """pandas before 3.1 shortens it to the number of rows: refused, not misread."""
    events = pa.StructArray.from_arrays(
        [pa.array(range(8), pa.timestamp("us")), pa.array(["a"] * 8), pa.nulls(8)],
        ["time", "operation", "amount"],
    )
    column = pa.ListArray.from_arrays(pa.array([0, 0, 4, 8], pa.int32()), events)
    table = pa.table({"behaviors": column})
    X = table.to_pandas(types_mapper=pd.ArrowDtype)
    if Version(pd.__version__) < Version("3.1"):
        with pytest.raises(ValueError, match=r"amount: null.* contains invalid lists"):
            Behaviors.from_column(X["behaviors"])
    else:
        assert np.isnan(Behaviors.from_column(X["behaviors"]).numbers("amount")).sum() == 8


def test_one_row_or_column_as_a_series_says_how_to_keep_a_table() -> None:
    X = pd.DataFrame({"age": [1, 2], "x": [1.0, 2.0]})
    for series in (X.iloc[1], X["age"]):
        message = r"X is a Series.*X\.iloc\[\[3\]\] for one row, or X\[\['age'\]\] for one column"
        with pytest.raises(TypeError, match=message):
            as_frame(series)


@pytest.mark.parametrize("unit", ["ms", "s"])
@pytest.mark.parametrize("sign", [1, -1])
def test_times_too_far_for_microseconds_are_refused_not_wrapped(unit, sign) -> None:
    ticks = sign * (2**63 // {"ms": 1000, "s": 1_000_000}[unit] + 1)
    X = applications([[event(0)]])
    for of_arrow in (False, True):

        def times(ticks: int, of_arrow: bool = of_arrow) -> pd.Series:
            values = np.array([ticks], f"datetime64[{unit}]")
            return arrow_series(pa.array(values)) if of_arrow else pd.Series(values)

        message = "column 'applied_at' has 1 times out of range"
        with pytest.raises(ValueError, match=message):
            read_as_of(X.assign(applied_at=times(ticks).array), "behaviors", "applied_at")
        near = X.assign(applied_at=times(ticks - 2 * sign).array)
        as_of = read_as_of(near, "behaviors", "applied_at")
        assert as_of.behaviors.n_events == (sign > 0)


@pytest.mark.parametrize("lacks", ["amount", "item"])
def test_months_of_which_one_lacks_a_subfield(lacks) -> None:
    """pandas.concat makes DataFrames without a zone of them: told, with a cure that works."""
    zone = "Asia/Shanghai"
    table = pd.DataFrame({"user_id": [1], "applied_at": pd.to_datetime(["2024-05-02"])})
    log = pd.DataFrame(
        {
            "user_id": [1],
            "time": pd.to_datetime(["2024-05-01 23:30"]),
            "operation": ["login"],
            "item": ["a"],
            "amount": [1.0],
        }
    )

    def months(zone: str | None, *logs: pd.DataFrame) -> pd.DataFrame:
        applications = table.assign(applied_at=table["applied_at"].dt.tz_localize(zone))
        return pd.concat(
            [
                attach_behaviors(applications, one.assign(time=one["time"].dt.tz_localize(zone)))
                for one in logs
            ],
            ignore_index=True,
        )

    lacking = log.drop(columns=lacks)
    with pytest.raises(
        ValueError, match=r"drops the time zone.*events\.assign\(amount=float\('nan'\)\)"
    ):
        read_as_of(months(zone, log, lacking), "behaviors", "applied_at")
    cured = months(zone, log, lacking.assign(**{lacks: float("nan")}))
    behaviors = read_as_of(cured, "behaviors", "applied_at").behaviors
    assert behaviors.n_events == 2
    assert behaviors.fields["time"].type.tz == zone
    without = read_as_of(months(None, log, lacking), "behaviors", "applied_at").behaviors
    assert without.fields["time"].to_pylist() == log["time"].tolist() * 2
