"""Merging step by step: types by items, behaviors by names and use."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score

from skhuihen.preprocessing._abstraction import grouping
from skhuihen.preprocessing._abstraction.grouping import Groups
from skhuihen.preprocessing._abstraction.names import find_families

CLICK, TRANSFORM, WIDGET = "item_click", "transform_operation", "function_widget"


def grouped(groups):
    """Return {behavior: operations}."""
    found = {}
    for name, behavior in zip(groups.names, groups.behaviors(), strict=True):
        found.setdefault(behavior, []).append(name)
    return found


def nothing(n):
    """Return what counts no neighbors."""
    return lambda: np.zeros((n, 4), dtype=np.int64)


def test_titles_are_unique_and_operations_keep_their_names():
    names = ["a.back", "b.back", "back", "c.back", "fund", "fund/x", "fund/y", "loan/x"]
    fields = [WIDGET, WIDGET, TRANSFORM, WIDGET, WIDGET, CLICK, CLICK, CLICK]
    groups = Groups(names, fields, np.ones(8, dtype=np.int64))
    groups.merge_types(1, [{"1"}] * 8)
    groups.merge_alike(2, nothing(8))
    assert groups.behaviors() == [
        *["back_2", "back_2", "back", "back_2", "fund"],
        *["fund_click", "fund_click", "loan/x"],
    ]


def test_fields_never_mix():
    names = ["fund/a", "fund/b", "fund/c", "fund/d", "fund/e", "fund/f", "loan/a"]
    fields = [CLICK, CLICK, TRANSFORM, TRANSFORM, WIDGET, WIDGET, CLICK]
    groups = Groups(names, fields, np.arange(7))
    groups.merge_alike(99, nothing(7))
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


def neighbors_of(classes, rng, n=300):
    """Count neighbors: each class has its own, and no operation has any beside."""
    wanted = rng.dirichlet(np.full(12, 0.3), size=classes.max() + 1)
    return np.stack([rng.multinomial(n, wanted[of]) for of in classes])


def app(names_of, seed=0, n=300):
    """Return 60 widgets in six classes, as groups, with what counts their neighbors."""
    rng = np.random.default_rng(seed)
    classes = np.repeat(np.arange(6), 10)
    names = names_of(classes, rng)
    order = np.argsort(names)
    counts = neighbors_of(classes, rng, n)[order]
    groups = Groups(sorted(names), [WIDGET] * 60, rng.integers(50, 99, 60))
    return groups, (lambda: counts), classes[order]


def random_names(classes, rng):
    return ["".join(letters) for letters in rng.choice([*"bcdfghjkmn"], (len(classes), 9))]


def names_by(said, rng):
    words = ["fund", "loan", "card", "wealth", "gold", "life"]
    tails = random_names(said, rng)
    return [f"{words[of]}/{tail}" for of, tail in zip(said, tails, strict=True)]


def names_half_wrong(classes, rng):
    said = classes.copy()
    wrong = rng.permutation(60)[:30]
    said[wrong] = rng.permutation(classes[wrong])
    return names_by(said, rng)


@pytest.mark.parametrize(
    ("names_of", "n", "why"),
    [
        (random_names, 300, {"use"}),  # names say nothing
        (names_half_wrong, 300, {"use", "name"}),  # names mislead, and use refutes them
        (lambda classes, rng: names_by(rng.permutation(classes), rng), 300, {"use"}),
        (names_by, 0, {"name"}),  # use says nothing
        (names_by, 3, {"name"}),
        (names_by, 300, {"name"}),
    ],
)
@pytest.mark.parametrize("room", [6, None])
def test_neither_names_nor_use_rule(names_of, n, why, room):
    groups, count, classes = app(names_of, n=n)
    groups.merge_alike(room, count)
    assert adjusted_rand_score(classes, groups.behaviors()) > 0.9
    assert why <= set(groups.why.tolist())
    assert ((groups.sure >= 0) & (groups.sure <= 1)).all()


def test_who_is_placed_wrongly_is_less_sure():
    groups, count, classes = app(names_half_wrong)
    groups.merge_alike(6, count)
    said = np.array([name.split("/")[0] for name in groups.names])
    right = np.array([np.bincount(classes[said == word]).argmax() for word in said]) == classes
    assert groups.sure[right].mean() > groups.sure[~right].mean()


def test_what_fits_stays():
    groups, count, _ = app(names_by)
    groups.merge_alike(60, count)
    assert groups.behaviors() == groups.names
    assert set(groups.why.tolist()) == {"alone"}
    assert groups.merges == []


def test_what_is_too_rare_to_place_is_dropped_and_only_if_needed():
    names = ["abc", "bcd", *(f"fund/{x}" for x in "klmn"), "loan/k", "loan/l"]
    n_events = np.array([1, 2, *[400] * 6])
    counts = np.full((8, 4), 20)
    counts[:2] = 0
    for room, dropped in ((8, set()), (7, {"abc", "bcd"}), (3, {"abc", "bcd"})):
        groups = Groups(names, [WIDGET] * 8, n_events)
        groups.merge_alike(room, lambda: counts)
        found = set(grouped(groups).get("function_widget:other", []))
        assert found == dropped
        assert {n for n, why in zip(names, groups.why, strict=True) if why == "rare"} == dropped
        assert groups.n_behaviors + groups.n_others <= room


def test_the_cost_is_that_of_the_links():
    groups, count, _ = app(names_half_wrong)
    groups.merge_alike(None, count)
    links = grouping.link(groups.names, groups.fields, count())
    both = links.by_name + links.by_use
    degree, total = both.sum(axis=1), both.sum()
    together = groups.group[:, np.newaxis] == groups.group
    squares = sum(degree[groups.group == g].sum() ** 2 for g in set(groups.group.tolist()))
    made = [merge for merge in groups.merges if merge.made]
    assert made[-1].n_behaviors == groups.n_behaviors
    assert made[-1].cost == pytest.approx(both[~together].sum() / total + 3 * squares / total**2)
    assert made[-1].cost == min(merge.cost for merge in groups.merges)


def test_each_merge_is_the_strongest():
    groups, count, _ = app(names_half_wrong)
    groups.merge_alike(57, count)
    links = grouping.link(groups.names, groups.fields, count())
    both = links.by_name + links.by_use
    members = [[i] for i in range(60)]
    for merge in [merge for merge in groups.merges if merge.made]:
        strength = {
            (i, j): both[np.ix_(a, b)].sum()
            / np.sqrt(links.weight[a].sum() * links.weight[b].sum())
            for i, a in enumerate(members)
            for j, b in enumerate(members[:i])
        }
        (i, j), best = max(strength.items(), key=lambda of: of[1])
        assert merge.strength == pytest.approx(best)
        members = [m for k, m in enumerate(members) if k not in (i, j)] + [members[i] + members[j]]
    assert sorted(map(sorted, members)) == sorted(
        np.flatnonzero(groups.group == g).tolist() for g in set(groups.group.tolist())
    )


def test_what_is_too_much_to_compare_goes_by_its_name(monkeypatch):
    monkeypatch.setattr(grouping, "MOST_COMPARED", 6)
    names = [*(f"fund/{x}" for x in "abcd"), *(f"loan/{x}" for x in "abcd"), "x", "y"]
    n_events = np.array([9, 8, 7, 1, 9, 8, 7, 1, 1, 1])
    groups = Groups(names, [WIDGET] * 10, n_events)
    groups.merge_alike(3, nothing(10))
    assert grouped(groups) == {
        "fund": names[:4],
        "loan": names[4:8],
        "function_widget:other": ["x", "y"],
    }


def test_links_do_not_mind_the_order_of_columns():
    groups, count, _ = app(names_half_wrong)
    mixed = np.random.default_rng(1).permutation(12)
    again = Groups(groups.names, groups.fields, groups.n_events.copy())
    groups.merge_alike(8, count)
    again.merge_alike(8, lambda: count()[:, mixed])
    assert groups.behaviors() == again.behaviors()


@given(n=st.integers(0, 12), room=st.integers(0, 12), seed=st.integers(0, 99))
@settings(max_examples=20)
def test_all_steps_keep_the_limit(n, room, seed):
    rng = np.random.default_rng(seed)
    names = [f"{chr(97 + i)}" for i in range(n)]
    groups = Groups(
        names, rng.choice([CLICK, TRANSFORM, WIDGET], n).tolist(), rng.integers(1, 9, n)
    )
    groups.merge_alike(room, lambda: rng.integers(0, 9, (n, 4)))
    if groups.n_behaviors + groups.n_others > room:
        groups.drop_rare(room - 2)
    assert groups.n_behaviors <= max(0, room)
    assert len(groups.behaviors()) == n
    for behavior, members in grouped(groups).items():
        assert len({groups.fields[names.index(name)] for name in members}) == 1, behavior


def ways_of(groups):
    """Return, for each group, which ways its operations move money."""
    return [set(groups.directions[groups.group == g].tolist()) for g in set(groups.group.tolist())]


@pytest.mark.parametrize("most", [1000, 20])
@given(seed=st.integers(0, 99), room=st.sampled_from([2, 9, None]))
@settings(max_examples=15)
def test_money_in_and_money_out_are_never_one_group(most, seed, room):
    rng = np.random.default_rng(seed)
    ways = rng.integers(-1, 2, 40)
    names = sorted(f"{word}/{tail}" for word in ("fund", "loan") for tail in range(20))
    counts = neighbors_of(np.repeat(np.arange(4), 10), rng)
    groups = Groups(names, [TRANSFORM] * 40, rng.integers(50, 99, 40), ways.tolist())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grouping, "MOST_COMPARED", most)
        groups.merge_alike(room, lambda: counts)
    assert groups.n_behaviors < 40
    assert not any({-1, 1} <= ways for ways in ways_of(groups))


def test_what_moves_money_opposite_ways_is_not_linked():
    """Two products that are used alike, whose purchases and sales begin alike."""
    names = [f"{of}/{way}/{k}" for of in ("fund", "gold") for way in ("buy", "sell") for k in "abc"]
    counts = np.tile([[50, 1], [1, 50]], (1, 2)).repeat(6, axis=0)
    ways = [-1, -1, -1, 1, 1, 1] * 2
    for directions, n in ((None, 2), (ways, 4)):
        groups = Groups(names, [TRANSFORM] * 12, np.full(12, 99), directions)
        groups.merge_alike(2, lambda: counts)
        assert len(ways_of(groups)) == n


def test_what_most_of_a_field_shares_places_nobody():
    names = [*(f"fund/{x}" for x in "bcdfghjk"), "gold", "life", "loan"]
    counts = np.full((11, 4), 20)
    counts[0] = 0
    groups = Groups(names, [WIDGET] * 11, np.array([1, *[400] * 10]))
    groups.merge_alike(9, lambda: counts)
    assert groups.why[0] == "rare"
    # As soon as it is half of the field, it is a family as others are.
    groups = Groups([*names[:6], *"klmnop"], [WIDGET] * 12, np.array([1, *[400] * 11]))
    groups.merge_alike(9, lambda: np.vstack([counts[0], counts]))
    assert groups.why[0] != "rare"


def test_a_few_of_a_family_are_not_called_by_it():
    names = [*(f"fund/{x}" for x in "abcdef"), *"klmn"]
    for n, title in (
        (2, "fund/a_etc"),
        (3, "fund/a_etc"),
        (4, "fund"),
        (6, "fund"),
        (7, "fund_etc"),
    ):
        groups = Groups(names, [WIDGET] * 10, np.arange(10, 0, -1))
        groups._families = [(f, np.array(f.members)) for f in find_families(names, WIDGET)]
        assert groups._title(np.arange(n)) == title
