"""Numbers of events, as the network takes them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from skhuihen import HUIHENClassifier, Sessionizer, attach_behaviors
from skhuihen._encoding.event_numbers import EventNumbers, EventRanges
from skhuihen._events.behaviors import Behaviors

APPLIED_AT = pd.Timestamp("2024-05-03 12:00:00")


def behaviors_of(**fields: list[float | None]) -> Behaviors:
    frame = pd.DataFrame(fields)
    column = pd.Series([frame.to_dict("records"), []])
    return Behaviors.from_column(column)


def table(amounts: list[float | None]) -> pd.DataFrame:
    """Return one application for each amount, with three events each, a minute apart."""
    n = len(amounts)
    applications = pd.DataFrame(
        {"user_id": range(n), "applied_at": APPLIED_AT, "income": np.arange(n) % 7}
    )
    events = pd.DataFrame(
        {
            "user_id": np.repeat(np.arange(n), 3),
            "time": [APPLIED_AT - pd.Timedelta(minutes=k) for _ in range(n) for k in (3, 2, 1)],
            "operation": "transfer",
            "amount": np.repeat(np.array(amounts, dtype=float), 3),
            "score": 1.0,
        }
    )
    return Sessionizer().fit_transform(attach_behaviors(applications, events))


finite = st.floats(-1e12, 1e12)


@given(st.lists(st.one_of(st.none(), finite), min_size=1, max_size=30))
def test_columns_have_mean_0_and_variance_1_and_missing_is_the_mean(values):
    behaviors = behaviors_of(amount=values)
    numbers = EventNumbers("auto").fit(behaviors)
    result = numbers.transform(behaviors)
    assert np.isfinite(result).all()
    if all(value is None for value in values):
        assert result.shape == (len(values), 0)
        return
    missing = np.array([value is None for value in values])
    assert (result[missing] == 0).all()
    known = result[~missing, 0]
    assert abs(known.mean()) < 1e-2
    logarithms = {np.sign(v) * np.log1p(abs(v)) for v in values if v is not None}
    if np.ptp(list(logarithms)) > 0.1:
        assert known.std() == pytest.approx(1, abs=1e-4)


def test_order_is_that_of_the_values_and_signs_are_kept():
    behaviors = behaviors_of(amount=[-1e6, -10.0, 0.0, 10.0, 1e6])
    numbers = EventNumbers("auto").fit(behaviors).transform(behaviors)[:, 0]
    assert (np.diff(numbers) > 0).all()
    np.testing.assert_allclose(numbers, -numbers[::-1], atol=1e-12)


@pytest.mark.parametrize("value", [0.3, 7.0, 1234.56, 1e9])
@pytest.mark.parametrize("n", [3, 7, 1000])
def test_one_value_throughout_is_0_and_its_rounding_error_is_no_deviation(value, n):
    behaviors = behaviors_of(amount=[value] * n)
    numbers = EventNumbers("auto").fit(behaviors)
    np.testing.assert_allclose(numbers.transform(behaviors), 0.0, atol=1e-4)
    near = numbers.transform(behaviors_of(amount=[1.01 * value]))
    np.testing.assert_allclose(near, 0.0, atol=0.02)


def test_what_is_there_is_taken_and_what_is_named_must_be_there():
    behaviors = behaviors_of(amount=[1.0, 2.0], days=[3, 4])
    assert EventNumbers("auto").fit(behaviors).names_ == ["amount"]
    assert EventNumbers(["days"]).fit(behaviors).names_ == ["days"]
    with pytest.raises(ValueError, match="event_numbers contains 'hours', but the events have no"):
        EventNumbers(["hours"]).fit(behaviors)


def test_the_classifier_adds_the_age_of_each_behavior():
    X = table([1.0, 2.0, None, 4.0] * 10)
    y = np.arange(len(X)) % 2
    model = HUIHENClassifier(max_epochs=1, n_estimators=1, random_state=0).fit(X, y)
    assert model.event_numbers_.names_ == ["interval", "age", "amount"]
    age = model._encoder.read(X).numbers("age")
    assert age.tolist() == [180.0, 120.0, 60.0] * len(X)
    without = HUIHENClassifier(max_epochs=1, n_estimators=1, applied_at=None, random_state=0).fit(
        X, y
    )
    assert without.event_numbers_.names_ == ["interval", "amount"]


@pytest.mark.parametrize(
    "parameters",
    [
        {"event_numbers": None},
        {"net_params": {"module__time_aware": False}},
        {"net_params": {"module__hierarchical": False}},
    ],
)
def test_the_form_of_the_paper_takes_none(parameters):
    X = table([1.0, 2.0, None, 4.0] * 10)
    model = HUIHENClassifier(max_epochs=1, n_estimators=1, random_state=0, **parameters)
    model.fit(X, np.arange(len(X)) % 2)
    assert model.event_numbers_.names_ == []


def test_an_amount_tells_of_a_label_by_its_number():
    """Amounts of a function widget scale nothing; as numbers they are seen."""
    rng = np.random.default_rng(0)
    amounts = np.exp(rng.normal(5, 2, size=400))
    y = (amounts > np.median(amounts)).astype(int)
    X = table(amounts.tolist())
    X["income"] = 1.0
    scores = {
        names: roc_auc_score(
            y,
            HUIHENClassifier(event_numbers=names, n_estimators=3, dropout=0.0, random_state=0)
            .fit(X, y)
            .oof_log_odds_,
        )
        for names in (("amount",), "auto")
    }
    assert min(scores.values()) > 0.95


def test_a_named_subfield_that_is_not_a_number_is_refused():
    X = table([1.0, 2.0] * 10)
    with pytest.raises(TypeError, match="'operation' is of type string; it must hold numbers"):
        HUIHENClassifier(event_numbers=["operation"]).fit(X, np.arange(20) % 2)
    with pytest.raises(ValueError, match="event_numbers contains 'hours'"):
        HUIHENClassifier(event_numbers=["hours"]).fit(X, np.arange(20) % 2)


amounts = st.one_of(st.none(), st.sampled_from([-5.0, 0.0, 1.0, 99.0, 1e6]))


@given(
    histories=st.lists(st.lists(amounts, max_size=4), min_size=1, max_size=8),
    data=st.data(),
)
def test_a_weight_of_two_is_two_applications(histories, data):
    n = len(histories)
    weight = np.array(data.draw(st.lists(st.integers(1, 3), min_size=n, max_size=n)))

    def read(rows) -> Behaviors:
        column = [[{"amount": v} for v in histories[row]] for row in rows]
        return Behaviors.from_column(pd.Series([*column, [{"amount": 2.0}]]))

    repeated = EventNumbers("auto").fit(read(np.repeat(np.arange(n), weight)))
    behaviors = read(range(n))
    weighted = EventNumbers("auto").fit(behaviors, np.append(weight, 1.0))
    for name in ("mean_", "scale_"):
        np.testing.assert_allclose(getattr(weighted, name), getattr(repeated, name), rtol=2e-6)
    assert weighted.low_ == repeated.low_
    assert weighted.high_ == repeated.high_


def test_weights_follow_the_pieces():
    pieces = [behaviors_of(amount=[v]) for v in (1.0, 10.0, 100.0)]
    weight = np.array([1.0, 5.0, 2.0, 5.0, 3.0, 5.0])  # each piece ends in an empty history
    numbers = EventNumbers("auto")
    list(numbers.fit_on_the_way(pieces, weight))
    expected = np.average(np.log1p([1.0, 10.0, 100.0]), weights=[1, 2, 3])
    np.testing.assert_allclose(numbers.mean_, expected, rtol=1e-5)


def test_a_value_beyond_the_edge_counts_as_the_edge():
    numbers = EventNumbers("auto").fit(behaviors_of(amount=[-3.0, 5.0, 40.0]))
    beyond = numbers.transform(behaviors_of(amount=[-9999999.0, 1e140]))
    edges = numbers.transform(behaviors_of(amount=[-3.0, 40.0]))
    np.testing.assert_array_equal(beyond, edges)


def test_ranges_are_learned_piece_by_piece_and_tell_what_is_far():
    rng = np.random.default_rng(0)
    pieces = [behaviors_of(amount=rng.lognormal(3, 1, 50).tolist()) for _ in range(4)]
    ranges = EventRanges("behaviors", ["amount", "absent"])
    assert list(ranges.learn(pieces)) == pieces
    ranges.tell_codes(stacklevel=1)
    everything = np.concatenate([piece.numbers("amount") for piece in pieces])
    known = ranges.ranges_["amount"]
    assert (known.low, known.high) == (everything.min(), everything.max())
    np.testing.assert_array_equal(ranges.clip("absent", np.array([-1e9])), [-1e9])
    assert ranges.clip("amount", np.array([1e9])) == known.high
    found: dict = {}
    ranges.look(behaviors_of(amount=[known.high * 2, None, 1.0]), found)  # a little outside
    ranges.tell(found, stacklevel=1)
    ranges.look(behaviors_of(amount=[-9999999.0]), found)
    with pytest.warns(
        UserWarning, match="'amount' of .* 3 of 3 values outside the range .* down to"
    ):
        ranges.tell(found, stacklevel=1)


def test_codes_in_amounts_are_told_at_fit_and_amounts_far_outside_at_scoring():
    rng = np.random.default_rng(0)
    amounts = rng.lognormal(5, 1, 60)
    y = np.arange(60) % 2
    model = HUIHENClassifier(max_epochs=1, n_estimators=1, random_state=0).fit(
        table(amounts.tolist()), y
    )
    edge = model.decision_function(table([amounts.max()]))
    with pytest.warns(UserWarning, match="'amount' of the events in column 'behaviors' holds 3 of"):
        beyond = model.decision_function(table([1e7]))
    np.testing.assert_array_equal(edge, beyond)
    coded = np.where(np.arange(60) < 6, -9999999, amounts)
    cure = r"events\['amount'\] = events\['amount'\].replace\(-9999999, np.nan\), before attach"
    with pytest.warns(UserWarning, match=f"holds -9999999 .18 times. among 180 values.*{cure}"):
        model.fit(table(coded.tolist()), y)


@pytest.mark.parametrize("numbers", ["auto", None])
def test_an_interval_beyond_the_edge_counts_as_the_edge(numbers):
    X = table(np.arange(1.0, 41.0).tolist())
    model = HUIHENClassifier(max_epochs=1, n_estimators=1, event_numbers=numbers, random_state=0)
    model.fit(X, np.arange(40) % 2)
    events = model._encoder.read(X)
    far = events.with_fields(interval=pa.array(np.where(events.numbers("interval") > 0, 1e9, 0)))
    np.testing.assert_array_equal(
        model._encoder.encode(far).interval, model._encoder.encode(events).interval
    )
    np.testing.assert_array_equal(
        model._encoder.encode(far).numbers, model._encoder.encode(events).numbers
    )
