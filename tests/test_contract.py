"""The promises of the data contract, for every transformer, for both orders, and for the scores.

What each transformer computes is compared with a slow reading beside its own tests; here stands
what must hold of all of them, and of the learned table of `BehaviorAbstractor` however it was
learned.
"""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal, assert_series_equal
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

from skhuihen import (
    BehaviorAbstractor,
    HUIHENClassifier,
    IntervalStatistics,
    Sessionizer,
    WindowStatistics,
    attach_behaviors,
)
from skhuihen._events.behaviors import Behaviors
from tests.oracles import abstract, amount_of, fates, first_match, is_type, known, text_of
from tests.preprocessing.strategies import (
    HOUR,
    ITEMS,
    LATER,
    OPERATIONS,
    applications,
    drawn,
    event,
    plain,
    subfields_of,
    tables,
)

pytestmark = pytest.mark.filterwarnings("ignore:[0-9]+ of [0-9]+ events have operations that")

CLICK, TRANSFORM, WIDGET = "item_click", "transform_operation", "function_widget"
RULES = [
    {"operation": "*.back", "field": WIDGET, "behavior": "back"},
    {"operation": "fund_*", "item": "A17", "field": CLICK, "behavior": "star fund"},
    {"operation": "*_detail", "field": CLICK, "behavior": "detail"},
    {"operation": "*", "item": "B2", "field": TRANSFORM, "behavior": "b"},
]

SESSIONS = Sessionizer("40min", min_behaviors=2, max_sessions=3, max_behaviors=3)
LOANS = Sessionizer(session="loan", min_behaviors=1, max_sessions=2, max_behaviors=3)
BEHAVIORS = BehaviorAbstractor(RULES, n_behaviors=5, n_items=2, lookback="9h")
WINDOWS = WindowStatistics(["1h", "6h"], n_operations=3, session_gap="40min")
STEPS = {
    "sessions": SESSIONS,
    "known sessions": LOANS,
    "behaviors": BEHAVIORS,
    "windows": WINDOWS,
    "intervals": IntervalStatistics(3, session_gap="40min"),
    "intervals of loans": IntervalStatistics(3, session="loan"),
    "sessions of behaviors": make_pipeline(BEHAVIORS, SESSIONS),
    "behaviors of sessions": make_pipeline(SESSIONS, BEHAVIORS),
    "windows of behaviors of loans": make_pipeline(
        LOANS, BEHAVIORS, WindowStatistics(["6h"], "behavior")
    ),
}
every_step = pytest.mark.parametrize("name", STEPS)


def rows_of(result):
    """Return what became of each application, comparable to the bit."""
    if "behaviors" in result:
        return plain(result)
    return [[None if math.isnan(v) else v for v in row] for row in result.to_numpy().tolist()]


# ---- a row depends on itself alone


@every_step
@given(table=tables(min_rows=1), data=st.data())
@settings(max_examples=12)
def test_rows_together_in_part_shuffled_and_one_by_one(name, table, data):
    X = drawn(*table)
    model = clone(STEPS[name]).fit(X)
    whole = rows_of(model.transform(X))
    assert len(whole) == len(X)
    chosen = data.draw(st.lists(st.sampled_from(range(len(X)))))
    part = model.transform(X.iloc[chosen])
    assert rows_of(part) == [whole[i] for i in chosen]
    assert part.index.tolist() == X.index[chosen].tolist()
    assert [rows_of(model.transform(X.iloc[[i]]))[0] for i in range(len(X))] == whole
    shuffled = data.draw(st.permutations(range(len(X))))
    again = clone(STEPS[name]).fit(X.iloc[shuffled]).transform(X.iloc[shuffled])
    assert rows_of(again) == [whole[i] for i in shuffled]


@every_step
@given(table=tables(min_rows=1, seq=False), settled=st.booleans(), data=st.data())
@settings(max_examples=12)
def test_events_may_come_in_any_order(name, table, settled, data):
    histories, applied_at = table
    for h in histories:
        for k, e in enumerate(h or ()):
            if settled:
                e["seq"] = k
            else:  # no two at one instant
                e["time"] += 3 * k
    mixed = [h and data.draw(st.permutations(h)) for h in histories]
    X, Z = drawn(histories, applied_at), drawn(mixed, applied_at)
    one, other = (clone(STEPS[name]).fit(table) for table in (X, Z))
    wanted = rows_of(one.transform(X))
    assert rows_of(one.transform(Z)) == rows_of(other.transform(X)) == wanted


# ---- the future changes nothing


@st.composite
def futures(draw, histories, applied_at):
    """Draw other events at and after each application: some removed, some altered, some new."""
    after = st.fixed_dictionaries(
        {
            "operation": st.sampled_from([*OPERATIONS, "never seen"]),
            "item": st.sampled_from([*ITEMS, "Z"]),
            "amount": st.sampled_from([None, math.inf, -math.inf, math.nan, -1e300, 7.0]),
            "loan": st.sampled_from(["x", "y", "new", None]),
            "seq": st.sampled_from([-1, 0, 9]),
            "after": st.sampled_from([0, 0, 1, HOUR, 1000 * HOUR]),
        }
    )
    result = []
    for h, at in zip(histories, applied_at, strict=True):
        past = [e for e in h or () if e["time"] < at]
        future = [{**e, "time": at + e["after"]} for e in draw(st.lists(after, max_size=4))]
        result.append(future + past if draw(st.booleans()) else past + future)
    return result


@every_step
@given(table=tables(min_rows=1), data=st.data())
@settings(max_examples=15)
def test_no_event_of_the_future_changes_anything(name, table, data):
    histories, applied_at = table
    past = [known(h, at) for h, at in zip(histories, applied_at, strict=True)]
    subfields = subfields_of(histories)
    variants = [
        applications(variant, applied_at, subfields=subfields)
        for variant in (histories, past, data.draw(futures(histories, applied_at)))
    ]
    models = [clone(STEPS[name]).fit(X) for X in variants]
    wanted = rows_of(models[1].transform(variants[1]))
    for model in models:
        for X in variants:
            assert rows_of(model.transform(X)) == wanted
    for step in models[0] if hasattr(models[0], "steps") else models[:1]:
        if hasattr(step, "report"):
            counted = ["events", "events_too_late"]
            reports = [clone(step).fit(X).report(X) for X in variants]
            for report in reports:
                assert_series_equal(report.drop(counted), reports[1].drop(counted))
                assert report["events"] - report["events_too_late"] == reports[1]["events"]


# ---- every event is accounted for


@given(table=tables(), lookback=st.sampled_from([None, 2 * HOUR]))
@settings(max_examples=20)
def test_every_event_has_one_fate(table, lookback):
    histories, applied_at = table
    X = drawn(histories, applied_at)
    limit = {"lookback": None if lookback is None else pd.Timedelta(lookback, "us")}
    counts = sum((fates(*row, lookback) for row in zip(*table, strict=True)), Counter())
    used = counts["events"] - counts["events_too_late"] - counts["events_before_lookback"]

    abstractor = BehaviorAbstractor(RULES, **limit).fit(X)
    report = abstractor.report(X)
    for reason in ("events", "events_too_late", "events_before_lookback"):
        assert report[reason] == counts[reason]
    abstracted = abstractor.transform(X)
    assert sum(map(len, plain(abstracted))) == report["events_used"] == used

    sessionizer = Sessionizer("1h", max_sessions=2, max_behaviors=4, **limit)
    for table, n_events in ((X, counts["events"]), (abstracted, used)):
        report = sessionizer.report(table)
        kept = plain(sessionizer.transform(table))
        assert report["events"] == n_events
        assert report["events_kept"] == sum(map(len, kept))
        assert report["sessions_kept"] == len(
            {(row, e["session"]) for row, events in enumerate(kept) for e in events}
        )
        assert report["applications_without_sessions"] == sum(not row for row in kept)
        parts = report[report.index.str.startswith("events_")]
        assert report["events"] == parts.sum()

    statistics = WindowStatistics(["1h"], **limit).fit_transform(X)
    assert statistics["count_all"].sum() == used
    operations = statistics.filter(regex="^count_all_")
    assert operations.to_numpy().sum() == used


@given(table=tables(min_rows=1, seq=False))
@settings(max_examples=10)
def test_every_event_is_followed_from_the_two_tables_to_the_sessions(table):
    histories, _ = table
    owners = [row % 2 for row in range(len(histories))]  # two users, of several applications each
    people = drawn(*table)[["applied_at"]].assign(user_id=owners)
    log = [
        {**e, "user_id": owner if e["loan"] else 9, "time": pd.Timestamp(e["time"], unit="us")}
        for owner, h in zip(owners, histories, strict=True)
        for e in h or ()
    ]
    events = pd.DataFrame(log, columns=["user_id", "time", "operation", "item", "amount", "loan"])
    events["time"] = pd.to_datetime(events["time"])
    X, joined = attach_behaviors(people, events, lookback="6h", return_report=True)
    assert joined["events"] == len(log)
    assert joined["events_of_nobody"] == sum(
        e["user_id"] == 9 or e["user_id"] not in owners for e in log
    )
    pairs = sum(e["user_id"] == owner for e in log for owner in owners)
    assert joined[joined.index.str.startswith("pairs_")].sum() == pairs
    for model in (Sessionizer(lookback="6h"), clone(BEHAVIORS).fit(X)):
        report = model.report(X)
        assert report["events"] == joined["pairs_used"]
        assert report["events_too_late"] == report["events_before_lookback"] == 0
    assert Sessionizer().report(X).filter(like="events_").sum() == joined["pairs_used"]


# ---- either order of the transformers


@pytest.mark.parametrize("session", [None, "loan"])
@given(table=tables(min_rows=1, max_events=16))
@settings(max_examples=15)
def test_abstracting_and_sessionizing_do_not_mind_each_other(session, table):
    X = drawn(*table)
    behaviors = BehaviorAbstractor(RULES, n_behaviors=5, n_items=2).fit(X)
    sessions = Sessionizer("40min", session, min_behaviors=2, max_sessions=2, max_behaviors=3)
    one, other = (
        [sorted(row, key=lambda e: (e["session"], e["time"])) for row in plain(table)]
        for table in (
            sessions.transform(behaviors.transform(X)),
            behaviors.transform(sessions.transform(X)),
        )
    )
    assert one == other


# ---- the learned table, however it was learned

rule = st.fixed_dictionaries(
    {
        "operation": st.sampled_from(
            ["login", "fund_buy", "*_detail", "fund_*", "f*", "*", "[*]", "l[!a]*"]
        ),
        "field": st.sampled_from([CLICK, CLICK, TRANSFORM, WIDGET]),
        "behavior": st.sampled_from(["p", "q", "detail"]),
    },
    optional={"item": st.sampled_from([None, "*", "*", "A17", "[*]", "?*", "missing"])},
)
rule_tables = st.one_of(st.just([]), *[st.lists(rule, min_size=2, max_size=5)] * 2)


@st.composite
def renamed(draw, table):
    """Draw a table of events of which some have awkward names."""
    histories, applied_at = draw(table)
    awkward = st.one_of(st.none(), st.text("a*?[]!-,\"'\n ", min_size=1, max_size=4))
    names = {name: draw(awkward) for name in ("card_detail", "page.back", "A17")}
    for h in histories:
        for e in h or ():
            for subfield in ("operation", "item"):
                e[subfield] = names.get(e[subfield]) or e[subfield]
    return histories, applied_at


def used_events(histories, applied_at):
    return [e for row in zip(histories, applied_at, strict=True) for e in known(*row)]


def described(events):
    return [{**e, "amount": amount_of(e)} for e in events]


@given(
    old=renamed(tables(min_rows=2, max_rows=5, max_events=20)),
    new=renamed(tables(max_rows=3)),
    rules=rule_tables,
    n_behaviors=st.integers(2, 9),
    n_items=st.integers(0, 4),
)
@settings(max_examples=20)
def test_transform_reads_the_learned_table_and_nothing_else(old, new, rules, n_behaviors, n_items):
    model = BehaviorAbstractor(rules, n_behaviors, n_items).fit(drawn(*old))
    learned = model.rules_.to_dict("records")
    for table in (old, new):
        X = drawn(*table)
        wanted, counts = abstract(used_events(*table), learned)
        assert [e for row in plain(model.transform(X)) for e in row] == described(wanted)
        report = model.report(X)
        assert {reason: report[reason] for reason in counts} == counts
        # What the rules name is done as they say.
        for e in wanted:
            rule = first_match(rules, e)
            if rule is not None:
                assert e["field"] == rule["field"]
                given_name = rule["behavior"]
                one_of = [f"{given_name}:{text_of(e, 'item')}", f"{given_name}:other"]
                assert e["behavior"] in (one_of if is_type(rule) else [given_name])
    assert model.report(drawn(*old))["unseen_operations"] == 0
    roomy = BehaviorAbstractor(rules, n_behaviors, n_items=200).fit(drawn(*old))
    assert roomy.report(drawn(*old))["items_not_kept"] == 0


@given(
    old=renamed(tables(max_rows=4)),
    new=renamed(tables(max_rows=3)),
    rules=rule_tables,
    n_behaviors=st.integers(2, 9),
    n_items=st.integers(0, 4),
)
@settings(max_examples=20)
def test_the_learned_table_is_all_there_is_to_keep(
    tmp_path_factory, old, new, rules, n_behaviors, n_items
):
    """Passed back, also through a file, to a model that sees the same events or none at all."""
    train, nothing = drawn(*old), applications([None])
    model = BehaviorAbstractor(rules, n_behaviors, n_items).fit(train)
    path = tmp_path_factory.mktemp("rules") / "rules.csv"
    model.rules_.to_csv(path, index=False)
    for table in (model.rules_, path):
        for X in (train, nothing):
            again = BehaviorAbstractor(table, n_behaviors, n_items).fit(X)
            assert_frame_equal(again.rules_, model.rules_)
            for Z in (train, drawn(*new)):
                assert plain(again.transform(Z)) == plain(model.transform(Z))
                assert_series_equal(again.report(Z), model.report(Z))


def test_the_first_rule_wins_be_it_a_glob_or_a_name():
    rules = [
        {"operation": "l*", "field": WIDGET, "behavior": "first"},
        {"operation": "login", "field": TRANSFORM, "behavior": "second"},
    ]
    X = applications([[event(0, "login"), event(1, "logout")]])
    for table, wanted in ((rules, "first"), (rules[::-1], "second")):
        (row,) = plain(BehaviorAbstractor(table).fit_transform(X))
        assert [e["behavior"] for e in row] == [wanted, "first"]


def test_an_item_without_a_name_comes_through_a_file(tmp_path):
    log = [event(k, "detail", item=item) for k, item in enumerate(["", "A17", None])]
    X = applications([log])
    model = BehaviorAbstractor().fit(X)
    model.rules_.to_csv(tmp_path / "rules.csv", index=False)
    again = BehaviorAbstractor(tmp_path / "rules.csv").fit(applications([None]))
    for one in (model, again):
        found = [e["behavior"] for e in plain(one.transform(X))[0]]
        assert found == ["detail:other", "detail:A17", "detail:missing"]
        assert one.report(X)["items_not_kept"] == 1


@given(amount=st.sampled_from([None, math.nan, 0.0, -2.0]), item=st.sampled_from([None, "", "Z"]))
@settings(max_examples=12)
def test_what_fit_did_not_see_goes_by_its_own_evidence(amount, item):
    model = BehaviorAbstractor().fit(applications([[event(0, "a", amount=1.0, item="Z")]]))
    X = applications([[event(0, "new", amount=amount, item=item)]])
    (e,) = plain(model.transform(X))[0]
    has_amount = amount is not None and not math.isnan(amount)
    field = TRANSFORM if has_amount else WIDGET if item is None else CLICK
    assert (e["field"], e["behavior"]) == (field, f"{field}:other")
    assert model.report(X)["unseen_operations"] == 1


# ---- scores


@pytest.fixture(scope="module")
def scorers():
    """Fit the whole way to a score, in both orders, and with known sessions, on drawn events."""
    rng = np.random.default_rng(0)
    histories = [
        [
            {
                **event(rng.integers(0, 40) / 3),
                "operation": OPERATIONS[rng.integers(len(OPERATIONS))],
                "item": ITEMS[rng.integers(len(ITEMS))],
                "amount": [None, 0.0, -5.0, 3.5, 1e9][rng.integers(5)],
                "loan": "xyz"[rng.integers(3)],
            }
            for _ in range(rng.integers(0, 15))
        ]
        for _ in range(60)
    ]
    X = drawn(histories, [LATER] * 60, age=rng.normal(40, 9, 60))
    y = np.arange(60) % 2
    # The table of all events, so that one fitted behind a Sessionizer is the same.
    rules = BehaviorAbstractor(RULES, n_behaviors=5, n_items=2).fit(X).rules_
    behaviors = BehaviorAbstractor(rules, n_items=0)
    ways = {
        "sessions of behaviors": (behaviors, SESSIONS),
        "behaviors of sessions": (SESSIONS, behaviors),
        "loans of behaviors": (behaviors, LOANS),
        "behaviors of loans": (LOANS, behaviors),
    }
    net = HUIHENClassifier(max_epochs=2, n_estimators=1, lr=0.05, random_state=0)
    models = {}
    for name, way in ways.items():
        # Without ages, what is told of a loan's events beside their times is all that counts.
        of_loans = {"event_numbers": None} if "loans" in name else {}
        models[name] = make_pipeline(*map(clone, way), clone(net).set_params(**of_loans)).fit(X, y)
    bare = scored([None] * 60, [LATER] * 60, subfields_of(histories)).assign(age=X["age"])
    for model in models.values():  # what does not read events keeps every promise about them
        assert np.abs(scores(model, X) - scores(model, bare)).max() > 1e-3
    return models


every_way = pytest.mark.parametrize(
    "way",
    ["sessions of behaviors", "behaviors of sessions", "loans of behaviors", "behaviors of loans"],
)


def scored(histories, applied_at, subfields=None):
    """Build a drawn table that has a profile too."""
    ages = [20.0 + 7 * row for row in range(len(histories))]
    return applications(
        histories, applied_at, subfields=subfields or subfields_of(histories), age=ages
    )


def scores(model, X):
    return model.predict_proba(X)[:, 1]


@every_way
@given(table=tables(min_rows=1), data=st.data())
@settings(max_examples=8)
def test_a_score_depends_on_its_row_alone(scorers, way, table, data):
    model = scorers[way]
    histories, applied_at = table
    for h in histories:
        for k, e in enumerate(h or ()):
            e["seq"] = k
    X = scored(histories, applied_at)
    whole = scores(model, X)
    close = {"rtol": 0, "atol": 1e-6}
    one_by_one = [scores(model, X.iloc[[i]])[0] for i in range(len(X))]
    np.testing.assert_allclose(one_by_one, whole, **close)
    for chosen in (
        data.draw(st.permutations(range(len(X)))),
        data.draw(st.lists(st.sampled_from(range(len(X))), min_size=1)),
    ):
        np.testing.assert_allclose(scores(model, X.iloc[chosen]), whole[chosen], **close)
    mixed = [h and data.draw(st.permutations(h)) for h in histories]
    np.testing.assert_array_equal(
        scores(model, scored(mixed, applied_at, subfields_of(histories))), whole
    )


@every_way
@given(table=tables(min_rows=1), data=st.data())
@settings(max_examples=8)
def test_no_event_of_the_future_changes_a_score(scorers, way, table, data):
    histories, applied_at = table
    past = [known(h, at) for h, at in zip(histories, applied_at, strict=True)]
    subfields = subfields_of(histories)
    wanted = scores(scorers[way], scored(past, applied_at, subfields))
    for variant in (histories, data.draw(futures(histories, applied_at))):
        found = scores(scorers[way], scored(variant, applied_at, subfields))
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("kind", ["sessions", "loans"])
@given(table=tables(min_rows=1))
@settings(max_examples=8)
def test_either_order_of_the_transformers_scores_alike(scorers, kind, table):
    one, other = (scorers[f"{kind} of behaviors"], scorers[f"behaviors of {kind}"])
    X = scored(*table)
    np.testing.assert_allclose(scores(one, X), scores(other, X), rtol=0, atol=1e-6)


@given(table=tables(min_rows=1, max_events=16))
@settings(max_examples=10)
def test_known_sessions_are_scored_whole_though_others_run_meanwhile(scorers, table):
    model = scorers["loans of behaviors"]
    X = model[:-1].transform(scored(*table))
    kept = Behaviors.from_column(X["behaviors"])
    # The same sessions one after the other: intervals and days are told beside the time.
    apart = kept.with_fields(time=pa.array(np.arange(kept.n_events), pa.timestamp("us")))
    Z = X.assign(behaviors=apart.to_array())
    np.testing.assert_array_equal(scores(model[-1], X), scores(model[-1], Z))
