"""One applicant at a time: `OnlineScorer`, the Pipeline, and LightGBM on pandas' statistics."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import torch
from lightgbm import LGBMClassifier
from measuring import report
from sklearn.pipeline import make_pipeline

from skhuihen import (
    BehaviorAbstractor,
    HUIHENClassifier,
    OnlineScorer,
    Sessionizer,
    attach_behaviors,
)
from skhuihen.datasets import make_loan_data

#: Events of an applicant: the mean of the simulated bank.
N_EVENTS = 211
WINDOWS = {"7D": 7, "30D": 30, "all": 10_000}


def plain(row: dict[str, Any]) -> dict[str, Any]:
    """Return an application as a service has it."""
    events = row["behaviors"][["time", "operation", "item", "amount"]]
    events = events.astype(object).where(events.notna(), None).to_dict("records")
    for event in events:
        event["time"] = event["time"].to_pydatetime()
    found = {**row, "behaviors": events, "applied_at": row["applied_at"].to_pydatetime()}
    return {key: None if value != value else value for key, value in found.items()}


def by_pandas(application: dict[str, Any], operations: list[str]) -> pd.DataFrame:
    """Compute counts, sums and recencies of one applicant the way that risk teams do."""
    columns_of = ["time", "operation", "item", "amount"]  # of an empty history too
    events = pd.DataFrame(application["behaviors"], columns=columns_of)
    age = application["applied_at"] - pd.to_datetime(events["time"])
    columns = {}
    for name, days in WINDOWS.items():
        part = events[(age > pd.Timedelta(0)) & (age <= pd.Timedelta(days=days))]
        counts = part.groupby("operation").size().reindex(operations, fill_value=0)
        amounts = pd.to_numeric(part["amount"]).groupby(part["operation"]).sum()
        columns[f"n_{name}"] = len(part)
        columns |= counts.add_prefix(f"count_{name}_").to_dict()
        columns |= amounts.reindex(operations).add_prefix(f"sum_{name}_").to_dict()
    recency = age.groupby(events["operation"]).min().reindex(operations)
    columns |= recency.dt.total_seconds().add_prefix("recency_").to_dict()
    return pd.DataFrame([columns])


def milliseconds(score: Callable[[Any], Any], rows: list[Any], calls: int) -> dict[str, float]:
    """Return quantiles of the time of a call."""
    times = []
    for number in range(calls):
        row = rows[number % len(rows)]
        started = time.perf_counter()
        score(row)
        times.append(time.perf_counter() - started)
    quantiles = np.quantile(times, [0, 0.5, 0.99]) * 1e3
    return dict(zip(("least, ms", "p50, ms", "p99, ms"), quantiles.round(2).tolist(), strict=True))


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--applications", type=int, default=1_000)
    parser.add_argument("--calls", type=int, default=2_000)
    parser.add_argument("--output", help="folder for the table")
    arguments = parser.parse_args()
    torch.set_num_threads(1)

    bank = make_loan_data(n_new=arguments.applications, n_old=0, random_state=0)
    X, y = attach_behaviors(bank.applications, bank.events), np.asarray(bank.y)
    models = {
        n_estimators: make_pipeline(
            BehaviorAbstractor(),
            Sessionizer(),
            HUIHENClassifier(max_epochs=1, n_estimators=n_estimators, random_state=0),
        ).fit(X, y)
        for n_estimators in (1, 5)
    }
    length = X["behaviors"].array.list_lengths
    chosen = np.argsort(np.abs(length - N_EVENTS), kind="stable")[:20]
    applications = [plain(row) for row in X.iloc[chosen].to_dict("records")]
    texts = [json.dumps(a, default=lambda value: value.isoformat()) for a in applications]

    operations = bank.events["operation"].value_counts().index[:30].tolist()
    of_fit = X.iloc[: min(300, len(X))]
    table = pd.concat([by_pandas(plain(row), operations) for row in of_fit.to_dict("records")])
    trees = LGBMClassifier(n_estimators=150, learning_rate=0.03, num_leaves=15, n_jobs=1)
    trees.set_params(verbose=-1).fit(table.to_numpy(dtype=float), y[: len(of_fit)])

    def of_trees(application: dict[str, Any]) -> float:
        row = by_pandas(application, operations).to_numpy(dtype=float)
        return trees.predict_proba(row)[0, 1]

    found, few = {}, max(arguments.calls // 10, 1)
    for n_estimators, model in models.items():
        scorer = OnlineScorer(model)
        assert scorer.is_fast_
        frames = [X.iloc[[row]] for row in chosen]
        networks = "one network" if n_estimators == 1 else f"{n_estimators} networks"
        for name, score, rows, calls in (
            ("OnlineScorer", scorer.probability, applications, arguments.calls),
            ("OnlineScorer, from JSON", scorer.probability, texts, arguments.calls),
            ("Pipeline, a frame of one row", model.predict_proba, frames, few),
        ):
            found[f"{name}, {networks}"] = milliseconds(score, rows, calls)
    codes = pd.DataFrame([("*", "1", "Whatever it is")], columns=["player", "code", "text"])
    scorer = OnlineScorer(models[5], background=X[y == 0][:5], reason_table=codes)
    few_reasons = max(arguments.calls // 100, 1)
    found["OnlineScorer, reasons, 5 networks"] = milliseconds(
        scorer.reasons, applications, few_reasons
    )
    found["LightGBM, windows by pandas"] = milliseconds(of_trees, applications, few)
    lines = [
        f"Applicants of some {N_EVENTS} events, one after the other, on one thread; behind the "
        "join, which plans a query at each call."
    ]
    table = pd.DataFrame(found).T
    report("online", "Scoring: one application as a service does", lines, table, arguments.output)


if __name__ == "__main__":
    main()
