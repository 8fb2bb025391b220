"""Joining in partitions: the same result, from files, into files, whatever happens."""

from __future__ import annotations

import datetime
import importlib
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import nested_pandas as npd
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import skhuihen._assembly.duckdb
from skhuihen import attach_behaviors
from skhuihen._compat import TEXT
from skhuihen._events.as_of import read_as_of

BASE = pd.Timestamp("2024-05-01")


def lists(X):
    return X["behaviors"].array.list_array.to_pylist()


def integers(users):
    return pd.Series(users, dtype="Int64")


def floats(users):
    return pd.Series(users, dtype="float64")


def texts(users):
    return pd.Series([None if user is None else f"u{user}" for user in users], dtype="str")


def unsigned(users):
    return pd.Series(users, dtype="UInt64")


def decimals(digits):
    def make(users):
        values = [None if user is None else Decimal(user) for user in users]
        return pd.Series(values, dtype=pd.ArrowDtype(pa.decimal128(20, digits)))

    return make


# The key's type in applications, and in events.
KEYS = {
    "integer, integer": (integers, integers),
    "integer, unsigned": (integers, unsigned),
    "integer, float": (integers, floats),
    "float, float": (floats, floats),
    "text, text": (texts, texts),
    "decimal, decimal": (decimals(2), decimals(0)),
    "integer, decimal": (integers, decimals(2)),
}

# Few values each, so that ties, nulls, twins and several applications of a user are the rule.
application = st.tuples(st.integers(0, 3), st.sampled_from("AB"), st.integers(2, 6))
event = st.tuples(
    st.sampled_from([0, 1, 2, 3, 9, None]),
    st.sampled_from(["A", "B", None]),
    st.integers(0, 7),
    st.sampled_from(["a", "b", None]),
    st.sampled_from([1.5, np.nan, None]),
    st.sampled_from([0, 3, 5, None]),
)


def at(hours):
    return pd.Series([pd.NaT if h is None else BASE + pd.Timedelta(h, "h") for h in hours]).astype(
        "datetime64[us]"
    )


def columns(records, n):
    return list(zip(*records, strict=True)) if records else [()] * n


@given(
    st.lists(application, max_size=8),
    st.lists(event, max_size=30),
    st.integers(1, 7),
    st.sampled_from(sorted(KEYS)),
    st.sampled_from([["user_id"], ["user_id", "bank"], ["bank", "user_id"]]),
    st.sampled_from([{}, {"known_at": "seen", "lookback": "3h", "order": "amount"}]),
)
@settings(max_examples=15)
def test_partitions_change_nothing(applications, events, n_partitions, kind, by, options):
    of_applications, of_events = KEYS[kind]
    users, banks, hours = columns(applications, 3)
    frame = pd.DataFrame(
        {
            "user_id": of_applications(users),
            "bank": pd.Series(banks, dtype="str"),
            "applied_at": at(hours),
        },
        index=np.arange(len(users))[::-1],
    )
    users, banks, hours, operations, amounts, seen = columns(events, 6)
    table = pd.DataFrame(
        {
            "user_id": of_events(users),
            "bank": pd.Series(banks, dtype="str"),
            "time": at(hours),
            "operation": pd.Series(operations, dtype="str"),
            "amount": pd.Series(amounts, dtype="float64"),
            "seen": at(seen),
        }
    )
    options = {"by": by, "return_report": True, **options}
    X, report = attach_behaviors(frame, table, n_partitions=1, **options)
    parted, counted = attach_behaviors(frame, table, n_partitions=n_partitions, **options)
    assert parted["behaviors"].dtype == X["behaviors"].dtype
    assert lists(parted) == lists(X)
    pd.testing.assert_frame_equal(parted.drop(columns="behaviors"), frame)
    pd.testing.assert_series_equal(counted, report)


# --------------------------------------------------------------------------------------------------
# A bank of some hundred users, in files.


@pytest.fixture
def bank(tmp_path):
    random = np.random.default_rng(0)
    n_applications, n_events = 300, 5000
    applications = pd.DataFrame(
        {
            "user_id": random.integers(0, 200, n_applications),
            "applied_at": BASE + random.integers(0, 100, n_applications) * pd.Timedelta("1h"),
            "city": pd.Categorical(random.choice(["Jos", "Kano"], n_applications)),
            # Without any value in the first half: a part by itself would not know the type.
            "note": pd.Series([None] * 150 + ["x"] * 150, dtype=object),
            "income": pd.array(random.integers(0, 9, n_applications), dtype="Int64"),
        }
    )
    applications["applied_at"] = applications["applied_at"].dt.tz_localize("Asia/Shanghai")
    events = pd.DataFrame(
        {
            "user_id": np.where(
                random.random(n_events) < 0.1, np.nan, random.integers(0, 250, n_events)
            ),
            "time": BASE + random.integers(0, 100, n_events) * pd.Timedelta("1h"),
            "operation": random.choice(["login", "pay", "loan"], n_events),
            "amount": np.where(random.random(n_events) < 0.5, np.nan, 2.5),
            # Without it events could be equal but for their tags, which have no order.
            "rank": np.arange(n_events),
            "tags": [["a"], [], None, ["b", "c"]] * (n_events // 4),
        }
    )
    events["time"] = events["time"].dt.tz_localize("Asia/Shanghai").dt.as_unit("ns")
    (tmp_path / "events").mkdir()
    for start in range(0, n_events, 1000):
        part = events.iloc[start : start + 1000]
        part.to_parquet(tmp_path / "events" / f"{start}.parquet", row_group_size=300)
    return applications, events, tmp_path / "events"


@pytest.mark.parametrize("index", [None, "name", "range", "unnamed"])
@pytest.mark.parametrize("n_partitions", [1, 4])
def test_the_folder_reads_back_as_the_frame(bank, tmp_path, n_partitions, index):
    applications, events, files = bank
    if index == "name":
        applications.index = pd.Index(np.arange(300) % 7, name="row")
    elif index == "range":
        applications.index = pd.RangeIndex(5, 305)
    elif index == "unnamed":
        applications.index = np.arange(300) % 7
    X, report = attach_behaviors(applications, events, return_report=True)
    folder, counted = attach_behaviors(
        applications,
        files,
        output=tmp_path / "out",
        n_partitions=n_partitions,
        return_report=True,
    )
    assert folder == tmp_path / "out"
    assert len(list(folder.iterdir())) == n_partitions
    pd.testing.assert_series_equal(counted, report)
    nested = npd.read_parquet(folder)
    assert nested["behaviors"].dtype == X["behaviors"].dtype
    assert lists(nested) == lists(X)
    assert nested.index.tolist() == X.index.tolist()
    again = pd.read_parquet(folder)
    # pandas reads text as text, whatever it was.
    profile = X.drop(columns="behaviors").astype({"note": TEXT})
    pd.testing.assert_frame_equal(again.drop(columns="behaviors"), profile)
    assert read_as_of(again, "behaviors", "applied_at", None).n_events == report["pairs_used"]
    plain = pq.read_table(folder)
    assert plain["behaviors"].to_pylist() == lists(X)
    assert plain["note"].to_pylist() == X["note"].tolist()


def test_each_part_is_like_the_others(bank, tmp_path):
    applications, _, files = bank
    folder = attach_behaviors(applications, files, output=str(tmp_path / "out"), n_partitions=5)
    parts = sorted(folder.iterdir())
    assert [part.name for part in parts] == [f"part-0000{i}.parquet" for i in range(5)]
    assert len({str(pq.read_schema(part)) for part in parts}) == 1
    # About equally many pairs each.
    n_events = [npd.read_parquet(part)["behaviors"].array.flat_length for part in parts]
    assert max(n_events) < 2 * min(n_events)


def test_more_partitions_than_rows(bank, tmp_path):
    applications, events, _ = bank
    few, options = applications.iloc[:3], {"n_partitions": 50, "return_report": True}
    X, _ = attach_behaviors(few, events, n_partitions=1, return_report=True)
    assert lists(attach_behaviors(few, events, **options)[0]) == lists(X)
    none, _ = attach_behaviors(few[:0], events, output=tmp_path / "none", **options)
    assert npd.read_parquet(none)["behaviors"].dtype == X["behaviors"].dtype
    assert len(pq.read_table(none)) == 0


def test_the_memory_limit_sets_the_number_of_partitions(bank, tmp_path, monkeypatch):
    applications, events, files = bank
    X = attach_behaviors(applications, events)
    roomy = attach_behaviors(applications, files, output=tmp_path / "roomy")
    assert len(list(roomy.iterdir())) == 1
    # As if an event took megabytes.
    monkeypatch.setattr(skhuihen._assembly.duckdb, "_OVERHEAD", 8e3)
    tight = attach_behaviors(applications, files, output=tmp_path / "tight", memory_limit="500MB")
    assert 3 < len(list(tight.iterdir())) < 50
    assert lists(npd.read_parquet(tight)) == lists(X)


def test_every_type_survives_the_way_to_its_partition(bank):
    applications, events, _ = bank
    n = len(events)
    events = pa.table(events)
    random = np.random.default_rng(0)
    moment = pa.array(random.integers(0, 10**9, n))
    further = {
        "nothing": pa.nulls(n),
        "second": moment.cast(pa.timestamp("s")),
        "milli": moment.cast(pa.timestamp("ms", "Asia/Tokyo")),
        "clock": pa.array(random.integers(0, 86400, n).astype("int32")).cast(pa.time32("s")),
        "day": pa.array([datetime.date(2024, 5, 1), None] * (n // 2)),
        "pair": pa.array([[1, 2], None] * (n // 2), pa.list_(pa.int8(), 2)),
        "map": pa.array([[("a", 1)], []] * (n // 2), pa.map_(pa.string(), pa.int8())),
        "record": pa.array([{"a": 1, "b": ["x"]}, None] * (n // 2)),
        "category": pa.array(["x", None] * (n // 2)).dictionary_encode(),
        "bytes": pa.array([b"\x00", None] * (n // 2)),
        "price": moment.cast(pa.decimal128(38, 9)),
        "large": pa.array(["é", None] * (n // 2), pa.large_string()),
    }
    for name, values in further.items():
        events = events.append_column(name, values)
    X = attach_behaviors(applications, events, n_partitions=1)
    parted = attach_behaviors(applications, events, n_partitions=3)
    assert parted["behaviors"].dtype == X["behaviors"].dtype
    assert lists(parted) == lists(X)


def test_files_are_read_as_arrow_reads_them(bank, tmp_path):
    applications, events, _ = bank
    files = tmp_path / "mixed"
    files.mkdir()
    halves = pa.table(events.iloc[:2500]), pa.table(events.iloc[2500:])
    nanos = halves[0]["time"].cast("int64").to_numpy() + np.arange(2500) % 1000
    first = halves[0].set_column(
        1, "time", pa.array(nanos).cast(pa.timestamp("ns", "Asia/Shanghai"))
    )
    second = halves[1].set_column(1, "time", halves[1]["time"].cast(pa.timestamp("s", "UTC")))
    second = second.set_column(1, "time", second["time"].cast(pa.timestamp("ms", "Asia/Shanghai")))
    second = second.append_column("extra", pa.array(["x"] * 2500))
    first = first.set_column(4, "rank", first["rank"].cast("int16"))
    # What is a pattern to a glob is an ordinary name here.
    pq.write_table(first, files / "a[1]'*.parquet")
    pq.write_table(second, files / "b.parquet")
    whole = pa.concat_tables([first, second], promote_options="permissive")
    X = attach_behaviors(applications, whole)
    for n_partitions in (1, 3):
        again = attach_behaviors(applications, files, n_partitions=n_partitions)
        assert again["behaviors"].dtype == X["behaviors"].dtype
        assert lists(again) == lists(X)


# --------------------------------------------------------------------------------------------------
# Whatever happens.


# A key is read when events are counted, an amount not before they are joined.
@pytest.mark.parametrize("column", ["user_id", "amount"])
def test_a_broken_file_is_named_and_leaves_nothing_behind(bank, tmp_path, monkeypatch, column):
    applications, _, files = bank
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(work))
    last = max(files.iterdir())
    content = bytearray(last.read_bytes())
    group = pq.ParquetFile(last).metadata.row_group(0)
    (chunk,) = (
        group.column(i)
        for i in range(group.num_columns)
        if group.column(i).path_in_schema == column
    )
    start, size = (
        chunk.dictionary_page_offset or chunk.data_page_offset,
        chunk.total_compressed_size,
    )
    content[start : start + size] = b"\xff" * size  # it opens, but cannot be read to its end
    last.write_bytes(content)
    for output in (None, work / "out"):
        with pytest.raises(ValueError, match=f"join failed.*{last.name}.* is damaged"):
            attach_behaviors(applications, files, output=output, n_partitions=4)
    assert list(work.iterdir()) == []


def cut_off(path):
    path.write_bytes(path.read_bytes()[:-100])


def change_a_type(path):
    table = pq.read_table(path)
    position = table.column_names.index("amount")
    pq.write_table(table.set_column(position, "amount", table["amount"].cast("string")), path)


@pytest.mark.parametrize("harm", [cut_off, change_a_type])
def test_a_file_that_does_not_open_or_fit_is_named(bank, tmp_path, harm):
    applications, _, files = bank
    before = sorted(tmp_path.iterdir())
    (*_, third, _, _) = sorted(files.iterdir())
    harm(third)
    with pytest.raises(
        ValueError, match=rf"events: the file .*{third.name} (cannot be read|does not fit)"
    ):
        attach_behaviors(applications, files, output=tmp_path / "out", n_partitions=4)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["full disk", "killed"])
def test_nothing_half_written_passes_for_the_whole(bank, tmp_path, fault):
    """In a process of its own, which the system refuses to let write on, or which is killed."""
    applications, _, files = bank
    applications.to_parquet(tmp_path / "applications.parquet")
    out = tmp_path / "out"
    limit, kill = "", ""
    if fault == "full disk":
        limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))"
    else:
        kill = """
class Dying(parquet.ParquetWriter):
    def __init__(self, path, schema):
        super().__init__(path, schema)
        self.path = path
    def write_table(self, table):
        super().write_table(table)
        if "00001" in str(self.path):
            os.kill(os.getpid(), signal.SIGKILL)
parquet.ParquetWriter = Dying
"""
    call = f"{str(tmp_path / 'applications.parquet')!r}, {str(files)!r}, output={str(out)!r}"
    code = f"""
import os, signal
from pyarrow import parquet
from skhuihen import attach_behaviors
{limit}
{kill}
attach_behaviors({call}, n_partitions={1 if limit else 4})
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if limit:
        assert done.stderr.splitlines()[-1].startswith("OSError")
        assert done.stderr.splitlines()[-1].endswith(f"'{out}'")
    else:
        assert done.returncode == -9
    assert not out.exists()
    X = attach_behaviors(applications, files)
    again = attach_behaviors(applications, files, output=out, n_partitions=4)
    assert lists(npd.read_parquet(again)) == lists(X)


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failure_half_way_leaves_nothing_behind(bank, tmp_path, monkeypatch, error):
    applications, _, files = bank
    work = tmp_path / "work"
    work.mkdir()
    written = []

    write_table = pq.ParquetWriter.write_table

    def write(writer, table):
        if len(written) == 2:
            raise error
        written.append(table)
        write_table(writer, table)
        assert not (work / "out").exists()

    monkeypatch.setattr(pq.ParquetWriter, "write_table", write)
    with pytest.raises(type(error)):
        attach_behaviors(applications, files, output=work / "out", n_partitions=4)
    assert len(written) == 2
    assert list(work.iterdir()) == []


def test_success_leaves_only_the_parts(bank, tmp_path, monkeypatch):
    applications, _, files = bank
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(work))
    attach_behaviors(applications, files, n_partitions=4)
    assert list(work.iterdir()) == []
    attach_behaviors(applications, files, output=work / "out", n_partitions=4)
    assert list(work.iterdir()) == [work / "out"]


def test_says_what_to_do_when_memory_is_short(bank):
    applications, _, files = bank
    with pytest.raises(MemoryError, match=r"larger memory_limit=.* larger n_partitions=") as caught:
        attach_behaviors(applications, files, memory_limit="1KB")
    assert "SET threads" not in str(caught.value)


def test_progress_is_shown_only_when_asked_for(bank, capfd):
    applications, _, files = bank
    attach_behaviors(applications, files, n_partitions=3)
    shown = capfd.readouterr()
    assert (shown.out, shown.err) == ("", "")
    attach_behaviors(applications, files, n_partitions=3, verbose=1)
    assert "3/3" in capfd.readouterr().err


def test_warns_without_a_report_as_ever(bank, tmp_path):
    applications, events, _ = bank
    late = events.assign(time=events["time"] + pd.Timedelta("900D"))
    with pytest.warns(UserWarning, match="no application has an earlier event") as caught:
        attach_behaviors(applications, late, output=tmp_path / "out", n_partitions=2)
    assert caught[0].filename == __file__


@pytest.mark.slow
def test_benchmark(monkeypatch, capsys):
    monkeypatch.syspath_prepend(Path(__file__).resolve().parents[2] / "benchmarks")
    script = importlib.import_module("join_memory")
    run = script.run

    def run_or_start(way, folder):
        """Start a process for one way, and run the others here, where everything is loaded."""
        if way == "folder auto 500MB":
            return run(way, folder)
        script.child(way, folder)
        return 1.0, 1.0

    monkeypatch.setattr(script, "run", run_or_start)
    monkeypatch.setattr(sys, "argv", ["join_memory.py", "--millions", "0.05"])
    script.main()
    output = capsys.readouterr().out
    for way in ("pandas", "frame auto 500MB", "folder auto 500MB"):
        assert way in output


# --------------------------------------------------------------------------------------------------
# Refusals.


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"n_partitions": 0}, ValueError, "n_partitions == 0, must be >= 1"),
        ({"n_partitions": 2.5}, TypeError, "n_partitions must be an instance of int"),
        ({"memory_limit": "lots"}, ValueError, "memory_limit='lots' is not a valid size. .* '2GB'"),
        ({"memory_limit": "-2GB"}, ValueError, "memory_limit='-2GB' is not a valid size"),
        ({"memory_limit": 2}, ValueError, "memory_limit=2 is not a valid size"),
    ],
)
def test_refuses_options(bank, options, error, message):
    applications, events, _ = bank
    with pytest.raises(error, match=message):
        attach_behaviors(applications, events, **options)


def test_refuses_an_output_that_cannot_be(bank, tmp_path):
    applications, events, files = bank
    with pytest.raises(FileExistsError, match=r"events' already exists. Remove it, or choose a"):
        attach_behaviors(applications, events, output=files)
    with pytest.raises(FileNotFoundError, match=r"the folder .*missing' does not exist. Create"):
        attach_behaviors(applications, events, output=tmp_path / "missing" / "out")
    applications["mixed"] = ["a", 1, 2.5] * 100
    with pytest.raises(TypeError, match="Column 'mixed' of applications cannot be written"):
        attach_behaviors(applications, events, output=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_refuses_what_an_engine_of_the_callers_does_itself():
    import ibis

    time = ibis.expr.datatypes.Timestamp(scale=6)
    applications = ibis.table({"user_id": "int64", "applied_at": time}, "applications")
    events = ibis.table({"user_id": "int64", "time": time, "operation": "string"}, "events")
    options = {"n_partitions": 2, "memory_limit": "1GB"}
    with pytest.raises(ValueError, match=r"n_partitions, memory_limit cannot be used with Ibis"):
        attach_behaviors(applications, events, **options)
