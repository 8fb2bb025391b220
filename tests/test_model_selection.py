"""OutOfTimeSplit, against loops over single rows and in scikit-learn's own tools."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import config_context
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, check_cv, cross_val_score, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skhuihen import HUIHENClassifier, Sessionizer, attach_behaviors
from skhuihen.datasets import make_loan_data
from skhuihen.model_selection import TRAIN, OutOfTimeSplit

Fold = tuple[set[int], set[int]]
START = pd.Timestamp("2024-01-01")
HOUR = pd.Timedelta("1h")
MISSING = (np.nan, pd.NaT, np.timedelta64("NaT", "ns"))


def table(hours: list[int], users: list[int] | None = None) -> pd.DataFrame:
    X = pd.DataFrame({"applied_at": [START + hour * HOUR for hour in hours]})
    return X if users is None else X.assign(user_id=users)


def folds_of(splitter: OutOfTimeSplit, X: Any, **given: Any) -> list[Fold]:
    return [(set(train.tolist()), set(test.tolist())) for train, test in splitter.split(X, **given)]


def slow_folds(
    hours: list[int],
    users: list[int] | None,
    n_splits: int,
    gap: int,
    test_size: int | None,
    max_train_size: int | None,
) -> list[Fold]:
    """Read the docstring of `OutOfTimeSplit` row by row; times are microseconds."""
    time = [hour * 3_600_000_000 for hour in hours]
    end = max(time) + 1
    cuts = []
    for k in range(n_splits, 0, -1):
        if test_size is not None:
            cuts.append(end - k * test_size)
        else:
            cuts.append(sorted(time)[len(time) - k * (len(time) // (n_splits + 1))])
    cuts.append(end)
    folds = []
    for i in range(n_splits):
        train: set[int] = set()
        test: set[int] = set()
        for row, t in enumerate(time):
            young = max_train_size is None or t >= cuts[i] - gap - max_train_size
            if t + gap < cuts[i] and young:
                train.add(row)
            if cuts[i] <= t < cuts[i + 1]:
                test.add(row)
        if users is not None:
            test = {row for row in test if users[row] not in {users[other] for other in train}}
        folds.append((train, test))
    return folds


@st.composite
def cases(draw: st.DrawFn) -> dict[str, Any]:
    n = draw(st.integers(2, 40))
    length = st.none() | st.integers(1, 60)
    return {
        "hours": draw(st.lists(st.integers(0, 100), min_size=n, max_size=n)),
        "users": draw(st.none() | st.lists(st.integers(0, 30), min_size=n, max_size=n)),
        "n_splits": draw(st.integers(1, 4)),
        "gap": draw(st.integers(0, 30)),
        "test_size": draw(length),
        "max_train_size": draw(length),
    }


def splitter_of(case: dict[str, Any]) -> OutOfTimeSplit:
    lengths = {
        name: None if case[name] is None else timedelta(hours=case[name])
        for name in ("gap", "test_size", "max_train_size")
    }
    by_user = None if case["users"] is None else "user_id"
    return OutOfTimeSplit(case["n_splits"], by_user=by_user, **lengths)


def oracle(case: dict[str, Any]) -> list[Fold]:
    in_microseconds = {
        name: None if case[name] is None else case[name] * 3_600_000_000
        for name in ("gap", "test_size", "max_train_size")
    }
    return slow_folds(**{**case, **in_microseconds})


def folds_unless_refused(case: dict[str, Any], X: pd.DataFrame) -> list[Fold] | None:
    """Return the folds; None where the slow reading has an empty part and the splitter refuses."""
    splitter = splitter_of(case)
    if len(X) > case["n_splits"] and all(train and test for train, test in oracle(case)):
        return folds_of(splitter, X)
    with pytest.raises(ValueError, match=r"n_splits|of fold \d"):
        splitter.split(X)
    return None


@settings(max_examples=30)
@given(cases())
def test_equals_the_slow_reading(case: dict[str, Any]) -> None:
    found = folds_unless_refused(case, table(case["hours"], case["users"]))
    if found is not None:
        assert found == oracle(case)


@settings(max_examples=30)
@given(cases(), st.randoms(use_true_random=False))
def test_nothing_from_after_the_cut_is_in_the_training_part(
    case: dict[str, Any], random: Any
) -> None:
    X = table(case["hours"], case["users"])
    splitter = splitter_of(case)
    found = folds_unless_refused(case, X)
    if found is None:
        return
    cuts = splitter.report(X)["cut"]
    time = X["applied_at"]
    tested: set[int] = set()
    for (train, test), cut in zip(found, cuts, strict=True):
        assert train
        assert test
        for row in train:
            assert time[row] + timedelta(hours=case["gap"]) < cut
        for row in test:
            assert time[row] >= cut
        assert not {time[row] for row in train} & {time[row] for row in test}
        assert not tested & test
        tested |= test
        if case["users"] is not None:
            assert not {case["users"][row] for row in train} & {case["users"][row] for row in test}
            # Who comes back after the cut does not choose who is trained on.
            others = [
                random.randint(0, 30) if time[row] >= cut else user
                for row, user in enumerate(case["users"])
            ]
            _, fate = splitter._assign(X.assign(user_id=others), None)
            fold = found.index((train, test))
            assert set(np.flatnonzero(fate[fold] == TRAIN).tolist()) == train


@settings(max_examples=30)
@given(cases(), st.randoms(use_true_random=False))
def test_row_order_does_not_matter_and_every_row_has_one_fate(
    case: dict[str, Any], random: Any
) -> None:
    X = table(case["hours"], case["users"])
    splitter = splitter_of(case)
    found = folds_unless_refused(case, X)
    if found is None:
        return
    order = random.sample(range(len(X)), len(X))
    moved = folds_of(splitter, X.iloc[order])
    assert [({order[i] for i in a}, {order[i] for i in b}) for a, b in moved] == found
    report = splitter.report(X)
    assert (report.drop(columns=["cut", "end"]).sum(axis=1) == len(X)).all()
    assert report["train"].tolist() == [len(train) for train, _ in found]
    assert report["test"].tolist() == [len(test) for _, test in found]


@pytest.mark.parametrize("test_size", [None, "5D"])
@pytest.mark.parametrize("hour", [0, 9])
def test_gap_leaves_out_whole_days_where_dates_have_no_times(
    hour: int, test_size: str | None
) -> None:
    X = table([24 * day + hour for day in range(10)])
    ((train, test),) = OutOfTimeSplit(1, gap="2D", test_size=test_size).split(X)
    assert test.tolist() == [5, 6, 7, 8, 9]
    assert train.tolist() == [0, 1, 2]


def test_report() -> None:
    X = table([0, 10, 20, 30, 40, 40, 50], [1, 2, 3, 4, 1, 5, 6])
    splitter = OutOfTimeSplit(
        2, gap="10h", test_size="10h", max_train_size="15h", by_user="user_id"
    )
    report = splitter.report(X)
    assert report.loc[0, "cut"] == START + 30 * HOUR + pd.Timedelta("1us")
    assert report.loc[1, "end"] == report.loc[0, "cut"] + 20 * HOUR
    assert report.loc[0].drop(["cut", "end"]).to_dict() == {
        **{"too_old": 1, "train": 2, "label_unknown": 1},
        **{"test": 2, "known_user": 0, "later": 1},
    }
    whole = OutOfTimeSplit(2, gap="10h", test_size="10h", by_user="user_id").report(X)
    assert whole.loc[0, ["test", "known_user"]].tolist() == [1, 1]


def test_times_in_any_container(container: Callable[[pd.DataFrame], Any]) -> None:
    bank = make_loan_data(n_new=60, n_old=0, random_state=0)
    X = attach_behaviors(bank.applications, bank.events)
    splitter = OutOfTimeSplit(3, gap="2D", by_user="user_id")
    assert folds_of(splitter, container(X)) == folds_of(splitter, X)


def test_zones_units_and_nanoseconds() -> None:
    X = table([0, 10, 20, 30])
    expected = folds_of(OutOfTimeSplit(2), X)
    zoned = X["applied_at"].dt.tz_localize("Africa/Lagos")
    for time in [zoned, X["applied_at"].astype("datetime64[ns]"), zoned.astype(object)]:
        assert folds_of(OutOfTimeSplit(2), pd.DataFrame({"applied_at": time})) == expected
    report = OutOfTimeSplit(2).report(pd.DataFrame({"applied_at": zoned}))
    assert report.loc[0, "cut"] == zoned[2]
    assert str(report["cut"].dt.tz) == "Africa/Lagos"
    # Times are cut to microseconds, as everywhere: 10 ns apart is one instant.
    close = X["applied_at"].astype("datetime64[ns]") + pd.to_timedelta([0, 1, 5, 2], unit="ns")
    close[2] = close[1] + pd.Timedelta("10ns")
    assert folds_of(OutOfTimeSplit(1), pd.DataFrame({"applied_at": close})) == [({0}, {1, 2, 3})]


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_in_the_tools_of_scikit_learn() -> None:
    bank = make_loan_data(n_new=300, n_old=0, overdue_rate=0.3, random_state=0)
    X = attach_behaviors(bank.applications, bank.events)
    splitter = OutOfTimeSplit(2, gap="5D")
    assert check_cv(splitter) is splitter
    assert splitter.get_n_splits() == 2
    model = make_pipeline(
        Sessionizer(), HUIHENClassifier(max_epochs=1, n_estimators=1, random_state=0)
    )
    scores = cross_val_score(model, X, bank.y, cv=splitter, scoring="roc_auc")
    by_hand = []
    for train, test in splitter.split(X, bank.y):
        model.fit(X.iloc[train], bank.y[train])
        by_hand.append(
            cross_val_score(
                model, X, bank.y, cv=[(train, test)], scoring="roc_auc", error_score="raise"
            )[0]
        )
    np.testing.assert_array_equal(scores, by_hand)
    search = GridSearchCV(
        DummyClassifier(), {"strategy": ["prior", "stratified"]}, cv=splitter, scoring="roc_auc"
    )
    assert len(search.fit(X, bank.y).cv_results_["split1_test_score"]) == 2


def test_groups_are_users_with_and_without_metadata_routing() -> None:
    users = np.random.default_rng(0).integers(40, size=40)
    X = table(list(range(40)), users.tolist())
    y = np.arange(40) % 2
    expected = folds_of(OutOfTimeSplit(2, by_user="user_id"), X)
    assert folds_of(OutOfTimeSplit(2), X, groups=users) == expected
    assert folds_of(OutOfTimeSplit(2), X, groups=[f"u{user}" for user in users]) == expected
    assert folds_of(OutOfTimeSplit(2), X) != expected

    model = DummyClassifier()
    params = {"cv": OutOfTimeSplit(2), "return_indices": True}
    plain = cross_validate(model, X, y, groups=users, **params)
    with config_context(enable_metadata_routing=True):
        routed = cross_validate(model, X, y, params={"groups": users}, **params)
        without = cross_validate(model, X, y, **params)
    for found, wanted in [(plain, True), (routed, True), (without, False)]:
        indices = found["indices"]
        folds = [set(test.tolist()) for test in indices["test"]]
        assert (folds == [test for _, test in expected]) is wanted


def test_repr_and_refused_parameters() -> None:
    splitter = OutOfTimeSplit(3, gap="90D", by_user="user_id")
    assert repr(splitter) == (
        "OutOfTimeSplit(applied_at='applied_at', by_user='user_id', gap='90D',\n"
        "        max_train_size=None, n_splits=3, test_size=None)"
    )
    for params in [
        *({"gap": "-1D"}, {"gap": 90}, {"test_size": "0D"}, {"max_train_size": "a year"}),
        *(
            {name: nothing}
            for name in ("gap", "test_size", "max_train_size")
            for nothing in MISSING
        ),
    ]:
        with pytest.raises(ValueError, match=f"{next(iter(params))}="):
            OutOfTimeSplit(**params)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="n_splits == 0"):
        OutOfTimeSplit(0)
    with pytest.raises(TypeError, match="n_splits must be"):
        OutOfTimeSplit("5")  # type: ignore[arg-type]


def test_refused_tables() -> None:
    X = table([0, 10, 20, 30], [1, 2, 3, 4])
    split = OutOfTimeSplit(2, by_user="user_id").split
    with pytest.raises(TypeError, match="one row per application"):
        split(np.zeros((4, 2)))
    with pytest.raises(ValueError, match=r"no column 'applied_at'.*applied_at=\.\.\."):
        split(X.drop(columns="applied_at"))
    with pytest.raises(ValueError, match=r"no column 'user_id'.*by_user=\.\.\."):
        split(pl.from_pandas(X.drop(columns="user_id")))
    with pytest.raises(ValueError, match="1 missing times"):
        split(X.assign(applied_at=X["applied_at"].where(X.index != 1)))
    with pytest.raises(TypeError, match="must hold timestamps"):
        split(X.assign(applied_at=["a", "b", "c", "d"]))
    mixed = [*X["applied_at"][:2], *X["applied_at"][2:].dt.tz_localize("UTC")]
    with pytest.raises(ValueError, match="several time zones"):
        split(X.assign(applied_at=pd.Series(mixed, dtype=object)))
    with pytest.raises(ValueError, match="column 'user_id' has 1 missing users"):
        split(X.assign(user_id=[1, None, 3, 4]))
    with pytest.raises(ValueError, match="groups has 1 missing users"):
        OutOfTimeSplit(2).split(X, groups=["a", None, "b", "c"])
    with pytest.raises(ValueError, match="Both groups and by_user"):
        split(X, groups=[1, 2, 3, 4])
    with pytest.raises(ValueError, match="inconsistent numbers"):
        OutOfTimeSplit(2).split(X, groups=[1, 2])
    with pytest.raises(ValueError, match="inconsistent numbers"):
        split(X, [0, 1])


def test_refused_folds() -> None:
    X = table([0, 10, 20, 30, 40, 50])
    y = [0, 1, 0, 1, 0, 1]
    assert len(list(OutOfTimeSplit(2).split(X, y))) == 2
    with pytest.raises(ValueError, match="require at least 7 applications; X has 6"):
        OutOfTimeSplit(6).split(X)
    with pytest.raises(ValueError, match="require at least 2 applications; X has 0"):
        OutOfTimeSplit(1).split(X.iloc[:0])
    with pytest.raises(
        ValueError, match=r"training part of fold 0 \(cut at 2024-01-01 20:00:00\) has no row"
    ):
        OutOfTimeSplit(2, gap="1D").split(X)
    with pytest.raises(ValueError, match=r"test part of fold 0 .* has no row"):
        OutOfTimeSplit(2, test_size="5h").split(table([0, 10, 20, 30, 37, 50]))
    with pytest.raises(ValueError, match="2 distinct times in 6 rows"):
        OutOfTimeSplit(2).split(table([0, 10, 10, 10, 10, 10]))
    with pytest.raises(ValueError, match=r"training part of fold 0 .* one class only, 0"):
        OutOfTimeSplit(2).split(X, [0, 0, 0, 1, 0, 1])
    with pytest.raises(ValueError, match=r"test part of fold 1 .* one class only, 'good'"):
        OutOfTimeSplit(2).split(X, ["good", "bad"] * 2 + ["good"] * 2)
    with pytest.raises(ValueError, match=r"test part of fold 0 .* 'known_user': 2"):
        OutOfTimeSplit(2).split(X, y, groups=[1, 2, 1, 2, 1, 3])


def test_out_of_time_scores_see_a_drift() -> None:
    """What held until a cut and not after it: shuffled folds do not tell."""
    rng = np.random.default_rng(0)
    X = table(list(range(600))).assign(x=rng.normal(size=600))
    y = (X["x"] * np.where(np.arange(600) < 400, 1, -1) + rng.normal(size=600) > 0).astype(int)
    model = make_pipeline(FunctionTransformer(lambda X: X[["x"]]), LogisticRegression())
    shuffled = rng.permutation(600)
    usual = cross_val_score(model, X.iloc[shuffled], y.iloc[shuffled], cv=3, scoring="roc_auc")
    out_of_time = cross_val_score(
        model, X, y, cv=OutOfTimeSplit(1, test_size="200h"), scoring="roc_auc"
    )
    assert out_of_time.max() < 0.4 < usual.min()
