"""The contenders on a GPU, and that it gives what the CPU gives. Says so where there is none."""

from __future__ import annotations

import argparse

import numpy as np
import pandas as pd
import torch
from measuring import interleaved, report
from workload import N_APPLICATIONS, make_prepared

from skhuihen import HUIHENClassifier

VARIANTS: dict[str, dict] = {
    "HUIHEN": {},
    "HUIHEN, plain path": {"net_params": {"module__fused": False}},
    "hierarchical torch.nn.GRU, packed": {
        "net_params": {
            "module__fused": False,
            "module__time_aware": False,
            "module__user_item_aware": False,
        },
    },
}


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--applications", type=int, default=N_APPLICATIONS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[256, 2048])
    parser.add_argument("--output", help="folder for the table")
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        print("No GPU is at hand: torch.cuda.is_available() is False.")
        return
    X, y = make_prepared(arguments.applications)

    def fit(device: str, batch_size: int, **parameters: object) -> HUIHENClassifier:
        model = HUIHENClassifier(
            device=device,
            batch_size=batch_size,
            max_epochs=1,
            n_estimators=1,
            teacher=None,
            random_state=0,
            **parameters,
        )
        return model.fit(X, y)

    model = fit("cpu", arguments.batch_sizes[0])
    on_cpu = model.predict_proba(X)
    model.net_.module_.to("cuda")
    distance = np.abs(model.predict_proba(X) - on_cpu).max()
    contenders = {
        f"{name}, batches of {size}": (
            lambda size=size, params=params: float(
                fit("cuda", size, **params).history_["dur"].sum()
            )
        )
        for name, params in VARIANTS.items()
        for size in arguments.batch_sizes
    }
    medians = interleaved(contenders, arguments.rounds)
    first = medians.index[0]
    table = pd.DataFrame({"times the first": medians / medians[first], "seconds": medians})
    lines = [
        f"{torch.cuda.get_device_name()}; {len(X):,} applications; medians of "
        f"{arguments.rounds} rounds. Largest distance of a score from the CPU's: {distance:.1e}."
    ]
    report("gpu", "Training on a GPU: one epoch", lines, table.round(2), arguments.output)


if __name__ == "__main__":
    main()
