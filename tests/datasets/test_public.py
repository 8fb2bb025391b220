"""Loaders of public data: on the real files where they are, and on small ones of the same form."""

from __future__ import annotations

import gzip
import inspect
import io
from urllib.error import URLError

import numpy as np
import pandas as pd
import pytest
import sklearn.datasets
from sklearn.utils import Bunch

from skhuihen import BehaviorAbstractor, HUIHENClassifier, Sessionizer, attach_behaviors, datasets
from skhuihen.datasets import (
    load_bpic2012,
    load_cmb2020,
    load_creditcard,
    load_superlender,
    load_uci_default,
)

CMB_FILES = {
    "tag_b.csv": """\
id,gdr_cd,age,mrg_situ_cd,edu_deg_cd,acdm_deg_cd,deg_cd,job_year,his_lng_ovd_day,atdd_type
U1,M,40,B,,31,~,1,0,0.0
U2,\\N,31,~,C,30,A,\\N,\\N,
U3,F,25,A,F,G,,-1,47,1.0
""",
    "trd_b.csv": """\
id,Dat_Flg1_Cd,Dat_Flg3_Cd,Trx_Cod1_Cd,Trx_Cod2_Cd,trx_tm,cny_trx_amt
U2,B,A,01,0136,2019-06-01 00:00:00,-5
U1,C,B,03,0309,2019-05-30 13:22:08,249.47
U2,B,A,01,0136,2019-06-01 00:00:00,-5
""",
    "beh_b.csv": """\
id,page_no,,page_tm
U1,CQA,2019-06-30 23:59:59,
U1,XAI,2019-06-11 22:27:25,
""",
}

CASES = pd.DataFrame(
    {
        "REG_DATE": "2011-10-30T00:30:00.500+02:00",
        "concept:name": ["11", "12", "13", "14", "15"],
        "AMOUNT_REQ": ["20000", "12000", "13000", "14000", "15000"],
    }
)
EVENTS = pd.DataFrame(
    [
        ("11", "A_SUBMITTED", "COMPLETE", "2011-10-30T00:30:00.500+02:00", "112"),
        ("11", "W_Completeren aanvraag", "START", "2011-10-30T12:00:00.000+01:00", None),
        ("11", "O_SENT", "COMPLETE", "2011-10-30T13:00:00.000+01:00", "7"),
        ("11", "O_SENT", "COMPLETE", "2011-11-02T13:00:00.000+01:00", "7"),
        ("11", "A_APPROVED", "COMPLETE", "2011-11-03T13:00:00.000+01:00", "7"),
    ]
    + [
        (case, activity, "COMPLETE", f"2012-01-{day:02}T09:00:00.000+01:00", "112")
        for case, offer, end in (
            ("12", "O_SENT", "A_CANCELLED"),
            ("13", "O_SENT", "W_Nabellen offertes"),
            ("14", "O_CREATED", "A_DECLINED"),
            ("15", "O_SENT", "A_DECLINED"),
        )
        for day, activity in enumerate(("A_SUBMITTED", offer, end), start=1)
    ],
    columns=["case_id", "concept:name", "lifecycle:transition", "time:timestamp", "org:resource"],
)


def attributes(row):
    return "\n".join(
        f'<{"date" if ":" in value else "string"} key="{key}" value="{value}"/>'
        for key, value in row.items()
        if key != "case_id" and isinstance(value, str)
    )


XES = '<?xml version="1.0" encoding="UTF-8" ?>\n<log xmlns="http://www.xes-standard.org/">\n'
XES += '<global scope="trace"><string key="concept:name" value="UNKNOWN"/></global>\n'
for _, case in CASES.iterrows():
    of_case = EVENTS[EVENTS["case_id"] == case["concept:name"]]
    inner = "".join(f"<event>\n{attributes(event)}\n</event>\n" for _, event in of_case.iterrows())
    XES += f"<trace>\n{attributes(case)}\n{inner}</trace>\n"
XES += "</log>\n"

UCI = """\
ID,LIMIT_BAL,SEX,EDUCATION,MARRIAGE,AGE,PAY_0,PAY_2,PAY_3,PAY_4,PAY_5,PAY_6,\
BILL_AMT1,BILL_AMT2,BILL_AMT3,BILL_AMT4,BILL_AMT5,BILL_AMT6,\
PAY_AMT1,PAY_AMT2,PAY_AMT3,PAY_AMT4,PAY_AMT5,PAY_AMT6,default.payment.next.month
1,20000,2,2,1,24,2,-1,0,-2,-2,-2,3913,3102,689,0,0,-7,0,689,0,0,0,50,1
2,120000,2,0,2,26,-1,2,0,0,0,2,2682,1725,2682,3272,3455,3261,0,1000,1000,1000,0,2000,0
3,120000,2,0,2,26,-1,2,0,0,0,2,2682,1725,2682,3272,3455,3261,0,1000,1000,1000,0,2000,0
"""
CARD = (
    ",".join(["Time", *(f"V{i}" for i in range(1, 29)), "Amount", "Class"])
    + "".join(f"\n{t}," + ",".join(["0.5"] * 28) + f",{t + 9.5},{t % 2}" for t in range(4))
    + "\n"
)

SMALL = {
    load_cmb2020: CMB_FILES,
    load_bpic2012: {"BPI_Challenge_2012.xes": XES},
    load_uci_default: {"UCI_Credit_Card.csv": UCI},
    load_creditcard: {"creditcard.csv": CARD},
}
FOLDERS = dict(zip(SMALL, ("cmb2020", "bpic2012", "uci_default", "creditcard"), strict=True))
EVERY = pytest.mark.parametrize("load", SMALL, ids=lambda load: load.__name__)


@pytest.fixture
def write(tmp_path):
    """Write the small files of a loader, some of them changed, and return their folder."""

    def write(load, folder=tmp_path, **changes):
        folder.mkdir(exist_ok=True)
        for name, text in SMALL[load].items():
            old, new = changes.get(name.partition(".")[0], ("", ""))
            assert old in text
            (folder / name).write_text(text.replace(old, new) if old else text)
        return folder

    return write


def assert_same(one, other):
    pd.testing.assert_frame_equal(one.applications, other.applications)
    assert (one.events is None) == (other.events is None)
    if one.events is not None:
        pd.testing.assert_frame_equal(one.events, other.events)
    np.testing.assert_array_equal(one.y, other.y)


# ---- what all loaders have in common


def test_every_public_loader_is_tested_here():
    loaders = {getattr(datasets, name) for name in datasets.__all__ if name.startswith("load_")}
    assert loaders == {*SMALL, load_superlender}


@EVERY
def test_one_face(load, write):
    data = load(write(load))
    assert isinstance(data, Bunch)
    assert [*data] == [
        "applications",
        "events",
        "y",
        "feature_names",
        "target_names",
        "dropped",
        "DESCR",
    ]
    assert data.feature_names
    reserved = [n for n in data.applications.columns if n not in data.feature_names]
    assert reserved == ([] if load is load_creditcard else ["user_id", "applied_at"])
    assert "{" not in data.DESCR
    assert max(map(len, data.DESCR.partition("Dropped")[0].splitlines())) <= 100
    for reason, number in data.dropped.items():
        assert f"{number:,} {reason}" in data.DESCR
    if not data.dropped:
        assert data.DESCR.endswith("Dropped: nothing.\n")
    if data.y is None:
        assert data.target_names == []
    else:
        assert data.y.dtype == np.int64
        assert len(data.y) == len(data.applications)
        assert len(data.target_names) == 2
    if data.events is not None:
        assert data.events.columns[:3].to_list() == ["user_id", "time", "operation"]
        assert data.events["time"].dtype == data.applications["applied_at"].dtype
        keys = list(zip(data.events["user_id"], data.events["time"], strict=True))
        assert keys == sorted(keys)


@EVERY
def test_folder_above_and_environment(load, write, tmp_path, monkeypatch):
    expected = load(write(load, tmp_path / "elsewhere"))
    folder = write(load, tmp_path / FOLDERS[load])
    monkeypatch.setenv("SKHUIHEN_DATA", str(tmp_path))
    for given in (None, tmp_path, str(tmp_path), folder):
        assert_same(load(given), expected)


@EVERY
def test_absent_files_are_named_with_their_source(load, tmp_path, monkeypatch):
    monkeypatch.delenv("SKHUIHEN_DATA", raising=False)
    first = next(iter(SMALL[load])).partition(".")[0]
    with pytest.raises(FileNotFoundError, match=rf"{first}.* not found in .*The (data|log|three)"):
        load(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"SKHUIHEN_DATA.*The (data|log|three)"):
        load()


@EVERY
def test_a_file_that_is_something_else_is_refused_by_name(load, write):
    folder = write(load)
    name = next(iter(SMALL[load]))
    (folder / name).write_bytes(b"")
    with pytest.raises(
        ValueError, match=rf"^{name} cannot be read: .* exactly as it was downloaded"
    ):
        load(folder)
    (folder / name).write_text("<log/>" if name.endswith("xes") else "a,b\n1,2\n")
    with pytest.raises(ValueError, match=rf"^{name}: the columns .* are missing"):
        load(folder)


@pytest.mark.parametrize(
    ("load", "file", "old", "new", "message"),
    [
        (load_cmb2020, "tag_b", "U2,", "U1,", r"tag_b\.csv: column 'id'.*'U1'"),
        (load_cmb2020, "tag_b", ",40,", ",old,", r"tag_b\.csv: column 'age'.*1 rows.*'old'"),
        (load_cmb2020, "trd_b", "249.47", "much", r"trd_b\.csv: column 'cny_trx_amt'.*'much'"),
        (load_cmb2020, "trd_b", "249.47", "", r"trd_b\.csv: column 'cny_trx_amt'.*1 rows"),
        (load_cmb2020, "trd_b", "2019-05-30 13:22:08", "", r"trd_b\.csv: column 'trx_tm'.*1 rows"),
        (load_cmb2020, "beh_b", "2019-06-30 23", "2019-06-31 23", r"beh_b\.csv: column 'page_tm'"),
        (load_cmb2020, "beh_b", "2019-06-11 22:27:25", "", r"beh_b\.csv: column 'page_tm'.*1 rows"),
        (load_cmb2020, "beh_b", "page_no", "page", r"beh_b\.csv: the columns \['page_no'\]"),
        (load_bpic2012, "BPI_Challenge_2012", "</log>", "", r"xes cannot be read"),
        (load_bpic2012, "BPI_Challenge_2012", "AMOUNT_REQ", "AMT", r"the columns.*AMOUNT"),
        (load_bpic2012, "BPI_Challenge_2012", "20000", "lots", r"column 'AMOUNT_REQ'.*'lots'"),
        (load_bpic2012, "BPI_Challenge_2012", '"12"', '"11"', r"'concept:name'.*unique.*'11'"),
        (load_bpic2012, "BPI_Challenge_2012", "2012-01-02", "2012-01-32", r"'time:timestamp'"),
        (
            load_bpic2012,
            "BPI_Challenge_2012",
            '<date key="time:timestamp" value="2011-11-03T13:00:00.000+01:00"/>',
            "",
            r"'time:timestamp' must have a time in every row, but 1 rows",
        ),
        (load_uci_default, "UCI_Credit_Card", "PAY_2", "PAY_1", r"csv: the columns.*PAY_2"),
        (load_uci_default, "UCI_Credit_Card", ",24,", ",x,", r"csv: column 'AGE'.*'x'"),
        (load_uci_default, "UCI_Credit_Card", "50,1\n", "50,2\n", r"next month' must be 0 or 1"),
        (load_uci_default, "UCI_Credit_Card", "50,1\n", "50,\n", r"next month' must be 0 or 1"),
        (load_uci_default, "UCI_Credit_Card", "\n3,", "\n2,", r"csv: column 'ID'.*unique"),
        (load_creditcard, "creditcard", "V7", "W7", r"csv: the columns \['V7'\]"),
        (load_creditcard, "creditcard", "12.5,1", "12.5,3", r"csv: column 'Class' must be 0 or 1"),
    ],
)
def test_broken_files_are_refused_by_name(load, file, old, new, message, write):
    with pytest.raises(ValueError, match=message):
        load(write(load, **{file: (old, new)}))


# ---- China Merchants Bank


def test_cmb2020_profile(write):
    data = load_cmb2020(write(load_cmb2020))
    assert data.y is None
    profile = data.applications.set_index("user_id")
    assert (profile["applied_at"] == pd.Timestamp("2019-07-01")).all()
    assert profile["acdm_deg_cd"].to_list() == ["31", "30", "G"]
    missing = profile.drop(columns="applied_at").isna()
    assert missing.loc["U1"].to_dict() == {
        name: name in ("edu_deg_cd", "deg_cd") for name in data.feature_names
    }
    assert missing.loc["U2"][lambda absent: absent].index.to_list() == [
        "gdr_cd",
        "mrg_situ_cd",
        "job_year",
        "his_lng_ovd_day",
        "atdd_type",
    ]
    assert profile["job_year"].to_list()[::2] == [1, -1]
    assert "his_lng_ovd_day" in data.feature_names


def test_cmb2020_events(write):
    events = load_cmb2020(write(load_cmb2020)).events
    expected = pd.read_csv(
        io.StringIO(
            "user_id,time,operation,amount,payment\n"
            "U1,2019-05-30 13:22:08,transaction/03/0309,249.47,B\n"
            "U1,2019-06-11 22:27:25,page/XAI,,\n"
            "U1,2019-06-30 23:59:59,page/CQA,,\n"
            "U2,2019-06-01 00:00:00,transaction/01/0136,-5,A\n"
            "U2,2019-06-01 00:00:00,transaction/01/0136,-5,A\n"
        ),
        parse_dates=["time"],
    )
    pd.testing.assert_frame_equal(events, expected.astype({"time": "datetime64[us]"}))


def test_cmb2020_what_is_odd_is_counted_in_the_description(write):
    descr = load_cmb2020(write(load_cmb2020)).DESCR
    assert "1 have\nneither" in descr
    assert "2 transactions are at exactly midnight" in descr
    assert "1 events repeat another event" in descr


def test_cmb2020_header_of_pages_may_be_mended(write, tmp_path):
    shifted = load_cmb2020(write(load_cmb2020))
    pages = CMB_FILES["beh_b.csv"].replace(",,", ",").replace(",\n", "\n")
    (tmp_path / "beh_b.csv").write_text(pages)
    pd.testing.assert_frame_equal(load_cmb2020(tmp_path).events, shifted.events)


# ---- BPI Challenge


def test_bpic2012_first_offer_and_outcome(write):
    data = load_bpic2012(write(load_bpic2012))
    assert data.applications["user_id"].to_list() == ["11", "12", "15"]
    assert data.applications["applied_at"].iloc[0] == pd.Timestamp("2011-10-30T12:00:00Z")
    assert data.applications["AMOUNT_REQ"].to_list() == [20_000, 12_000, 15_000]
    np.testing.assert_array_equal(data.y, [1, 0, 0])
    assert list(data.dropped.values()) == [1, 1, 6]


def test_bpic2012_events_from_the_first_offer_on_are_there_and_cut(write):
    data = load_bpic2012(write(load_bpic2012))
    events = data.events[data.events["user_id"] == "11"]
    assert events["operation"].to_list() == [
        "A_SUBMITTED/COMPLETE",
        "W_Completeren aanvraag/START",
        "O_SENT/COMPLETE",
        "O_SENT/COMPLETE",
        "A_APPROVED/COMPLETE",
    ]
    assert events["resource"].isna().to_list() == [False, True, False, False, False]
    # Local time, across the end of summer time.
    assert events["time"].dt.hour.to_list() == [0, 12, 13, 13, 13]
    X = attach_behaviors(data.applications, data.events)
    assert X["behaviors"].iloc[0]["operation"].to_list() == events["operation"].to_list()[:2]
    assert len(X["behaviors"].iloc[1]) == 1


def test_bpic2012_outcome_is_no_feature(write, tmp_path):
    one = load_bpic2012(write(load_bpic2012))
    turned = {"BPI_Challenge_2012": ("A_CANCELLED", "A_APPROVED")}
    other = load_bpic2012(write(load_bpic2012, tmp_path / "turned", **turned))
    np.testing.assert_array_equal(other.y, [1, 1, 0])
    pd.testing.assert_frame_equal(one.applications, other.applications)
    known, known_too = (
        attach_behaviors(data.applications, data.events)["behaviors"].nest.to_flat()
        for data in (one, other)
    )
    pd.testing.assert_frame_equal(known, known_too)


def test_bpic2012_all_forms_of_the_log_are_the_same(write, tmp_path):
    expected = load_bpic2012(write(load_bpic2012))
    packed, tables = tmp_path / "packed", tmp_path / "tables"
    packed.mkdir()
    (packed / "BPI_Challenge_2012.xes.gz").write_bytes(gzip.compress(XES.encode()))
    assert_same(load_bpic2012(packed), expected)

    tables.mkdir()
    CASES.to_parquet(tables / "cases.parquet")
    EVENTS.to_parquet(tables / "events.parquet")
    assert_same(load_bpic2012(tables), expected)


def test_bpic2012_cut_download_is_refused(tmp_path):
    whole = gzip.compress(XES.encode())
    (tmp_path / "BPI_Challenge_2012.xes.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"^BPI_Challenge_2012\.xes\.gz cannot be read"):
        load_bpic2012(tmp_path)


# ---- default of credit card clients, and credit card fraud


def test_uci_default_profile(write):
    data = load_uci_default(write(load_uci_default))
    applications = data.applications
    assert applications.shape == (3, 25)
    assert data.events is None
    np.testing.assert_array_equal(data.y, [1, 0, 0])
    assert applications["user_id"].to_list() == [1, 2, 3]
    assert (applications["applied_at"] == pd.Timestamp("2005-10-01")).all()
    categories = applications.select_dtypes("category")
    assert categories.columns.to_list() == ["SEX", "EDUCATION", "MARRIAGE"]
    assert categories["EDUCATION"].to_list() == [2, 0, 0]
    written = pd.read_csv(io.StringIO(UCI))[data.feature_names]
    assert (applications[data.feature_names].astype("float64") == written).all(axis=None)
    assert "1 rows repeat another row" in data.DESCR


def test_uci_default_months_as_behaviors_carry_the_same_numbers(write):
    folder = write(load_uci_default)
    wide = load_uci_default(folder).applications.set_index("user_id")
    data = load_uci_default(folder, as_behaviors=True)
    assert data.feature_names == ["LIMIT_BAL", "SEX", "EDUCATION", "MARRIAGE", "AGE"]
    events = data.events
    assert len(events) == 3 * 18
    assert (events["time"] < data.applications["applied_at"].iloc[0]).all()
    month = 10 - events["time"].dt.month  # September is 1
    status = events["operation"].str.startswith("repayment_status_")
    for event, i, is_status in zip(events.itertuples(), month, status, strict=True):
        row = wide.loc[event.user_id]
        if is_status:
            name = "PAY_0" if i == 1 else f"PAY_{i}"
            assert event.operation == f"repayment_status_{row[name]}"
            assert np.isnan(event.amount)
        else:
            assert (
                event.amount
                == row[{"bill": "BILL", "payment": "PAY"}[event.operation] + f"_AMT{i}"]
            )


def test_uci_default_each_month_is_a_session(write):
    data = load_uci_default(write(load_uci_default), as_behaviors=True)
    X = Sessionizer().fit_transform(attach_behaviors(data.applications, data.events))
    sessions = X["behaviors"].iloc[0].groupby("session")
    assert sessions["time"].agg(lambda time: time.dt.month.unique().tolist()).to_list() == [
        [month] for month in range(4, 10)
    ]
    assert (sessions.size() == 3).all()


@pytest.mark.parametrize("target", ["class", "default payment next month"])
def test_uci_default_other_names_of_the_target(write, target):
    folder = write(load_uci_default)
    expected = load_uci_default(folder)
    renamed = {"UCI_Credit_Card": ("default.payment.next.month", target)}
    assert_same(load_uci_default(write(load_uci_default, **renamed)), expected)


def test_creditcard_profile(write):
    data = load_creditcard(write(load_creditcard))
    names = ["Time", *(f"V{i}" for i in range(1, 29)), "Amount"]
    assert data.applications.columns.to_list() == data.feature_names == names
    assert data.applications["Amount"].to_list() == [9.5, 10.5, 11.5, 12.5]
    np.testing.assert_array_equal(data.y, [0, 1, 0, 1])
    assert data.events is None


def test_creditcard_in_parquet_is_the_same(write, tmp_path):
    expected = load_creditcard(write(load_creditcard))
    packed = tmp_path / "packed"
    packed.mkdir()
    pd.read_csv(io.StringIO(CARD)).to_parquet(packed / "creditcard.parquet")
    assert_same(load_creditcard(packed), expected)


def of_openml(text, renamed, categories):
    """Give a table the form that OpenML does: other names, no ID or time, codes as categories."""
    frame = pd.read_csv(io.StringIO(text)).drop(columns=["ID", "Time"], errors="ignore")
    frame = frame.rename(columns=renamed)
    as_text = {name: frame[name].astype("str").astype("category") for name in categories}
    return frame.assign(**as_text)


@pytest.fixture
def openml(monkeypatch):
    """Stand in for OpenML, and keep what it was asked for."""
    names = pd.read_csv(io.StringIO(UCI), nrows=0).columns[1:-1]
    uci = {name: f"x{i}" for i, name in enumerate(names, start=1)}
    frames = {
        42477: of_openml(UCI, {**uci, "default.payment.next.month": "y"}, ["x2", "x3", "x4", "y"]),
        1597: of_openml(CARD, {}, ["Class"]),
    }
    asked = []

    def fetch_openml(*, data_id, as_frame):
        assert as_frame is True
        asked.append(data_id)
        return Bunch(frame=frames[data_id])

    monkeypatch.setattr(sklearn.datasets, "fetch_openml", fetch_openml)
    return asked


FETCHERS = pytest.mark.parametrize("load", [load_uci_default, load_creditcard])


@FETCHERS
def test_openml_gives_the_same(load, write, openml):
    expected = load(write(load))
    data = load(fetch=True)
    if load is load_creditcard:
        expected.applications = expected.applications.drop(columns="Time")
        assert data.feature_names == expected.feature_names[1:]
        assert "which this source does not have" in data.DESCR
    assert_same(data, expected)
    assert openml == [42477 if load is load_uci_default else 1597]
    assert f"Source: OpenML data set {openml[0]}." in data.DESCR


@FETCHERS
def test_nothing_is_fetched_unasked(load, tmp_path, openml, monkeypatch):
    monkeypatch.delenv("SKHUIHEN_DATA", raising=False)
    for folder in (None, tmp_path):
        with pytest.raises(FileNotFoundError, match="fetch=True"):
            load(folder)
    with pytest.raises(ValueError, match="both given"):
        load(tmp_path, fetch=True)
    assert openml == []


@FETCHERS
def test_openml_out_of_reach(load, monkeypatch):
    def fetch_openml(**_):
        raise URLError("no route")

    monkeypatch.setattr(sklearn.datasets, "fetch_openml", fetch_openml)
    with pytest.raises(ConnectionError, match=r"OpenML cannot be fetched.*no route.*kaggle\.com"):
        load(fetch=True)


def test_fetch_openml_is_called_as_it_is_declared():
    inspect.signature(sklearn.datasets.fetch_openml).bind(data_id=1597, as_frame=True)


# ---- the real files


@pytest.mark.slow
def test_real_cmb2020(data_folder):
    folder = data_folder("cmb2020")
    data = load_cmb2020(folder)
    assert data.applications.shape == (4000, 43)
    assert data.applications["gdr_cd"].isna().sum() == 86
    assert data.applications["deg_cd"].isna().sum() == 86 + 1695 + 2069
    assert data.applications["his_lng_ovd_day"].gt(0).sum() == 4000 - 52 - 3874
    events = data.events
    pages = events["operation"].str.startswith("page/")
    assert (pages.sum(), (~pages).sum()) == (95_669, 142_645)
    assert events.loc[pages, "operation"].nunique() == 29
    codes = events.loc[~pages, "operation"]
    assert codes.nunique() == 56
    assert codes.str.split("/").str[1].value_counts().to_dict() == {
        "01": 99_857,
        "02": 17_667,
        "03": 25_121,
    }
    assert events["amount"].isna().equals(pages)
    assert events["time"].max() < data.applications["applied_at"].iloc[0]
    assert events.loc[pages, "time"].min() >= pd.Timestamp("2019-06-01")
    assert events["user_id"].isin(data.applications["user_id"]).all()
    # The direction, which the loader leaves out, is the sign of the amount.
    raw = pd.read_csv(folder / "trd_b.csv")
    assert ((raw["Dat_Flg1_Cd"] == "C") == (raw["cny_trx_amt"] > 0)).all()
    assert "788 have" in data.DESCR
    assert "7,684 events" in data.DESCR


@pytest.mark.slow
def test_real_cmb2020_runs_through_the_front_half(data_folder):
    data = load_cmb2020(data_folder("cmb2020"))
    X, report = attach_behaviors(data.applications, data.events, return_report=True)
    assert report["pairs_used"] == len(data.events)
    assert report["applications_with_events"] == 4000 - 788
    few = X.iloc[:200]
    abstractor = BehaviorAbstractor().fit(few)
    fields = abstractor.rules_.set_index("operation")["field"]
    assert (fields.filter(like="page/") == "function_widget").all()
    assert (fields.filter(like="transaction/") == "transform_operation").all()
    Sessionizer().fit_transform(abstractor.transform(few))


def test_real_bpic2012(data_folder):
    data = load_bpic2012(data_folder("bpic2012"))
    assert len(data.applications) == 4688
    assert data.y.sum() == 2246
    assert data.y.mean() == pytest.approx(0.479, abs=0.0005)
    assert list(data.dropped.values()) == [13_087 - 5015, 327, 262_200 - 186_873]
    assert len(data.events) == 186_873
    first = data.applications.iloc[0]
    assert first["user_id"] == "173688"
    assert first["applied_at"].isoformat() == "2011-10-01T11:45:11.380000+02:00"
    assert first["AMOUNT_REQ"] == 20_000
    X, report = attach_behaviors(data.applications, data.events, return_report=True)
    assert report["pairs_used"] == 59_588
    assert report["pairs_too_late"] == 186_873 - 59_588
    kept = X["behaviors"].nest["operation"]
    assert not kept.str.startswith(("O_SENT", "A_APPROVED", "A_DECLINED", "A_CANCELLED")).any()


def test_real_uci_default(data_folder):
    folder = data_folder("uci_default")
    data = load_uci_default(folder)
    assert data.applications.shape == (30_000, 25)
    assert data.y.sum() == 6636
    assert data.applications.iloc[0, 2:8].to_list() == [20_000, 2, 2, 1, 24, 2]
    assert not data.applications.isna().any(axis=None)
    data = load_uci_default(folder, as_behaviors=True)
    assert data.applications.shape == (30_000, 7)
    assert len(data.events) == 30_000 * 18
    counts = data.events["operation"].value_counts()
    assert (counts["bill"], counts["payment"], counts["repayment_status_8"]) == (180e3, 180e3, 28)
    few = data.applications.iloc[:200]
    X = attach_behaviors(few, data.events[data.events["user_id"] <= 200])
    X = Sessionizer().fit_transform(X)
    classifier = HUIHENClassifier(max_epochs=1, n_estimators=1, random_state=0).fit(X, data.y[:200])
    assert np.isfinite(classifier.predict_proba(X)).all()


def test_real_creditcard(data_folder):
    data = load_creditcard(data_folder("creditcard"))
    assert data.applications.shape == (284_807, 30)
    assert data.y.sum() == 492
    assert data.applications["Time"].is_monotonic_increasing
    assert data.applications.iloc[0, [0, 1, 29]].to_list() == [0, pytest.approx(-1.359807), 149.62]
    assert "1,081 rows" in data.DESCR
