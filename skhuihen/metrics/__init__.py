"""What risk teams measure, in scikit-learn's conventions.

Scores rise with risk and the positive class is the overdue one. Every function takes plain arrays,
refuses missing values by name, and counts a row of weight two as two rows. Only the ratios of
weights matter: multiplying all of them by a constant changes nothing but the sums of weights that
`lift_table` shows.
"""

from skhuihen.metrics._calibration import CalibrationSummary, calibration_summary
from skhuihen.metrics._comparison import (
    AUCInterval,
    PairedTest,
    auc_interval,
    corrected_resampled_ttest,
    delong_test,
)
from skhuihen.metrics._ranking import (
    expected_auc,
    gini_score,
    gini_scorer,
    ks_curve,
    ks_score,
    ks_scorer,
    lift_table,
)
from skhuihen.metrics._stability import population_stability_index, stability_bins

__all__ = [
    "AUCInterval",
    "CalibrationSummary",
    "PairedTest",
    "auc_interval",
    "calibration_summary",
    "corrected_resampled_ttest",
    "delong_test",
    "expected_auc",
    "gini_score",
    "gini_scorer",
    "ks_curve",
    "ks_score",
    "ks_scorer",
    "lift_table",
    "population_stability_index",
    "stability_bins",
]
