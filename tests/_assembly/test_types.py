"""Types of Arrow: the join carries them as they are, or refuses the column by its name."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skhuihen import attach_behaviors

US = pa.timestamp("us")
APPLICATIONS = pa.table({"user_id": [1, 2], "applied_at": pa.array([datetime(2024, 5, 2)] * 2, US)})
EVENTS = pa.table(
    {"user_id": [1, 2], "time": pa.array([datetime(2024, 5, 1)] * 2, US), "operation": ["a", "b"]}
)

CARRIED = {
    "decimal": pa.array([Decimal("1.5")] * 2, pa.decimal128(9, 2)),
    "small decimal": pa.array([Decimal("1.5")] * 2, pa.decimal32(9, 2)),
    "date": pa.array([1, 2], pa.date32()),
    "time": pa.array([1, 2], pa.time64("us")),
    "bytes": pa.array([b"a", b"b"]),
    "text view": pa.array(["a", None], pa.string_view()),
    "unsigned": pa.array([1, 2**64 - 1], pa.uint64()),
    "category": pa.array(["a", "b"]).dictionary_encode(),
    "array": pa.array([[1, 2], [3, 4]], pa.list_(pa.int64(), 2)),
    "map": pa.array([[("a", 1)], []], pa.map_(pa.string(), pa.int64())),
    "null": pa.nulls(2),
}
REFUSED = {
    "fixed-size bytes": pa.array([b"ab", b"cd"], pa.binary(2)),
    "bytes view": pa.array([b"a", b"b"], pa.binary_view()),
    "list view": pa.array([[1], [2]], pa.list_view(pa.int64())),
    "large list view": pa.array([[1], [2]], pa.large_list_view(pa.int64())),
    "run-end encoded": pa.RunEndEncodedArray.from_arrays(pa.array([1, 2], pa.int32()), [5, 6]),
    "large decimal": pa.array([Decimal("1.5")] * 2, pa.decimal256(40, 2)),
    "duration": pa.array([1, 2], pa.duration("s")),
    "interval": pa.array([(1, 2, 3)] * 2, pa.month_day_nano_interval()),
    "half float": pa.array(np.array([1, 2], np.float16)),
    "uuid": pa.ExtensionArray.from_storage(pa.uuid(), pa.array([b"a" * 16] * 2, pa.binary(16))),
    "union": pa.UnionArray.from_sparse(
        pa.array([0, 1], pa.int8()), [pa.array([1, 2]), pa.array(["a", "b"])]
    ),
    "category of bytes": pa.DictionaryArray.from_arrays(
        pa.array([0, 1], pa.int8()), pa.array([b"ab", b"cd"], pa.binary(2))
    ),
}
INSIDE = {
    "itself": lambda values: values,
    "list": lambda values: pa.LargeListArray.from_arrays([0, 1, 2], values),
    "struct": lambda values: pa.StructArray.from_arrays([values], ["q"]),
    "map": lambda values: pa.MapArray.from_arrays([0, 1, 2], pa.array(["a", "b"]), values),
}
inside = pytest.mark.parametrize("inside", INSIDE)


@inside
@pytest.mark.parametrize("kind", CARRIED)
def test_carried(kind, inside):
    values = INSIDE[inside](CARRIED[kind])
    X = attach_behaviors(APPLICATIONS, EVENTS.append_column("odd", values))
    found = X["behaviors"].array.list_array
    assert [row[0]["odd"] for row in found.to_pylist()] == values.to_pylist()


@inside
@pytest.mark.parametrize("kind", REFUSED)
def test_refused_by_name(kind, inside, tmp_path):
    if kind == "union" and inside == "list":
        pytest.skip("Arrow does not support a list of unions here")
    values = INSIDE[inside](REFUSED[kind])
    events = EVENTS.append_column("odd", values)
    message = r"(?s)Column 'odd' of (events|applications) is of type .* cannot use.*Convert it"
    tables = [events]
    try:
        pq.write_table(events, tmp_path / "events.parquet")
    except pa.ArrowNotImplementedError:  # Parquet has no such type
        pass
    else:
        if pq.read_schema(tmp_path / "events.parquet").field("odd").type == values.type:
            tables.append(tmp_path / "events.parquet")
    for table in tables:
        with pytest.raises(TypeError, match=message):
            attach_behaviors(APPLICATIONS, table)


@pytest.mark.parametrize("kind", ["small decimal", "text view"])
def test_a_profile_column_that_pandas_cannot_hold_is_named(kind):
    values = INSIDE["list"](CARRIED[kind])
    with pytest.raises(TypeError, match="Column 'odd' of applications is of type large_list"):
        attach_behaviors(APPLICATIONS.append_column("odd", values), EVENTS)
