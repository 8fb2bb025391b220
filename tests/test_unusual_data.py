"""What careless data do to the classifier: numbers far outside, codes, leaks, dates and weights."""

from __future__ import annotations

import datetime as dt
import re
import warnings

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.special import expit
from sklearn.metrics import roc_auc_score

from skhuihen import (
    BehaviorAbstractor,
    HUIHENClassifier,
    ProfileEncoder,
    Sessionizer,
    attach_behaviors,
    score_table,
)
from skhuihen.classifier import FEWEST_TO_LEARN
from skhuihen.datasets import make_loan_data
from skhuihen.metrics import calibration_summary


def profile(n: int = 1500, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    """Draw applications whose income and age matter."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(
        {"income": rng.lognormal(8, 0.5, n).round(), "age": rng.integers(20, 60, n).astype(float)}
    )
    log_odds = 2 * np.log(X["income"] / 3000) - 0.04 * (X["age"] - 40)
    return X, (rng.random(n) < 1 / (1 + np.exp(-log_odds))).astype(int)


def model(**parameters) -> HUIHENClassifier:
    few = {"max_epochs": 4, "n_estimators": 1, "random_state": 0}
    return HUIHENClassifier(**few | parameters)


@pytest.fixture(scope="module")
def fitted() -> HUIHENClassifier:
    return model(max_epochs=2).fit(*profile())


@pytest.mark.parametrize("income", [1e5, 1e6, 1e9, -999999.0])
def test_a_score_beyond_the_edge_is_that_at_the_edge_and_told(fitted, income):
    X, _ = profile()
    edge = X["income"].min() if income < 0 else X["income"].max()
    row = X.iloc[[0]]
    with pytest.warns(UserWarning, match="'income' holds 1 of 1 values outside the range seen"):
        beyond = fitted.predict_proba(row.assign(income=income))
    np.testing.assert_array_equal(beyond, fitted.predict_proba(row.assign(income=edge)))
    assert 1e-4 < beyond[0, 1] < 1 - 1e-4


@pytest.mark.parametrize("spoil", ["huge", "coded"])
def test_outliers_and_codes_in_fit_leave_the_profile_its_worth(spoil):
    X, y = profile()
    train, test = X.iloc[:1000].copy(), X.iloc[1000:]
    clean = roc_auc_score(y[1000:], model().fit(train, y[:1000]).decision_function(test))
    assert clean > 0.7
    if spoil == "huge":
        train.iloc[[3, 7], 0] = 1e9
        spoiled = model().fit(train, y[:1000])
    else:
        train.iloc[::10, 0] = -9999999
        with pytest.warns(UserWarning, match=r"'income' holds -9999999 \(100 times\)"):
            spoiled = model().fit(train, y[:1000])
    assert roc_auc_score(y[1000:], spoiled.decision_function(test)) > clean - 0.02


@pytest.mark.parametrize("named", [True, False])
def test_a_column_that_separates_the_labels_is_told_at_fit(named):
    X, y = profile(200)
    X = X.assign(days_late=np.where(y, 5.0, 0.0))
    column = "days_late" if named else "x2"
    with pytest.warns(
        UserWarning, match=rf"\['{column}'\] separate the labels perfectly"
    ) as caught:
        model(max_epochs=1).fit(X if named else X.to_numpy(), y)
    assert caught[0].filename == __file__


def test_a_date_is_left_out_with_a_warning_and_stays_so_where_it_is_missing(tmp_path):
    X, y = profile(60)
    X = X.assign(
        application_id=range(60),
        applied_at=pd.Timestamp("2024-05-01"),
        born=[dt.date(1990, 1, 1 + k % 28) for k in range(60)],
    )
    with pytest.warns(UserWarning, match=r"Columns \['born'\] hold dates or times") as caught:
        net = model(max_epochs=1).fit(X, y)
    of_rows = "Only .* applications have the label"  # and there are few
    assert len([one for one in caught if not re.match(of_rows, str(one.message))]) == 1
    assert net.feature_names_in_.tolist() == ["income", "age"]
    expected = net.predict_proba(X)
    for born in (None, pd.NaT, np.nan, pd.Timestamp("1990-01-01")):
        np.testing.assert_array_equal(net.predict_proba(X.assign(born=born)), expected)
    table = pa.Table.from_pandas(X)
    assert table.schema.field("born").type == pa.date32()
    np.testing.assert_array_equal(net.predict_proba(table), expected)
    pq.write_table(table, tmp_path / "all.parquet")
    scored = score_table(net, tmp_path / "all.parquet")
    np.testing.assert_allclose(scored.iloc[:, -1], expected[:, 1])
    emptied = table.set_column(
        table.schema.get_field_index("born"), "born", pa.nulls(60, pa.date32())
    )
    np.testing.assert_array_equal(net.predict_proba(emptied), expected)


def test_a_column_that_was_missing_throughout_stays_profile_when_it_holds_texts_or_dates():
    X, y = profile(60)
    X = X.assign(note=None)
    net = model(max_epochs=1).fit(X, y)
    expected = net.predict_proba(X)
    np.testing.assert_array_equal(net.predict_proba(X.assign(note=dt.date(2024, 1, 1))), expected)


def test_what_is_learned_of_weighted_rows_is_what_is_learned_of_repeated_ones():
    bank = make_loan_data(n_new=150, n_old=0, overdue_rate=0.3, random_state=0)
    X = attach_behaviors(bank.applications, bank.events)
    X = Sessionizer().fit_transform(BehaviorAbstractor().fit_transform(X))
    weight = np.random.default_rng(0).integers(1, 4, len(X))
    rows = np.repeat(np.arange(len(X)), weight)
    weighted = model(max_epochs=1, n_topics=3).fit(X, bank.y, sample_weight=weight)
    repeated = model(max_epochs=1, n_topics=3).fit(X.iloc[rows], bank.y[rows])
    np.testing.assert_allclose(weighted.topics_.loadings_, repeated.topics_.loadings_, atol=1e-9)
    np.testing.assert_allclose(weighted.event_numbers_.mean_, repeated.event_numbers_.mean_, 2e-6)
    np.testing.assert_allclose(
        weighted.profile_encoder_.transform(X), repeated.profile_encoder_.transform(X), atol=1e-6
    )


def test_old_data_are_compared_with_the_new_ones():
    old_X, old_y = profile(300)
    X, y = profile(100, seed=1)
    started = model(max_epochs=1).warm_start_from(old_X, old_y, teacher=None)
    started.fit(X, y)
    found = "'income' holds .* values outside the range seen in old_X of warm_start_from"
    with pytest.warns(UserWarning, match=found):
        started.fit(X.assign(income=X["income"] * 100), y)


def test_ordinary_batches_are_scored_without_a_word(fitted):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for seed in range(1, 6):
            fitted.predict_proba(profile(300, seed)[0])
        ProfileEncoder().fit(profile()[0]).transform(profile(1, 9)[0])


def test_a_model_of_an_array_refuses_a_table_by_its_columns():
    X, y = profile(60)
    net = model(max_epochs=1).fit(X.to_numpy(), y)
    with pytest.raises((ValueError, UserWarning), match=r"feature names|column"):
        net.predict_proba(X)


def test_partial_fit_tells_of_values_far_outside_too():
    X, y = profile(200)
    net = model(max_epochs=1).fit(X, y)
    with pytest.warns(UserWarning, match="'income' holds 40 of 40 values outside") as caught:
        net.partial_fit(X.head(40).assign(income=1e7), y[:40])
    assert caught[0].filename == __file__


def test_few_of_a_label_are_told_once_with_the_cure():
    X, y = profile(600)
    named = np.where(y == 1, "late", "paid")  # the rarer label is not the greater one
    order = np.argsort(y)[::-1]
    enough, few = (order[y.sum() - n :] for n in (FEWEST_TO_LEARN, FEWEST_TO_LEARN - 1))
    assert (named[enough] == "paid").sum() > FEWEST_TO_LEARN
    message = f"Only {len(few) - (y == 0).sum()} of {len(few)} .* label 'late'.*warm_start_from"
    with pytest.warns(UserWarning, match="Only .* have the label") as caught:
        model(max_epochs=1, n_estimators=2).fit(X.iloc[few], named[few])
    (told,) = [one for one in caught if str(one.message).startswith("Only")]
    assert re.match(message, str(told.message))
    assert told.filename == __file__
    # Rows of weight 0 do not count; a warm start is the cure.
    weight = np.ones(len(enough))
    weight[0] = 0
    with pytest.warns(UserWarning, match=message):
        model(max_epochs=1).fit(X.iloc[enough], named[enough], sample_weight=weight)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model(max_epochs=1).fit(X.iloc[enough], named[enough])
        started = model(max_epochs=1).warm_start_from(X, named, teacher=None)
        started.fit(X.iloc[few], named[few])


@pytest.mark.parametrize("how", ["class_weight", "sample_weight"])
def test_what_weights_by_label_add_can_be_subtracted(how):
    X, y = profile(1500)
    net = model(max_epochs=8, n_estimators=2, teacher=None)
    weight = np.where(y == 1, 3.0, 1.0)
    if how == "sample_weight":
        net.fit(X, y, sample_weight=weight)
        added = np.log(weight[y == 1].mean() / weight[y == 0].mean())
    else:
        net.set_params(class_weight={0: 1, 1: 3}).fit(X, y)
        added = np.log(net.class_weight_[1] / net.class_weight_[0])
    test, truth = profile(4000, seed=5)
    log_odds = net.decision_function(test)
    distorted, mended = (calibration_summary(truth, expit(log_odds - by)) for by in (0, added))
    assert added == pytest.approx(np.log(3))
    assert distorted.in_the_large < 0.25 - np.log(3)  # far too high
    assert abs(mended.in_the_large) < 0.25
