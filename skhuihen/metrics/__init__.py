"""The metrics that risk teams use, with scikit-learn's conventions.

Scores rise with risk and the positive class is overdue. All functions take plain arrays, reject
missing values with an error that names the argument, and treat a weight of two as two rows. Only
the ratios of weights matter: multiplying all weights by a constant changes only the sums of weights
in `lift_table`.
"""

from skhuihen.metrics._calibration import CalibrationSummary, calibration_summary
from skhuihen.metrics._comparison import (
    AUCInterval,
    KSInterval,
    PairedTest,
    auc_interval,
    corrected_resampled_ttest,
    delong_test,
    ks_interval,
)
from skhuihen.metrics._decisions import band_table, group_table, swap_set_table
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
    "KSInterval",
    "PairedTest",
    "auc_interval",
    "band_table",
    "calibration_summary",
    "corrected_resampled_ttest",
    "delong_test",
    "expected_auc",
    "gini_score",
    "gini_scorer",
    "group_table",
    "ks_curve",
    "ks_interval",
    "ks_score",
    "ks_scorer",
    "lift_table",
    "population_stability_index",
    "stability_bins",
    "swap_set_table",
]
