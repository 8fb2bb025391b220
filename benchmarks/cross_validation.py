"""How much faster a cross-validation is in two processes, torch on one thread in each."""

from __future__ import annotations

import argparse
from functools import partial

import numpy as np
import pandas as pd
import torch
from joblib import parallel_config
from measuring import interleaved, report, seconds
from sklearn.model_selection import cross_val_score
from workload import make_prepared

from skhuihen import HUIHENClassifier

ONE, TWO, FIRST = "n_jobs=1", "n_jobs=2", "n_jobs=2, starting the processes"


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--applications", type=int, default=5000)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--networks", type=int, default=5, help="of each classifier")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", help="folder for the table")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    X, y = make_prepared(arguments.applications)
    model = HUIHENClassifier(
        n_estimators=arguments.networks, max_epochs=arguments.epochs, random_state=0
    )
    scores = {}

    def validate(n_jobs: int) -> None:
        with parallel_config("loky", n_jobs=n_jobs, inner_max_num_threads=1):
            scores[n_jobs] = cross_val_score(model, X, y, cv=4, scoring="roc_auc")

    first = seconds(partial(validate, 2))
    medians = interleaved(
        {ONE: lambda: seconds(partial(validate, 1)), TWO: lambda: seconds(partial(validate, 2))},
        arguments.rounds,
    )
    np.testing.assert_array_equal(scores[1], scores[2])
    medians[FIRST] = first
    table = pd.DataFrame({"times as fast": medians[ONE] / medians, "seconds": medians}).round(2)
    lines = [
        f"4 folds of {len(X):,} applications with {X['behaviors'].array.flat_length:,} behaviors, "
        f"{arguments.epochs} epochs each; one torch thread in every process; medians of "
        f"{arguments.rounds} rounds. Both give the same scores to the bit.",
    ]
    report("cross_validation", "Cross-validation: two processes", lines, table, arguments.output)


if __name__ == "__main__":
    main()
