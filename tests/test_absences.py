"""What was there in fit and is absent or written otherwise later is said, not passed over."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pandas as pd
import pytest

from skhuihen import (
    BehaviorAbstractor,
    HUIHENClassifier,
    ProfileEncoder,
    Sessionizer,
    WindowStatistics,
    attach_behaviors,
)
from skhuihen.datasets import make_loan_data

BANK = make_loan_data(n_new=60, n_old=0, overdue_rate=0.3, random_state=0)


@contextmanager
def silence() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "Only .* applications have the label")
        yield


def attached(**changes: Any) -> pd.DataFrame:
    """Return the bank's table; a change of None leaves a column of events out."""
    events = BANK.events.drop(columns=[name for name in changes if changes[name] is None])
    return attach_behaviors(BANK.applications, events)


# ---- events


@pytest.mark.parametrize(
    ("step", "name"),
    [
        (WindowStatistics(["30D"]), "amount"),
        (BehaviorAbstractor(), "item"),
    ],
)
def test_a_subfield_that_fit_knew_is_missed(step: Any, name: str) -> None:
    X, without = attached(), attached(**{name: None})
    step.fit(X)
    with pytest.warns(
        UserWarning, match=f"no subfield '{name}', which had values in fit"
    ) as caught:
        step.transform(without)
    assert caught[0].filename == __file__
    missing = attach_behaviors(BANK.applications, BANK.events.assign(**{name: None}))
    with silence():
        step.transform(X)
        step.transform(missing)
        step.transform(without.assign(behaviors=[[]] * len(X)))
        step.fit(without).transform(X)
        step.fit(missing).transform(without)


def test_the_classifier_misses_amounts() -> None:
    sessions = Sessionizer()
    X, without = (sessions.fit_transform(table) for table in (attached(), attached(amount=None)))
    model = HUIHENClassifier(max_epochs=1, n_estimators=1, random_state=0).fit(X, BANK.y)
    with pytest.warns(UserWarning, match="no subfield 'amount', which had values in fit") as caught:
        model.predict_proba(without)
    assert caught[0].filename == __file__
    with silence():
        model.predict_proba(X)
        model.fit(without, BANK.y).predict_proba(X)


@pytest.mark.parametrize("n", [1, 19, 20])
def test_a_few_applicants_without_events_are_ordinary(n: int) -> None:
    nothing = BANK.events.iloc[:0]
    if n < 20:
        with silence():
            X = attach_behaviors(BANK.applications[:n], nothing)
    else:
        with pytest.warns(UserWarning, match="no application has an earlier event"):
            X = attach_behaviors(BANK.applications[:n], nothing)
    assert X["behaviors"].array.list_lengths.tolist() == [0] * n


# ---- profile


def test_columns_without_a_prefix_among_those_with_one_are_told() -> None:
    X = BANK.applications.assign(score=1.0, overdue=BANK.y)
    left_out = r"\['score', 'overdue'\] are left out of the profile"
    with pytest.warns(UserWarning, match=left_out) as caught:
        ProfileEncoder().fit(X)
    assert caught[0].filename == __file__
    with pytest.warns(UserWarning, match=left_out):
        HUIHENClassifier(max_epochs=1, n_estimators=1, random_state=0).fit(X, BANK.y)
    with silence():
        ProfileEncoder().fit(BANK.applications)
        ProfileEncoder({"user": ["score"]}).fit(X)
        ProfileEncoder(id_columns=["user_id", "application_id", "score", "overdue"]).fit(X)


def test_a_column_of_which_no_value_is_known_is_told() -> None:
    X = BANK.applications
    shouted = X.assign(user__employment=X["user__employment"].str.upper())
    coded = X.assign(user__employment=X["user__employment"].astype("category").cat.codes)
    encoder = ProfileEncoder().fit(X)
    model = HUIHENClassifier(max_epochs=1, n_estimators=1, random_state=0).fit(X, BANK.y)
    for other in (shouted, coded):
        for score in (encoder.transform, model.predict_proba):
            with pytest.warns(
                UserWarning, match="None of the 60 values .*'user__employment'"
            ) as caught:
                score(other)
            assert caught[0].filename == __file__
    with silence():
        encoder.transform(X)
        encoder.transform(shouted[:19])  # too few to tell
        encoder.transform(pd.concat([shouted, X[:1]]))
        encoder.transform(X.assign(user__employment=None))
