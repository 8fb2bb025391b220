"""The whole fit of what a score comes from: HUIHEN, and what a risk team has.

On a table of the size of the paper's bank A, and on a real lender's where the environment
variable ``SKHUIHEN_DATA`` names the folder of its files. Statistics are computed anew in each fit,
abstraction and sessions are not counted. Seconds are those of the processor, in one thread.

    OMP_NUM_THREADS=1 python benchmarks/fitting.py
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from lightgbm import LGBMClassifier
from measuring import interleaved, report
from sklearn.base import clone
from sklearn.pipeline import make_pipeline, make_union
from workload import N_APPLICATIONS, make_prepared
from xgboost import XGBClassifier

from skhuihen import (
    BehaviorAbstractor,
    HUIHENClassifier,
    IntervalStatistics,
    ProfileEncoder,
    Sessionizer,
    WindowStatistics,
    attach_behaviors,
    make_scorecard,
)
from skhuihen.datasets import load_superlender

BASE = "LightGBM, profile + windows + intervals"


def contenders(windows: tuple[str, ...], epochs: int | None) -> dict[str, Any]:
    """Return what is fitted; the first is what the others are compared with."""
    features = make_union(
        ProfileEncoder(),
        WindowStatistics(windows, group_by="behavior"),
        IntervalStatistics(group_by="behavior", session="session"),
    )
    small: dict[str, Any] = {"n_estimators": 150, "learning_rate": 0.03, "n_jobs": 1}
    trees = make_pipeline(clone(features), LGBMClassifier(num_leaves=15, verbose=-1, **small))
    former = {"schedule": "constant", "lr": 1e-3, "early_stopping": True}
    former |= {"teacher": None, "n_topics": 0, "dropout": 0.6, "weight_decay": 1e-3}
    former |= {"net_params": {"optimizer": torch.optim.Adam}}
    network = HUIHENClassifier(random_state=0)
    if epochs is not None:
        network.set_params(max_epochs=epochs)

    def set_to(**parameters: Any) -> Any:
        return clone(network).set_params(**parameters)

    return {
        BASE: trees,
        "XGBoost, the same": make_pipeline(clone(features), XGBClassifier(max_depth=4, **small)),
        "scorecard, the same": make_scorecard(clone(features)),
        "HUIHEN, one network, no teacher": set_to(n_estimators=1, teacher=None),
        "HUIHEN, one network": set_to(n_estimators=1),
        "HUIHEN, the default": network,
        "HUIHEN, the default, on that LightGBM": set_to(base_estimator=trees),
        "HUIHEN, one network, the former protocol": set_to(
            n_estimators=1, batch_size=64, max_epochs=epochs or 200, **former
        ),
    }


def fitting(model: Any, X: pd.DataFrame, y: np.ndarray) -> Callable[[], float]:
    """Return what fits a model and tells its processor seconds."""

    def run() -> float:
        fresh = clone(model)
        started = time.process_time()
        fresh.fit(X, y)
        return time.process_time() - started

    return run


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--applications", type=int, default=N_APPLICATIONS)
    parser.add_argument("--epochs", type=int, help="of all networks; default: their own")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--only", choices=["lender", "large"])
    parser.add_argument("--without", nargs="*", default=[], help="parts of names to leave out")
    parser.add_argument("--output", help="folder for the tables")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    tables: dict[str, tuple[pd.DataFrame, np.ndarray, tuple[str, ...]]] = {}
    folder = Path(os.environ.get("SKHUIHEN_DATA", "")) / "superlender"
    if arguments.only != "large" and os.environ.get("SKHUIHEN_DATA") and folder.is_dir():
        lender = load_superlender()
        X = attach_behaviors(lender.applications, lender.events)
        front = make_pipeline(BehaviorAbstractor(), Sessionizer(session="loan", min_behaviors=1))
        days = ("2D", "7D", "21D", "60D", "180D")
        tables["lender"] = front.fit_transform(X), lender.y, days
    if arguments.only != "lender":
        X, y = make_prepared(arguments.applications)
        tables["large"] = X, y, ("2D", "21D", "60D")
    lines = ["Processor seconds of one fit in one thread, to the model that scores."]
    columns: dict[str, Any] = {}
    for name, (X, y, windows) in tables.items():
        n_behaviors = int(X["behaviors"].array.list_lengths.sum())
        lines.append(f"{name}: {len(X):,} applications, {n_behaviors:,} behaviors.")
        models = {
            one: model
            for one, model in contenders(windows, arguments.epochs).items()
            if not any(part in one for part in arguments.without)
        }
        runs = {one: fitting(model, X, y) for one, model in models.items()}
        times = interleaved(runs, arguments.rounds)
        columns[f"{name}: seconds"] = times.round(1)
        columns[f"{name}: times {BASE}"] = (times / times[BASE]).round(1)
    if "lender" not in tables:
        lines.append("The lender's files were not there.")
    title = "The whole fit"
    report("fitting", title, lines, pd.DataFrame(columns), arguments.output)


if __name__ == "__main__":
    main()
