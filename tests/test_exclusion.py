"""Columns and operations that may not be used move no score."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import StandardScaler

from skhuihen import (
    BehaviorAbstractor,
    HUIHENClassifier,
    IntervalStatistics,
    OnlineScorer,
    ProfileEncoder,
    Sessionizer,
    WindowStatistics,
    save_model,
    score_table,
)

#: Of the simulated bank's app: some hundred events of each applicant.
RULES = [
    {"operation": "Account*", "field": "excluded"},
    {"operation": "app/*", "field": "excluded"},
    {"operation": "*", "item": "*1", "field": "excluded"},
]
NETWORK = {
    "max_epochs": 1,
    "n_estimators": 1,
    "random_state": 0,
    "dtype": "float64",
    "net_params": {"module__intention_dim": 4, "module__habit_dim": 4},
}


def without(*columns: str) -> Any:
    """Return a step that drops columns and keeps the names of the others."""
    return make_column_transformer(
        ("drop", list(columns)), remainder="passthrough", verbose_feature_names_out=False
    ).set_output(transform="pandas")


def altered(X: pd.DataFrame) -> pd.DataFrame:
    """Take away, repeat and alter events that may not be used."""
    changed = []
    for number, history in enumerate(X["behaviors"]):
        operation, item = history["operation"], history["item"].fillna("")
        barred = operation.str.match("Account|app/") | item.str.endswith("1")
        more = history[barred].assign(amount=1e6)
        more["time"] -= pd.Timedelta("3h") * number
        parts = [history[~barred], more, more][: 1 + number % 3]
        together = pd.concat(parts).sort_values("time", kind="stable")
        changed.append(together.drop(columns="seq", errors="ignore").to_dict("records"))
    return X.assign(behaviors=pd.Series(changed, index=X.index))


@pytest.fixture(scope="module")
def tables(X: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the table, with events in the order of time alone, and the altered one."""
    histories = [
        history.drop(columns="seq", errors="ignore").to_dict("records")
        for history in X["behaviors"]
    ]
    X = X.assign(behaviors=pd.Series(histories, index=X.index))
    other = altered(as_nested(X))
    assert [len(h) for h in histories] != [len(h) for h in other["behaviors"]]
    return X, other


def as_nested(X: pd.DataFrame) -> pd.DataFrame:
    return X.assign(behaviors=X["behaviors"].map(pd.DataFrame))


@pytest.mark.filterwarnings("ignore:Profile column")
@pytest.mark.parametrize("kind", ["network", "statistics"])
def test_excluded_operations_move_no_score(
    kind: str, tables: Any, y: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    X, other = tables
    if kind == "network":
        rest = [Sessionizer(min_behaviors=1, max_sessions=5), HUIHENClassifier(**NETWORK)]
    else:
        by = {"group_by": "behavior", "n_operations": 4}
        numbers = make_union(ProfileEncoder(), WindowStatistics(**by), IntervalStatistics(**by))
        rest = [numbers, SimpleImputer(), StandardScaler(), LogisticRegression()]
    model = make_pipeline(BehaviorAbstractor(RULES), *rest).fit(X, y)
    assert model[0].report(X)["events_excluded"] > 100
    probability = model.predict_proba(X)[:, 1]
    np.testing.assert_array_equal(model.predict_proba(other)[:, 1], probability)
    # Nor do they move what is learned.
    again = make_pipeline(BehaviorAbstractor(RULES), *rest).fit(other, y)
    np.testing.assert_array_equal(again.predict_proba(X)[:, 1], probability)

    save_model(model, tmp_path / "a.model", X, y)
    other.to_parquet(tmp_path / "other.parquet")
    scores = score_table(tmp_path / "a.model", tmp_path / "other.parquet")
    np.testing.assert_allclose(scores["probability"], probability, atol=1e-12)
    scorer = OnlineScorer(model)
    if kind == "network":
        assert scorer.is_fast_
        monkeypatch.setattr(scorer, "_ask_model", None)
    for row in (0, 1, 2):
        application = other.iloc[row].to_dict()
        application["applied_at"] = application["applied_at"].to_pydatetime()
        application["behaviors"] = [
            {
                name: value.to_pydatetime()
                if name == "time"
                else (None if pd.isna(value) else value)
                for name, value in event.items()
                if name in ("time", "operation", "item", "amount")
            }
            for event in application["behaviors"]
        ]
        assert scorer.probability(application) == pytest.approx(probability[row], abs=1e-9)


def test_excluded_columns_move_no_score(X: pd.DataFrame, y: np.ndarray, tmp_path: Path) -> None:
    names = ["user__age", "user__education"]
    X = X.drop(columns="behaviors")
    model = make_pipeline(without(*names), HUIHENClassifier(**NETWORK)).fit(X, y)
    other = X.assign(**{name: np.roll(X[name], 7) for name in names})
    probability = model.predict_proba(X)[:, 1]
    np.testing.assert_array_equal(model.predict_proba(other)[:, 1], probability)
    other.to_parquet(tmp_path / "other.parquet")
    scores = score_table(model, tmp_path / "other.parquet")
    np.testing.assert_allclose(scores["probability"], probability, atol=1e-12)
    application = {
        name: None if pd.isna(value) else value for name, value in other.iloc[3].to_dict().items()
    }
    found = OnlineScorer(model).probability(application)
    assert found == pytest.approx(probability[3], abs=1e-12)
    # A model that was fitted without them refuses them by name.
    bare = HUIHENClassifier(**NETWORK).fit(X.drop(columns=names), y)
    with pytest.raises(ValueError, match="user__age"):
        bare.predict_proba(X)
