"""Bins of measures, and the test of their counts."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from skhuihen.metrics import population_stability_index
from skhuihen.monitoring._bins import (
    CategoryBins,
    NumberBins,
    as_short,
    change_pvalue,
    count_texts,
    stability_index,
)


def test_counts_are_those_of_the_stability_index() -> None:
    rng = np.random.default_rng(0)
    before = np.where(rng.random(2000) < 0.1, np.nan, rng.normal(size=2000).round(1))
    after = np.where(rng.random(900) < 0.3, np.nan, rng.normal(0.4, 1, size=900))
    bins = NumberBins.learn(before, 10)
    counts = bins.count(after)
    assert counts.sum() == 900
    assert counts[-1] == np.isnan(after).sum()
    expected = population_stability_index(before, after)
    assert stability_index(bins.counts, counts) == pytest.approx(expected)
    low, high = np.nanmin(before), np.nanmax(before)
    assert bins.outside(after) == ((after < low) | (after > high)).sum()
    again = NumberBins.from_dict(bins.to_dict())
    np.testing.assert_array_equal(again.count(after), counts)


def test_a_number_without_values_has_a_bin_for_missing_ones() -> None:
    bins = NumberBins.learn(np.full(30, np.nan), 10)
    assert bins.counts.tolist() == [0, 30]
    assert bins.count(np.array([1.0, np.nan])).tolist() == [1, 1]
    assert NumberBins.from_dict(bins.to_dict()).counts.tolist() == [0, 30]


def test_rare_texts_are_not_kept() -> None:
    values = np.array([*["a"] * 60, *["b"] * 30, *["one person"] * 4, None, None], dtype=object)
    bins = CategoryBins.learn(*count_texts(values))
    assert bins.names == ("a", "b")
    assert bins.counts.tolist() == [60, 30, 4, 2]
    assert "one person" not in str(bins.to_dict())
    assert bins.outside(np.array(["a", "new", None], dtype=object)) == 1


def test_pvalues_are_those_of_scipy() -> None:
    many = np.array([400, 300, 300]), np.array([150, 100, 50])
    assert change_pvalue(*many) == pytest.approx(stats.chi2_contingency(many).pvalue)
    two = np.array([990, 10, 0]), np.array([90, 10, 0])
    expected = stats.fisher_exact([[990, 10], [90, 10]]).pvalue
    assert change_pvalue(*two) == pytest.approx(expected)


def test_few_rows_say_nothing() -> None:
    assert np.isnan(change_pvalue(np.array([50, 50]), np.array([0, 0])))
    assert change_pvalue(np.array([500, 500, 10]), np.array([1, 2, 0])) > 0.1
    assert change_pvalue(np.array([100, 0]), np.array([10, 0])) == 1


def test_few_rows_are_compared_in_two_halves() -> None:
    few = np.array([0, 0, 0, 0, 3, 12])
    expected = stats.fisher_exact([[300, 300], [0, 15]]).pvalue
    assert change_pvalue(np.full(6, 100), few) == pytest.approx(expected)


@pytest.mark.parametrize(("n", "level"), [(300, 0.02), (2000, 0.02)])
def test_pvalues_are_uniform_if_nothing_changes(n: int, level: float) -> None:
    """Both sides are samples: the error of the reference counts too."""
    rng = np.random.default_rng(n)
    share = np.array([0.4, 0.2, 0.15, 0.1, 0.08, 0.04, 0.02, 0.01])
    drawn = zip(rng.multinomial(3000, share, 2500), rng.multinomial(n, share, 2500), strict=True)
    found = np.mean([change_pvalue(before, after) < level for before, after in drawn])
    assert abs(found - level) < 4 * np.sqrt(level / 2500)


def test_numbers_are_short_but_told_apart() -> None:
    assert as_short([0.25, 3, 12345.6, -1e-7]) == ["0.25", "3", "12350", "-1e-07"]
    assert as_short([1_000_001, 1_000_002]) == ["1000001", "1000002"]
    assert as_short([np.nextafter(1, 2), 1]) == ["1.0000000000000002", "1"]
    assert as_short([-np.inf, np.inf]) == ["-inf", "inf"]
    assert as_short([]) == []
