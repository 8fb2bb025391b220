"""What events say about operations, against a slow count."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skhuihen._events.as_of import read_as_of
from skhuihen.preprocessing._abstraction import evidence
from skhuihen.preprocessing._abstraction.evidence import Totals
from tests.preprocessing.strategies import applications, event

histories = st.lists(
    st.lists(
        st.tuples(st.sampled_from([0, 0.5, 1, 1.5, 4]), st.sampled_from([*"abcd"])), max_size=8
    ),
    min_size=1,
    max_size=5,
)


def totals(rows, n_pieces=1):
    pieces = [
        read_as_of(
            applications([[event(at, name) for at, name in row] for row in piece]),
            "behaviors",
            "applied_at",
            None,
        ).behaviors
        for piece in (rows[k::n_pieces] for k in range(n_pieces))
        if piece
    ]
    return Totals(pieces)


def slow(rows):
    """Count the applications in which one operation stands directly before another."""
    found = Counter()
    for row in rows:
        row = sorted(row)
        found.update(
            {(a, b) for (before, a), (after, b) in pairwise(row) if after - before <= 1 and a != b}
        )
    return found


@given(rows=histories, n_pieces=st.integers(1, 3), data=st.data())
@settings(max_examples=20)
def test_neighbors_count_once_for_each_application(rows, n_pieces, data):
    mixed = [data.draw(st.permutations(row)) for row in data.draw(st.permutations(rows))]
    counted = totals(mixed, n_pieces)
    names = sorted({name for row in rows for _, name in row})
    codes = [counted.operations.index(name) for name in names]
    n_events = Counter(name for row in rows for _, name in row)
    assert {names[i]: counted.n_events[code] for i, code in enumerate(codes)} == n_events
    by_frequency = sorted(names, key=lambda name: (-n_events[name], name))
    wanted = slow(rows)
    counts = counted.count_neighbors(codes)
    assert counts.shape == (len(names), 2 * (evidence.MOST_NEIGHBORS + 1))
    for name, row in zip(names, counts, strict=True):
        behind, before = np.split(row, 2)
        assert behind[: len(names)].tolist() == [wanted[name, other] for other in by_frequency]
        assert before[: len(names)].tolist() == [wanted[other, name] for other in by_frequency]
        assert not behind[len(names) :].any()


def test_rare_neighbors_share_a_column(monkeypatch):
    monkeypatch.setattr(evidence, "MOST_NEIGHBORS", 2)
    counted = totals([[(k / 100, name) for k, name in enumerate("abacad")]])
    counts = counted.count_neighbors([counted.operations.index("a")])
    assert counts.tolist() == [[0, 1, 2, 0, 1, 1]]


@pytest.mark.parametrize("n", [1, 5])
def test_many_names_take_no_more_room_for_one_that_is_long(n):
    counted = totals([[(0, "x" * 20_000), *((0, f"{k}") for k in range(n))]])
    assert [counted.operations[code] for code in counted.in_order] == sorted(counted.operations)


@pytest.mark.parametrize(
    ("amounts", "way"),
    [
        ([5.0] * 9, 1),
        ([-5.0] * 9, -1),
        ([-5.0] * 7, 0),  # too few to tell
        ([5.0] * 26 + [-1.0, 0.0], 1),
        ([5.0] * 15 + [-1.0], 0),
        ([0.0] * 50, 0),
        ([5.0] * 20 + [None] * 30, 0),  # no transform operation
    ],
)
@pytest.mark.parametrize("n_pieces", [1, 3])
def test_which_way_money_moves(amounts, way, n_pieces):
    rows = [[event(0, "a", amount=amount)] for amount in amounts]
    pieces = [
        read_as_of(applications(rows[k::n_pieces]), "behaviors", "applied_at", None).behaviors
        for k in range(n_pieces)
    ]
    counted = Totals(pieces)
    assert counted.direction_of(0) == way
