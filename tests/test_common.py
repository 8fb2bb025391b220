"""scikit-learn's checks and our own, over every public estimator."""

from __future__ import annotations

from inspect import signature
from typing import Any

import pytest
from lightgbm import LGBMClassifier
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline, make_union
from sklearn.utils import estimator_checks as scikit_learn

from skhuihen import (
    BehaviorAbstractor,
    BehaviorTopics,
    HUIHENClassifier,
    IntervalStatistics,
    PointsScaler,
    ProfileEncoder,
    Sessionizer,
    WindowStatistics,
)
from skhuihen.utils import estimator_checks

# Full batches in double precision, nothing random: every check must hold.
STRICT = HUIHENClassifier(
    max_epochs=100,
    batch_size=-1,
    dtype="float64",
    dropout=0.0,
    n_estimators=1,
    random_state=0,
)
#: As shipped, but for the number of networks: two are as many as any.
AS_SHIPPED = HUIHENClassifier(n_estimators=2, random_state=0)

#: Beside a model of numbers. Few epochs: what is checked is how both go together.
FEW: dict[str, Any] = {"max_epochs": 5, "random_state": 0}
BESIDE = [
    HUIHENClassifier(base_estimator=LogisticRegression(), **FEW),
    HUIHENClassifier(teacher=LogisticRegression(), **FEW),
    HUIHENClassifier(
        base_estimator=LGBMClassifier(n_estimators=5, min_child_samples=2, n_jobs=1, verbose=-1),
        teacher="base",
        **FEW,
    ),
]

SEES_ALL = Sessionizer(applied_at=None)
TOPICS = BehaviorTopics(n_topics=3)

#: Everything that is expected to fail, strictly, and why.
EXPECTED_FAILURES = [
    (
        AS_SHIPPED,
        "check_sample_weight_equivalence_on_dense_data",
        "mini-batches and the held-out part depend on how many rows there are, as in "
        "scikit-learn's own stochastic gradient descent",
    ),
    *(
        (
            model,
            "check_sample_weight_equivalence_on_dense_data",
            "rows are held out and folds are cut, which depends on how many rows there are",
        )
        for model in BESIDE
    ),
    *(
        (
            model,
            "check_n_features_in_after_fitting",
            "partial_fit goes on after fit alone; the check finds it in a fitted model, and calls "
            "it in one that is not",
        )
        for model in BESIDE
    ),
    (
        TOPICS,
        "check_scale_of_weights",
        "a weight of two is two rows, and behaviors of fewer than 20 applications are left out",
    ),
    (SEES_ALL, "check_future_events", "applied_at=None, said on purpose, cuts nothing"),
]


def expected_failures(estimator: Any) -> dict[str, str]:
    return {check: reason for failing, check, reason in EXPECTED_FAILURES if failing is estimator}


#: The order of rows is that of sums, which single precision rounds at 1e-7, and the check wants as
#: much of probabilities in double precision: whether it fails depends on the processor.
ROUNDED = "check_methods_sample_order_invariance"


HOW = signature(scikit_learn.parametrize_with_checks).parameters
#: scikit-learn can tell since 1.8 that a check passes which was expected to fail.
STRICTLY = {"xfail_strict": True} if "xfail_strict" in HOW else {}


@scikit_learn.parametrize_with_checks(
    [STRICT, AS_SHIPPED, *BESIDE, PointsScaler(LogisticRegression())],
    expected_failed_checks=expected_failures,
    **STRICTLY,
)
def test_scikit_learn_checks(estimator: Any, check: Any) -> None:
    try:
        check(estimator)
    except AssertionError:
        if estimator is not STRICT and check.func.__name__ == ROUNDED:
            pytest.xfail("single precision rounds at 1e-7")
        raise


TRANSFORMERS = [
    Sessionizer(),
    BehaviorAbstractor(n_behaviors=10, n_items=5),
    WindowStatistics(n_operations=5),
    IntervalStatistics(n_operations=5),
    TOPICS,
    ProfileEncoder(),
]
# Its generator yields only that they are cloneable, since they read no arrays: these read none.
CHECKS_WITHOUT_DATA = [
    scikit_learn.check_do_not_raise_errors_in_init_or_set_params,
    scikit_learn.check_estimator_cloneable,
    scikit_learn.check_estimator_repr,
    scikit_learn.check_estimator_tags_renamed,
    scikit_learn.check_get_params_invariance,
    scikit_learn.check_mixin_order,
    scikit_learn.check_no_attributes_set_in_init,
    scikit_learn.check_param_validation,
    scikit_learn.check_parameters_default_constructible,
    scikit_learn.check_set_params,
    scikit_learn.check_valid_tag_types,
]


@pytest.mark.parametrize("check", CHECKS_WITHOUT_DATA)
@pytest.mark.parametrize("transformer", TRANSFORMERS)
def test_scikit_learn_checks_of_transformers(transformer: Any, check: Any) -> None:
    check(type(transformer).__name__, clone(transformer))


SMALL = HUIHENClassifier(
    max_epochs=2,
    n_estimators=2,
    net_params={"module__behavior_dim": 4, "module__intention_dim": 4, "module__habit_dim": 4},
)
TINY = clone(SMALL).set_params(max_epochs=1, n_estimators=1)
ESTIMATORS = [
    *TRANSFORMERS,
    SEES_ALL,
    SMALL,
    HUIHENClassifier(
        max_epochs=2,
        n_estimators=1,
        batch_size=16,
        net_params={"module__hierarchical": False, "module__hidden_units": (8,)},
    ),
    make_pipeline(BehaviorAbstractor(n_behaviors=10), Sessionizer(max_sessions=3), TINY),
    make_pipeline(Sessionizer(max_sessions=3), BehaviorAbstractor(n_behaviors=10), TINY),
    make_union(ProfileEncoder(), WindowStatistics(n_operations=5)),
]


# Some checks fit on few rows, on which there is no topic, and that is said.
@pytest.mark.filterwarnings("ignore:.*so all topics are 0")
@estimator_checks.parametrize_with_checks(ESTIMATORS, expected_failed_checks=expected_failures)
def test_checks_on_applications(estimator: Any, check: Any) -> None:
    check(estimator)
