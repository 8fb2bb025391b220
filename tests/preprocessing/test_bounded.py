"""Bounded numbers: quantiles by weight, knots, ranges, and codes for missing values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from skhuihen.preprocessing._bounded import (
    Extremes,
    Outside,
    PiecewiseLinear,
    Range,
    find_knots,
    weighted_median,
    weighted_quantiles,
)

VALUES = st.lists(st.sampled_from([-3.0, 0.0, 0.1, 1e-300, 7.0, 1e150, -1e150]), min_size=1)


@given(
    values=VALUES,
    factor=st.sampled_from([1.0, 0.1, 1 / 3, 1e-9]),
    probability=st.sampled_from([0.0, 0.005, 0.1, 1 / 3, 0.5, 2 / 3, 0.9, 1.0]),
    data=st.data(),
)
def test_a_weight_of_two_is_two_rows(values, factor, probability, data):
    n = len(values)
    times = np.array(data.draw(st.lists(st.integers(1, 4), min_size=n, max_size=n)))
    repeated = np.repeat(values, times)
    ones = np.ones(len(repeated))
    values = np.array(values)
    found = weighted_quantiles(values, factor * times, [probability])
    assert_array_equal(found, weighted_quantiles(repeated, ones, [probability]))
    assert (repeated <= found).mean() >= probability - 1e-9
    assert (repeated < found).mean() <= max(probability, 0)
    median = weighted_median(values, factor * times)
    assert median == weighted_median(repeated, ones) == np.median(repeated)
    assert_array_equal(find_knots(values, factor * times), np.unique(repeated))


@given(values=VALUES, others=VALUES)
def test_columns_rise_from_0_to_1_and_are_constant_outside(values, others):
    knots = find_knots(np.array(values), np.ones(len(values)))
    piecewise = PiecewiseLinear([knots])
    columns = piecewise.transform(np.array(others)[:, None])
    assert columns.shape[1] == len(piecewise.source) == len(piecewise.start)
    assert (columns >= 0).all()
    assert (columns <= 1).all()
    clipped = np.clip(others, knots[0], knots[-1])
    assert_array_equal(columns, piecewise.transform(clipped[:, None]))
    order = np.argsort(others)
    assert (np.diff(columns[order], axis=0) >= 0).all()
    ends = piecewise.transform(knots[[0, -1], None])
    assert_array_equal(ends, [[0] * len(ends[0]), [float(len(knots) > 1)] * len(ends[0])])


def test_columns_of_several_numbers_stand_side_by_side():
    knots = [np.array([0.0, 1.0, 3.0]), np.array([5.0]), np.array([]), np.array([0.0, 2.0])]
    piecewise = PiecewiseLinear(knots)
    assert piecewise.source.tolist() == [0, 0, 1, 2, 3]
    assert piecewise.start.tolist() == [0, 1, 0, 0, 0]
    assert piecewise.stop.tolist() == [1, 3, 0, 0, 2]
    columns = piecewise.transform(np.array([[2.0, 9.0, 9.0, 0.5], [0.5, 5.0, 0.0, 3.0]]))
    assert_allclose(columns, [[1, 0.5, 0, 0, 0.25], [0.5, 0, 0, 0, 1]])


def test_a_range_grows_with_its_tail():
    narrow = Range.of_values(np.linspace(0, 100, 1001), np.ones(1001))
    assert (narrow.low_far, narrow.high_far) == pytest.approx((-200, 300), abs=1)
    values = np.append(np.linspace(0, 100, 1001), 450.0)
    wide = Range.of_values(values, np.ones(1002))
    assert wide.high_far == pytest.approx(50 + 8 * 400, rel=0.03)
    constant = Range.of_values(np.full(30, 5.0), np.ones(30))
    assert not constant.is_unusual(constant.look(np.array([1e9])))


def test_how_many_outside_are_unusual_depends_on_how_many_there_were():
    values = np.array([-0.1] * 6 + [1.0] * 100 + [np.nan] * 1000)
    for n, unusual in ((100, False), (1000, True)):
        known = Range.of_values(np.linspace(0, 10, n), np.ones(n))
        found = known.look(values)
        assert (found.n, found.n_outside, found.n_far) == (106, 6, 0)
        assert known.is_unusual(found) == unusual
        halves = Outside()
        for part in (values[:3], values[3:]):
            halves.add(known.look(part))
        assert halves == found


@given(
    values=st.lists(st.sampled_from([-1.0, -9.0, -9999.0, *range(40)]), min_size=1, max_size=200),
    cuts=st.lists(st.integers(0, 200), max_size=4),
)
def test_extremes_of_parts_are_those_of_the_whole(values, cuts):
    whole, parts = Extremes().add(np.array(values, dtype=float)), Extremes()
    for part in np.split(np.array(values, dtype=float), sorted(cuts)):
        parts.add(part)
    assert (whole.lowest, whole.highest, whole.n) == (parts.lowest, parts.highest, parts.n)
    for counts in (whole.lowest, whole.highest):
        assert all(values.count(value) == n for value, n in counts.items())
    assert list(whole.lowest) == sorted(set(values))[:6]
    assert whole.find_codes() == parts.find_codes()
    assert set(whole.find_codes()) <= {-1.0, -9.0, -9999.0}
