"""Metrics against scipy, brute force over pairs, and simulation."""

from __future__ import annotations

import pickle
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import expit, logit
from scipy.stats import ks_2samp, norm, ttest_rel
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, make_scorer, roc_auc_score
from sklearn.model_selection import cross_val_score
from sklearn.svm import LinearSVC

from skhuihen.metrics import (
    auc_interval,
    band_table,
    calibration_summary,
    corrected_resampled_ttest,
    delong_test,
    expected_auc,
    gini_score,
    gini_scorer,
    group_table,
    ks_curve,
    ks_score,
    ks_scorer,
    lift_table,
    population_stability_index,
    stability_bins,
    swap_set_table,
)

NAN = float("nan")
few_rows = pytest.mark.filterwarnings("ignore:A stability index of")

RANKING = [ks_score, gini_score, lift_table, calibration_summary]
UNWEIGHTED = [auc_interval, lambda y, score, **extra: delong_test(y, score, score, **extra)]

# Few distinct scores, so that ties across the classes are the rule.
labeled_scores = st.lists(
    st.tuples(st.booleans(), st.integers(-3, 3), st.integers(1, 4)), min_size=2, max_size=40
).filter(lambda rows: len({overdue for overdue, _, _ in rows}) == 2)


def columns(rows):
    overdue, score, weight = (np.array(column) for column in zip(*rows, strict=True))
    return overdue.astype(int), score.astype(float), weight


@pytest.fixture
def loans():
    rng = np.random.default_rng(0)
    y = (rng.random(500) < 0.2).astype(int)
    return y, np.round(rng.normal(size=500) + y, 1)


# KS and Gini


@given(labeled_scores)
@settings(max_examples=20)
def test_ks_score_is_scipys_statistic(rows):
    y, score, _ = columns(rows)
    # The p-value is not looked at; for some samples it warns, exact or not.
    with np.errstate(divide="ignore"):
        expected = ks_2samp(score[y == 1], score[y == 0], method="asymp").statistic
    assert ks_score(y, score) == pytest.approx(expected, abs=1e-12)


@given(labeled_scores)
@settings(max_examples=20)
def test_gini_score_counts_ordered_pairs(rows):
    y, score, _ = columns(rows)
    signs = np.sign(score[y == 1][:, None] - score[y == 0][None, :])
    assert gini_score(y, score) == pytest.approx(signs.mean(), abs=1e-12)


@given(labeled_scores)
@settings(max_examples=20)
def test_a_weight_is_a_repetition(rows):
    y, score, weight = columns(rows)
    y_twice, score_twice = np.repeat(y, weight), np.repeat(score, weight)
    for metric in (ks_score, gini_score):
        weighted = metric(y, score, sample_weight=weight)
        assert weighted == pytest.approx(metric(y_twice, score_twice), abs=1e-12)
    pd.testing.assert_frame_equal(
        lift_table(y, score, n_bins=4, sample_weight=weight),
        lift_table(y_twice, score_twice, n_bins=4),
        check_dtype=False,
    )


@given(labeled_scores)
@settings(max_examples=20)
def test_a_weight_of_zero_is_an_absence(rows):
    y, score, weight = columns(rows)
    weight = weight - 1
    kept = weight > 0
    assume(np.unique(y[kept]).size == 2)
    for metric in (ks_score, gini_score):
        weighted = metric(y, score, sample_weight=weight)
        kept_only = metric(y[kept], score[kept], sample_weight=weight[kept])
        assert weighted == pytest.approx(kept_only, abs=1e-12)
    pd.testing.assert_frame_equal(
        lift_table(y, score, sample_weight=weight),
        lift_table(y[kept], score[kept], sample_weight=weight[kept]),
    )


@given(
    st.lists(
        st.tuples(st.booleans(), st.integers(-3, 3), st.floats(0.1, 9)), min_size=2, max_size=40
    ).filter(lambda rows: len({overdue for overdue, _, _ in rows}) == 2),
    st.sampled_from([1e-310, 1e-40, 1e-9, 0.1, 1 / 3, 0.7, 3, 49, 1e9, 1e40, 1e300]),
)
@settings(max_examples=20)
def test_only_the_ratios_of_weights_matter(rows, constant):
    y, score, _ = columns(rows)
    weight = np.array([weight for _, _, weight in rows])
    p = (score + 4) / 9
    for metric in (ks_score, gini_score, calibration_summary):
        found = metric(y, p, sample_weight=constant * weight)
        wanted = metric(y, p, sample_weight=weight)
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-9)
    for found, wanted in zip(
        ks_curve(y, score, sample_weight=constant * weight),
        ks_curve(y, score, sample_weight=weight),
        strict=True,
    ):
        np.testing.assert_allclose(found, wanted, atol=1e-9)
    found = lift_table(y, score, n_bins=4, sample_weight=constant * weight)
    wanted = lift_table(y, score, n_bins=4, sample_weight=weight)
    wanted[["count", "overdue"]] *= constant
    pd.testing.assert_frame_equal(found, wanted, atol=0, rtol=1e-6)


@given(labeled_scores, st.sampled_from([1e-12, 0.1, 1 / 3, 0.7, 1e12]))
@settings(max_examples=20)
def test_equal_weights_are_none(rows, constant):
    y, score, _ = columns(rows)
    p = (score + 3) / 6
    weight = np.full(y.size, constant)
    for metric in (ks_score, gini_score, calibration_summary):
        np.testing.assert_allclose(
            metric(y, p, sample_weight=weight), metric(y, p), rtol=1e-6, atol=1e-9
        )
    wanted = lift_table(y, score, n_bins=10)
    wanted[["count", "overdue"]] = wanted[["count", "overdue"]] * constant
    pd.testing.assert_frame_equal(lift_table(y, score, sample_weight=weight), wanted)


def test_ks_curve_follows_the_shares_at_each_threshold(loans):
    y, score = loans
    population, overdue, not_overdue, thresholds = ks_curve(y, score)
    assert np.isinf(thresholds[0])
    assert (population[0], population[-1]) == (0, 1)
    assert set(thresholds[1:]) == set(score)
    for k in range(0, thresholds.size, 7):
        reached = score >= thresholds[k]
        assert population[k] == pytest.approx(reached.mean())
        assert overdue[k] == pytest.approx(reached[y == 1].mean())
        assert not_overdue[k] == pytest.approx(reached[y == 0].mean())


def test_ranking_ends():
    y = [0, 0, 1, 1]
    assert ks_score(y, [1, 2, 3, 4]) == gini_score(y, [1, 2, 3, 4]) == 1
    assert ks_score(y, [4, 3, 2, 1]) == 1
    assert gini_score(y, [4, 3, 2, 1]) == -1
    assert ks_score(y, [5, 5, 5, 5]) == gini_score(y, [5, 5, 5, 5]) == 0


@pytest.mark.parametrize("metric", [ks_score, gini_score])
@pytest.mark.parametrize(
    "relabel",
    [
        lambda y: np.where(y == 1, "overdue", "good"),
        lambda y: pd.Series(np.where(y == 1, "overdue", "good")),
        lambda y: pd.Series(np.where(y == 1, "overdue", "good"), dtype="category"),
        lambda y: pd.Series(y == 1),
        lambda y: pd.Series(y, dtype="Int64"),
        lambda y: (2 * y - 1).tolist(),
        lambda y: y + 1,
    ],
)
def test_any_two_labels(loans, metric, relabel):
    y, score = loans
    assert metric(relabel(y), pd.Series(score)) == metric(y, score)


def test_pos_label_turns_gini_around_but_not_ks(loans):
    y, score = loans
    named = np.where(y == 1, "Bad", "Good")
    assert gini_score(named, score, pos_label="Bad") == pytest.approx(gini_score(y, score))
    assert gini_score(named, score) == pytest.approx(-gini_score(y, score))
    assert ks_score(named, score) == pytest.approx(ks_score(named, score, pos_label="Bad"))


@pytest.mark.parametrize("estimator", [LogisticRegression(), LinearSVC()])
def test_scorers_in_cross_validation(estimator):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 3))
    y = (X[:, 0] + rng.normal(size=300) > 0).astype(int)
    auc = cross_val_score(estimator, X, y, scoring="roc_auc", cv=3)
    gini = cross_val_score(estimator, X, y, scoring=gini_scorer, cv=3)
    np.testing.assert_allclose(gini, 2 * auc - 1)
    ks = cross_val_score(estimator, X, y, scoring=ks_scorer, cv=3)
    assert ((ks > 0.2) & (ks <= 1)).all()

    named = np.where(y == 1, "Bad", "Good")
    bad = make_scorer(
        gini_score, response_method=("decision_function", "predict_proba"), pos_label="Bad"
    )
    for scorer in (gini_scorer, bad):
        scores = cross_val_score(estimator, X, named, scoring=scorer, cv=3)
        np.testing.assert_allclose(scores, gini, atol=1e-3)


def test_scorers_pickle(loans):
    y, score = loans
    model = LogisticRegression().fit(score[:, None], y)
    for scorer in (ks_scorer, gini_scorer):
        restored = pickle.loads(pickle.dumps(scorer))
        assert restored(model, score[:, None], y) == scorer(model, score[:, None], y)


BAD_INPUT = [
    ([1, 1, 1], [0.1, 0.2, 0.3], {}, r"Only one class is present in y_true: \[1\]"),
    ([0, 1, 1], [0.1, 0.2, 0.3], {"sample_weight": [0, 1, 1]}, "rows of positive weight"),
    ([0, 1, 2], [0.1, 0.2, 0.3], {}, "two classes, found multiclass"),
    ([0.1, 0.5, 1], [0.1, 0.2, 0.3], {}, "two classes, found continuous"),
    ([0, 1, 1], [0.1, np.nan, 0.3], {}, "y_(score|prob) contains NaN"),
    ([0, 1, 1], [0.1, np.inf, 0.3], {}, "y_(score|prob) contains infinity"),
    ([0, 1, np.nan], [0.1, 0.2, 0.3], {}, "y_true has 1 missing labels of 3"),
    (["a", None, "b"], [0.1, 0.2, 0.3], {}, "y_true has 1 missing labels of 3"),
    ([0, 1], [0.1, 0.2, 0.3], {}, "inconsistent numbers of samples"),
    ([0, 1, 1], [[0.1, 0.9]] * 3, {}, r"y_(score|prob) has two columns.*predict_proba"),
    ([0, 1, 1], [0.1, 0.2, 0.3], {"pos_label": "Bad"}, r"pos_label='Bad' is not in y_true"),
    ([0, 1, 1], [0.1, 0.2, 0.3], {"sample_weight": [1, -1, 1]}, "[Nn]egative"),
    ([0, 1, 1], [0.1, 0.2, 0.3], {"sample_weight": [1, np.nan, 1]}, "NaN"),
]


@pytest.mark.parametrize("metric", RANKING)
@pytest.mark.parametrize(("y", "score", "extra", "message"), BAD_INPUT)
def test_bad_input_is_refused_by_name(metric, y, score, extra, message):
    with pytest.raises(ValueError, match=message):
        metric(y, score, **extra)


@pytest.mark.parametrize("metric", UNWEIGHTED)
@pytest.mark.parametrize(
    ("y", "score", "extra", "message"),
    [case for case in BAD_INPUT if "sample_weight" not in case[2]],
)
def test_bad_input_is_refused_where_there_are_no_weights(metric, y, score, extra, message):
    with pytest.raises(ValueError, match=message):
        metric(y, score, **extra)


# Expected AUC


def brute_force_expected_auc(p):
    ordered = pairs = 0.0
    for i in range(len(p)):
        for j in range(len(p)):
            if i != j:
                chance = p[i] * (1 - p[j])
                pairs += chance
                ordered += chance * ((p[i] > p[j]) + 0.5 * (p[i] == p[j]))
    return ordered / pairs


@given(st.lists(st.integers(0, 8).map(lambda k: k / 8), min_size=2, max_size=12))
@settings(max_examples=20)
def test_expected_auc_sums_over_pairs(p):
    assume(set(p) not in ({0.0}, {1.0}))
    assert expected_auc(p) == pytest.approx(brute_force_expected_auc(p), abs=1e-12)


def test_expected_auc_is_the_mean_of_draws():
    rng = np.random.default_rng(0)
    p = np.round(rng.beta(0.8, 4, size=2000), 3)
    drawn = [roc_auc_score(rng.random(p.size) < p, p) for _ in range(300)]
    error = np.std(drawn) / np.sqrt(len(drawn))
    assert error < 1e-3
    assert expected_auc(p) == pytest.approx(np.mean(drawn), abs=4 * error)


def test_expected_auc_ends():
    assert expected_auc([0, 0, 1, 1]) == 1
    assert expected_auc([0.3] * 5) == pytest.approx(0.5)
    assert expected_auc([0.0, 1e-9]) == pytest.approx(1)


@pytest.mark.parametrize(
    ("p", "message"),
    [
        ([0.5, 1.5], "1 of 2 values"),
        ([0.5, np.nan, -0.1], "2 of 3 values"),
        ([0, 0], "not defined"),
        ([1, 1, 1], "not defined"),
        ([0.5], "at least two rows"),
        ([], "at least two rows"),
        ([[0.5, 0.5]], r"shape \(1, 2\)"),
    ],
)
def test_expected_auc_refuses(p, message):
    with pytest.raises(ValueError, match=message):
        expected_auc(p)


# Intervals and tests


def slow_delong(y, scores):
    """AUCs and their covariance by DeLong's definition, one pair of rows at a time."""
    overdue, others = np.flatnonzero(y == 1), np.flatnonzero(y == 0)
    m, n = len(overdue), len(others)
    kernel = np.empty((len(scores), m, n))
    for k, score in enumerate(scores):
        for i in range(m):
            for j in range(n):
                above, below = score[overdue[i]], score[others[j]]
                kernel[k, i, j] = 1.0 if above > below else 0.5 if above == below else 0.0
    auc = kernel.mean(axis=(1, 2))
    covariance = np.zeros((len(scores), len(scores)))
    for a in range(len(scores)):
        for b in range(len(scores)):
            centered = [kernel[k] - auc[k] for k in (a, b)]
            of_overdue = sum(centered[0][i].mean() * centered[1][i].mean() for i in range(m))
            of_others = sum(centered[0][:, j].mean() * centered[1][:, j].mean() for j in range(n))
            covariance[a, b] = of_overdue / (m - 1) / m + of_others / (n - 1) / n
    return auc, covariance


two_scores = st.lists(
    st.tuples(st.booleans(), st.integers(-3, 3), st.integers(-3, 3)), min_size=4, max_size=30
).filter(lambda rows: 2 <= sum(overdue for overdue, _, _ in rows) <= len(rows) - 2)


@given(two_scores)
@settings(max_examples=20)
def test_delong_is_the_slow_delong(rows):
    y, score, other = columns(rows)
    auc, covariance = slow_delong(y, [score, other])
    interval = auc_interval(y, score)
    assert interval.auc == pytest.approx(auc[0], abs=1e-12)
    assert interval.auc == pytest.approx(roc_auc_score(y, score), abs=1e-12)
    assert interval.standard_error**2 == pytest.approx(covariance[0, 0], abs=1e-12)

    test = delong_test(y, score, other)
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    assert test.difference == pytest.approx(auc[0] - auc[1], abs=1e-12)
    assert test.standard_error**2 == pytest.approx(variance, abs=1e-12)
    turned = delong_test(y, other, score)
    assert (turned.difference, turned.low) == pytest.approx(
        (-test.difference, -test.high), nan_ok=True
    )
    if variance > 1e-9:
        z = (auc[0] - auc[1]) / np.sqrt(variance)
        assert test.statistic == pytest.approx(z)
        assert test.pvalue == pytest.approx(2 * norm.sf(abs(z)))
        half = norm.ppf(0.975) * np.sqrt(variance)
        assert (test.low, test.high) == pytest.approx(
            (auc[0] - auc[1] - half, auc[0] - auc[1] + half)
        )


def test_delong_error_is_the_bootstraps():
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], [300, 100])
    common = rng.normal(size=400) + y
    score = np.round(common + rng.normal(size=400), 1)
    other = np.round(common + 2 * rng.normal(size=400), 1)
    kernels = [np.sign(s[y == 1][:, None] - s[y == 0]) / 2 + 0.5 for s in (score, other)]
    drawn = []
    for _ in range(2000):
        overdue, others = rng.integers(0, 100, (100, 1)), rng.integers(0, 300, 300)
        drawn.append([kernel[overdue, others].mean() for kernel in kernels])
    auc, other_auc = np.transpose(drawn)
    # Of 2,000 draws the deviation itself has an error of 1.6%.
    assert auc_interval(y, score).standard_error == pytest.approx(auc.std(), rel=0.06)
    difference = auc - other_auc
    assert delong_test(y, score, other).standard_error == pytest.approx(difference.std(), rel=0.06)


def test_auc_interval_holds_the_true_auc_as_often_as_it_says():
    rng = np.random.default_rng(0)
    true_auc = norm.cdf(1.5 / np.sqrt(2))
    y = np.repeat([0, 1], [150, 30])
    held = []
    for _ in range(1000):
        _, low, high, _ = auc_interval(y, rng.normal(size=180) + 1.5 * y, confidence_level=0.9)
        held.append(low <= true_auc <= high)
    assert np.mean(held) == pytest.approx(0.9, abs=0.03)


def test_delong_pvalue_is_uniform_where_nothing_differs():
    rng = np.random.default_rng(1)
    y = np.repeat([0, 1], [200, 50])
    pvalues = []
    for _ in range(1000):
        common = rng.normal(size=250) + y
        score, other = (common + rng.normal(size=250) for _ in range(2))
        pvalues.append(delong_test(y, score, other).pvalue)
    for level in (0.05, 0.5):
        assert np.mean(np.array(pvalues) < level) == pytest.approx(level, abs=0.04)


def test_auc_interval_ends():
    y = [0, 0, 1, 1]
    for score, auc in (([1, 2, 3, 4], 1), ([4, 3, 2, 1], 0)):
        np.testing.assert_equal(tuple(auc_interval(y, score)), (auc, np.nan, np.nan, 0))
    assert auc_interval(y, [5, 5, 5, 5]) == (0.5, 0.5, 0.5, 0)
    wide = auc_interval(y, [1, 3, 2, 4], confidence_level=0.99)
    narrow = auc_interval(y, [1, 3, 2, 4], confidence_level=0.5)
    assert 0 < wide.low < narrow.low < wide.auc < narrow.high < wide.high < 1
    named = np.where(np.array(y) == 1, "Bad", "Good")
    assert auc_interval(named, [1, 3, 2, 4], pos_label="Bad") == auc_interval(y, [1, 3, 2, 4])


def test_delong_ends(loans):
    y, score = loans
    assert delong_test(y, score, np.exp(score)) == (0, 0, 0, 0, 0, 1)
    apart = delong_test([0, 0, 1, 1], [1, 2, 3, 4], [4, 3, 2, 1])
    np.testing.assert_equal(tuple(apart), (1, np.nan, np.nan, 0, np.nan, np.nan))


def test_corrected_resampled_ttest_by_hand():
    score, other = [0.7, 0.6, 0.8, 0.7], [0.6, 0.6, 0.5, 0.7]
    test = corrected_resampled_ttest(score, other, test_size=0.2)
    # Differences 0.1, 0, 0.3, 0: mean 0.1, sum of squared deviations 0.06.
    error = np.sqrt(0.06 / 3 * (1 / 4 + 1 / 4))
    assert test.difference == pytest.approx(0.1)
    assert test.standard_error == pytest.approx(error)
    assert test.statistic == pytest.approx(0.1 / error)
    assert test.high - test.difference == pytest.approx(3.182446 * error)  # t of 3 degrees, 97.5%


def test_corrected_resampled_ttest_is_the_usual_one_without_a_common_part():
    rng = np.random.default_rng(0)
    score, other = rng.normal(size=(2, 12))
    usual = ttest_rel(score, other)
    test = corrected_resampled_ttest(score, other, test_size=1e-12, confidence_level=0.8)
    assert (test.statistic, test.pvalue) == pytest.approx((usual.statistic, usual.pvalue))
    assert (test.low, test.high) == pytest.approx(tuple(usual.confidence_interval(0.8)))
    corrected = corrected_resampled_ttest(score, other, test_size=0.2)
    assert corrected.pvalue > usual.pvalue


def test_corrected_resampled_ttest_ends():
    assert corrected_resampled_ttest([1, 2], [1, 2], test_size=0.5) == (0, 0, 0, 0, 0, 1)
    for scores, other in (([2, 3], [1, 2]), ([1.1, 1.3, 1.7], [0.1, 0.3, 0.7])):
        constant = corrected_resampled_ttest(scores, other, test_size=0.5)
        np.testing.assert_allclose(constant, (1, np.nan, np.nan, 0, np.nan, np.nan))


@pytest.mark.parametrize(
    ("scores", "other", "extra", "message"),
    [
        ([0.7], [0.6], {}, "at least two"),
        ([0.7, 0.6], [0.6], {}, "inconsistent numbers"),
        ([0.7, np.nan], [0.6, 0.6], {}, "scores contains NaN"),
        ([0.7, 0.6], [0.6, np.inf], {}, "other_scores contains infinity"),
        ([0.7, 0.6], [0.6, 0.6], {"test_size": 1}, "test_size"),
        ([0.7, 0.6], [0.6, 0.6], {"test_size": NAN}, "test_size must be .* found nan"),
        ([0.7, 0.6], [0.6, 0.6], {"confidence_level": 95}, "confidence_level"),
        ([0.7, 0.6], [0.6, 0.6], {"confidence_level": NAN}, "confidence_level must be"),
    ],
)
def test_corrected_resampled_ttest_refuses(scores, other, extra, message):
    with pytest.raises(ValueError, match=message):
        corrected_resampled_ttest(scores, other, **{"test_size": 0.2, **extra})


@pytest.mark.parametrize("metric", UNWEIGHTED)
def test_delong_wants_two_rows_of_each_class(metric):
    with pytest.raises(ValueError, match="1 overdue and 3 other rows; at least two of each"):
        metric([0, 0, 0, 1], [1, 2, 3, 4])
    for level in (0, 1, NAN, np.float32("nan")):
        with pytest.raises(ValueError, match="confidence_level"):
            metric([0, 0, 1, 1], [1, 2, 3, 4], confidence_level=level)


def test_delong_names_the_score_that_is_wrong():
    with pytest.raises(ValueError, match="other_score contains NaN"):
        delong_test([0, 0, 1, 1], [1, 2, 3, 4], [1, 2, 3, np.nan])


# Lift table


def test_lift_table_by_hand():
    y = [1, 1, 0, 1, 0, 0, 0, 0]
    score = [8, 7, 6, 5, 4, 3, 2, 1]
    table = lift_table(y, score, n_bins=4)
    expected = pd.DataFrame(
        {
            "score_min": [7.0, 5, 3, 1],
            "score_mean": [7.5, 5.5, 3.5, 1.5],
            "score_max": [8.0, 6, 4, 2],
            "count": [2, 2, 2, 2],
            "overdue": [2, 1, 0, 0],
            "rate": [1, 0.5, 0, 0],
            "lift": [8 / 3, 4 / 3, 0, 0],
            "cumulative_population": [0.25, 0.5, 0.75, 1],
            "cumulative_capture": [2 / 3, 1, 1, 1],
            "cumulative_lift": [8 / 3, 2, 4 / 3, 1],
            "ks": [2 / 3, 0.8, 0.4, 0],
        },
        index=pd.RangeIndex(1, 5, name="bin"),
    )
    pd.testing.assert_frame_equal(table, expected)


@given(labeled_scores, st.integers(2, 7))
@settings(max_examples=20)
def test_lift_table_keeps_everyone_in_score_order(rows, n_bins):
    y, score, _ = columns(rows)
    table = lift_table(y, score, n_bins=n_bins)
    assert table["count"].sum() == y.size
    assert table["overdue"].sum() == y.sum()
    assert table.index.tolist() == list(range(1, n_bins + 1))
    assert table["ks"].abs().max() <= ks_score(y, score) + 1e-12
    assert table["ks"].iloc[-1] == pytest.approx(0)
    # Each score lies in one bin, and riskier bins hold greater scores.
    held = table[table["count"] > 0]
    assert (held["score_min"].to_numpy()[:-1] > held["score_max"].to_numpy()[1:]).all()


@given(st.integers(2, 60), st.integers(2, 12))
@settings(max_examples=20)
def test_lift_table_bins_are_even_without_ties(n, n_bins):
    y = np.arange(n) % 2
    counts = lift_table(y, np.arange(n), n_bins=n_bins)["count"]
    assert counts.max() - counts.min() <= 1


def test_lift_table_of_one_score_fills_one_bin():
    table = lift_table([0, 1, 0], [5, 5, 5], n_bins=3)
    assert table["count"].tolist() == [0, 3, 0]
    assert table["rate"].isna().tolist() == [True, False, True]
    assert table.loc[2, "lift"] == 1


@pytest.mark.parametrize("n_bins", [1, 2.5, "ten"])
def test_n_bins_is_checked(n_bins):
    for call in (lift_table, calibration_summary, population_stability_index):
        with pytest.raises((ValueError, TypeError), match="n_bins"):
            call([0, 1], [0, 1], n_bins=n_bins)


# Calibration


@pytest.fixture
def probabilities():
    rng = np.random.default_rng(0)
    log_odds = rng.normal(-1.5, 1, 2000)
    return (rng.random(2000) < expit(log_odds)).astype(int), np.round(expit(log_odds), 3)


def test_calibration_summary_is_what_it_says(probabilities):
    y, p = probabilities
    weight = np.random.default_rng(1).integers(1, 4, y.size)
    summary = calibration_summary(y, p, sample_weight=weight)
    assert summary.overdue_rate == pytest.approx(np.average(y, weights=weight))
    assert summary.mean_probability == pytest.approx(np.average(p, weights=weight))
    moved = np.average(expit(logit(p) + summary.in_the_large), weights=weight)
    assert moved == pytest.approx(summary.overdue_rate)

    def loss(line):
        z = line[0] + line[1] * logit(p)
        return weight @ (np.logaddexp(0, z) - y * z)

    assert (summary.intercept, summary.slope) == pytest.approx(minimize(loss, [0, 1]).x, abs=1e-4)
    assert summary.brier == pytest.approx(np.average((p - y) ** 2, weights=weight))
    rate = np.full(y.size, summary.overdue_rate)
    of_rate = brier_score_loss(y, rate, sample_weight=weight)
    assert summary.brier_skill == pytest.approx(1 - summary.brier / of_rate)


@given(st.integers(20, 200), st.integers(2, 12), st.integers(0, 100))
@settings(max_examples=20)
def test_expected_calibration_error_goes_over_bins_of_one_size(n, n_bins, seed):
    rng = np.random.default_rng(seed)
    p = (rng.permutation(n) + 0.5) / n
    y = np.append([0, 1], rng.integers(0, 2, n - 2))
    rank = n - 1 - np.argsort(np.argsort(p))
    bins = ((2 * rank + 1) * n_bins) // (2 * n)
    gaps = [abs((y - p)[bins == k].sum()) for k in range(n_bins)]
    assert calibration_summary(y, p, n_bins=n_bins).expected_error == pytest.approx(sum(gaps) / n)


def test_calibration_summary_finds_what_was_bent(probabilities):
    y, p = probabilities
    right = calibration_summary(y, p)
    assert (right.in_the_large, right.intercept) == pytest.approx((0, 0), abs=0.25)
    assert right.slope == pytest.approx(1, abs=0.2)
    assert right.expected_error < 0.04
    low = calibration_summary(y, expit(logit(p) - 1))
    assert low.in_the_large == pytest.approx(right.in_the_large + 1)
    assert low.slope == pytest.approx(right.slope)
    assert low.expected_error > 2 * right.expected_error
    sure = calibration_summary(y, expit(3 * logit(p)))
    assert sure.slope == pytest.approx(right.slope / 3, rel=1e-3)  # the surest are cut at 1e-6
    assert sure.intercept == pytest.approx(right.intercept, abs=1e-3)
    assert sure.brier_skill < right.brier_skill


@given(labeled_scores)
@settings(max_examples=20)
def test_calibration_summary_takes_any_probabilities(rows):
    y, score, weight = columns(rows)
    p = (score + 3) / 6  # 0 and 1 among them
    summary = calibration_summary(y, p, sample_weight=weight)
    twice = calibration_summary(np.repeat(y, weight), np.repeat(p, weight))
    assert tuple(summary) == pytest.approx(tuple(twice), abs=1e-5, rel=1e-4, nan_ok=True)
    overdue, others = p[y == 1], p[y == 0]
    separated = others.max() <= overdue.min() or overdue.max() <= others.min()
    assert np.isnan(summary.slope) == np.isnan(summary.intercept) == separated


def test_calibration_summary_refuses_scores():
    with pytest.raises(ValueError, match=r"2 of 3 values are outside.*predict_proba"):
        calibration_summary([0, 1, 1], [-0.1, 0.5, 1.1])


# Population stability


def test_psi_of_a_clear_shift_is_the_analytic_one():
    rng = np.random.default_rng(0)
    expected, actual = rng.normal(0, 1, 20_000), rng.normal(3, 1, 20_000)
    edges = norm.ppf(np.linspace(0, 1, 11))
    share = np.maximum(np.diff(norm.cdf(edges - 3)), 1e-4)
    analytic = ((share - 0.1) * np.log(share / 0.1)).sum()
    psi = population_stability_index(expected, actual)
    assert psi > 2
    assert psi == pytest.approx(analytic, rel=0.05)


def test_psi_of_the_same_distribution_is_small():
    rng = np.random.default_rng(0)
    expected, actual = rng.normal(size=20_000), rng.normal(size=20_000)
    assert population_stability_index(expected, expected) == 0
    # About (bins - 1) * (1 / n + 1 / m) by chance alone.
    assert 0 < population_stability_index(expected, actual) < 5 * 9 * 2 / 20_000


@few_rows
def test_psi_by_hand():
    expected = [1, 2, 3, 4]
    assert population_stability_index(expected, [0, 1, 2, 99], n_bins=2) == pytest.approx(
        0.25 * np.log(1.5) - 0.25 * np.log(0.5)
    )
    empty = (1 - 0.5) * np.log(1 / 0.5) + (0.01 - 0.5) * np.log(0.01 / 0.5)
    assert population_stability_index(expected, [7, 8], n_bins=2, floor=0.01) == pytest.approx(
        empty
    )


@few_rows
def test_psi_sees_missing_values():
    expected = np.arange(100.0)
    half_missing = np.where(np.arange(100) % 2, np.nan, expected)
    assert population_stability_index(expected, half_missing) > 1
    assert population_stability_index(half_missing, half_missing) == 0
    as_nullable = pd.Series(half_missing).astype("Float64")
    as_object = [None if np.isnan(value) else value for value in half_missing]
    for other in (as_nullable, as_object, np.array(as_object, dtype=object)):
        assert population_stability_index(expected, other) == pytest.approx(
            population_stability_index(expected, half_missing)
        )
    # Nothing came of a feature that was known before.
    assert population_stability_index(expected, [np.nan, np.nan]) > 5


@few_rows
@pytest.mark.parametrize("n_bins", [2, 10])
@pytest.mark.parametrize("value", [0.0, np.inf, -np.inf])
def test_psi_sees_a_move_away_from_a_value_that_fills_bins(value, n_bins):
    constant = np.full(50, value)
    assert population_stability_index(constant, constant, n_bins=n_bins) == 0
    for other in {-1.0, 0.0, 1.0} - {value}:
        assert population_stability_index(constant, np.full(50, other), n_bins=n_bins) > 5
    mostly = np.concatenate([np.zeros(80), np.arange(1, 21)])
    moved = np.where(mostly == 0, -1.0, mostly)
    assert population_stability_index(mostly, moved, n_bins=n_bins) > 5


@few_rows
def test_psi_bins_are_frozen_by_the_expected_sample():
    rng = np.random.default_rng(1)
    expected, actual = rng.normal(size=300), rng.normal(0.5, 1, size=300)
    # Values pushed further out stay in their outer bins, so nothing changes.
    pushed = np.where(actual > expected.max(), 1e9, actual)
    assert population_stability_index(expected, pushed) == population_stability_index(
        expected, actual
    )
    # A strictly rising map of both samples keeps every value in its bin.
    assert population_stability_index(np.exp(expected), np.exp(actual)) == pytest.approx(
        population_stability_index(expected, actual)
    )


@few_rows
def test_stability_bins_stand_in_for_the_sample(tmp_path):
    rng = np.random.default_rng(2)
    expected = np.where(rng.random(400) < 0.1, np.nan, np.round(rng.exponential(size=400), 1))
    expected[:100] = 0
    bins = stability_bins(expected)
    assert bins["share"].sum() == pytest.approx(1)
    assert bins.loc["missing", "share"] == np.isnan(expected).mean()
    for _, low, high, share in bins.iloc[:-1].itertuples():
        assert share == ((expected > low) & (expected <= high)).mean()
    bins.to_csv(tmp_path / "bins.csv")
    kept = pd.read_csv(tmp_path / "bins.csv", index_col="bin")
    for actual in (expected, rng.normal(size=50), [np.nan], [-np.inf, np.inf, 0]):
        psi = population_stability_index(expected, actual)
        assert population_stability_index(bins, actual) == psi
        assert population_stability_index(kept, actual, floor=1e-4) == psi


@pytest.mark.parametrize(
    "spoil",
    [
        lambda bins: bins.drop(columns="share"),
        lambda bins: bins.iloc[:-1],
        lambda bins: bins.iloc[1:],
        lambda bins: bins.drop(index=2),
        lambda bins: bins.iloc[::-1],
        lambda bins: bins.assign(share=bins["share"] * 2),
        lambda bins: bins.iloc[:0],
        lambda bins: pd.DataFrame({"age": [30, 40]}),
    ],
)
def test_spoiled_stability_bins_are_refused(spoil):
    bins = stability_bins(np.arange(10.0), n_bins=3)
    with pytest.raises(ValueError, match="not the bins of stability_bins"):
        population_stability_index(spoil(bins), [1, 2])


def test_psi_refuses():
    with pytest.raises(TypeError, match=r"expected must be numbers.*to_numeric"):
        population_stability_index(["a", "b"], [1, 2])
    with pytest.raises(TypeError, match="actual must be numbers"):
        population_stability_index([1, 2], pd.Series(["1", "2"]))
    with pytest.raises(ValueError, match="actual is empty"):
        population_stability_index([1, 2], np.empty(0))
    for missing in ([np.nan, np.nan], [None, None], pd.Series([pd.NA, pd.NA], dtype="Float64")):
        for call in (stability_bins, lambda values: population_stability_index(values, [1, 2])):
            with pytest.raises(ValueError, match="expected has 2 values and all are missing"):
                call(missing)
    for floor in (0, 1, NAN):
        with pytest.raises(ValueError, match="floor"):
            population_stability_index([1, 2], [1, 2], floor=floor)


samples = st.lists(st.integers(-40, 40), min_size=1, max_size=60)


@given(samples, st.integers(0, 3), st.integers(2, 12))
@few_rows
def test_psi_of_the_same_values_as_32_bit_floats_is_0(values, digits, n_bins):
    exact = np.round(np.array(values) * 10.0**-digits, digits)
    single = exact.astype(np.float32)
    for expected in (exact, single, single.astype(np.float64)):
        for actual in (exact, single, single.astype(np.float64)):
            assert population_stability_index(expected, actual, n_bins=n_bins) == 0


@given(
    st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=40),
    st.integers(2, 12),
)
def test_stability_bins_hold_the_sample_in_order(values, n_bins):
    bins = stability_bins(values, n_bins=n_bins).iloc[:-1]
    high = bins["high"].to_numpy()
    assert (high[1:] > high[:-1]).all()
    number = np.searchsorted(high, values)
    shares = np.bincount(number, minlength=len(bins)) / len(values)
    np.testing.assert_array_equal(shares, bins["share"])
    # What more than a bin's share of the rows have is alone in its bin.
    for value, count in zip(*np.unique(values, return_counts=True), strict=True):
        if count * n_bins > len(values):
            assert shares[np.searchsorted(high, value)] == count / len(values)
    # Rows twice, or turned around, are the same bins.
    pd.testing.assert_frame_equal(stability_bins(np.repeat(values, 2), n_bins=n_bins)[:-1], bins)


@given(st.integers(1, 40), st.integers(2, 12))
def test_stability_bins_are_even_where_the_rows_divide(rows_of_a_bin, n_bins):
    values = np.random.default_rng(0).permutation(rows_of_a_bin * n_bins)
    bins = stability_bins(values, n_bins=n_bins)
    np.testing.assert_array_equal(bins["share"], [1 / n_bins] * n_bins + [0])
    last_of_each = np.arange(1, n_bins) * rows_of_a_bin - 1
    np.testing.assert_allclose(bins["high"].iloc[:-2], last_of_each, rtol=1e-6, atol=1e-6)


def test_neighbors_that_floats_of_64_bits_tell_apart_stay_apart():
    start = 1_700_000_000
    expected = start + np.arange(1000)
    psi = population_stability_index(expected, expected + 500)
    assert psi == population_stability_index(expected - start, expected - start + 500) > 2


def test_psi_of_few_rows_says_how_uncertain_it_is():
    rng = np.random.default_rng(0)
    expected = rng.normal(size=100)
    drawn = [rng.normal(size=100) for _ in range(200)]
    with pytest.warns(UserWarning, match="actual has 100 rows and expected 100") as caught:
        found = [population_stability_index(expected, actual) for actual in drawn]
    (told,) = {re.search(r"exceed (\S+) in 5%", str(w.message))[1] for w in caught}
    # The reference is one draw of the many, so this is rough.
    assert float(told) == pytest.approx(0.37, abs=0.02)
    assert 0.1 < np.quantile(found, 0.95) < 0.7
    assert caught[0].filename == __file__

    many = rng.normal(size=100_000)
    population_stability_index(many[:1000], many[1000:2000])
    bins = stability_bins(many)
    bins.attrs.clear()
    with pytest.warns(UserWarning, match=r"has 50 rows\. .* exceed 0\.\d\d in 5%"):
        population_stability_index(bins, many[:50])
    bins = stability_bins(expected)
    with pytest.warns(UserWarning, match="actual has 100000 rows and expected 100"):
        population_stability_index(bins, many)
    population_stability_index(expected, expected)


@given(labeled_scores, st.sets(st.integers(-4, 4), min_size=1, max_size=4))
def test_band_table_counts_the_rows_between_cut_offs(rows, cuts):
    y, points, weight = columns(rows)
    cuts = [cut + 0.5 * (cut % 2) for cut in sorted(cuts)]  # at points, and between them
    table = band_table(y, points, bands=cuts, sample_weight=weight)
    assert table["points_from"].tolist() == [*cuts[::-1], -np.inf]
    assert table["points_to"].tolist() == [np.inf, *cuts[::-1]]
    repeated = y.repeat(weight), points.repeat(weight)
    for band in table.itertuples():
        inside = (repeated[1] >= band.points_from) & (repeated[1] < band.points_to)
        assert (band.count, band.overdue) == (inside.sum(), repeated[0][inside].sum())
        approved = repeated[1] >= band.points_from
        assert band.cumulative_approval == pytest.approx(approved.mean())
        for rate, of in ((band.rate, inside), (band.cumulative_rate, approved)):
            wanted = repeated[0][of].mean() if of.any() else np.nan
            assert rate == pytest.approx(wanted, nan_ok=True)
    pd.testing.assert_frame_equal(
        table, band_table(*repeated, bands=cuts), check_dtype=False, check_exact=False
    )


@given(labeled_scores, st.integers(2, 6))
def test_as_many_bands_as_asked_are_those_of_the_lift_table(rows, n_bands):
    y, points, _ = columns(rows)
    table = band_table(y, points, bands=n_bands)
    lift = lift_table(y, -points, n_bins=n_bands)
    filled = lift[lift["count"] > 0]
    assert table["count"].tolist() == filled["count"].tolist()[::-1]
    assert table["overdue"].tolist() == filled["overdue"].tolist()[::-1]


@pytest.mark.parametrize(
    ("points", "extra", "message"),
    [
        ([1, np.nan, 3], {}, "points contains NaN"),
        ([[1, 2]] * 3, {}, "points has two columns"),
        ([1, 2, 3], {"bands": 1}, "bands == 1, must be >= 2"),
        ([1, 2, 3], {"bands": 2.5}, "bands must be an instance of"),
        ([1, 2, 3], {"bands": [2, 1]}, r"bands is \[2, 1\]. It must be a number of bands, or the"),
        ([1, 2, 3], {"bands": [1, np.inf]}, "It must be a number of bands"),
        ([1, 2, 3], {"bands": []}, "bands is empty"),
    ],
)
def test_band_table_refuses(points, extra, message):
    with pytest.raises((ValueError, TypeError), match=message):
        band_table([0, 1, 1], points, **extra)


def wilson(n, of):
    """Return the interval by the formula of his paper."""
    z = norm.ppf(0.975)
    rate = n / of
    middle = (rate + z**2 / (2 * of)) / (1 + z**2 / of)
    half = z / (1 + z**2 / of) * np.sqrt(rate * (1 - rate) / of + z**2 / (4 * of**2))
    return middle - half, middle + half


def test_swap_sets_are_those_of_two_ordered_lists():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(400, 2))
    y = (truth.sum(axis=1) + rng.normal(size=400) > 1).astype(int)
    one, other = expit(truth[:, 0]), truth.sum(axis=1)  # of two scales
    table = swap_set_table(y, one, other, approval_rate=0.6)
    first, second = (set(np.argsort(score)[:240].tolist()) for score in (one, other))
    sets = [first & second, second - first, first - second, set(range(400)) - first - second]
    for row, members in zip(table.itertuples(), [*sets, first, second], strict=True):
        at = sorted(members)
        n, n_overdue = len(at), y[at].sum()
        assert (row.count, row.known, row.overdue) == (n, n, n_overdue)
        assert (row.share, row.rate) == pytest.approx((n / 400, n_overdue / n))
        assert (row.low, row.high) == pytest.approx(wilson(n_overdue, n))
    assert table.loc["newly approved", "count"] == table.loc["newly declined", "count"] > 0
    assert table.loc["newly approved", "rate"] < table.loc["newly declined", "rate"]
    # Only the order counts, so points do as well.
    again = swap_set_table(y, logit(one), np.exp(other), approval_rate=0.6)
    pd.testing.assert_frame_equal(table, again)


@given(labeled_scores, st.floats(0.05, 0.95))
def test_swap_sets_never_split_equal_scores(rows, approval_rate):
    y, score, _ = columns(rows)
    table = swap_set_table(y, score, score, approval_rate=approval_rate)
    assert table.loc[["newly approved", "newly declined"], "count"].eq(0).all()
    possible = [(score <= cut).mean() for cut in [-9, *score]]
    nearest = min(abs(share - approval_rate) for share in possible)
    share = table.loc["approved by both", "share"]
    assert min(abs(share - other) for other in possible) < 1e-12
    assert abs(share - approval_rate) == pytest.approx(nearest)


def test_swap_sets_count_unknown_outcomes_apart():
    score, other = [1, 2, 3, 4, 5, 6], [1, 4, 2, 5, 3, 6]
    for y in ([0, 1, 0, None, None, None], pd.array([0, 1, 0, None, None, None], "Int64")):
        table = swap_set_table(y, score, other, approval_rate=0.5)
        assert table["known"].tolist() == [2, 0, 1, 0, 3, 2]
        assert table["overdue"].tolist() == [0, 0, 1, 0, 1, 0]
        assert table.loc["newly approved", ["rate", "low", "high"]].isna().all()
    good = swap_set_table(
        ["bad", "good", "bad", None, None, None], score, other, approval_rate=0.5, pos_label="bad"
    )
    assert good["overdue"].tolist() == [2, 0, 0, 0, 2, 2]


@pytest.mark.parametrize(
    ("y", "score", "extra", "message"),
    [
        ([0, 1, None], [1, 2, np.nan], {}, "other_score contains NaN"),
        ([0, 1, 1], [1, 2], {}, "inconsistent numbers"),
        ([0, None, None], [1, 2, 3], {}, "two classes|Only one class"),
        ([0, 1, 2], [1, 2, 3], {}, "two classes"),
        ([0, 1, 1], [1, 2, 3], {"approval_rate": 1.0}, "approval_rate == 1.0"),
        ([0, 1, 1], [1, 2, 3], {"confidence_level": 0}, "confidence_level"),
    ],
)
def test_swap_set_table_refuses(y, score, extra, message):
    with pytest.raises((ValueError, TypeError), match=message):
        swap_set_table(y, [1, 2, 3], score, **{"approval_rate": 0.5} | extra)


def test_group_table_is_each_group_alone(probabilities):
    y, p = probabilities
    groups = np.resize(["a", "b", "b", None], y.size)
    table = group_table(y, p, groups, cutoff=0.25)
    assert table.index.tolist() == ["a", "b", "missing", "all"]
    of = {"a": groups == "a", "b": groups == "b", "missing": pd.isna(groups), "all": y == y}
    for name, rows in of.items():
        row, approved = table.loc[name], p[rows] < 0.25
        summary = calibration_summary(y[rows], p[rows])
        auc = auc_interval(y[rows], p[rows])
        assert row["count"] == rows.sum()
        assert row["approval_rate"] == approved.mean()
        assert (row["approval_low"], row["approval_high"]) == pytest.approx(
            wilson(approved.sum(), rows.sum())
        )
        assert tuple(row[["auc", "auc_low", "auc_high"]]) == auc[:3]
        for column in ("overdue_rate", "mean_probability", "in_the_large", "slope"):
            assert row[column] == pytest.approx(getattr(summary, column))
    rates = table["approval_rate"]
    np.testing.assert_allclose(table["approval_ratio"], rates / rates[["a", "b", "missing"]].max())


def test_group_table_of_groups_with_few_overdue():
    y = np.array([0, 0, 0, 0, 1, 0, 0, 1, 1])
    order = ["two", "one", "none", "nobody"]
    groups = pd.Categorical(["none"] * 3 + ["one"] * 2 + ["two"] * 4, order)
    table = group_table(y, np.linspace(0.1, 0.9, 9), groups, cutoff=0.05)
    assert table.index.tolist() == ["two", "one", "none", "all"]
    lacking = table.isna()
    assert lacking.loc["none", ["auc", "auc_low", "in_the_large", "slope"]].all()
    assert lacking.loc["one", ["auc", "auc_low"]].all()
    assert not lacking.loc["two", ["auc", "in_the_large"]].any()
    # Nobody is approved, so no group is approved most.
    assert (table["approval_rate"] == 0).all()
    assert lacking["approval_ratio"].all()


@pytest.mark.parametrize(
    ("p", "groups", "extra", "message"),
    [
        ([0.1, 0.2, 1.3], ["a"] * 3, {}, "y_prob must be between 0 and 1; 1 of 3"),
        ([0.1, 0.2, np.nan], ["a"] * 3, {}, "y_prob contains NaN"),
        ([0.1, 0.2, 0.3], ["a"] * 2, {}, "inconsistent numbers"),
        ([0.1, 0.2, 0.3], [["a", "b"]] * 3, {}, "should be a 1d array"),
        ([0.1, 0.2, 0.3], ["a"] * 3, {"cutoff": 620}, "cutoff == 620, must be <= 1"),
    ],
)
def test_group_table_refuses(p, groups, extra, message):
    with pytest.raises(ValueError, match=message):
        group_table([0, 1, 1], p, groups, **{"cutoff": 0.2} | extra)
