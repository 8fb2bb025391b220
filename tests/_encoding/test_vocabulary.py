"""BehaviorVocabulary: numbers by field, both signs apart, the scale of amounts."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skhuihen import BehaviorAbstractor
from skhuihen._encoding.vocabulary import BehaviorVocabulary
from skhuihen._events.as_of import read_as_of
from skhuihen._events.behaviors import Behaviors
from tests.preprocessing.strategies import applications, drawn, known, nested, plain, tables

CLICK, TRANSFORM, WIDGET = FIELDS = ("item_click", "transform_operation", "function_widget")


def abstracted(*events):
    """Build events that went through a BehaviorAbstractor: (field, behavior, amount)."""
    subfields = ["time", "field", "behavior", "amount"]
    keys = subfields[1:]
    rows = [[{"time": k, **dict(zip(keys, e, strict=True))} for k, e in enumerate(events)]]
    return Behaviors.from_column(nested(rows, subfields))


def slow_keys(events, raw):
    """Return the field, behavior and whether negative of each event."""
    keys = []
    for e in events:
        has_amount = e.get("amount") is not None and not math.isnan(e["amount"])
        if raw:
            field = TRANSFORM if has_amount else CLICK if e.get("item") is not None else WIDGET
            behavior = e["operation"]
        else:
            field, behavior = e["field"], e["behavior"]
        negative = field == TRANSFORM and has_amount and e["amount"] < 0
        keys.append((FIELDS.index(field), "missing" if behavior is None else behavior, negative))
    return keys


def slow_fit(keys):
    """Return the numbers of (field, behavior, sign)."""
    found = []
    for field, behavior in {key[:2] for key in keys}:
        both = field == 1 and {(field, behavior, True), (field, behavior, False)} <= set(keys)
        found += [(field, behavior, sign) for sign in (("", "-") if both else ("",))]
    return {key: number for number, key in enumerate(sorted(found))}


def slow_scales(events, raw):
    """Return the scale of each transform operation with an amount."""
    has_amount = [e.get("amount") is not None and not math.isnan(e["amount"]) for e in events]
    return [
        math.log1p(abs(e["amount"]))
        for e, (field, _, _), has in zip(events, slow_keys(events, raw), has_amount, strict=True)
        if field == 1 and has
    ]


def slow_transform(numbers, events, raw, known_scales):
    low, high = min(known_scales, default=1.0), max(known_scales, default=1.0)
    result, scales = [], []
    for e, (field, behavior, negative) in zip(events, slow_keys(events, raw), strict=True):
        plain_number = numbers.get((field, behavior, ""), len(numbers))
        minus = numbers.get((field, behavior, "-"), plain_number)
        result.append(minus if negative else plain_number)
        has_amount = e.get("amount") is not None and not math.isnan(e["amount"])
        scale = 1.0
        if field == 1 and has_amount:
            scale = min(max(math.log1p(abs(e["amount"])), low), high)
        scales.append(scale)
    return result, scales


@given(old=tables(max_rows=4), new=tables(max_rows=3), raw=st.booleans())
@settings(max_examples=20)
def test_agrees_with_the_slow_reading(old, new, raw):
    model = BehaviorAbstractor(n_behaviors=4, n_items=2).fit(drawn(*old))
    tables_of_events = []
    for histories, applied_at in (old, new):
        X = drawn(histories, applied_at)
        if raw:
            events = [e for h, at in zip(histories, applied_at, strict=True) for e in known(h, at)]
            behaviors = read_as_of(X, "behaviors", "applied_at").behaviors
        else:
            behaviors = model._apply(read_as_of(X, "behaviors", "applied_at").behaviors)[0]
            result = X.assign(behaviors=behaviors.to_array())
            events = [e for row in plain(result) for e in row]
        tables_of_events.append((behaviors, events))

    (seen, events), _ = tables_of_events
    vocabulary = BehaviorVocabulary().fit(seen)
    numbers = slow_fit(slow_keys(events, raw))
    assert vocabulary.behaviors_ == [(FIELDS[f], behavior, sign) for f, behavior, sign in numbers]
    assert vocabulary.sizes_ == tuple(sum(f == k for f, _, _ in numbers) for k in range(3))
    known_scales = slow_scales(events, raw)
    for behaviors, events in tables_of_events:
        number, scale = vocabulary.transform(behaviors)
        wanted, scales = slow_transform(numbers, events, raw, known_scales)
        assert number.tolist() == wanted
        np.testing.assert_allclose(scale, scales, rtol=1e-15)
        assert number.dtype == np.int64
        assert scale.dtype == np.float64


def test_numbers_go_field_by_field_and_by_name():
    seen = abstracted(
        (WIDGET, "login", None),
        (TRANSFORM, "transfer", -5.0),
        (CLICK, "fund:B", None),
        (WIDGET, "back", None),
        (CLICK, "fund:A", 3.0),
        (TRANSFORM, "buy", 5.0),
        (TRANSFORM, "transfer", 0.0),
        (TRANSFORM, "buy", None),
    )
    vocabulary = BehaviorVocabulary().fit(seen)
    assert vocabulary.behaviors_ == [
        (CLICK, "fund:A", ""),
        (CLICK, "fund:B", ""),
        (TRANSFORM, "buy", ""),
        (TRANSFORM, "transfer", ""),
        (TRANSFORM, "transfer", "-"),
        (WIDGET, "back", ""),
        (WIDGET, "login", ""),
    ]
    assert vocabulary.sizes_ == (2, 3, 2)
    number, scale = vocabulary.transform(seen)
    assert number.tolist() == [6, 4, 1, 5, 0, 2, 3, 2]
    np.testing.assert_allclose(scale, [1, math.log(6), 1, 1, 1, math.log(6), 0, 1])


def test_a_sign_seen_alone_is_one_behavior():
    vocabulary = BehaviorVocabulary().fit(abstracted((TRANSFORM, "repay", -5.0)))
    assert vocabulary.behaviors_ == [(TRANSFORM, "repay", "")]
    number, _ = vocabulary.transform(
        abstracted(
            (TRANSFORM, "repay", 5.0), (TRANSFORM, "repay", None), (TRANSFORM, "repay", -1.0)
        )
    )
    assert number.tolist() == [0, 0, 0]


def test_a_missing_amount_counts_as_positive():
    seen = abstracted((TRANSFORM, "a", None), (TRANSFORM, "a", -1.0), (TRANSFORM, "a", math.nan))
    vocabulary = BehaviorVocabulary().fit(seen)
    assert vocabulary.sizes_ == (0, 2, 0)
    assert vocabulary.transform(seen)[0].tolist() == [0, 1, 0]


def test_only_transform_operations_have_signs_and_scales():
    seen = abstracted(
        (WIDGET, "a", -5.0), (WIDGET, "a", 5.0), (CLICK, "b", -5.0), (CLICK, "b", 5.0)
    )
    vocabulary = BehaviorVocabulary().fit(seen)
    assert vocabulary.sizes_ == (1, 0, 1)
    assert vocabulary.transform(seen)[1].tolist() == [1, 1, 1, 1]


def test_one_name_in_two_fields_is_two_behaviors():
    seen = abstracted((WIDGET, "a", None), (CLICK, "a", None))
    vocabulary = BehaviorVocabulary().fit(seen)
    assert vocabulary.transform(seen)[0].tolist() == [1, 0]
    unseen = abstracted((TRANSFORM, "a", 1.0), (WIDGET, "new", None), (WIDGET, "a", None))
    assert vocabulary.transform(unseen)[0].tolist() == [2, 2, 1]


def test_events_as_they_are():
    rows = [
        [
            {"time": 0, "operation": "pay", "item": "A", "amount": -3.0},
            {"time": 1, "operation": "pay", "item": "A", "amount": math.nan},
            {"time": 2, "operation": "pay", "item": None, "amount": None},
            {"time": 3, "operation": None, "item": None, "amount": 0.0},
        ]
    ]
    seen = Behaviors.from_column(nested(rows))
    vocabulary = BehaviorVocabulary().fit(seen)
    assert vocabulary.behaviors_ == [
        (CLICK, "pay", ""),
        (TRANSFORM, "missing", ""),
        (TRANSFORM, "pay", ""),
        (WIDGET, "pay", ""),
    ]
    assert vocabulary.transform(seen)[0].tolist() == [2, 0, 3, 1]


def test_operations_alone():
    seen = Behaviors.from_column(
        nested([[{"time": 0, "operation": "b"}, {"time": 1, "operation": "a"}]])
    )
    assert BehaviorVocabulary().fit(seen).behaviors_ == [(WIDGET, "a", ""), (WIDGET, "b", "")]


@given(table=tables(min_rows=1, seq=False), data=st.data())
@settings(max_examples=20)
def test_the_order_of_rows_and_events_does_not_matter(table, data):
    histories, _ = table
    rows = data.draw(st.permutations(range(len(histories))))
    mixed = [histories[i] and data.draw(st.permutations(histories[i])) for i in rows]
    one, other = (
        BehaviorVocabulary().fit(Behaviors.from_column(drawn(hs, [0] * len(hs))["behaviors"]))
        for hs in (histories, mixed)
    )
    assert one.behaviors_ == other.behaviors_
    assert one.sizes_ == other.sizes_


@pytest.mark.parametrize("history", [None, []])
def test_no_events(history):
    nothing = Behaviors.from_column(applications([history])["behaviors"])
    vocabulary = BehaviorVocabulary().fit(nothing)
    assert vocabulary.behaviors_ == []
    assert vocabulary.sizes_ == (0, 0, 0)
    seen = abstracted((WIDGET, "a", None))
    assert vocabulary.transform(seen)[0].tolist() == [0]
    number, scale = BehaviorVocabulary().fit(seen).transform(nothing)
    assert number.tolist() == scale.tolist() == []


def test_transform_never_learns():
    vocabulary = BehaviorVocabulary().fit(abstracted((WIDGET, "a", None)))
    before = pickle.dumps(vocabulary)
    vocabulary.transform(abstracted((TRANSFORM, "b", -1.0)))
    assert pickle.dumps(vocabulary) == before


def test_refuses_fields_that_are_none():
    with pytest.raises(
        ValueError, match=r"'field' contains 'click', but must be one of \('item_click'"
    ):
        BehaviorVocabulary().fit(abstracted(("click", "a", None)))
    with pytest.raises(ValueError, match="'field' contains 'missing'"):
        BehaviorVocabulary().fit(abstracted((None, "a", None)))
    with pytest.raises(ValueError, match="'amount' contains 1 infinite values"):
        BehaviorVocabulary().fit(abstracted((TRANSFORM, "a", math.inf)))
    column = Behaviors.from_column(nested([[{"time": 0, "operation": "a"}]]))
    with pytest.raises(TypeError, match="'operation' is of type double; it must hold text"):
        BehaviorVocabulary().fit(column.with_fields(operation=pa.array([1.5])))
