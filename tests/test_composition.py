"""The estimators inside scikit-learn's own tools, on simulated data."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
from lightgbm import LGBMClassifier
from scipy.special import expit
from sklearn import config_context
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.inspection import partial_dependence, permutation_importance
from sklearn.metrics import get_scorer
from sklearn.model_selection import (
    FixedThresholdClassifier,
    GridSearchCV,
    HalvingGridSearchCV,
    RandomizedSearchCV,
    StratifiedKFold,
    TunedThresholdClassifierCV,
    cross_val_predict,
    cross_val_score,
    cross_validate,
    learning_curve,
)
from sklearn.pipeline import Pipeline, make_pipeline, make_union
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils.fixes import parse_version

from skhuihen import (
    BehaviorAbstractor,
    HUIHENClassifier,
    ProfileEncoder,
    Sessionizer,
    WindowStatistics,
)
from skhuihen.datasets import make_loan_data

# So few applications do not have every operation in every fold.
pytestmark = pytest.mark.filterwarnings("ignore:[0-9]+ of [0-9]+ events have operations that")

FOLDS = StratifiedKFold(2, shuffle=True, random_state=0)
CV: dict[str, Any] = {"cv": FOLDS, "scoring": "neg_log_loss", "error_score": "raise"}


@pytest.fixture(scope="module")
def bank() -> Any:
    return make_loan_data(n_new=150, n_old=0, overdue_rate=0.3, random_state=0)


def net(**params: Any) -> HUIHENClassifier:
    sizes = {
        "net_params": {
            "module__behavior_dim": 4,
            "module__intention_dim": 4,
            "module__habit_dim": 4,
        }
    }
    return HUIHENClassifier(
        **{**sizes, "n_estimators": 1, "max_epochs": 2, "random_state": 0, **params}
    )


def model(*, abstract_first: bool = True, memory: Any = None, **params: Any) -> Pipeline:
    steps = [BehaviorAbstractor(n_behaviors=10), Sessionizer(max_sessions=3)]
    return make_pipeline(*(steps if abstract_first else steps[::-1]), net(**params), memory=memory)


def trees() -> Pipeline:
    table = make_union(ProfileEncoder(), WindowStatistics(["7D"], n_operations=5))
    booster = LGBMClassifier(n_estimators=10, n_jobs=1, random_state=0, verbose=-1)
    return make_pipeline(table.set_output(transform="pandas"), booster)


def overdue(fitted: Any, X: pd.DataFrame) -> np.ndarray:
    return fitted.predict_proba(X)[:, 1]


@pytest.fixture(scope="module")
def fitted(X: pd.DataFrame, y: np.ndarray) -> Pipeline:
    return model(lr=0.01, max_epochs=5).fit(X, y)


# ---- cross-validation


@pytest.mark.parametrize("abstract_first", [True, False])
def test_cross_validation(abstract_first: bool, X: pd.DataFrame, y: np.ndarray) -> None:
    pipeline = model(abstract_first=abstract_first)
    found = cross_validate(pipeline, X, y, return_estimator=True, return_indices=True, **CV)
    np.testing.assert_array_equal(cross_val_score(pipeline, X, y, **CV), found["test_score"])
    by_hand = np.full((len(X), 2), np.nan)
    for estimator, rows in zip(found["estimator"], found["indices"]["test"], strict=True):
        by_hand[rows] = estimator.predict_proba(X.iloc[rows])
    predicted = cross_val_predict(pipeline, X, y, cv=FOLDS, method="predict_proba")
    np.testing.assert_array_equal(predicted, by_hand)
    one, other = found["estimator"]
    assert np.abs(overdue(one, X) - overdue(other, X)).max() > 1e-4  # each saw its own rows


def test_weights_are_routed_to_the_fit_of_each_fold(X: pd.DataFrame, y: np.ndarray) -> None:
    weight = np.random.default_rng(0).uniform(0.1, 5, len(X))
    train, test = next(FOLDS.split(X, y))
    expected = model().fit(X.iloc[train], y[train], huihenclassifier__sample_weight=weight[train])
    with config_context(enable_metadata_routing=True):
        asking = make_pipeline(*model()[:-1], net().set_fit_request(sample_weight=True))
        scorer = get_scorer("neg_log_loss").set_score_request(sample_weight=False)
        settings = {**CV, "scoring": scorer, "params": {"sample_weight": weight}}
        found = cross_validate(asking, X, y, return_estimator=True, **settings)
    scores = overdue(found["estimator"][0], X.iloc[test])
    np.testing.assert_array_equal(scores, overdue(expected, X.iloc[test]))
    unweighted = model().fit(X.iloc[train], y[train])
    assert not np.array_equal(scores, overdue(unweighted, X.iloc[test]))


@pytest.fixture
def one_torch_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def in_processes() -> Any:
    """Let two processes work, each on one thread."""
    return joblib.parallel_config("loky", n_jobs=2, inner_max_num_threads=1)


@pytest.mark.slow
@pytest.mark.usefixtures("one_torch_thread")
def test_serial_threads_and_processes_give_the_same_bits(X: pd.DataFrame, y: np.ndarray) -> None:
    def scores() -> np.ndarray:
        # Rows held out, dropout and shuffling: all that is drawn while it trains.
        return cross_val_predict(
            model(n_estimators=2, max_epochs=3), X, y, cv=FOLDS, method="predict_proba"
        )

    serial = scores()
    with joblib.parallel_config("threading", n_jobs=2):
        np.testing.assert_array_equal(scores(), serial)
    with in_processes():
        np.testing.assert_array_equal(scores(), serial)


def test_learning_curve(X: pd.DataFrame, y: np.ndarray) -> None:
    sizes, train, test = learning_curve(model(), X, y, train_sizes=[0.4, 1.0], **CV)
    assert sizes.tolist() == [30, 75]
    found = cross_validate(model(), X, y, return_train_score=True, **CV)
    np.testing.assert_array_equal(test[1], found["test_score"])
    np.testing.assert_array_equal(train[1], found["train_score"])
    assert (test[0] != test[1]).all()


# ---- searches

GRID = {
    "behaviorabstractor__n_behaviors": [3, 10],
    "sessionizer__max_sessions": [1, 3],
    "huihenclassifier__dropout": [0.4, 0.6],
}


@pytest.mark.slow
@pytest.mark.usefixtures("one_torch_thread")
def test_grid_search_over_all_three_steps(X: pd.DataFrame, y: np.ndarray) -> None:
    with in_processes():
        search = GridSearchCV(model(max_epochs=1), GRID, **CV).fit(X, y)
    results = pd.DataFrame(search.cv_results_)
    assert len(results) == 8
    for name in GRID:
        others = [f"param_{other}" for other in GRID if other != name]
        assert (results.groupby(others)["mean_test_score"].nunique() == 2).all(), name
    best = model(max_epochs=1).set_params(**search.best_params_)
    assert search.best_score_ == cross_val_score(best, X, y, **CV).mean()
    np.testing.assert_array_equal(overdue(search, X), overdue(best.fit(X, y), X))


@pytest.mark.slow
@pytest.mark.usefixtures("one_torch_thread")
@pytest.mark.parametrize(
    "search",
    [
        RandomizedSearchCV(model(), GRID, n_iter=3, random_state=0, **CV),
        HalvingGridSearchCV(model(), GRID, min_resources=75, random_state=0, **CV),
    ],
    ids=lambda search: type(search).__name__,
)
def test_other_searches(search: Any, X: pd.DataFrame, y: np.ndarray) -> None:
    with in_processes():
        search.fit(X, y)
    tried = pd.DataFrame(search.cv_results_["params"])
    assert (tried.nunique() == 2).all()
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    best = model().set_params(**search.best_params_).fit(X, y)
    np.testing.assert_array_equal(overdue(search, X), overdue(best, X))


class CountingSessionizer(Sessionizer):
    """Counts how often it is fitted."""

    n_fits = 0

    def fit_transform(self, X: Any, y: Any = None) -> pd.DataFrame:
        type(self).n_fits += 1
        return super().fit_transform(X, y)


def test_the_cache_of_a_pipeline_is_hit(
    tmp_path: Path, X: pd.DataFrame, y: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, cached, plain = (
        Pipeline(
            [
                ("sessions", CountingSessionizer(max_sessions=3)),
                ("net", net(early_stopping=False)),
            ],
            memory=memory,
        )
        for memory in (str(tmp_path / "first"), str(tmp_path / "second"), None)
    )
    # joblib knows a table by its pickle, which changes with its first use in a cached pipeline.
    first.fit(X, y)
    monkeypatch.setattr(CountingSessionizer, "n_fits", 0)
    scores = [overdue(clone(cached).fit(X, y), X)]
    for lr in (0.02, 0.001):
        scores.append(overdue(clone(cached).set_params(net__lr=lr).fit(X, y), X))
    assert CountingSessionizer.n_fits == 1
    np.testing.assert_array_equal(scores[0], scores[1])
    np.testing.assert_array_equal(scores[0], overdue(plain.fit(X, y), X))
    assert not np.array_equal(scores[1], scores[2])
    clone(cached).set_params(sessions__max_sessions=2).fit(X, y)
    assert CountingSessionizer.n_fits == 3  # and that of the plain one

    grid = {"net__lr": [0.001, 0.01, 0.1]}
    GridSearchCV(cached, grid, **CV).fit(X, y)
    assert CountingSessionizer.n_fits == 5  # two folds; of all rows it was there


# ---- ensembles and thresholds


def test_calibration(X: pd.DataFrame, y: np.ndarray, fitted: Pipeline) -> None:
    calibrated = CalibratedClassifierCV(FrozenEstimator(fitted)).fit(X, y)
    (inner,) = calibrated.calibrated_classifiers_
    (sigmoid,) = inner.calibrators
    by_hand = expit(-(sigmoid.a_ * fitted.decision_function(X) + sigmoid.b_))
    np.testing.assert_allclose(overdue(calibrated, X), by_hand, rtol=1e-6)
    crossed = CalibratedClassifierCV(model(), cv=FOLDS).fit(X, y)
    assert len(crossed.calibrated_classifiers_) == 2
    # The log-odds of few epochs are far too flat or too steep; calibrated ones have the mean of y.
    assert overdue(crossed, X).mean() == pytest.approx(y.mean(), abs=0.05)


def test_stacking_with_trees(X: pd.DataFrame, y: np.ndarray) -> None:
    stack = StackingClassifier([("net", model()), ("trees", trees())], cv=FOLDS).fit(X, y)
    alone = np.column_stack([overdue(one.fit(X, y), X) for one in (model(), trees())])
    np.testing.assert_array_equal(stack.transform(X), alone)
    assert stack.final_estimator_.coef_.shape == (1, 2)
    np.testing.assert_array_equal(
        stack.predict_proba(X), stack.final_estimator_.predict_proba(alone)
    )


def test_voting_with_trees(X: pd.DataFrame, y: np.ndarray) -> None:
    vote = VotingClassifier([("net", model()), ("trees", trees())], voting="soft").fit(X, y)
    mean = (overdue(model().fit(X, y), X) + overdue(trees().fit(X, y), X)) / 2
    np.testing.assert_allclose(overdue(vote, X), mean, rtol=1e-6)


def test_fixed_threshold(X: pd.DataFrame, fitted: Pipeline) -> None:
    scores = overdue(fitted, X)
    threshold = float(np.quantile(scores, 0.7))
    cut = FixedThresholdClassifier(
        FrozenEstimator(fitted), threshold=threshold, response_method="predict_proba"
    )
    refused = cut.fit(X, fitted.predict(X)).predict(X)
    np.testing.assert_array_equal(refused, scores >= threshold)
    assert refused.mean() == pytest.approx(0.3, abs=0.01)


def test_tuned_threshold(X: pd.DataFrame, y: np.ndarray) -> None:
    tuned = TunedThresholdClassifierCV(
        model(), scoring="balanced_accuracy", response_method="predict_proba", cv=FOLDS
    ).fit(X, y)
    scores = overdue(model().fit(X, y), X)
    np.testing.assert_array_equal(tuned.predict(X), scores >= tuned.best_threshold_)
    assert 0 < tuned.best_threshold_ < 1
    untuned = cross_val_score(model(), X, y, cv=FOLDS, scoring="balanced_accuracy")
    assert tuned.best_score_ > untuned.mean()


# ---- inspection


@pytest.fixture(scope="module")
def older_is_safer(X: pd.DataFrame) -> tuple[Pipeline, pd.DataFrame, np.ndarray]:
    """A model of labels that depend on age alone; partial dependence wants it as floats."""
    X = X.astype({"user__age": float})
    y = (X["user__age"] < X["user__age"].median()).to_numpy().astype(int)
    return model(lr=0.02, n_estimators=2, max_epochs=15, dropout=0.0).fit(X, y), X, y


def test_permutation_importance(older_is_safer: Any) -> None:
    fitted, X, y = older_is_safer
    found = permutation_importance(fitted, X, y, n_repeats=3, scoring="roc_auc", random_state=0)
    importance = pd.Series(found.importances_mean, index=X.columns)
    assert importance.idxmax() == "user__age"
    assert importance["user__age"] > 0.2
    for name in ("user_id", "application_id"):
        assert (found.importances[X.columns.get_loc(name)] == 0).all()
    assert found.importances[X.columns.get_loc("behaviors")].any()  # whole histories change owners


@pytest.mark.skipif(
    parse_version(sklearn.__version__) < parse_version("1.7"),
    reason="partial_dependence supports custom values only since scikit-learn 1.7",
)
def test_partial_dependence(older_is_safer: Any) -> None:
    fitted, X, _ = older_is_safer
    found = partial_dependence(fitted, X, ["user__age"], grid_resolution=6)
    ages, risk = found["grid_values"][0], found["average"][0]
    # Beyond the oldest in fit it stays as it is there, or nearly so.
    assert (np.diff(risk) < 0.01).all()
    assert risk[0] - risk[-1] > 0.5
    by_hand = [overdue(fitted, X.assign(user__age=age)).mean() for age in ages]
    np.testing.assert_allclose(risk, by_hand, rtol=1e-6)
    categories = sorted(X["user__employment"].dropna().unique())
    found = partial_dependence(
        fitted,
        X,
        ["user__employment"],
        categorical_features=["user__employment"],
        custom_values={"user__employment": categories},
    )
    by_hand = [overdue(fitted, X.assign(user__employment=value)).mean() for value in categories]
    np.testing.assert_allclose(found["average"][0], by_hand, rtol=1e-6)


# ---- unions and column transformers


def test_feature_union(X: pd.DataFrame, y: np.ndarray) -> None:
    parts = {"profile": ProfileEncoder(), "windows": WindowStatistics(["7D"]), "vectors": model()}
    union = make_union(*map(clone, parts.values())).set_output(transform="pandas")
    table = union.fit_transform(X, y)
    assert table.index.equals(X.index)
    alone = [np.asarray(part.fit(X, y).transform(X)) for part in parts.values()]
    np.testing.assert_array_equal(table.to_numpy(), np.hstack(alone))
    assert {name.split("__")[0] for name in table.columns} == {
        *("profileencoder", "windowstatistics", "pipeline")
    }
    booster = LGBMClassifier(n_estimators=5, n_jobs=1, verbose=-1)
    scores = cross_val_score(make_pipeline(union, booster), X, y, **CV)
    assert np.isfinite(scores).all()


def profile_in_front(**params: Any) -> ColumnTransformer:
    numbers = make_pipeline(SimpleImputer(strategy="mean"), StandardScaler())
    return ColumnTransformer(
        [
            ("numbers", numbers, ["user__monthly_income", "user__debt_ratio"]),
            ("texts", OneHotEncoder(sparse_output=False), ["user__education"]),
            ("brand", "drop", ["device__brand"]),
        ],
        remainder="passthrough",
        **{"verbose_feature_names_out": False, **params},
    )


@pytest.mark.parametrize(
    "output",
    [
        "pandas",
        pytest.param(
            "polars",
            marks=pytest.mark.skipif(
                parse_version(sklearn.__version__) < parse_version("1.9"),
                reason="ColumnTransformer of scikit-learn 1.8 does not support polars 2.1",
            ),
        ),
    ],
)
def test_column_transformer_in_front(output: str, X: pd.DataFrame, y: np.ndarray) -> None:
    front = profile_in_front().set_output(transform=output)
    found = make_pipeline(front, model()).fit(X, y)
    encoder = found[-1][-1].profile_encoder_
    # Fields are still told by prefixes; one column of the user has become five.
    n_columns = {field: len(columns) for field, columns in encoder.fields_.items()}
    assert n_columns == {"user": 14, "device": 4, "item": 4}
    # The same by hand, with the columns in its order.
    numbers = X[["user__monthly_income", "user__debt_ratio"]]
    numbers = numbers.fillna(numbers.mean())
    texts = OneHotEncoder(sparse_output=False).set_output(transform="pandas")
    rest = X.drop(columns=[*numbers, "user__education", "device__brand"])
    scaled = (numbers - numbers.mean()) / numbers.std(ddof=0)
    table = pd.concat([scaled, texts.fit_transform(X[["user__education"]]), rest], axis=1)
    by_hand = overdue(model().fit(table, y), table)
    np.testing.assert_allclose(overdue(found, X), by_hand, rtol=0, atol=1e-6)


def test_column_transformer_that_drops(X: pd.DataFrame, y: np.ndarray) -> None:
    front = ColumnTransformer(
        [("brand", "drop", ["device__brand"])],
        remainder="passthrough",
        verbose_feature_names_out=False,
    ).set_output(transform="pandas")
    without = X.drop(columns="device__brand")
    wanted = overdue(model().fit(without, y), without)
    for pipeline in (
        make_pipeline(front, model()),
        make_pipeline(*model()[:-1], clone(front), net()),
    ):
        np.testing.assert_array_equal(overdue(pipeline.fit(X, y), X), wanted)


@pytest.mark.parametrize("behind_transformers", [True, False])
def test_column_transformer_that_cannot_work(
    behind_transformers: bool, X: pd.DataFrame, y: np.ndarray
) -> None:
    def pipeline(front: ColumnTransformer) -> Pipeline:
        *steps, last = model()
        return make_pipeline(*([*steps, front] if behind_transformers else [front, *steps]), last)

    with pytest.raises(TypeError, match=r"set_output\(transform='pandas'\)"):
        pipeline(profile_in_front()).fit(X, y)
    renaming = profile_in_front(verbose_feature_names_out=True).set_output(transform="pandas")
    with pytest.raises(ValueError, match=r"remainder__behaviors.*verbose_feature_names_out=False"):
        pipeline(renaming).fit(X, y)
