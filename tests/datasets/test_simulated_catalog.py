"""What the apps of the simulated banks log, and under what names."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from skhuihen import BehaviorAbstractor, attach_behaviors
from skhuihen.datasets import make_loan_data

COUNTS = {"A": (452, 42), "B": (367, 37)}


@pytest.fixture(scope="module")
def banks():
    return {bank: make_loan_data(1500, 0, bank=bank, random_state=0) for bank in COUNTS}


@pytest.mark.parametrize("bank", COUNTS)
def test_true_grouping(banks, bank):
    groups = banks[bank].operation_groups
    assert groups.columns.to_list() == ["operation", "field", "behavior"]
    assert groups["operation"].is_unique
    assert set(groups["field"]) == {"item_click", "transform_operation", "function_widget"}
    assert not groups[["behavior", "field"]].drop_duplicates()["behavior"].duplicated().any()
    counted = groups[groups["field"] != "item_click"]
    assert (len(counted), counted["behavior"].nunique()) == COUNTS[bank]


@pytest.mark.parametrize("bank", COUNTS)
def test_operations_have_a_long_tail_and_are_seen(banks, bank):
    data = banks[bank]
    assert data.events["operation"].isin(data.operation_groups["operation"]).all()
    counts = data.events["operation"].value_counts()
    assert len(counts) > 0.98 * len(data.operation_groups)
    assert counts.iloc[: len(counts) // 10].sum() > 0.4 * counts.sum()
    assert counts.quantile(0.1) < counts.mean() / 10


def test_the_banks_name_things_in_their_own_ways(banks):
    patterns = {
        "A": {
            "camel": r"[A-Z][a-z]+Page\.[a-z]+[A-Za-z]*$",
            "path": r"[a-z]+/[a-z]+/[a-z_]+$",
            "opaque": r"evt_\d{5}$",
        },
        "B": {"code": r"\d{3}-\d{3}-\d{3}$", "opaque": r"u[0-9a-f]{6}$"},
    }
    for bank, styles in patterns.items():
        names = banks[bank].operation_groups["operation"]
        share = {
            style: names.map(lambda name, p=pattern: bool(re.search(p, name))).mean()
            for style, pattern in styles.items()
        }
        assert sum(share.values()) == pytest.approx(1.0)
        assert share["opaque"] == pytest.approx({"A": 0.15, "B": 0.30}[bank], abs=0.01)
        assert min(share.values()) > 0.1
    shared = set(banks["A"].operation_groups["operation"]) & set(
        banks["B"].operation_groups["operation"]
    )
    assert not shared


def test_the_last_level_of_a_code_tells_the_behavior(banks):
    groups = banks["B"].operation_groups
    parts = groups["operation"].str.extract(r"^(\d+)-(\d+)-(\d+)$").dropna()
    behavior = groups["behavior"][parts.index]
    assert (behavior.groupby(parts[2]).nunique().eq(1)).all()
    # Pages do not tell it, and most behaviors have several of them.
    assert (behavior.groupby(parts[1]).nunique().ge(2)).mean() > 0.5
    assert (parts[1].groupby(behavior).nunique().ge(2)).mean() > 0.8


def test_the_app_of_bank_b_has_no_gold(banks):
    for bank, has in (("A", True), ("B", False)):
        assert ("gold_trade" in set(banks[bank].operation_groups["behavior"])) is has


@pytest.mark.parametrize("bank", COUNTS)
def test_items_and_amounts_stand_where_they_belong(banks, bank):
    data = banks[bank]
    events = data.events.merge(data.operation_groups, on="operation")
    clicked = events["field"] == "item_click"
    assert events.loc[clicked, "item"].notna().all()
    assert events.loc[events["field"] == "function_widget", "item"].isna().all()
    assert events.loc[events["field"] != "transform_operation", "amount"].isna().all()
    moved = events.loc[events["field"] == "transform_operation", "amount"]
    assert 0 < moved.isna().mean() < 0.03
    assert 0 < (moved == 0).mean() < 0.03
    # As in the transactions of a real bank, of which 78% are zero or negative.
    assert 0.70 < (moved.dropna() <= 0).mean() < 0.90
    signs = events.dropna(subset="amount").groupby("behavior")["amount"].agg(["min", "max"])
    assert ((signs["min"] < 0) & (signs["max"] > 0)).sum() >= 2
    clicks = events[clicked].merge(data.products, on="item", suffixes=("", "_of_item"))
    assert len(clicks) == clicked.sum()
    assert (clicks["behavior"] == clicks["behavior_of_item"]).all()


def test_money_moves_after_a_confirmation(banks):
    data = banks["A"]
    events = data.events.merge(data.operation_groups, on="operation", how="left")
    before = events["behavior"].shift()
    moved = events["field"] == "transform_operation"
    confirmed = (before == "confirm") & (events["user_id"] == events["user_id"].shift())
    assert confirmed[moved].mean() > 4 * confirmed[~moved].mean()


# ---- noise in the names


def with_behaviors(data):
    groups = data.operation_groups.set_index("operation")
    events = data.events.assign(behavior=groups["behavior"][data.events["operation"]].to_numpy())
    return events.drop(columns="operation")


@pytest.mark.parametrize("name_noise", [0.0, 0.3])
def test_names_change_nothing_else(name_noise):
    one = make_loan_data(300, 100, random_state=0)
    other = make_loan_data(300, 100, name_noise=name_noise, random_state=0)
    assert_frame_equal(with_behaviors(one), with_behaviors(other))
    for name in ("applications", "old_applications", "effects", "products"):
        assert_frame_equal(one[name], other[name])
    for name in ("y", "probability", "old_y", "old_probability"):
        np.testing.assert_array_equal(one[name], other[name])


@pytest.mark.parametrize("bank", COUNTS)
def test_less_noise_keeps_the_popular_names(bank):
    full, some, none = (
        make_loan_data(20, 0, bank=bank, name_noise=noise, random_state=0).operation_groups
        for noise in (1.0, 0.3, 0.0)
    )
    n_behaviors = full["behavior"].nunique()
    assert n_behaviors < len(some) < 0.5 * len(full)
    assert some["behavior"].nunique() == n_behaviors
    assert len(some.merge(full)) == len(some)
    assert len(none) == n_behaviors
    assert (none["operation"] == none["behavior"]).all()


# ---- as rules


@pytest.mark.parametrize("bank", COUNTS)
def test_true_grouping_is_valid_as_rules(banks, bank):
    data = banks[bank]
    X, _ = attach_behaviors(
        data.applications.iloc[:300], data.events, lookback="30D", return_report=True
    )
    abstractor = BehaviorAbstractor(rules=data.operation_groups).fit(X)
    assert abstractor.n_behaviors_ == COUNTS[bank][1]
    behaviors = abstractor.transform(X)["behaviors"].nest.to_flat()
    true = data.operation_groups.set_index("operation").loc[behaviors["operation"].astype(str)]
    assert (behaviors["field"].to_numpy() == true["field"].to_numpy()).all()
    merged = true["field"] != "item_click"
    found = behaviors["behavior"].astype(str).to_numpy()
    assert (found[merged] == true["behavior"][merged].to_numpy()).all()


def test_the_tables_returned_are_copies():
    data = make_loan_data(20, 0, random_state=0)
    data.operation_groups.loc[:, "behavior"] = "spoiled"
    data.products.loc[:, "risky"] = True
    fresh = make_loan_data(20, 0, random_state=0)
    assert (fresh.operation_groups["behavior"] != "spoiled").all()
    assert not fresh.products["risky"].all()
    assert isinstance(fresh.operation_groups, pd.DataFrame)
