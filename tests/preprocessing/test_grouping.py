"""Merging step by step, against slow readings of what each step says."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score

from skhuihen.preprocessing.grouping import (
    FEW_NEIGHBORS,
    MOST_NEIGHBORS,
    Groups,
    count_neighbors,
)

CLICK, TRANSFORM, WIDGET = "item_click", "transform_operation", "function_widget"


def grouped(groups):
    """Return {behavior: operations}."""
    found = {}
    for name, behavior in zip(groups.names, groups.behaviors(), strict=True):
        found.setdefault(behavior, []).append(name)
    return found


def count(group, near, n_groups):
    """Count neighbors among events in a row, of which some are near the next."""
    n_events = np.bincount(group)
    times = np.ones(np.count_nonzero(near), dtype=np.int64)
    return count_neighbors(group[:-1][near], group[1:][near], times, n_events, n_groups)


def of_one_field(counts, field=WIDGET):
    names = sorted(counts)
    return Groups(names, [field] * len(names), np.array([counts[name] for name in names]))


# ---- names


PAGES = {
    "fund.back": 9,
    "loan.back": 1,
    "card.back": 1,
    "fund.help": 1,
    "loan.help": 1,
    "card.help": 1,
    "message/list": 5,
    "message/open": 2,
    "message/push": 3,
    "home": 7,
}


def test_what_fits_stays():
    groups = of_one_field(PAGES)
    groups.merge_families(10)
    assert grouped(groups) == {name: [name] for name in sorted(PAGES)}


def test_buttons_first_and_whole_then_the_rarest_of_a_family():
    wanted = {
        9: {"help": 3},
        8: {"help": 3},
        7: {"help": 3, "back": 3},
        6: {"help": 3, "back": 3},
        5: {"help": 3, "back": 3, "message": 2},
        4: {"help": 3, "back": 3, "message": 3},
        1: {"help": 3, "back": 3, "message": 3},
    }
    for room, sizes in wanted.items():
        groups = of_one_field(PAGES)
        groups.merge_families(room)
        found = {behavior: len(names) for behavior, names in grouped(groups).items()}
        assert {behavior: n for behavior, n in found.items() if n > 1} == sizes
        assert groups.n_behaviors == len(found)
    groups = of_one_field(PAGES)
    groups.merge_families(5)
    assert grouped(groups)["message"] == ["message/open", "message/push"]


def test_of_equally_close_families_the_rarest_members():
    groups = of_one_field(
        {"a/x": 9, "a/y": 4, "a/z": 3, "b/x": 8, "b/y": 2, "b/z": 1, "c": 1}, TRANSFORM
    )
    groups.merge_families(5)
    assert grouped(groups) == {
        "a/x": ["a/x"],
        "a_transform": ["a/y", "a/z"],
        "b/x": ["b/x"],
        "b_transform": ["b/y", "b/z"],
        "c": ["c"],
    }


def test_closer_families_first():
    groups = of_one_field({"a/l/x": 99, "a/l/y": 99, "a/m": 1, "a/n": 1, "b": 1, "c": 1}, TRANSFORM)
    groups.merge_families(5)
    assert grouped(groups)["a_l_transform"] == ["a/l/x", "a/l/y"]


def test_titles_are_unique_and_operations_keep_their_names():
    names = ["a.back", "b.back", "back", "c.back", "fund", "fund/x", "fund/y", "loan/x"]
    fields = [WIDGET, WIDGET, TRANSFORM, WIDGET, WIDGET, CLICK, CLICK, CLICK]
    groups = Groups(names, fields, np.ones(8, dtype=np.int64))
    groups.merge_types(1, [{"1"}] * 8)
    groups.merge_families(1)
    assert groups.behaviors() == [
        *["back_2", "back_2", "back", "back_2", "fund"],
        *["fund_click", "fund_click", "loan/x"],
    ]


def test_fields_never_mix():
    names = ["fund/a", "fund/b", "fund/c", "fund/d", "fund/e", "fund/f", "loan/a"]
    fields = [CLICK, CLICK, TRANSFORM, TRANSFORM, WIDGET, WIDGET, CLICK]
    groups = Groups(names, fields, np.arange(7))
    groups.merge_families(99)
    groups.merge_types(1, [{"1"}] * 7)
    assert groups.behaviors() == ["fund_click", "fund_click", *names[2:]]
    groups.drop_rare(1)
    assert groups.behaviors()[2:6] == [
        *["transform_operation:other"] * 2,
        "function_widget:other",
        "fund/f",
    ]


@pytest.mark.parametrize(
    ("room", "wanted"),
    [
        (9, ["fund/list/a", "fund/list/b", "fund/rank", "loan/a", "loan/b"]),
        (8, [*["fund_list_click"] * 2, "fund/rank", "loan/a", "loan/b"]),
        (7, [*["fund_list_click"] * 2, "fund/rank", "loan/a", "loan/b"]),
        (6, [*["fund_click"] * 3, "loan/a", "loan/b"]),
        (0, [*["fund_click"] * 3, "loan/a", "loan/b"]),  # no item in common: nothing is saved
    ],
)
def test_types_are_merged_as_far_as_their_items_do_not_fit(room, wanted):
    names = ["fund/list/a", "fund/list/b", "fund/rank", "loan/a", "loan/b"]
    groups = Groups(names, [CLICK] * 5, np.ones(5, dtype=np.int64))
    groups.merge_types(room, [{"1", "2"}, {"1", "2"}, {"1", "3"}, {"1", "2"}, {"3"}])
    assert groups.behaviors() == wanted


operations = st.dictionaries(
    st.lists(st.sampled_from(["fund", "loan", "list", "back", "x"]), min_size=1, max_size=3).map(
        "/".join
    ),
    st.tuples(st.sampled_from([CLICK, TRANSFORM, WIDGET]), st.integers(1, 9)),
    max_size=20,
)


@given(operations=operations, rooms=st.tuples(st.integers(0, 9), st.integers(0, 9)))
def test_more_room_splits_groups_and_merges_none(operations, rooms):
    names = sorted(operations)
    fields = [operations[name][0] for name in names]
    found = []
    for room in sorted(rooms):
        groups = Groups(names, fields, np.array([operations[name][1] for name in names], int))
        groups.merge_families(room)
        found.append(groups.behaviors())
        assert len(set(zip(fields, found[-1], strict=True))) == len(set(found[-1]))
        kept = {b for f, b in zip(fields, found[-1], strict=True) if f != CLICK}
        assert groups.n_behaviors == len(kept)
        groups.drop_rare(room)
        assert groups.n_behaviors <= room
    of_fine = {}
    for coarse, fine in zip(*found, strict=True):
        assert of_fine.setdefault(fine, coarse) == coarse


# ---- neighbors


@given(
    group=st.lists(st.integers(0, 5), min_size=1, max_size=30),
    n_groups=st.integers(0, 4),
    data=st.data(),
)
def test_neighbors_are_counted(group, n_groups, data):
    near = data.draw(st.lists(st.booleans(), min_size=len(group) - 1, max_size=len(group) - 1))
    after, before = Counter(), Counter()
    for one, two, together in zip(group[:-1], group[1:], near, strict=True):
        if together and one != two:
            after[one, two] += 1
            before[two, one] += 1
    by_frequency = sorted(range(6), key=lambda g: (-group.count(g), g))
    counts = count(np.array(group), np.array(near, dtype=bool), n_groups)
    assert counts.shape == (n_groups, 2 * (MOST_NEIGHBORS + 1))
    for g in range(n_groups):
        for half, wanted in zip(np.split(counts[g], 2), (after, before), strict=True):
            assert half[:6].tolist() == [wanted[g, other] for other in by_frequency]
            assert not half[6:].any()


def test_rare_neighbors_share_a_column():
    n = MOST_NEIGHBORS + 3
    counts = count(np.arange(n), np.ones(n - 1, dtype=bool), n)
    assert counts[:, MOST_NEIGHBORS].sum() == 3  # behind those before the last three
    assert counts.sum() == 2 * (n - 1)


def slow_ward(counts, fields, named, others, n_groups):
    """Merge the pair of one field that adds the least to the variance within groups.

    Families, which are `named`, stay apart. What was dropped is `others`; no family of transform
    operations goes there.
    """
    shares = [np.sqrt(row / row.sum()) for row in counts]
    weights = [row.sum() for row in counts]

    def spread(members):
        center = sum(weights[i] * shares[i] for i in members) / sum(weights[i] for i in members)
        return sum(weights[i] * ((shares[i] - center) ** 2).sum() for i in members)

    def may_merge(a, b):
        families = sum(bool(named & set(members)) for members in (a, b))
        if others & {*a, *b}:
            families *= 2 * (fields[a[0]] == TRANSFORM)
        return fields[a[0]] == fields[b[0]] and families < 2

    clusters = [[i] for i in range(len(counts))]
    while len(clusters) - len(others) > n_groups:
        pairs = [
            (spread(a + b) - spread(a) - spread(b), a, b)
            for k, a in enumerate(clusters)
            for b in clusters[k + 1 :]
            if may_merge(a, b)
        ]
        if not pairs:
            break
        _, a, b = min(pairs)
        clusters = [c for c in clusters if c not in (a, b)] + [sorted(a + b)]
    return sorted(clusters)


@pytest.mark.parametrize("with_others", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_merges_as_ward_says(seed, with_others):
    rng = np.random.default_rng(seed)
    # Ten operations whose names say nothing, and four families of two.
    names = [*"abcdefghij", "k_p", "k_q", "l_r", "l_s", "m_t", "m_u", "n_v", "n_w"]
    of_name = [*range(10), 10, 10, 11, 11, 12, 12, 13, 13]
    fields = np.array(
        [WIDGET, TRANSFORM, *rng.choice([TRANSFORM, WIDGET], 8), *[WIDGET] * 2, *[TRANSFORM] * 2]
    )
    counts = rng.poisson(rng.gamma(0.5, 60, size=(14, 8))) + 10
    if with_others:
        counts[:2] = rng.multinomial(FEW_NEIGHBORS - 1, np.full(8, 1 / 8), size=2)
    for room in (4, 6, 9):
        groups = Groups(names, fields[of_name].tolist(), counts.sum(axis=1)[of_name])
        groups.merge_families(0)
        assert groups.n_behaviors == 14
        groups.merge_neighbors(room, lambda group: counts)
        assert groups.n_behaviors == room
        found = grouped(groups)
        members = sorted(sorted({of_name[names.index(n)] for n in f}) for f in found.values())
        others = {0, 1} if with_others else set()
        assert members == slow_ward(counts, fields, {10, 11, 12, 13}, others, room)
        for behavior, operations in found.items():
            families = {name[0] for name in operations if "_" in name}
            if with_others and {"a", "b"} & set(operations):
                assert behavior.endswith(":other")
            elif families:
                title = families.pop() + "_transform" * (operations[-1] >= "m")
                assert behavior == title + "_etc" * (len(operations) > 2)
            elif len(operations) > 1:
                assert behavior.removesuffix("_etc") in operations
                assert behavior.endswith("_etc")


def test_widgets_are_dropped_before_transform_operations():
    names = ["a_1", "a_2", "b_1", "b_2", "c_1", "c_2", "d_1", "d_2"]
    n_events = np.array([1, 1, 2, 2, 8, 8, 9, 9])
    counts = np.full((4, 2), FEW_NEIGHBORS)
    widgets = ["function_widget:other"] * 4
    for room, wanted in ((3, [*widgets[:2], "d", "d"]), (2, widgets)):
        groups = Groups(names, [TRANSFORM] * 4 + [WIDGET] * 4, n_events)
        groups.merge_families(0)
        groups.merge_neighbors(room, lambda group: counts)
        assert groups.behaviors() == [*["a_transform"] * 2, *["b_transform"] * 2, *wanted]
    groups.drop_rare(1)
    assert groups.behaviors() == [
        *["transform_operation:other"] * 2,
        *["b_transform"] * 2,
        *widgets,
    ]


def test_the_most_frequent_speaks_for_those_merged():
    groups = of_one_field({"a": 1, "b": 3, "c": 2})
    groups.merge_neighbors(1, lambda group: np.full((3, 4), 50))
    assert groups.behaviors() == ["b_etc"] * 3


def test_who_has_few_neighbors_is_dropped_and_only_if_needed():
    names = list("abcd")
    counts = np.full((4, 2), FEW_NEIGHBORS)
    counts[:2] = FEW_NEIGHBORS // 2, FEW_NEIGHBORS // 2 - 1
    other = "function_widget:other"
    for room, wanted in ((4, names), (3, [other, *"bcd"]), (2, [other, other, *"cd"])):
        groups = Groups(names, [WIDGET] * 4, np.array([1, 2, 3, 4]))
        groups.merge_neighbors(room, lambda group: counts)
        assert groups.behaviors() == wanted


def test_classes_are_found_by_neighbors_alone():
    # Five classes of names that say nothing; a chain of classes leads from one to the next.
    rng = np.random.default_rng(0)
    step = 0.7 * np.roll(np.eye(5), 1, axis=1) + 0.3 * rng.dirichlet(np.ones(5), 5)
    state = [0]
    for _ in range(20_000):
        state.append(rng.choice(5, p=step[state[-1]]))
    member = np.array(state) * 6 + rng.choice(6, len(state), p=rng.dirichlet(np.full(6, 5.0)))
    near = rng.random(len(state) - 1) < 0.9
    names = sorted("".join(letters) for letters in rng.choice([*"abcdefgh"], (30, 9)))
    n_events = np.bincount(member, minlength=30)
    groups = Groups(names, [WIDGET] * 30, n_events)
    groups.merge_families(5)
    assert groups.n_behaviors == 30
    groups.merge_neighbors(5, lambda group: count(group[member], near, 30))
    assert adjusted_rand_score(np.repeat(np.arange(5), 6), groups.behaviors()) > 0.95


@given(n=st.integers(0, 12), room=st.integers(-3, 12), seed=st.integers(0, 99))
@settings(max_examples=50)
def test_all_steps_keep_the_limit(n, room, seed):
    rng = np.random.default_rng(seed)
    names = [f"{chr(97 + i)}" for i in range(n)]
    groups = Groups(
        names, rng.choice([CLICK, TRANSFORM, WIDGET], n).tolist(), rng.integers(1, 9, n)
    )
    groups.merge_neighbors(room, lambda group: rng.integers(0, 60, (n, 4)))
    groups.drop_rare(room)
    assert groups.n_behaviors <= max(0, room)
    assert len(groups.behaviors()) == n
