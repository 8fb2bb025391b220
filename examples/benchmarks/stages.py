"""How long each stage takes on a simulated bank, in one process, and as a share of the whole.

Absolute times wander between runs and machines; compare shares, and ratios inside one run.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import pandas as pd
import torch
from lightgbm import LGBMClassifier

from skhuihen import (
    BehaviorAbstractor,
    HUIHENClassifier,
    ProfileEncoder,
    Sessionizer,
    WindowStatistics,
    attach_behaviors,
)
from skhuihen.datasets import make_loan_data


def time_stages(bank: Any) -> dict[str, float]:
    """Run every stage once; return its seconds."""
    seconds: dict[str, float] = {}

    def timed(name: str, function: Callable[[], Any]) -> Any:
        started = time.perf_counter()
        result = function()
        seconds[name] = time.perf_counter() - started
        return result

    X = timed("attach_behaviors", lambda: attach_behaviors(bank.applications, bank.events))
    abstracted = timed("BehaviorAbstractor", lambda: BehaviorAbstractor().fit_transform(X))
    sessions = timed("Sessionizer", lambda: Sessionizer().fit_transform(abstracted))
    model = HUIHENClassifier(max_epochs=1, early_stopping=False, random_state=0)
    timed("HUIHEN, one epoch", lambda: model.fit(sessions, bank.y))
    timed("HUIHEN, scoring", lambda: model.predict_proba(sessions))
    windows = timed("WindowStatistics", lambda: WindowStatistics().fit_transform(X))
    profile = ProfileEncoder().set_output(transform="pandas").fit_transform(X)
    flat = pd.concat([profile, windows], axis=1)
    trees = LGBMClassifier(n_jobs=1, verbose=-1, random_state=0)
    timed(f"LightGBM, 100 trees, {flat.shape[1]} columns", lambda: trees.fit(flat, bank.y))
    return seconds


def main() -> None:
    """Run every stage a few times, interleaved, and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--applications", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    bank = make_loan_data(n_new=arguments.applications, n_old=0, random_state=0)
    rounds = [time_stages(bank) for _ in range(arguments.rounds)]
    table = pd.DataFrame(rounds).median().to_frame("seconds")
    table["share"] = table["seconds"] / table["seconds"].sum()
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "pyarrow", "lightgbm"))
    print(
        f"{len(bank.applications)} applications, {len(bank.events)} events, median of "
        f"{arguments.rounds} rounds, {torch.get_num_threads()} torch thread(s), "
        f"{platform.machine()}, {packages}\n"
    )
    print(table.round(3).to_string())


if __name__ == "__main__":
    main()
