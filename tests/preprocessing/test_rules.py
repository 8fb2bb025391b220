"""The rule table: read from anything alike, and the first match wins."""

from __future__ import annotations

import fnmatch
import glob

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from skhuihen.preprocessing._abstraction.rules import (
    FIELDS,
    ItemRules,
    Rule,
    RuleTable,
    literal_of,
    other_of,
    read_rules,
)

ROWS = [
    {"operation": "fund_*", "item": "A17", "field": "item_click", "behavior": "star fund"},
    {"operation": "fund_*", "item": None, "field": "item_click", "behavior": "fund"},
    {"operation": "NA", "item": "NA", "field": "function_widget", "behavior": "007"},
    {"operation": "007", "item": None, "field": "transform_operation", "behavior": "null"},
]
RULES = [
    Rule("fund_*", "A17", "item_click", "star fund"),
    Rule("fund_*", "*", "item_click", "fund"),
    Rule("NA", "NA", "function_widget", "007"),
    Rule("007", "*", "transform_operation", "null"),
]


def test_lists_frames_and_files_read_alike(tmp_path):
    frame = pd.DataFrame(ROWS)
    path = tmp_path / "rules.csv"
    frame.to_csv(path, index=False)
    indexed = tmp_path / "indexed.csv"
    frame.to_csv(indexed)
    for rules in (
        ROWS,
        frame,
        frame.astype("category"),
        frame.set_index(pd.Index([5, 5, 3, 1])),
        frame[["behavior", "item", "operation", "field"]].assign(note="of no interest"),
        path,
        str(path),
        indexed,
    ):
        assert read_rules(rules) == RULES


def test_item_may_be_left_out():
    rows = [{key: row[key] for key in ("operation", "field", "behavior")} for row in ROWS]
    assert [rule.item for rule in read_rules(rows)] == ["*"] * 4
    assert read_rules([{**ROWS[0], "item": np.nan}]) == [Rule("fund_*", "*", *_last(ROWS[0]))]


@pytest.mark.parametrize("rules", [None, [], pd.DataFrame(), pd.DataFrame(columns=["operation"])])
def test_no_rules(rules):
    assert read_rules(rules) == []


def test_codes_that_are_integers_stay_so_beside_empty_cells():
    rows = [{**ROWS[0], "operation": 7, "item": 17}, {**ROWS[0], "operation": 8, "item": None}]
    wanted = [Rule("7", "17", *_last(ROWS[0])), Rule("8", "*", *_last(ROWS[0]))]
    assert read_rules(rows) == read_rules(pd.DataFrame(rows)) == wanted


def _last(row):
    return row["field"], row["behavior"]


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ([{"operation": "a"}], r"missing the column 'field'; it has \['operation'\]. The columns"),
        ([1, 2], "missing the column 'operation'"),
        ([ROWS[1], {**ROWS[1], "operation": None}], "operation is missing in row 1 of rules"),
        ([{**ROWS[1], "behavior": np.nan}], "behavior is missing in row 0"),
        ([{**ROWS[1], "field": None}], "field is missing in row 0"),
        (
            [ROWS[1], {**ROWS[1], "field": "click"}],
            "field 'click' in row 1; it must be one of item",
        ),
        (
            pd.concat([pd.DataFrame(ROWS[:1]), pd.DataFrame([{**ROWS[0], "field": "click"}])]),
            "the field 'click' in row 0",
        ),
        (
            pd.DataFrame([["a"] * 4], columns=["operation", "operation", "field", "behavior"]),
            "duplicate column names",
        ),
    ],
)
def test_refuses_bad_rules(rules, message):
    with pytest.raises(ValueError, match=message):
        read_rules(rules)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("operation;field;behavior\na;item_click;b\n", "missing the column 'operation'"),
        ("operation,field,behavior\na,,b\n", "field is missing in row 0"),
        ("operation,field,behavior\na,item_click,\n", "behavior is missing in row 0"),
    ],
)
def test_refuses_bad_files(text, message, tmp_path):
    path = tmp_path / "rules.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_rules(path)


def test_refuses_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.csv"):
        read_rules(tmp_path / "none.csv")


# ---- the first match


def matches(pattern, name):
    if any(character in pattern for character in "*?["):
        return fnmatch.fnmatchcase(name, pattern)
    return pattern == name


def first_match(rules, operation, item):
    for rule in rules:
        if matches(rule.operation, operation) and matches(rule.item, item):
            return rule
    return None


NAMES = st.text("aB*?[]!-", max_size=3)
PATTERNS = NAMES | NAMES.map(glob.escape) | st.just("*")


@given(
    rules=st.lists(st.tuples(PATTERNS, PATTERNS), max_size=6),
    operation=NAMES,
    item=NAMES,
)
@example(rules=[("a", "[*]")], operation="a", item="[*]")
@example(rules=[("a", "[*]")], operation="a", item="*")
@example(rules=[("[*]", "*")], operation="[*]", item="")
@settings(max_examples=30)
def test_the_first_match_wins(rules, operation, item):
    rules = [Rule(*names, FIELDS[2], str(k)) for k, names in enumerate(rules)]
    found = RuleTable(rules).of_operation(operation).of_item(item)
    assert found == first_match(rules, operation, item)


@given(name=NAMES, other=NAMES)
@settings(max_examples=30)
def test_an_escaped_name_is_that_name_alone(name, other):
    table = RuleTable([Rule(glob.escape(name), "*", FIELDS[2], "b")])
    assert bool(table.of_operation(other).rules) == (name == other)
    item = ItemRules([Rule("a", glob.escape(name), FIELDS[2], "b")])
    assert (item.of_item(other) is not None) == (name == other)


def test_rules_of_an_operation_end_with_the_first_for_any_item():
    rules = [
        Rule("b", "*", FIELDS[2], "0"),
        Rule("a?", "A17", FIELDS[0], "1"),
        Rule("a1", "*", FIELDS[0], "2"),
        Rule("a*", "B2", FIELDS[0], "3"),
    ]
    assert [rule.behavior for rule in RuleTable(rules).of_operation("a1").rules] == ["1", "2"]
    assert [rule.behavior for rule in RuleTable(rules).of_operation("a2").rules] == ["1", "3"]
    assert RuleTable(rules).of_operation("c").rules == []


def test_case_counts():
    table = RuleTable([Rule("Fund*", "*", FIELDS[0], "fund")])
    assert table.of_operation("fund_buy").rules == []


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        *[("a", "a"), ("a]", "a]"), ("", ""), ("[*]", "*"), ("a[?][[]b]", "a?[b]")],
        *[("a*", None), ("?", None), ("[a]", None), ("[!*]", None), ("[[*]]", None), ("[*", None)],
    ],
)
def test_literal_of(pattern, name):
    assert literal_of(pattern) == name


@given(name=st.text("ab*?[]!-", max_size=6), other=st.text("ab*?[]!-", max_size=6))
def test_a_literal_matches_itself_alone(name, other):
    assert literal_of(glob.escape(name)) == name
    if literal_of(other) is not None:
        assert fnmatch.fnmatchcase(name, other) == (literal_of(other) == name)


def test_a_type_is_an_item_click_that_names_no_item():
    assert Rule("a", "*", "item_click", "b").is_type
    assert not Rule("a", "A17", "item_click", "b").is_type
    assert not Rule("a", "*", "function_widget", "b").is_type
    assert other_of("fund") == "fund:other"
