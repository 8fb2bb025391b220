"""Reason codes: which ones, in which order, and what a table must not say."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from skhuihen.inspection import Explanation, reason_codes
from skhuihen.inspection._table import Player

#: Two fields and a history, as `explain` describes them.
TREE = [
    ("user", "", "field"),
    ("user/user__age", "user", "column"),
    ("user/user__income", "user", "column"),
    ("device", "", "field"),
    ("device/device__os", "device", "column"),
    ("history", "", "history"),
    ("history/session_1", "history", "session"),
    ("history/older_sessions", "history", "session"),
]


def make_explanation(*leaves, index=None):
    """Make one of the values of age, income, os, last and older sessions."""
    players = [Player(*of, f"shown {of[0]}") for of in TREE]
    values = [np.array([a + b, a, b, c, c, d + e, d, e], dtype=float) for a, b, c, d, e in leaves]
    total = np.array([sum(of) for of in leaves], dtype=float)
    return Explanation(
        players=[players] * len(values),
        values=values,
        log_odds=total - 2,
        base=np.full(len(values), -2.0),
        index=pd.RangeIndex(len(values)) if index is None else pd.Index(index),
        catalog=players,
        table=pd.DataFrame(index=range(len(values))),
        column="behaviors",
        applied_at=None,
    )


def make_table(**changes):
    table = pd.DataFrame(
        {
            "player": ["user__age", "user__income", "device", "session_1", "history"],
            "code": ["A", "I", "D", "L", "H"],
            "text": ["Age", "Income", "Device", "Last visit", "Earlier visits"],
            "tell": [True, True, True, True, True],
        }
    )
    return table.assign(**changes)


def codes_of(result, application=0):
    return result.loc[result["application"] == application, "code"].tolist()


def test_the_largest_come_first_and_none_that_lowered_the_risk():
    result = reason_codes(make_explanation((0.1, 0.4, -0.3, 0.2, 0.0)), make_table())
    assert codes_of(result) == ["I", "L", "A"]
    assert result["rank"].tolist() == [1, 2, 3]
    assert result["effect"].tolist() == pytest.approx([0.4, 0.2, 0.1])
    assert result["text"].iloc[0] == "Income"
    assert result["player"].iloc[1] == "history/session_1"
    assert result["shown"].iloc[1] == "shown history/session_1"
    assert len(reason_codes(make_explanation((-1, -1, 0, 0, -1)), make_table())) == 0


def test_no_more_reasons_than_asked_for_and_rows_by_their_labels():
    explanation = make_explanation((5, 4, 3, 2, 1), (1, 2, 3, 4, 5), index=["ann", "bob"])
    result = reason_codes(explanation, make_table())
    assert codes_of(result, 0) == ["A", "I", "D", "L"]
    assert codes_of(result, 1) == ["H", "L", "D", "I"]
    assert result["index"].tolist() == ["ann"] * 4 + ["bob"] * 4
    assert len(reason_codes(explanation, make_table(), n_reasons=1)) == 2


def test_effects_of_one_code_are_added_up_and_a_group_takes_what_is_left():
    table = pd.DataFrame({
        "player": ["device__*", "user", "history/session_?", "*"],
        "code": ["X", "U", "X", "REST"],
        "text": ["App and device", "About you", "App and device", "Earlier visits"],
    })  # fmt: skip
    result = reason_codes(make_explanation((0.1, 0.2, 0.3, 0.4, 0.05)), table)
    assert codes_of(result) == ["X", "U", "REST"]
    assert result["effect"].tolist() == pytest.approx([0.7, 0.3, 0.05])
    assert result["player"].tolist()[:2] == ["history/session_1", "user/user__income"]


def test_ties_are_settled_by_the_table():
    explanation = make_explanation((0.2, 0.2 + 1e-12, 0.2, 0.2, 0.2))
    assert codes_of(reason_codes(explanation, make_table())) == ["A", "I", "D", "L"]
    turned = make_table().iloc[[3, 2, 1, 4, 0]]
    assert codes_of(reason_codes(explanation, turned)) == ["L", "D", "I", "H"]


def test_what_may_not_be_told_is_shown_and_has_no_rank():
    table = make_table(tell=["yes", "no", "yes", "yes", "yes"])
    result = reason_codes(make_explanation((0.3, 0.5, 0.2, 0.1, 0.05)), table, n_reasons=2)
    assert codes_of(result) == ["I", "A", "D"]
    assert result["rank"].tolist() == [pd.NA, 1, 2]
    assert result["told"].tolist() == [False, True, True]


def test_against_a_reference():
    explanation = make_explanation((0.5, 0.4, 0.1, 0.0, 0.0))
    approved = make_explanation((0.4, -0.1, 0.1, -0.2, 0.0), (0.6, -0.3, 0.1, 0.0, 0.0))
    result = reason_codes(explanation, make_table(), reference=approved)
    assert codes_of(result) == ["I", "L"]
    assert result["effect"].tolist() == pytest.approx([0.6, 0.1])
    best = reason_codes(explanation, make_table(), reference=approved, against="best")
    assert codes_of(best) == ["I", "L", "A"]
    assert best["effect"].tolist() == pytest.approx([0.7, 0.2, 0.1])
    with pytest.raises(ValueError, match="found 'worst'"):
        reason_codes(explanation, make_table(), reference=approved, against="worst")
    with pytest.raises(ValueError, match="reference is empty"):
        reason_codes(explanation, make_table(), reference=approved[:0])
    other = make_explanation((0.0, 0.0, 0.0, 0.0, 0.0))
    other.catalog.pop()
    with pytest.raises(ValueError, match="different players"):
        reason_codes(explanation, make_table(), reference=other)


def test_a_player_without_a_reason_is_an_error_even_where_it_has_no_part():
    lacking = make_table().iloc[:3]
    explanation = make_explanation((0.1, 0.0, 0.0, 0.0, 0.0))
    # No history here: the error is there all the same.
    explanation.players[0], explanation.values[0] = (
        explanation.players[0][:5],
        explanation.values[0][:5],
    )
    with pytest.raises(ValueError, match=r"no row for 'history/session_1' .*older_sessions"):
        reason_codes(explanation, lacking)


def test_a_file_is_read(tmp_path):
    path = tmp_path / "reasons.csv"
    make_table(tell=["yes", "No", "TRUE", "1", "0"]).to_csv(path, index=False)
    result = reason_codes(make_explanation((0.1, 0.2, 0.3, 0.4, 0.5)), path)
    assert result["told"].tolist() == [False, True, True, False, True]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"text": ["Age", "Other", "a", "b", "c"]}, "Row 1 .* 'Other' .* not a specific reason"),
        ({"code": ["A", "other", "a", "b", "c"]}, "'other' .* not a specific reason"),
        ({"text": ["Age", " ", "a", "b", "c"]}, "Row 1 .* has no text"),
        ({"player": ["a", None, "a", "b", "c"]}, "Row 1 .* has no player"),
        ({"tell": ["yes", "perhaps", "no", "no", "no"]}, "tell='perhaps'. Use yes or no"),
        ({"code": ["A", "A", "D", "L", "H"]}, "'A', but a different text or tell"),
    ],
)
def test_tables_that_are_not_in_order(changes, message):
    with pytest.raises(ValueError, match=message):
        reason_codes(make_explanation((0, 0, 0, 0, 0)), make_table(**changes))


def test_tables_that_are_none():
    explanation = make_explanation((0, 0, 0, 0, 0))
    with pytest.raises(ValueError, match="no column 'text'"):
        reason_codes(explanation, make_table().drop(columns="text"))
    with pytest.raises(ValueError, match="is empty"):
        reason_codes(explanation, make_table().iloc[:0])
    with pytest.raises(ValueError, match="n_reasons == 0"):
        reason_codes(explanation, make_table(), n_reasons=0)
