"""Parquet paths: which files a path means, and what is in them, alike for every reader."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import nested_pandas as npd
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.pipeline import make_pipeline

from skhuihen import (
    BehaviorAbstractor,
    HUIHENClassifier,
    Sessionizer,
    attach_behaviors,
    prepare_parquet,
    score_table,
)
from skhuihen._tables.parquet import ParquetTable, as_pandas, cast_columns, find_parquet

TINY = {
    "max_epochs": 1,
    "random_state": 0,
    "net_params": {"module__behavior_dim": 4, "module__intention_dim": 4, "module__habit_dim": 4},
}


@pytest.fixture(scope="module")
def X(bank: Any) -> pd.DataFrame:
    return attach_behaviors(bank.applications.assign(overdue=bank.y), bank.events)


@pytest.fixture(scope="module")
def model(X: pd.DataFrame) -> Any:
    classifier = HUIHENClassifier(early_stopping=False, **TINY)
    return make_pipeline(Sessionizer(), classifier).fit(X.drop(columns="overdue"), X["overdue"])


@pytest.fixture(scope="module")
def parts(bank: Any, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three files of sessionized applications."""
    folder = tmp_path_factory.mktemp("parts")
    applications = bank.applications.assign(overdue=bank.y)
    attached = attach_behaviors(
        applications, bank.events, output=folder / "attached", n_partitions=3
    )
    return sorted(prepare_parquet(Sessionizer(), attached, folder / "prepared").iterdir())


# --------------------------------------------------------------------------------------------------
# Every reader of applications, each as what it has read of them.


def ids_of(frame: pd.DataFrame) -> list[int]:
    return frame["application_id"].tolist()


def read_by_attach(path: Any, model: Any, folder: Path) -> list[int]:
    events = pd.DataFrame({"user_id": [1], "time": [pd.Timestamp(2024, 7, 1)], "operation": ["a"]})
    X, _ = attach_behaviors(path, events, behaviors="more", return_report=True)
    return ids_of(X)


def read_by_prepare(path: Any, model: Any, folder: Path) -> list[int]:
    prepared = prepare_parquet(Sessionizer(), path, folder / "prepared")
    # What is written reads the same again, by the folder's name.
    assert BehaviorAbstractor().fit(prepared).n_features_in_
    return ids_of(pq.read_table(sorted(prepared.iterdir())).to_pandas())


def read_by_score(path: Any, model: Any, folder: Path) -> list[int]:
    columns = list(model.feature_names_in_)
    return ids_of(score_table(model, path, columns=columns, keep=["application_id"]))


def read_by_fit(path: Any, model: Any, folder: Path) -> list[int]:
    return ids_of(_trained_on(path, HUIHENClassifier.fit))


def read_by_partial_fit(path: Any, model: Any, folder: Path) -> list[int]:
    return ids_of(_trained_on(path, HUIHENClassifier.partial_fit, classes=[0, 1]))


def _trained_on(path: Any, fit: Callable[..., Any], **params: Any) -> pd.DataFrame:
    """Return the frame that a classifier has made of the files."""
    seen = []

    class Spy(HUIHENClassifier):
        def _check_table(self, X: Any, *, reset: bool) -> pd.DataFrame:
            seen.append(X)
            return super()._check_table(X, reset=reset)

    fit(Spy(early_stopping=False, **TINY), path, "overdue", **params)
    return seen[0]


def read_by_abstractor(path: Any, model: Any, folder: Path) -> list[int]:
    """It keeps no application, so that what it counted stands for them."""
    counted = BehaviorAbstractor().fit(path).rules_
    files = [file.path for file in find_parquet(path, "X")]
    pd.testing.assert_frame_equal(BehaviorAbstractor().fit(files).rules_, counted)
    frames = [as_pandas(pq.read_table(file, partitioning=None)) for file in files]
    pd.testing.assert_frame_equal(BehaviorAbstractor().fit(pd.concat(frames)).rules_, counted)
    return [one for frame in frames for one in ids_of(frame)]


READERS = [
    read_by_attach,
    read_by_abstractor,
    read_by_prepare,
    read_by_fit,
    read_by_partial_fit,
    read_by_score,
]
every_reader = pytest.mark.parametrize("read", READERS, ids=lambda read: read.__name__)


def of(*files: Path) -> list[int]:
    return [one for file in files for one in ids_of(pq.read_table(file).to_pandas())]


# --------------------------------------------------------------------------------------------------
# Which files a path means.


@every_reader
def test_an_existing_path_wins_over_a_pattern(read, parts, model, tmp_path):
    shutil.copy(parts[0], tmp_path / "a[1].parquet")
    shutil.copy(parts[1], tmp_path / "a1.parquet")
    assert read(str(tmp_path / "a[1].parquet"), model, tmp_path) == of(parts[0])
    shutil.rmtree(tmp_path / "prepared", ignore_errors=True)
    assert read(str(tmp_path / "a[0-9].parquet"), model, tmp_path) == of(parts[1])


@every_reader
def test_a_folder_stands_for_all_below_but_marks_and_leavings(read, parts, model, tmp_path):
    folder = tmp_path / "data [2024]"
    (folder / "year" / "_temporary").mkdir(parents=True)
    (folder / "year" / ".hidden").mkdir()
    shutil.copy(parts[0], folder / "part-0")  # without an extension
    shutil.copy(parts[1], folder / "year" / "part-1.snappy.PARQUET")
    for left in ("_metadata", ".part-0.crc", "year/_x.parquet", "year/.hidden/x.parquet"):
        shutil.copy(parts[2], folder / left)
    shutil.copy(parts[2], folder / "year" / "_temporary" / "x.parquet")
    (folder / "_SUCCESS").touch()
    assert read(folder, model, tmp_path) == of(parts[0], parts[1])
    shutil.rmtree(tmp_path / "prepared", ignore_errors=True)
    # What is named outright is meant.
    assert read(folder / "year" / "_x.parquet", model, tmp_path) == of(parts[2])


FOLDERS = [f"user__b=0{n}/user__of={text}" for n, text in ((1, "K%20o"), (2, "it's"), (3, "x"))]
KEYS = ["user__b", "user__of"]


@every_reader
def test_hive_folders_are_columns_for_every_reader(read, parts, model, tmp_path):
    data = tmp_path / "overdue=7" / "data"  # above the folder that is named: no column
    for part, name in zip(parts, FOLDERS, strict=True):
        (data / name).mkdir(parents=True)
        shutil.copy(part, data / name / "part")
    assert read(data, model, tmp_path) == of(*parts)


def test_hive_folders_give_columns(parts, tmp_path):
    for part, name in zip(parts, FOLDERS, strict=True):
        (tmp_path / "in" / name).mkdir(parents=True)
        shutil.copy(part, tmp_path / "in" / name)
    sizes = [len(of(part)) for part in parts]
    wanted = [np.repeat([1, 2, 3], sizes).tolist(), np.repeat(["K o", "it's", "x"], sizes).tolist()]

    frame = _trained_on(tmp_path / "in", HUIHENClassifier.fit)
    assert frame[KEYS].T.to_numpy().tolist() == wanted
    prepared = prepare_parquet(Sessionizer(), tmp_path / "in", tmp_path / "out")
    written = pq.read_table(prepared).to_pandas()
    assert written[KEYS].T.to_numpy().tolist() == wanted
    profile = as_pandas(pq.read_table(prepared)).drop(columns=[*KEYS, "overdue"])
    classifier = HUIHENClassifier(early_stopping=False, **TINY).fit(profile, written["overdue"])
    columns = list(profile.columns)
    scores = score_table(classifier, prepared, columns=columns, keep=KEYS)
    assert scores[KEYS].T.to_numpy().tolist() == wanted
    scores = score_table(classifier, tmp_path / "in", columns=columns, keep=KEYS)
    assert scores[KEYS].T.to_numpy().tolist() == wanted


def test_hive_folders_of_events(bank, tmp_path):
    """DuckDB's own reading would let a folder above the table's overwrite a column."""
    events = bank.events.assign(branch=np.arange(len(bank.events)) % 3)
    folder = tmp_path / "user_id=1" / "amount=5" / "events"
    texts = {0: "%C3%A4%2F", 1: "__HIVE_DEFAULT_PARTITION__", 2: "it's"}
    for branch, part in events.groupby("branch"):
        (folder / f"branch={texts[branch]}" / "n=07").mkdir(parents=True)
        # Where the file has the column too, the folder's stays.
        part.assign(branch="own").to_parquet(folder / f"branch={texts[branch]}" / "n=07" / "part")
    wanted = attach_behaviors(
        bank.applications,
        events.assign(branch=events["branch"].map({0: "ä/", 1: None, 2: "it's"}), n=7),
    )
    for options in ({}, {"n_partitions": 3}):
        X = attach_behaviors(bank.applications, folder, order=["branch", "item"], **options)
        flat, expected = X["behaviors"].nest.to_flat(), wanted["behaviors"].nest.to_flat()
        keys = ["time", "operation", "item", "amount", "branch", "n"]
        pd.testing.assert_frame_equal(
            flat[keys].sort_values(keys, ignore_index=True),
            expected[keys].sort_values(keys, ignore_index=True),
            check_dtype=False,
        )


def test_patterns(parts, tmp_path):
    for name in ("a.parquet", "b.parquet", "_c.parquet", ".d.parquet", "_e/f.parquet", "g/h"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(parts[0], tmp_path / name)

    def found(*patterns: str) -> list[str]:
        files = find_parquet([str(tmp_path / pattern) for pattern in patterns], "X")
        return [file.path.relative_to(tmp_path).as_posix() for file in files]

    assert found("*.parquet") == ["a.parquet", "b.parquet"]
    assert found("*") == ["a.parquet", "b.parquet", "g/h"]
    assert found("**") == found("**/*") == ["a.parquet", "b.parquet", "g/h"]  # each once
    assert found("_*.parquet") == ["_c.parquet"]
    assert found(".*.parquet") == [".d.parquet"]
    assert found("_e/*") == found("_e") == ["_e/f.parquet"]
    assert found("b.parquet", "a.parquet") == ["b.parquet", "a.parquet"]
    with pytest.raises(ValueError, match=r"X names the file .*b\.parquet twice"):
        found("[a-b].parquet", "b.parquet")
    for nothing in ("c*", "a[1].parquet", "nothing", "_*/nothing"):
        with pytest.raises(FileNotFoundError, match="X: no Parquet file found at"):
            found(nothing)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="X: no Parquet file found at"):
        found("empty")
    (tmp_path / "h" / "k=1").mkdir(parents=True)
    shutil.copy(parts[0], tmp_path / "h" / "k=1")
    with pytest.raises(ValueError, match=r"folders with the keys \['k'\], but .*\[\]"):
        found("a.parquet", "h")


@pytest.mark.parametrize("name", ["a{1,2}", "a?*", "it's", "100%25", "[!x]", "~a", "ä b"])
def test_odd_names_are_read_as_they_are(bank, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)  # relative, where engines might see a home or a scheme
    wanted = attach_behaviors(bank.applications, bank.events)["behaviors"].array.list_lengths
    bank.events.to_parquet(f"{name}.parquet")
    bank.events.head(0).to_parquet("a1.parquet")
    bank.applications.to_parquet(f"{name}-a.parquet")
    path = attach_behaviors(f"{name}-a.parquet", f"{name}.parquet", output=f"{name}-out")
    assert path == Path(f"{name}-out")
    X = as_pandas(ParquetTable(path, "X").read())
    assert X["behaviors"].list.len().tolist() == wanted.tolist()
    assert sorted(os.listdir()) == sorted(
        ["a1.parquet", f"{name}.parquet", f"{name}-a.parquet", f"{name}-out"]
    )


def test_outputs_with_brackets_are_found_again(bank, model, X, tmp_path):
    (tmp_path / "out2").mkdir()  # what the name would find as a pattern
    bank.applications.to_parquet(tmp_path / "out2" / "x.parquet")
    applications = bank.applications.assign(overdue=bank.y)
    attached = attach_behaviors(applications, bank.events, output=f"{tmp_path}/out[2024]")
    prepared = prepare_parquet(model[:1], str(attached), f"{tmp_path}/prepared[2024]")
    columns = list(model.feature_names_in_)
    scores = score_table(model, str(attached), f"{tmp_path}/scores[2024]", columns=columns)
    again = score_table(model[-1], str(prepared), columns=columns)
    wanted = model.predict_proba(X.drop(columns="overdue"))[:, 1]
    for found in (pd.read_parquet(scores), again):
        np.testing.assert_allclose(found["probability"], wanted, rtol=0, atol=1e-6)
    assert score_table(model, str(attached), f"{tmp_path}/scores[2024]", columns=columns) == scores


def test_another_file_in_the_folder_is_named_with_a_cure(parts, model, tmp_path):
    shutil.copy(parts[0], tmp_path)
    (tmp_path / "readme.txt").write_text("not Parquet")
    for call in (
        lambda: BehaviorAbstractor().fit(tmp_path),
        lambda: attach_behaviors(tmp_path, pd.DataFrame()),
        lambda: score_table(model, tmp_path),
    ):
        with pytest.raises(ValueError, match=r"readme\.txt.*with a pattern such as"):
            call()


# --------------------------------------------------------------------------------------------------
# INT96, as Spark and SQL Server write it.

FAR = datetime(9999, 12, 31)


def write_far(path: Path, table: pa.Table, *, is_int96: bool) -> Path:
    pq.write_table(table, path, use_deprecated_int96_timestamps=is_int96)
    return path


@pytest.mark.parametrize("far_applications", [True, False])
@pytest.mark.parametrize("far_events", [True, False])
def test_int96_reaches_far(tmp_path, far_applications, far_events):
    us = pa.timestamp("us")
    known = pa.array([datetime(1066, 10, 14, 1, 2, 3, 4)] * 2, us)
    applications = pa.table({"user_id": [1, 2], "applied_at": pa.array([FAR] * 2, us)})
    before = datetime(9999, 12, 30, 23, 59, 59, 999999)
    events = pa.table(
        {
            "user_id": [1, 2],
            "time": pa.array([before, FAR], us),
            "operation": ["a", "b"],
            "known": known,
        }
    )
    X, report = attach_behaviors(
        write_far(tmp_path / "a", applications, is_int96=far_applications),
        write_far(tmp_path / "e", events, is_int96=far_events),
        return_report=True,
        known_at="known",
    )
    assert X["applied_at"].tolist() == [pd.Timestamp(FAR)] * 2
    assert X["behaviors"].nest["time"].tolist() == [before]
    assert X["behaviors"].nest["known"].tolist() == known.to_pylist()[:1]
    assert report["pairs_too_late"] == 1


@pytest.mark.filterwarnings("ignore:.*January 1970")
@pytest.mark.parametrize("nanoseconds", [1999, 1000, 999, 0, -1, -1000, -1001])
def test_int96_is_cut_to_microseconds_not_rounded(tmp_path, nanoseconds):
    if nanoseconds < 0 and nanoseconds % 1000 and int(pa.__version__.split(".")[0]) < 20:
        pytest.skip("Arrow 19 rounds times before 1970 up instead of down")
    applied_at = pa.array([datetime(1970, 1, 1)], pa.timestamp("us"))
    applications = pa.table({"user_id": [1], "applied_at": applied_at})
    time = pa.array([nanoseconds], pa.timestamp("ns"))
    events = pa.table({"user_id": [1], "time": time, "operation": ["a"]})
    path = write_far(tmp_path / "e", events, is_int96=True)
    X, report = attach_behaviors(applications, path, return_report=True)
    assert report["pairs_used"] == (nanoseconds < 0)
    if nanoseconds < 0:
        assert X["behaviors"].nest["time"].astype("int64").tolist() == [nanoseconds // 1000]


def test_int96_in_prepared_files_and_scores(X, model, tmp_path):
    far = X.assign(applied_at=pd.Timestamp(FAR))
    column = far["behaviors"].array.to_arrow_ext_array(list_struct=True).__arrow_array__()
    table = pa.Table.from_pandas(far.drop(columns="behaviors")).append_column("behaviors", column)
    path = write_far(tmp_path / "far.parquet", table, is_int96=True)
    assert pq.read_schema(path).field("applied_at").type == pa.timestamp("ns")
    columns = list(model.feature_names_in_)
    scores = score_table(model, path, columns=columns)
    assert scores["applied_at"].tolist() == far["applied_at"].tolist()
    wanted = model.predict_proba(far.drop(columns="overdue"))[:, 1]
    np.testing.assert_allclose(scores["probability"], wanted, rtol=0, atol=1e-6)
    frame = _trained_on(
        prepare_parquet(Sessionizer(), path, tmp_path / "out"), HUIHENClassifier.fit
    )
    assert frame["applied_at"].tolist() == far["applied_at"].tolist()


# --------------------------------------------------------------------------------------------------
# Columns and subfields without a value, types, and pandas' notes.


def test_an_event_column_that_is_none_throughout(bank, X, model, tmp_path):
    events = bank.events.assign(extra=None, item=None)
    applications = bank.applications.assign(overdue=bank.y, note=None)
    in_memory = attach_behaviors(applications, events)
    attached = attach_behaviors(applications, events, output=tmp_path / "attached")
    assert pa.types.is_null(
        pq.read_schema(next(attached.iterdir())).field("behaviors").type.value_type["extra"].type
    )
    prepared = prepare_parquet(Sessionizer(), attached, tmp_path / "prepared")
    wanted = Sessionizer().transform(in_memory)["behaviors"].array.list_array.to_pylist()
    assert pq.read_table(prepared)["behaviors"].to_pylist() == wanted
    columns = list(model.feature_names_in_)
    expected = model.predict_proba(in_memory[columns])[:, 1]
    for scores in (
        score_table(model, attached, columns=columns),
        score_table(model[-1], prepared, columns=columns),
    ):
        np.testing.assert_allclose(scores["probability"], expected, rtol=0, atol=1e-6)
    classifier = HUIHENClassifier(early_stopping=False, **TINY).fit(prepared, "overdue")
    rules = BehaviorAbstractor().fit(attached).rules_
    pd.testing.assert_frame_equal(rules, BehaviorAbstractor().fit(in_memory).rules_)
    assert len(classifier.classes_) == 2


def test_a_subfield_of_type_null_stays_whole_where_others_are_cast():
    struct = pa.struct({"a": pa.int32(), "nothing": pa.null()})
    wider = pa.struct({"a": pa.int64(), "nothing": pa.null()})
    rows = [[{"a": 1, "nothing": None}] * 3, [], None]
    for make in (pa.list_, pa.large_list):
        table = pa.table({"x": pa.array(rows, make(struct)), "n": pa.array([1, 2, 3], pa.int8())})
        for kind in (struct, wider):
            schema = pa.schema({"x": make(kind), "n": pa.int64()})
            cast = cast_columns(table, schema)
            cast.validate(full=True)
            assert cast.schema == schema
            assert cast["x"].to_pylist() == rows


def test_a_file_that_lacks_a_subfield_is_not_scored_without_a_word(bank, model, tmp_path):
    attach_behaviors(bank.applications, bank.events, output=tmp_path / "may")
    lacking = bank.events.drop(columns="amount")
    attach_behaviors(bank.applications, lacking, output=tmp_path / "june")
    columns = list(model.feature_names_in_)
    months = [tmp_path / "may", tmp_path / "june"]
    with pytest.raises(ValueError, match=r"june.*has no column 'behaviors\.amount'"):
        score_table(model, months, columns=columns)
    with pytest.raises(ValueError, match=r"june.*differs from .*may"):
        BehaviorAbstractor().fit(months)


@pytest.mark.filterwarnings("ignore:Columns .*'born'.* hold dates")
def test_dates_of_32_bits_are_scored(bank, tmp_path):
    applications = bank.applications.assign(born=[date(1990, 1, 1 + i % 28) for i in range(60)])
    X = attach_behaviors(applications, bank.events)
    model = make_pipeline(Sessionizer(), HUIHENClassifier(early_stopping=False, **TINY))
    model.fit(X, bank.y)
    attached = attach_behaviors(applications, bank.events, output=tmp_path / "attached")
    assert pq.read_schema(next(attached.iterdir())).field("born").type == pa.date32()
    scores = score_table(model, attached)
    wanted = model.predict_proba(X)[:, 1]
    np.testing.assert_allclose(scores["probability"], wanted, rtol=0, atol=1e-6)


@pytest.mark.parametrize("zone", ["Asia/Shanghai", "UTC", "+08:00", None])
def test_pandas_reads_what_pandas_wrote(bank, tmp_path, zone):
    X = attach_behaviors(
        bank.applications.assign(
            applied_at=bank.applications["applied_at"].dt.tz_localize(zone),
        ),
        bank.events.assign(
            time=bank.events["time"].dt.tz_localize(zone),
            price=pd.array([1] * len(bank.events), pd.ArrowDtype(pa.decimal128(9, 2))),
        ),
    )
    X.to_parquet(tmp_path / "x.parquet")
    for read in (pd.read_parquet, npd.read_parquet):
        again = read(tmp_path / "x.parquet")
        assert again["behaviors"].dtype == X["behaviors"].dtype
        assert isinstance(again["behaviors"].dtype, npd.NestedDtype)
        assert again["behaviors"].array.list_array.equals(X["behaviors"].array.list_array)
    model = make_pipeline(Sessionizer(), HUIHENClassifier(early_stopping=False, **TINY))
    model.fit(X, bank.y)
    scores = score_table(model, tmp_path / "x.parquet")  # pandas' notes name the column too
    wanted = model.predict_proba(pd.read_parquet(tmp_path / "x.parquet"))[:, 1]
    np.testing.assert_allclose(scores["probability"], wanted, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "text", ["nested<a: [nothing]>", "nested<>", "nested<a>", "nested<a: [int64]", "no dtype"]
)
def test_other_texts_are_no_nested_dtype(text):
    with pytest.raises(TypeError):
        pd.api.types.pandas_dtype(text)


def test_what_parquet_does_not_have_is_named(bank, tmp_path):
    encoded = pa.RunEndEncodedArray.from_arrays(pa.array([60], pa.int32()), pa.array([1]))
    for values in (encoded, pa.StructArray.from_arrays([encoded], ["a"])):
        column = pd.Series(pd.array(values, pd.ArrowDtype(values.type)))
        with pytest.raises(TypeError, match="Column 'odd' of applications is of"):
            attach_behaviors(
                bank.applications.assign(odd=column), bank.events, output=tmp_path / "out"
            )
    assert not list(tmp_path.iterdir())
