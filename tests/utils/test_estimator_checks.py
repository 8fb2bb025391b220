"""Every check fails for an estimator that breaks its promise, and the tools around them work."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from skhuihen import Sessionizer
from skhuihen._events.as_of import read_as_of
from skhuihen._events.frames import as_frame
from skhuihen.utils import estimator_checks
from skhuihen.utils.estimator_checks import (
    CHECKS,
    TRANSFORMER_CHECKS,
    check_estimator,
    estimator_checks_generator,
    parametrize_with_checks,
)


class Recency(TransformerMixin, BaseEstimator):
    """Number of events, and days from the last one to the application; keeps every promise."""

    applied_at: str | None = "applied_at"

    def __init__(self, fill: float = -1.0) -> None:
        self.fill = fill

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Recency:
        frame = as_frame(X, "behaviors")
        self.n_features_in_ = frame.shape[1]
        self.mean_ = np.average(self.table(frame)["count"], weights=sample_weight)
        return self

    def transform(self, X: Any) -> pd.DataFrame:
        check_is_fitted(self)
        table = self.table(as_frame(X, "behaviors"))
        return table.assign(count=table["count"] - self.mean_)

    def table(self, frame: pd.DataFrame) -> pd.DataFrame:
        behaviors = read_as_of(frame, "behaviors", self.applied_at).behaviors
        recency = np.full(len(frame), self.fill)
        at = frame["applied_at"].to_numpy().astype("datetime64[us]").astype(np.int64)
        recency[behaviors.rows] = (at[behaviors.rows] - behaviors.times()) / 86_400_000_000
        return pd.DataFrame({"count": behaviors.lengths, "recency": recency}, index=frame.index)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        check_is_fitted(self)
        return np.array(["count", "recency"], dtype=object)


class RootsOfWeights(Recency):
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Recency:
        return super().fit(X, y, None if sample_weight is None else np.sqrt(sample_weight))


class Batch(Recency):
    def transform(self, X: Any) -> pd.DataFrame:
        return super().transform(X) + len(X)


class Position(Recency):
    def transform(self, X: Any) -> pd.DataFrame:
        table = super().transform(X)
        return table.assign(recency=table["recency"] + np.arange(len(table)) * (len(table) > 7))


class FirstGiven(Recency):
    def table(self, frame: pd.DataFrame) -> pd.DataFrame:
        histories = estimator_checks._histories(frame)
        first = [len(str(events[0]["operation"])) if events else 0 for events in histories]
        return super().table(frame).assign(recency=first)


class Future(Recency):
    applied_at = None


class OneRow(Recency):
    def transform(self, X: Any) -> pd.DataFrame:
        table = super().transform(X)
        return table if len(table) else pd.DataFrame({"count": [], "recency": [], "n": []})


class Chunks(Recency):
    def transform(self, X: Any) -> pd.DataFrame:
        table = super().transform(X)
        return table.assign(count=table["count"].where(np.arange(len(table)) < 2048, 0.0))


class Null(Recency):
    def table(self, frame: pd.DataFrame) -> pd.DataFrame:
        return super().table(frame).assign(recency=frame["behaviors"].isna().astype(float))


class PandasOnly(Recency):
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Recency:
        return super().fit(X.reset_index(drop=True), y, sample_weight)


class Input(Recency):
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Recency:
        super().fit(X, y, sample_weight)
        if isinstance(X, pd.DataFrame):
            X["user__age"] = 0
        return self


class Parameter(Recency):
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Recency:
        self.fill = self.fill - 1
        return super().fit(X, y, sample_weight)


class StaysFitted(Recency):
    def __sklearn_clone__(self) -> Any:
        return self


class Forgets(Recency):
    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "mean_": 0.0}


class Remembers(Recency):
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Recency:
        before = getattr(self, "mean_", 0.0)
        super().fit(X, y, sample_weight)
        self.mean_ += before
        return self


class Unfitted(Recency):
    mean_ = 0.0

    def __sklearn_is_fitted__(self) -> bool:
        return True


class Key(Recency):
    def transform(self, X: Any) -> pd.DataFrame:
        users = as_frame(X, "behaviors")["user_id"].to_numpy()
        return super().transform(X).assign(recency=users)


class AnyPath(Recency):
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Recency:
        if isinstance(X, str):
            X, _ = estimator_checks.make_applications()
        return super().fit(X, y, sample_weight)


class Heavy(Recency):
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Recency:
        super().fit(X, y, sample_weight)
        if sample_weight is not None:
            self.mean_ = self.mean_ * np.sum(sample_weight)
        return self


class Seeding(Recency):
    def transform(self, X: Any) -> pd.DataFrame:
        np.random.seed(0)
        return super().transform(X)


class Weightless(Recency):
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Recency:
        return super().fit(X, y)


class TwoRows(Recency):
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Recency:
        if len(as_frame(X, "behaviors")) < 2:
            raise ValueError("Two rows are wanted.")
        return super().fit(X, y, sample_weight)


class Linked(Recency):
    _doc_link_module = "tests"


class Twice(Recency):
    def fit_transform(self, X: Any, y: Any = None) -> pd.DataFrame:
        return self.fit(X, y).transform(X) * 2


class Unindexed(Recency):
    def transform(self, X: Any) -> pd.DataFrame:
        return super().transform(X).reset_index(drop=True)


class Misnamed(Recency):
    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        return super().get_feature_names_out()[:1]


class Stubborn(Recency):
    def set_output(self, *, transform: Any = None) -> Stubborn:
        return self


class Stateful(Recency):
    n_fits = 0

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Recency:
        type(self).n_fits += 1
        super().fit(X, y, sample_weight)
        self.mean_ += self.n_fits
        return self


BROKEN = {
    "check_subset_invariance": Batch,
    "check_order_invariance": Position,
    "check_event_order_invariance": FirstGiven,
    "check_future_events": Future,
    "check_few_rows": OneRow,
    "check_fit_on_one_row": TwoRows,
    "check_many_rows": Chunks,
    "check_empty_and_missing_histories": Null,
    "check_containers": PandasOnly,
    "check_input_not_mutated": Input,
    "check_parameters_not_mutated": Parameter,
    "check_cloned": StaysFitted,
    "check_pickled": Forgets,
    "check_refitted": Remembers,
    "check_unfitted": Unfitted,
    "check_keys_are_no_features": Key,
    "check_missing_path": AnyPath,
    "check_scale_of_weights": Heavy,
    "check_global_state": Seeding,
    "check_metadata_routing": Weightless,
    "check_html_repr": Linked,
    "check_fit_transform": Twice,
    "check_index_kept": Unindexed,
    "check_get_feature_names_out": Misnamed,
    "check_set_output": Stubborn,
    "check_column_transformer": Stateful,
    "check_weights_are_rows": RootsOfWeights,
}


def test_a_good_transformer_passes_every_check() -> None:
    results = check_estimator(Recency())
    assert [result["check_name"] for result in results] == list(BROKEN)
    assert {result["status"] for result in results} == {"passed"}


@pytest.mark.parametrize("name", [check.__name__ for check in (*CHECKS, *TRANSFORMER_CHECKS)])
def test_each_check_fails_for_what_it_is_there_for(name: str) -> None:
    broken = BROKEN[name]()
    with pytest.raises((AssertionError, AttributeError, ValueError)) as error:
        getattr(estimator_checks, name)(type(broken).__name__, broken)
    if error.type is AssertionError:
        assert str(error.value)


def test_expected_failures_must_fail() -> None:
    reason = "applied_at=None, said on purpose, cuts nothing"
    expected = {"check_future_events": reason}
    results = check_estimator(Future(), expected_failed_checks=expected)
    (failed,) = (result for result in results if result["status"] == "xfail")
    assert failed["check_name"] == "check_future_events"
    assert failed["expected_to_fail_reason"] == reason
    assert isinstance(failed["exception"], AssertionError)
    with pytest.raises(AssertionError, match="sees the future"):
        check_estimator(Future())
    with pytest.raises(AssertionError, match=r"expected to fail .*but passes"):
        check_estimator(Recency(), expected_failed_checks=expected)


def test_marks_are_strict() -> None:
    decorator = parametrize_with_checks(
        [Sessionizer()], expected_failed_checks=lambda estimator: {"check_pickled": "why"}
    )
    _, pairs = decorator.args
    (mark,) = (mark for pair in pairs for mark in getattr(pair, "marks", ()))
    assert mark.name == "xfail"
    assert mark.kwargs == {"reason": "why", "strict": True}


def test_unknown_expected_failures_are_refused() -> None:
    with pytest.raises(ValueError, match="'check_nothing', which is not a check of Sessionizer"):
        list(
            estimator_checks_generator(
                Sessionizer(), expected_failed_checks={"check_nothing": "because"}
            )
        )
