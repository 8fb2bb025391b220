"""The loader of SuperLender: on the real files where they are, and on small ones of their form."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from skhuihen import Sessionizer, attach_behaviors
from skhuihen._compat import TEXT
from skhuihen.datasets import load_superlender

PERFORMANCE = """\
customerid,systemloanid,loannumber,approveddate,loanamount,totaldue,termdays,\
referredby,good_bad_flag
bob,31,3,2017-07-25 08:22:56.000000,30000.0,34500.0,30,,Good
amy,32,2,2017-07-05 17:04:41.000000,15000.0,17250.0,15,bob,Bad
eve,33,2,2017-07-06 10:00:00.000000,10000.0,11500.0,15,,Good
"""
EARLIER = """\
customerid,systemloanid,approveddate,loanamount,totaldue,termdays,closeddate,\
firstduedate,firstrepaiddate
bob,12,2017-06-20 09:00:00,20000,24500,30,2017-07-25 07:50:00,2017-07-20,2017-07-24 11:00:00
bob,11,2017-05-01 09:00:00,10000,13000,30,2017-05-30 10:00:00,2017-05-31,2017-05-30 09:45:00
amy,13,2017-06-28 09:00:00,10000,11500,15,2017-07-02 10:00:00,2017-07-13,2017-07-02 09:30:00
"""
DEMOGRAPHICS = """\
customerid,birthdate,bank_account_type,bank_name_clients,bank_branch_clients,\
employment_status_clients,level_of_education_clients
amy,1987-07-05 00:00:00.000000,Savings,GT Bank,LAGOS,Permanent,
bob,1973-10-10 00:00:00.000000,Current,UBA,,,Graduate
bob,1973-10-10 00:00:00.000000,Current,UBA,,,Graduate
amy,1990-01-01 00:00:00.000000,Other,UBA,,,
zoe,1980-01-01 00:00:00.000000,Savings,UBA,,,
"""


@pytest.fixture
def write(tmp_path):
    def write(performance=PERFORMANCE, earlier=EARLIER, demographics=DEMOGRAPHICS, below=False):
        folder = tmp_path / "superlender" if below else tmp_path
        folder.mkdir(exist_ok=True)
        (folder / "trainperf.csv").write_text(performance)
        (folder / "trainprevloans.csv").write_text(earlier)
        (folder / "traindemographics.csv").write_text(demographics)
        return tmp_path

    return write


def test_applications_keep_every_loan_in_order(write):
    data = load_superlender(write())
    applications = data.applications
    assert applications["user_id"].to_list() == ["bob", "amy", "eve"]
    assert applications["application_id"].to_list() == [31, 32, 33]
    assert applications["applied_at"].iloc[0] == pd.Timestamp("2017-07-25 08:22:56")
    assert applications["applied_at"].dtype == "datetime64[us]"
    np.testing.assert_array_equal(data.y, [0, 1, 0])
    assert data.target_names == ["Good", "Bad"]
    assert data.feature_names == list(applications.columns[3:])


def test_profile(write):
    profile = load_superlender(write()).applications.set_index("user_id")
    amy, bob, eve = (profile.loc[name] for name in ("amy", "bob", "eve"))
    assert amy["user__age"] == pytest.approx(30.0, abs=0.01)
    assert bob["user__age"] == pytest.approx(43 + 288 / 365, abs=0.01)
    assert (amy["user__account_type"], bob["user__bank"]) == ("Savings", "UBA")
    assert (amy["user__employment"], bob["user__education"]) == ("Permanent", "Graduate")
    assert (amy["user__referred"], bob["user__referred"]) == (True, False)
    assert (amy["user__branch_known"], bob["user__branch_known"]) == (True, False)
    assert eve[["user__age", "user__account_type", "user__bank"]].isna().all()
    assert not eve["user__branch_known"]
    assert bob[["item__amount", "item__total_due", "item__term_days"]].to_list() == [
        30e3,
        34.5e3,
        30,
    ]
    assert profile["user__loan_number"].to_list() == [3, 2, 2]


def test_outcome_of_the_loan_is_no_feature(write):
    turned = PERFORMANCE.replace("Good", "x").replace("Bad", "Good").replace("x", "Bad")
    one, other = load_superlender(write()), load_superlender(write(performance=turned))
    pd.testing.assert_frame_equal(one.applications, other.applications)
    np.testing.assert_array_equal(one.y, 1 - other.y)


def test_events_tell_the_life_of_each_earlier_loan(write):
    events = load_superlender(write()).events
    columns = ["user_id", "time", "operation", "amount", "loan", "term_days", "due_days"]
    assert events.columns.to_list() == columns
    first = events[events["loan"] == 11]
    life = list(zip(first["time"].astype(str), first["operation"], first["amount"], strict=True))
    assert life[0] == ("2017-05-01 09:00:00", "loan_approved", 10_000.0)
    assert life[1][:2] == ("2017-05-30 09:45:00", "first_repaid")
    assert np.isnan(life[1][2])
    assert life[2] == ("2017-05-30 10:00:00", "loan_closed", 13_000.0)
    assert life[3] == ("2017-05-31 00:00:00", "loan_due", 13_000.0)
    assert events.groupby("loan")["due_days"].first().to_dict() == {11: 30, 12: 30, 13: 15}
    assert len(events) == 12
    assert events["user_id"].is_monotonic_increasing


def test_an_event_without_a_time_did_not_happen(write):
    open_loan = EARLIER.replace("2017-07-02 10:00:00", "")
    data = load_superlender(write(earlier=open_loan))
    amys = data.events[data.events["user_id"] == "amy"]
    assert amys["operation"].to_list() == ["loan_approved", "first_repaid", "loan_due"]


def test_a_due_date_after_the_application_is_cut_and_still_known(write):
    data = load_superlender(write())
    X = attach_behaviors(data.applications, data.events)
    amys = X.loc[X["user_id"] == "amy", "behaviors"].iloc[0]
    assert amys["operation"].to_list() == ["loan_approved", "first_repaid", "loan_closed"]
    assert amys["due_days"].to_list() == [15, 15, 15]
    assert "(1 are)" in data.DESCR


def test_each_loan_is_a_session(write):
    data = load_superlender(write())
    X = attach_behaviors(data.applications, data.events)
    X = Sessionizer(session="loan", min_behaviors=1).fit_transform(X)
    bobs = X.loc[X["user_id"] == "bob", "behaviors"].iloc[0]
    assert bobs.groupby("session")["loan"].agg(list).to_list() == [[11] * 4, [12] * 4]


def test_what_is_left_out_is_counted(write):
    data = load_superlender(write())
    assert list(data.dropped.values()) == [1, 1, 1]
    for reason in data.dropped:
        assert f"1 {reason}" in data.DESCR


# ---- where the files are


def test_folder_above_and_environment(write, monkeypatch):
    expected = load_superlender(write())
    above = write(below=True)
    for name in ("trainperf.csv", "trainprevloans.csv", "traindemographics.csv"):
        (above / name).unlink()
    monkeypatch.setenv("SKHUIHEN_DATA", str(above))
    for folder in (None, above, str(above), above / "superlender"):
        data = load_superlender(folder)
        pd.testing.assert_frame_equal(data.applications, expected.applications)
        pd.testing.assert_frame_equal(data.events, expected.events)


def test_absent_file_is_named_with_its_source(write):
    folder = write()
    (folder / "trainprevloans.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"^trainprevloans\.csv not found in .*Zindi"):
        load_superlender(folder)


@pytest.mark.parametrize("value", [None, ""])
def test_no_folder_at_all(monkeypatch, value):
    monkeypatch.delenv("SKHUIHEN_DATA", raising=False)
    if value is not None:
        monkeypatch.setenv("SKHUIHEN_DATA", value)
    with pytest.raises(FileNotFoundError, match=r"SKHUIHEN_DATA.*Zindi"):
        load_superlender()


# ---- files that are not as they should be


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("performance", "termdays", "term", r"trainperf\.csv: the columns \['termdays'\]"),
        ("performance", "Bad", "Late", r"'good_bad_flag'.*1 rows.*'Late'"),
        ("performance", "Bad", "", r"'good_bad_flag'.*1 rows"),
        ("performance", "amy,32", "bob,32", r"trainperf\.csv: column 'customerid'.*'bob'"),
        ("earlier", "bob,11", "bob,12", r"trainprevloans\.csv: column 'systemloanid'.*12"),
        ("earlier", "2017-05-31", "soon", r"trainprevloans\.csv: column 'firstduedate'"),
        (
            "earlier",
            "bob,12,2017-06-20 09:00:00",
            "bob,12,",
            r"trainprevloans\.csv: column .approveddate",
        ),
        ("performance", "2017-07-05 17:04:41.000000", "", r"trainperf\.csv: column 'approveddate'"),
    ],
)
def test_broken_files_are_refused_by_name(write, file, old, new, message):
    text = {"performance": PERFORMANCE, "earlier": EARLIER}[file]
    assert old in text
    with pytest.raises(ValueError, match=message):
        load_superlender(write(**{file: text.replace(old, new)}))


# ---- the real files


@pytest.fixture(scope="module")
def real(data_folder):
    return load_superlender(data_folder("superlender"))


def test_real_counts(real):
    assert real.applications.shape == (4368, 14)
    assert real.y.sum() == 952
    assert len(real.events) == 4 * 18183
    assert real.events["loan"].nunique() == 18183
    assert real.dropped["repeated rows of demographics"] == 12
    assert real.dropped["rows of demographics that contradict an earlier one"] == 0
    assert real.applications["user__age"].notna().mean() == pytest.approx(0.748, abs=0.001)
    assert real.applications["user__age"].dropna().between(18, 70).all()


def test_real_loans_were_closed_before_the_application(real):
    applied_at = real.applications.set_index("user_id")["applied_at"]
    late = real.events["time"] >= real.events["user_id"].map(applied_at)
    assert late.groupby(real.events["operation"]).sum().to_dict() == {
        "first_repaid": 0,
        "loan_approved": 0,
        "loan_closed": 0,
        "loan_due": 1568,
    }
    approved = real.events[real.events["operation"] == "loan_approved"].set_index("loan")
    due = real.events[real.events["operation"] == "loan_due"].set_index("loan")
    told = approved["time"].dt.normalize() + pd.to_timedelta(approved["due_days"], unit="D")
    assert (told == due["time"].reindex(told.index)).all()


def test_real_profile_carries_some_risk_and_not_too_much(real):
    """A leak would lift this above what a profile of loan and demographics gives: about 0.61."""
    lightgbm = pytest.importorskip("lightgbm")
    from sklearn.model_selection import StratifiedKFold, cross_val_score

    X = real.applications[real.feature_names]
    X = X.astype(dict.fromkeys(X.select_dtypes(TEXT), "category"))
    model = lightgbm.LGBMClassifier(
        n_estimators=60, learning_rate=0.03, num_leaves=15, n_jobs=1, verbose=-1
    )
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    assert 0.58 < cross_val_score(model, X, real.y, cv=folds, scoring="roc_auc").mean() < 0.65
