"""Counts of scores against the metrics, which need a row for each application."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from skhuihen.metrics import auc_interval, calibration_summary, expected_auc
from skhuihen.monitoring._scores import (
    MIDDLES,
    N_CELLS,
    Recalibration,
    auc_to_expect,
    calibration_in_the_large,
    cells_of,
    observed_auc,
)


def counts_of(seed: int, n: int, rate: float, n_distinct: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw labels, and cells of few distinct scores, so that many are tied."""
    rng = np.random.default_rng(seed)
    y = rng.random(n) < rate
    y[:4] = [True, True, False, False]
    cell = cells_of(expit(rng.normal(y - 2.0, 1, n).round(1) * n_distinct / 10))
    return y, cell


@pytest.mark.parametrize(("n", "rate", "spread"), [(4, 0.5, 10), (60, 0.05, 3), (900, 0.4, 20)])
def test_figures_of_counts_are_those_of_rows(n: int, rate: float, spread: int) -> None:
    for seed in range(5):
        y, cell = counts_of(seed, n, rate, spread)
        overdue, others = (np.bincount(cell[rows], minlength=N_CELLS) for rows in (y, ~y))
        score, p = MIDDLES[cell], expit(MIDDLES[cell])
        found, error = observed_auc(overdue, others, 0.9)
        wanted = auc_interval(y, score, confidence_level=0.9)
        np.testing.assert_allclose([*found, error], wanted, atol=1e-9)
        shift, _ = calibration_in_the_large(overdue, others)
        summary = calibration_summary(y, p)
        assert shift.value == pytest.approx(summary.in_the_large, abs=1e-6)
        fitted = Recalibration.fit(overdue, others)
        assert fitted.interval_of_slope(0.9).value == pytest.approx(
            summary.slope, rel=1e-4, nan_ok=True
        )
        line = Recalibration(-0.3, 0.8, np.zeros((2, 2)), True)
        expected = auc_to_expect(overdue + others, line, 0.95).value
        assert expected == pytest.approx(expected_auc(expit(-0.3 + 0.8 * score), score))


def test_billions_of_rows_are_counts() -> None:
    y, cell = counts_of(0, 300, 0.3, 10)
    overdue, others = (np.bincount(cell[rows], minlength=N_CELLS) for rows in (y, ~y))
    small, error = observed_auc(overdue, others)
    large, error_of_large = observed_auc(overdue * 10**7, others * 10**7)
    assert large.value == pytest.approx(small.value)
    assert error_of_large == pytest.approx(error / np.sqrt(10**7), rel=0.02)
    line = Recalibration.fit(overdue * 10**7, others * 10**7)
    assert np.isfinite(auc_to_expect((overdue + others) * 10**6, line, 0.95)).all()


def test_certain_probabilities_that_are_all_wrong_are_shifted_far() -> None:
    overdue, others = np.zeros((2, N_CELLS), dtype=np.int64)
    overdue[cells_of(np.array([1.0]))[0]], others[cells_of(np.array([1.0]))[0]] = 1, 10**8
    shift, _ = calibration_in_the_large(overdue, others)
    assert shift.value == pytest.approx(np.log(1e-8) - MIDDLES[-1], rel=1e-3)
