"""BehaviorAbstractor against a slow reading of its documentation, and its promises."""

from __future__ import annotations

import fnmatch
import pickle
import warnings
from collections import Counter

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal, assert_series_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import adjusted_rand_score
from sklearn.utils._param_validation import InvalidParameterError

from skhuihen import BehaviorAbstractor, Sessionizer, attach_behaviors
from skhuihen.datasets import make_loan_data
from tests.preprocessing.strategies import (
    HOUR,
    MINUTE,
    ZERO,
    applications,
    drawn,
    event,
    known,
    plain,
    subfields_of,
    tables,
)

CLICK, TRANSFORM, WIDGET = "item_click", "transform_operation", "function_widget"


# ---- the oracle


def matches(pattern, name):
    if any(character in pattern for character in "*?["):
        return fnmatch.fnmatchcase(name, pattern)
    return pattern == name


def has_amount(e):
    amount = e.get("amount")
    return amount is not None and amount == amount


def has_item(e):
    return e.get("item") is not None


def operation_of(e):
    return "missing" if e.get("operation") is None else e["operation"]


def item_of(e):
    return "missing" if e.get("item") is None else e["item"]


def evidence(events):
    """Return the field that most of an operation's events speak for."""
    if sum(map(has_amount, events)) > len(events) / 2:
        return TRANSFORM
    if sum(map(has_item, events)) > len(events) / 2:
        return CLICK
    return WIDGET


class SlowAbstractor:
    """``merge="frequency"``, one event at a time.

    Rules are tuples (operation, item, field, behavior).
    """

    def __init__(self, rules=(), n_behaviors=45, n_items=200):
        self.rules = [
            (r["operation"], r.get("item") or "*", r["field"], r["behavior"]) for r in rules
        ]
        self.n_behaviors = n_behaviors
        self.n_items = n_items

    def named(self, operation, item):
        """Return the field, behavior, and whether that is a type, by the first rule that holds."""
        for pattern, item_pattern, field, behavior in self.rules:
            if matches(pattern, operation) and matches(item_pattern, item):
                return field, behavior, field == CLICK and item_pattern == "*"
        return None

    def fit(self, events):
        by_operation = {}
        for e in events:
            by_operation.setdefault(operation_of(e), []).append(e)
        complete = {
            operation
            for operation in by_operation
            if any(matches(r[0], operation) and r[1] == "*" for r in self.rules)
        }
        field = {operation: evidence(mine) for operation, mine in by_operation.items()}
        self.type_of = {}
        merged = []
        for operation, mine in by_operation.items():
            if operation not in complete and field[operation] != CLICK:
                merged.append((-len(mine), operation))
        named = {(r[2], r[3]) for r in self.rules if r[2] != CLICK}
        room = self.n_behaviors - len(named)
        if len(merged) > room:
            room = max(room - 2, 0)
        kept = {operation for _, operation in sorted(merged)[:room]}
        self.default = {}
        for operation in by_operation:
            if field[operation] == CLICK:
                self.default[operation] = (CLICK, operation, True)
            else:
                name = operation if operation in kept else f"{field[operation]}:other"
                self.default[operation] = (field[operation], name, False)

        self.items = set()
        counts = Counter()
        for e in events:
            _, behavior, is_type = self.find(e)
            if is_type:
                counts[behavior, item_of(e)] += 1
        named_items = {r[3] for r in self.rules if r[2] == CLICK and r[1] != "*"}
        by_frequency = sorted(counts, key=lambda key: (-counts[key], key))
        self.items = set(by_frequency[: max(0, self.n_items - len(named_items))])
        return self

    def find(self, e):
        operation = operation_of(e)
        return self.named(operation, item_of(e)) or self.default.get(operation, (None, None, None))

    def transform(self, events):
        """Return (field, behavior) of each event, how many are unseen, and how many items."""
        result, unseen, not_kept = [], 0, 0
        for e in events:
            field, behavior, is_type = self.find(e)
            if field is None:
                unseen += 1
                field = TRANSFORM if has_amount(e) else CLICK if has_item(e) else WIDGET
                behavior = f"{field}:other"
            elif is_type:
                kept = (behavior, item_of(e)) in self.items
                not_kept += not kept
                behavior = f"{behavior}:{item_of(e) if kept else 'other'}"
            result.append((field, behavior))
        return result, unseen, not_kept


def used_events(histories, applied_at):
    return [e for h, at in zip(histories, applied_at, strict=True) for e in known(h, at)]


def tokens(X):
    return [(e["field"], e["behavior"]) for row in plain(X) for e in row]


def quietly(transform, X):
    """Transform without the warning of unseen operations, which has tests of its own."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "[0-9]+ of [0-9]+ events have operations that")
        return transform(X)


rule_tables = st.lists(
    st.fixed_dictionaries(
        {
            "operation": st.sampled_from(
                ["login", "*_detail", "fund_*", "page.back", "*", "[*]", "missing", "l*n", "zz"]
            ),
            "field": st.sampled_from([CLICK, TRANSFORM, WIDGET]),
            "behavior": st.sampled_from(["p", "q", "detail"]),
        },
        optional={"item": st.sampled_from([None, "A17", "[*]", "B*", "missing"])},
    ),
    max_size=4,
)


@given(
    old=tables(max_rows=4),
    new=tables(max_rows=3),
    rules=rule_tables,
    n_behaviors=st.integers(2, 8),
    n_items=st.integers(0, 5),
)
@settings(max_examples=20)
def test_agrees_with_the_slow_reading(old, new, rules, n_behaviors, n_items):
    train = drawn(*old)
    model = BehaviorAbstractor(rules, n_behaviors, n_items, merge="frequency").fit(train)
    slow = SlowAbstractor(rules, n_behaviors, n_items).fit(used_events(*old))
    for histories, applied_at in (old, new):
        X = drawn(histories, applied_at)
        wanted, unseen, not_kept = slow.transform(used_events(histories, applied_at))
        assert tokens(quietly(model.transform, X)) == wanted
        report = model.report(X)
        assert report["unseen_operations"] == unseen
        assert report["items_not_kept"] == not_kept
        assert report["events_used"] == len(wanted)
        assert report["events"] == sum(len(h or ()) for h in histories)
        assert report["events"] == (
            report["events_used"] + report["events_too_late"] + report["events_before_lookback"]
        )

    # The limits hold; what the rules name is always kept.
    table = model.rules_
    types = (table["field"] == CLICK) & (table["item"] == "*")
    behaviors = set(
        table.loc[table["field"] != CLICK, ["field", "behavior"]].itertuples(index=False)
    )
    named = {(r["field"], r["behavior"]) for r in rules if r["field"] != CLICK}
    assert model.n_behaviors_ == len(behaviors) <= max(n_behaviors, len(named) + 2)
    items = set(table.loc[(table["field"] == CLICK) & ~types, "behavior"])
    named_items = {r["behavior"] for r in rules if r["field"] == CLICK and r.get("item")}
    assert len(items) <= max(n_items, len(named_items))
    others = {f"{kind}:other" for kind in table.loc[types, "behavior"]}
    assert model.n_items_ == len(items | others)
    if not named:
        seen = {token for token in tokens(quietly(model.transform, train)) if token[0] != CLICK}
        assert len(seen) <= n_behaviors


@given(
    old=tables(max_rows=4),
    new=tables(max_rows=3),
    rules=rule_tables,
    n_behaviors=st.integers(2, 8),
    n_items=st.integers(0, 5),
)
@settings(max_examples=20)
def test_rules_round_trip(old, new, rules, n_behaviors, n_items):
    train, test = drawn(*old), drawn(*new)
    model = BehaviorAbstractor(rules, n_behaviors, n_items).fit(train)
    again = BehaviorAbstractor(model.rules_, n_behaviors, n_items).fit(train)
    assert_frame_equal(again.rules_, model.rules_)
    assert (again.n_behaviors_, again.n_items_) == (model.n_behaviors_, model.n_items_)
    for X in (train, test):
        assert plain(quietly(again.transform, X)) == plain(quietly(model.transform, X))
        assert_series_equal(again.report(X), model.report(X))


EXCLUDING = [
    {"operation": "page.back", "field": "excluded"},
    {"operation": "fund_buy", "field": "excluded", "behavior": "of no interest"},
    {"operation": "*_detail", "item": "A*", "field": "excluded", "behavior": None},
    {"operation": "fund_*", "field": CLICK, "behavior": "fund"},
    {"operation": "page.*", "field": WIDGET, "behavior": "page"},
]


def without_excluded(histories):
    def may_be_used(e):
        name = operation_of(e)
        return name not in ("page.back", "fund_buy") and not (
            name.endswith("_detail") and item_of(e).startswith("A")
        )

    return [h and [e for e in h if may_be_used(e)] for h in histories]


@given(old=tables(max_rows=4), new=tables(max_rows=3), n_items=st.integers(0, 5))
@settings(max_examples=10)
def test_excluded_events_are_as_if_they_had_never_been(old, new, n_items):
    model = BehaviorAbstractor(EXCLUDING, 4, n_items).fit(drawn(*old))
    others = [rule for rule in EXCLUDING if rule["field"] != "excluded"]
    subfields = subfields_of(old[0])
    train = applications(without_excluded(old[0]), old[1], subfields=subfields)
    wanted = BehaviorAbstractor(others, 4, n_items).fit(train)
    assert (model.n_behaviors_, model.n_items_) == (wanted.n_behaviors_, wanted.n_items_)
    is_rule_of_exclusion = model.rules_["field"] == "excluded"
    assert_frame_equal(model.rules_[~is_rule_of_exclusion].reset_index(drop=True), wanted.rules_)
    assert_frame_equal(model.merges_, wanted.merges_)
    again = BehaviorAbstractor(model.rules_, 4, n_items).fit(drawn(*old))
    assert_frame_equal(again.rules_, model.rules_)
    for histories, applied_at in (old, new):
        X = drawn(histories, applied_at)
        kept = applications(
            without_excluded(histories), applied_at, subfields=subfields_of(histories)
        )
        for one in (model, again):
            assert plain(quietly(one.transform, X)) == plain(quietly(wanted.transform, kept))
        report, less = model.report(X), wanted.report(kept)
        n_excluded = len(used_events(histories, applied_at)) - less["events_used"]
        assert report["events_excluded"] == n_excluded
        same = report.index.drop(["events", "events_excluded", "events_too_late"])
        assert_series_equal(report[same], less[same])


def test_sessions_that_excluded_events_have_shaped_are_refused():
    X = applications([[event(k / 100, name) for k, name in enumerate("abcabc")]])
    rules = [{"operation": "a", "field": "excluded"}]
    behind = BehaviorAbstractor(rules).fit(X)
    for call in (BehaviorAbstractor(rules).fit, behind.transform, behind.report):
        with pytest.raises(ValueError, match="Put BehaviorAbstractor in front of Sessionizer"):
            call(Sessionizer().fit_transform(X))


def test_rules_round_trip_through_a_file(tmp_path):
    X = applications(LOG)
    model = BehaviorAbstractor(RULES, n_items=2).fit(X)
    path = tmp_path / "rules.csv"
    model.rules_.to_csv(path, index=False)
    again = BehaviorAbstractor(path, n_items=2).fit(X)
    assert_frame_equal(again.rules_, model.rules_)
    assert plain(again.transform(X)) == plain(model.transform(X))


RULES = [
    {"operation": "*.back", "field": WIDGET, "behavior": "back"},
    {"operation": "fund_*", "item": "A17", "field": CLICK, "behavior": "star fund"},
    {"operation": "*_detail", "field": CLICK, "behavior": "detail"},
]
LOG = [
    [
        event(0, "fund_list.back", item="A17"),
        event(1, "fund_detail", item="A17"),
        event(2, "fund_detail", item="B2"),
        event(3, "card_detail", item="A17"),
        event(4, "card_detail"),
        event(5, "fund_buy", item="B2", amount=5.0),
        event(6, "fund_buy", item="A17", amount=5.0),
        event(7, None),
        event(8, "login", item=None),
        event(9, "**", item="*"),
    ],
    None,
    [],
]


def test_the_learned_table_says_everything():
    model = BehaviorAbstractor(RULES).fit(applications(LOG))
    assert model.rules_[["operation", "item", "field", "behavior"]].values.tolist() == [
        ["[*][*]", "[*]", CLICK, "**:*"],
        ["[*][*]", "*", CLICK, "**"],
        ["card_detail", "A17", CLICK, "detail:A17"],
        ["card_detail", "B2", CLICK, "detail:B2"],
        ["card_detail", "missing", CLICK, "detail:missing"],
        ["card_detail", "*", CLICK, "detail"],
        ["fund_buy", "A17", CLICK, "star fund"],
        ["fund_buy", "*", TRANSFORM, "fund_buy"],
        ["fund_detail", "A17", CLICK, "star fund"],
        ["fund_detail", "A17", CLICK, "detail:A17"],
        ["fund_detail", "B2", CLICK, "detail:B2"],
        ["fund_detail", "missing", CLICK, "detail:missing"],
        ["fund_detail", "*", CLICK, "detail"],
        ["fund_list.back", "*", WIDGET, "back"],
        ["login", "*", WIDGET, "login"],
        ["missing", "*", WIDGET, "missing"],
        ["*.back", "*", WIDGET, "back"],
        ["fund_*", "A17", CLICK, "star fund"],
        ["*_detail", "A17", CLICK, "detail:A17"],
        ["*_detail", "B2", CLICK, "detail:B2"],
        ["*_detail", "missing", CLICK, "detail:missing"],
        ["*_detail", "*", CLICK, "detail"],
    ]
    assert tokens(model.transform(applications(LOG))) == [
        (WIDGET, "back"),
        (CLICK, "star fund"),
        (CLICK, "detail:B2"),
        (CLICK, "detail:A17"),
        (CLICK, "detail:missing"),
        (TRANSFORM, "fund_buy"),
        (CLICK, "star fund"),
        (WIDGET, "missing"),
        (WIDGET, "login"),
        (CLICK, "**:*"),
    ]


def test_an_item_of_a_type_is_that_item_under_every_operation_of_the_type():
    model = BehaviorAbstractor(RULES).fit(applications(LOG))
    new = [[event(0, "card_detail", item="B2"), event(1, "loan_detail", item="B2")]]
    assert tokens(model.transform(applications(new))) == [(CLICK, "detail:B2")] * 2


# ---- merging


def test_ties_are_settled_by_name():
    log = [[event(k, name) for k, name in enumerate("dcbaadcb")] + [event(9, "e")]]
    model = BehaviorAbstractor(n_behaviors=4, merge="frequency").fit(applications(log))
    seen = dict(
        zip("dcbaadcbe", (b for _, b in tokens(model.transform(applications(log)))), strict=True)
    )
    other = f"{WIDGET}:other"
    assert seen == {"a": "a", "b": "b", "c": other, "d": other, "e": other}


def test_items_are_kept_by_frequency_and_ties_by_name():
    items = ["C", "B", "A", "C", "D"]
    log = [[event(k, "detail", item=item) for k, item in enumerate(items)]]
    model = BehaviorAbstractor(n_items=2).fit(applications(log))
    assert [b for _, b in tokens(model.transform(applications(log)))] == [
        "detail:C",
        "detail:other",
        "detail:A",
        "detail:C",
        "detail:other",
    ]
    assert model.report(applications(log))["items_not_kept"] == 2
    assert model.n_items_ == 3


def test_items_are_counted_over_all_operations_of_a_type():
    rules = [{"operation": "*_detail", "field": CLICK, "behavior": "detail"}]
    names = ["fund_detail", "card_detail", "loan_detail", "fund_detail", "fund_detail"]
    log = [[event(k, n, item=i) for k, (n, i) in enumerate(zip(names, "AAABB", strict=True))]]
    model = BehaviorAbstractor(rules, n_items=1).fit(applications(log))
    assert [b for _, b in tokens(model.transform(applications(log)))] == [
        *["detail:A"] * 3,
        *["detail:other"] * 2,
    ]


def test_exactly_as_many_operations_as_there_is_room_for():
    log = [[event(k, name) for k, name in enumerate("abc")]]
    X = applications(log)
    assert BehaviorAbstractor(n_behaviors=3).fit(X).n_behaviors_ == 3
    assert [b for _, b in tokens(BehaviorAbstractor(n_behaviors=3).fit_transform(X))] == [*"abc"]
    few = BehaviorAbstractor(n_behaviors=2, merge="frequency").fit(X)
    assert few.n_behaviors_ == 1  # one of the two "other"


@pytest.mark.parametrize(
    ("amounts", "items", "field"),
    [
        ([1.0, 1.0, None], ["A", "A", "A"], TRANSFORM),
        ([0.0, float("nan"), -1.0], [None, None, None], TRANSFORM),
        ([1.0, None], ["A", "A"], CLICK),
        ([1.0, None], ["A", None], WIDGET),
        ([None, None, None], ["A", "A", None], CLICK),
        ([None, None, None], ["A", None, None], WIDGET),
    ],
)
def test_the_field_is_what_most_events_speak_for(amounts, items, field):
    log = [
        [
            event(k, "a", amount=amount, item=item)
            for k, (amount, item) in enumerate(zip(amounts, items, strict=True))
        ]
    ]
    result = BehaviorAbstractor().fit_transform(applications(log))
    assert {found for found, _ in tokens(result)} == {field}


def test_one_name_in_two_fields_counts_twice():
    rules = [
        {"operation": "a", "field": WIDGET, "behavior": "x"},
        {"operation": "b", "field": TRANSFORM, "behavior": "x"},
    ]
    log = [[event(k, name) for k, name in enumerate("abcde")]]
    model = BehaviorAbstractor(rules, n_behaviors=4, merge="frequency").fit(applications(log))
    assert model.n_behaviors_ == 3  # two of the rules, and "other" for c, d and e
    assert [b for _, b in tokens(model.transform(applications(log)))] == [
        "x",
        "x",
        *[f"{WIDGET}:other"] * 3,
    ]


# ---- merging by names and neighbors


def of_operation(model):
    """Return field and behavior, or type, of each operation."""
    table = model.rules_[model.rules_["item"] == "*"].drop_duplicates("operation")
    return table.set_index("operation")[["field", "behavior"]].agg("/".join, axis=1)


def test_one_behavior_for_a_button_and_one_type_for_a_product():
    log = [
        event(0, "FundListPage.confirm"),
        event(1, "loan_page/confirm"),
        event(2, "card-confirm"),
        event(3, "fund/detail", item="A17"),
        event(4, "fund/list", item="A17"),
        event(5, "loan/list", item="A17"),
        event(6, "home"),
    ]
    X = applications([log])
    model = BehaviorAbstractor(n_behaviors=2, n_items=2)
    assert [b for _, b in tokens(model.fit_transform(X))] == [
        *["confirm"] * 3,
        *["fund_click:A17"] * 2,
        "loan/list:A17",
        "home",
    ]
    assert model.report(X)["items_pooled"] == 2
    apart = BehaviorAbstractor(n_behaviors=4, merge="frequency").fit_transform(X)
    assert [b for _, b in tokens(apart)][3:5] == ["fund/detail:A17", "fund/list:A17"]


@pytest.mark.parametrize("n_items", [200, 90, 60, 20])
@pytest.mark.parametrize("verb", ["view", "ver"])
def test_catalogs_that_use_the_same_numbers_stay_apart(verb, n_items):
    names = [f"{verb}_{what}" for what in ("fund", "offer", "article")]
    log = [event(k / 99, names[k % 3], item=str(k // 3)) for k in range(90)]
    X = applications([log])
    model = BehaviorAbstractor(n_items=n_items).fit(X)
    for e, behavior in zip(log, (b for _, b in tokens(model.transform(X))), strict=True):
        assert behavior in (f"{e['operation']}:{e['item']}", f"{e['operation']}:other")
    report = model.report(X)
    assert report["items_pooled"] == 0
    assert report["items_not_kept"] == max(0, 90 - n_items)


def test_what_fits_stays_apart_and_items_of_rules_count():
    log = [event(k, name, item=i) for k, (name, i) in enumerate(zip("abab", "1122", strict=True))]
    log = [{**e, "operation": f"fund/{e['operation']}"} for e in log] + [event(9, "x", item="3")]
    X = applications([log])
    rules = [{"operation": "x", "item": "3", "field": CLICK, "behavior": "three"}]
    for n_items, pooled in ((5, 0), (4, 4)):
        model = BehaviorAbstractor(rules, n_items=n_items).fit(X)
        assert model.report(X)["items_pooled"] == pooled
        assert ("fund_click:1" in {b for _, b in tokens(model.transform(X))}) == (pooled > 0)


def test_items_pooled_by_a_rule_are_counted():
    report = BehaviorAbstractor(RULES).fit(applications(LOG)).report(applications(LOG))
    # "star fund" is A17 of two operations; no item of "detail" was seen under both of its own.
    assert report["items_pooled"] == 2


def test_a_group_joins_the_behavior_of_a_rule_that_has_its_name():
    rules = [{"operation": "go_back", "field": WIDGET, "behavior": "back"}]
    names = ["go_back", "fund.back", "loan.back", "card.back", "home"]
    X = applications([[event(k, name) for k, name in enumerate(names)]])
    model = BehaviorAbstractor(rules, n_behaviors=3).fit(X)
    assert [b for _, b in tokens(model.transform(X))] == [*["back"] * 4, "home"]
    assert model.n_behaviors_ == 2


@pytest.mark.parametrize(("minutes", "wanted"), [(60, {"xw_etc", "hq"}), (61, {f"{WIDGET}:other"})])
def test_neighbors_are_at_most_an_hour_apart(minutes, wanted):
    names = ["xw", "hq", "zu", "hq"] * 3
    log = [event(k * minutes / 60, name) for k, name in enumerate(names)]
    # Each row is a history of its own: its last event is no neighbor of the next row's first.
    X = applications([log, [event(0, "hq")]] * 20)
    assert {b for _, b in tokens(BehaviorAbstractor(n_behaviors=2).fit_transform(X))} == wanted


def test_the_order_of_rows_does_not_matter_where_neighbors_do():
    rng = np.random.default_rng(0)
    names = ["".join(letters) for letters in rng.choice([*"abcdefgh"], (40, 8))]
    rows = [
        [event(k / 100, names[i], amount=1.0 if i < 20 else None) for k, i in enumerate(some)]
        for some in rng.integers(0, 40, size=(60, 100))
    ]
    models = [
        BehaviorAbstractor(n_behaviors=9).fit(applications([rows[i] for i in order]))
        for order in (range(60), rng.permutation(60))
    ]
    assert_frame_equal(models[0].rules_, models[1].rules_)
    assert models[0].rules_["behavior"].str.endswith("_etc").any()
    assert models[0].n_behaviors_ <= 9


def test_the_table_says_why_and_how_sure():
    rules = [{"operation": "log*", "field": WIDGET, "behavior": "enter"}]
    names = ["fund.back", "x", "loan.back", "x", "card.back", "x", "login", "home", "x", "rest"]
    X = applications([[event(k / 9, name) for k, name in enumerate(names)]] * 9)
    model = BehaviorAbstractor(rules, n_behaviors=5).fit(X)
    table = model.rules_.set_index("operation")
    assert table["why"].to_dict() == {
        **dict.fromkeys(["fund.back", "loan.back", "card.back"], "name"),
        **dict.fromkeys(["x", "home", "rest"], "alone"),
        **dict.fromkeys(["login", "log*"], "rule"),
    }
    assert table["behavior"]["fund.back"] == "back"
    assert table["sure"].between(0, 1).all()
    assert table["sure"]["login"] == 1
    assert model.merges_["made"].tolist()[:2] == [True, True]
    assert model.merges_["by"].tolist()[:2] == ["name", "name"]
    report = model.report(X)
    assert (report["placed_by_name"], report["placed_by_rule"]) == (27, 9)
    assert (report["placed_by_use"], report["placed_as_rare"]) == (0, 0)


def test_an_automatic_number_is_where_the_cost_is_least(bank):
    X = attach_behaviors(bank.applications, bank.events)
    model = BehaviorAbstractor(n_behaviors="auto").fit(X)
    merges = model.merges_
    made = merges[merges["made"]]
    assert 20 <= model.n_behaviors_ <= 60
    assert merges["cost"].min() == made["cost"].iloc[-1]
    assert set(merges["by"]) <= {"name", "use", "rare"}
    assert (merges["n_behaviors"].diff().dropna() == -1).all()
    limited = BehaviorAbstractor(n_behaviors=30).fit(X)
    assert limited.n_behaviors_ <= 30
    # The way is the same, only its end differs.
    assert_frame_equal(
        limited.merges_.drop(columns="made"), merges.drop(columns="made"), check_exact=True
    )


def test_nobody_who_is_busy_rules_the_rest():
    rng = np.random.default_rng(0)
    names = ["".join(letters) for letters in rng.choice([*"abcdefgh"], (40, 8))]
    rows = [
        [event(k / 100, names[i], amount=None) for k, i in enumerate(some)]
        for some in rng.integers(0, 40, size=(60, 30))
    ]
    once = [event(k / 100, names[k]) for k in range(40)]
    again = [{**e, "time": e["time"] + k * 24 * HOUR} for k in range(50) for e in once]
    one, other = (BehaviorAbstractor(n_behaviors=9) for _ in range(2))
    one.fit(applications([*rows, once], [ZERO + 9999 * HOUR] * 61))
    other.fit(applications([*rows, again], [ZERO + 9999 * HOUR] * 61))
    groups = [model.rules_.groupby("behavior")["operation"].agg(tuple) for model in (one, other)]
    assert set(groups[0]) == set(groups[1])


@pytest.fixture(scope="module")
def bank():
    return make_loan_data(n_new=400, n_old=0, random_state=0)


def test_agrees_with_the_true_grouping_of_a_simulated_bank(bank):
    X = attach_behaviors(bank.applications, bank.events)
    truth = bank.operation_groups.set_index("operation")[["field", "behavior"]].agg(
        "/".join, axis=1
    )
    agreement = {}
    for merge in ("auto", "frequency"):
        model = BehaviorAbstractor(merge=merge).fit(X)
        assert model.n_behaviors_ <= 45
        pairs = pd.concat([truth, of_operation(model)], axis=1, join="inner")
        pairs = pairs[~pairs[0].str.startswith(CLICK)]
        assert len(pairs) > 45
        agreement[merge] = adjusted_rand_score(pairs[0], pairs[1])
    assert agreement["auto"] > agreement["frequency"] + 0.25


def test_the_table_of_a_simulated_bank_round_trips(bank, tmp_path):
    X = attach_behaviors(bank.applications, bank.events)
    model = BehaviorAbstractor().fit(X)
    model.rules_.to_csv(tmp_path / "rules.csv", index=False)
    again = BehaviorAbstractor(tmp_path / "rules.csv").fit(X)
    assert_frame_equal(again.rules_, model.rules_)
    assert tokens(again.transform(X)) == tokens(model.transform(X))


# ---- what fit did not see


def test_unseen_operations_go_by_their_own_evidence():
    model = BehaviorAbstractor().fit(applications([[event(0, "a")]]))
    new = [
        [event(k, "a", item=None, amount=None) for k in range(97)]
        + [
            event(97, "new", item="A17", amount=0.0),
            event(98, "new", item="A17", amount=None),
            event(99, "new", item=None, amount=None),
        ]
    ]
    X = applications(new)
    assert tokens(model.transform(X))[97:] == [  # no warning: 3 of 100
        (TRANSFORM, "transform_operation:other"),
        (CLICK, "item_click:other"),
        (WIDGET, "function_widget:other"),
    ]
    assert model.report(X)["unseen_operations"] == 3


def test_warns_if_more_than_one_in_twenty_is_unseen():
    model = BehaviorAbstractor().fit(applications([[event(0, "a")]]))
    at_the_limit = [[event(k, "a") for k in range(19)] + [event(19, "new")]]
    beyond = [[event(k, "a") for k in range(18)] + [event(19, "new")]]
    assert len(tokens(model.transform(applications(at_the_limit)))) == 20
    with pytest.warns(UserWarning, match="1 of 19 events have operations that BehaviorAbstractor"):
        model.transform(applications(beyond))
    assert tokens(model.transform(applications([None]))) == []


def test_null_operations_and_items_are_missing():
    log = [[event(0, None), event(1, "detail", item=None), event(2, "detail", item="A17")]]
    log[0].append(event(3, "detail", item="A17"))
    assert tokens(BehaviorAbstractor().fit_transform(applications(log)))[:2] == [
        (WIDGET, "missing"),
        (CLICK, "detail:missing"),
    ]


# ---- what transform leaves alone


@given(table=tables(min_rows=1), data=st.data())
@settings(max_examples=20)
def test_a_row_depends_on_itself_alone(table, data):
    X = drawn(*table)
    model = BehaviorAbstractor(RULES, 4, 2).fit(X)
    whole = model.transform(X)
    rows = data.draw(st.lists(st.sampled_from(range(len(X))), max_size=4))
    part = quietly(model.transform, X.iloc[rows])
    assert plain(part) == [plain(whole)[i] for i in rows]
    assert part.index.tolist() == X.index[rows].tolist()


@given(table=tables(min_rows=1, seq=False), data=st.data())
@settings(max_examples=20)
def test_fit_does_not_mind_the_order_of_rows_or_events(table, data):
    histories, applied_at = table
    rows = data.draw(st.permutations(range(len(histories))))
    mixed = [histories[i] and data.draw(st.permutations(histories[i])) for i in rows]
    one = BehaviorAbstractor(RULES, 4, 2).fit(drawn(histories, applied_at))
    other = BehaviorAbstractor(RULES, 4, 2).fit(drawn(mixed, [applied_at[i] for i in rows]))
    assert_frame_equal(one.rules_, other.rules_)


@given(table=tables(min_rows=1), late=tables(min_rows=1))
@settings(max_examples=20)
def test_the_future_changes_nothing(table, late):
    histories, applied_at = table
    future = [
        [
            *(e for e in h or () if e["time"] < at),
            *({**e, "time": at + abs(e["time"] - ZERO), "seq": 0} for e in late[0][0] or ()),
        ]
        for h, at in zip(histories, applied_at, strict=True)
    ]
    subfields = subfields_of(histories)
    past = applications(histories, applied_at, subfields=subfields)
    changed = applications(future, applied_at, subfields=subfields)
    one, other = (BehaviorAbstractor(RULES, 4, 2).fit(X) for X in (past, changed))
    assert_frame_equal(one.rules_, other.rules_)
    for X in (past, changed):
        assert plain(one.transform(X)) == plain(one.transform(past))


def test_lookback_limits_what_is_learned_and_can_be_set():
    at = ZERO + 10 * HOUR
    X = applications([[event(0, "old"), event(9, "new")]], [at])
    model = BehaviorAbstractor()
    assert set(model.fit(X).rules_["operation"]) == {"old", "new"}
    assert model.set_params(lookback="1h") is model
    assert model.fit(X).rules_["operation"].tolist() == ["new"]
    assert [e["time"] for e in plain(model.transform(X))[0]] == [ZERO + 9 * HOUR]
    assert model.report(X).to_dict() == {
        "events": 2,
        "events_too_late": 0,
        "events_before_lookback": 1,
        "events_used": 1,
        "events_excluded": 0,
        "unseen_operations": 0,
        "items_not_kept": 0,
        "placed_by_rule": 0,
        "placed_by_name": 0,
        "placed_by_use": 0,
        "placed_as_rare": 0,
        "items_pooled": 0,
    }


def test_transform_never_learns():
    X = applications(LOG)
    model = BehaviorAbstractor(RULES).fit(X)
    before = pickle.dumps(model)
    quietly(model.transform, applications([[event(0, "new", item="Z", amount=1.0)]]))
    model.report(X)
    assert pickle.dumps(model) == before


def test_labels_are_ignored():
    X = applications(LOG)
    one = BehaviorAbstractor().fit(X, [0, 1, 0])
    assert_frame_equal(one.rules_, BehaviorAbstractor().fit(X, [1, 0, 1]).rules_)
    assert_frame_equal(one.rules_, BehaviorAbstractor().fit(X).rules_)


def test_nothing_else_changes_and_the_input_is_left_alone():
    X = applications(LOG, age=[30, 40, 50])
    before = pickle.dumps(X)
    rules = pd.DataFrame(RULES)
    rules_before = rules.copy()
    result = BehaviorAbstractor(rules).fit_transform(X)
    assert pickle.dumps(X) == before
    assert_frame_equal(rules, rules_before)
    assert_frame_equal(result.drop(columns="behaviors"), X.drop(columns="behaviors"))
    assert list(result.columns) == list(X.columns)
    assert [
        [{k: v for k, v in e.items() if k not in ("field", "behavior")} for e in row]
        for row in plain(result)
    ] == plain(X)


def test_subfields_of_the_same_names_are_replaced():
    X = applications([[event(0, "a", field="mine", behavior="mine")]])
    assert tokens(BehaviorAbstractor().fit_transform(X)) == [(WIDGET, "a")]


def test_order_is_restored():
    X = applications([[event(2, "c"), event(0, "a"), event(1, "b")]])
    result = BehaviorAbstractor().fit_transform(X)
    assert [e["operation"] for e in plain(result)[0]] == ["a", "b", "c"]


# ---- histories without events, and other tables


@pytest.mark.parametrize("histories", [[None, None], [[], None], []])
def test_no_events(histories):
    X = applications(histories)
    model = BehaviorAbstractor(RULES).fit(X)
    assert plain(model.transform(X)) == [[] for _ in histories]
    assert model.rules_["operation"].tolist() == ["*.back", "fund_*", "*_detail"]
    assert model.report(X).sum() == 0
    assert len(BehaviorAbstractor().fit(X).rules_) == 0


def test_one_row_and_no_row():
    X = applications(LOG)
    model = BehaviorAbstractor().fit(X)
    assert plain(model.transform(X.iloc[:1])) == plain(model.transform(X))[:1]
    assert list(model.transform(X.iloc[:0]).columns) == list(X.columns)
    assert len(model.transform(X.iloc[:0])) == 0


def test_other_tables():
    X = applications(LOG, age=[30, 40, 50])
    wanted = plain(BehaviorAbstractor(RULES).fit_transform(X))
    table = pa.table(X.reset_index(drop=True))
    assert plain(BehaviorAbstractor(RULES).fit_transform(table)) == wanted
    frame = pl.DataFrame(table)
    assert plain(BehaviorAbstractor(RULES).fit(table).transform(frame)) == wanted


def test_operations_may_be_integers():
    log = [[{"time": pd.Timestamp("2024-05-01"), "operation": 7, "item": 3}]]
    X = applications([None]).assign(behaviors=pd.Series(log, dtype=object).to_numpy())
    rules = [{"operation": 7, "item": 3, "field": CLICK, "behavior": "seven"}]
    result = BehaviorAbstractor(rules, applied_at=None).fit_transform(X)
    assert tokens(result) == [(CLICK, "seven")]


# ---- parameters


def test_names_of_columns_are_parameters():
    X = applications(LOG).rename(columns={"behaviors": "log", "applied_at": "at"})
    result = BehaviorAbstractor(behaviors="log", applied_at="at").fit_transform(X)
    assert len(plain(result, "log")[0]) == 10
    with pytest.raises(ValueError, match="no column 'applied_at', so events after"):
        BehaviorAbstractor(behaviors="log").fit(X)
    with pytest.raises(ValueError, match="no column 'behaviors'; it has"):
        BehaviorAbstractor().fit(X)
    model = BehaviorAbstractor().fit(applications(LOG))
    with pytest.raises(ValueError, match="no column 'applied_at'"):
        model.transform(applications(LOG).drop(columns="applied_at"))


@pytest.mark.parametrize(
    "parameters",
    [
        {"rules": 3},
        {"rules": {"operation": "a"}},
        {"n_behaviors": 1},
        {"n_behaviors": 2.5},
        {"n_items": -1},
        {"merge": "names"},
        {"behaviors": None},
        {"applied_at": 3},
    ],
)
def test_refuses_parameters(parameters):
    with pytest.raises(InvalidParameterError, match=f"The '{next(iter(parameters))}' parameter"):
        BehaviorAbstractor(**parameters).fit(applications(LOG))


def test_refuses_a_lookback_that_is_none():
    with pytest.raises(ValueError, match="lookback=30 is not a valid duration"):
        BehaviorAbstractor(lookback=30).fit(applications(LOG))
    with pytest.raises(ValueError, match="lookback requires applied_at"):
        BehaviorAbstractor(lookback="1D", applied_at=None).fit(applications(LOG))


def test_refuses_events_that_cannot_be_read():
    X = applications([[event(0)]])
    times = [[{"time": pd.Timestamp("2024-05-01")}]]
    for values, error, message in (
        (times, ValueError, r"no subfield 'operation'; they have \['time'\]"),
        ([[{**times[0][0], "operation": 1.5}]], TypeError, "'operation' is of type double"),
        (
            [[{**times[0][0], "operation": "a", "amount": "5"}]],
            TypeError,
            "'amount' is of type string",
        ),
        (
            [[{**times[0][0], "operation": "a", "amount": float("inf")}]],
            ValueError,
            "'amount' contains 1 infinite values",
        ),
    ):
        with pytest.raises(error, match=message):
            BehaviorAbstractor(applied_at=None).fit(
                X.assign(behaviors=pd.Series(values, dtype=object).to_numpy())
            )


# ---- scikit-learn's conventions


def test_clone_pickle_and_parameters():
    rules = pd.DataFrame(RULES)
    model = BehaviorAbstractor(rules, n_behaviors=7, lookback="30D")
    copied = clone(model)
    assert copied.get_params().keys() == model.get_params().keys()
    assert copied.n_behaviors == 7
    with pytest.raises(NotFittedError):
        copied.transform(applications(LOG))
    with pytest.raises(NotFittedError):
        copied.report(applications(LOG))
    X = applications(LOG)
    copied.fit(X)
    assert_frame_equal(copied.rules_, clone(model).fit(X).rules_)
    restored = pickle.loads(pickle.dumps(copied))
    assert plain(restored.transform(X)) == plain(copied.transform(X))


@pytest.mark.parametrize("output", ["default", "pandas", "polars"])
def test_set_output_and_names(output):
    X = applications(LOG, age=[30, 40, 50])
    model = BehaviorAbstractor().set_output(transform=output).fit(X)
    assert model.feature_names_in_.tolist() == ["applied_at", "behaviors", "age"]
    assert model.n_features_in_ == 3
    assert model.get_feature_names_out().tolist() == ["applied_at", "behaviors", "age"]
    assert list(model.transform(X).columns) == ["applied_at", "behaviors", "age"]
    assert isinstance(model.transform(X), pl.DataFrame if output == "polars" else pd.DataFrame)


def test_either_order_with_a_sessionizer():
    log = [[event(k / 100, name) for k, name in enumerate("abcabc")], None]
    X = applications(log)
    sessions, behaviors = Sessionizer(), BehaviorAbstractor()
    one = behaviors.fit_transform(sessions.fit_transform(X))
    other = sessions.fit_transform(behaviors.fit_transform(X))
    assert plain(one) == plain(other)
    assert tokens(one) == [(WIDGET, name) for name in "abcabc"]


def test_many_operations_of_both_kinds():
    # 60 widgets and 60 transform operations, the frequent ones first in rank.
    rng = np.random.default_rng(0)
    log = []
    for k in range(120):
        amount = 5.0 if k % 2 else None
        for _ in range(121 - k):
            log.append(event(rng.integers(0, 1000) * MINUTE / HOUR, f"op{k:03}", amount=amount))
    X = applications([log])
    model = BehaviorAbstractor(n_behaviors=45, merge="frequency").fit(X)
    assert model.n_behaviors_ == 45
    names = {b for _, b in tokens(model.transform(X))}
    assert names == {f"op{k:03}" for k in range(43)} | {f"{WIDGET}:other", f"{TRANSFORM}:other"}
