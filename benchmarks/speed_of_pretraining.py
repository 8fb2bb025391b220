"""How fast `evidence/pretrained.py` learns from histories without labels, beside a supervised fit.

All run in one process on one thread, round by round, and medians are compared. Each is a whole call
with one epoch: learning the vocabulary, encoding and training. Seconds are those of the processor,
so that other programs count less.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from measuring import interleaved, report
from workload import make_prepared

from skhuihen import HUIHENClassifier

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "evidence"))

from pretrained import pretrain

SUPERVISED = "supervised fit, no teacher"


def on_processor(function: Callable[[], Any]) -> float:
    """Return the processor time of a call, in seconds."""
    started = time.process_time()
    function()
    return time.process_time() - started


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--histories", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", help="folder for the table")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    X, y = make_prepared(arguments.histories)
    n_events = len(X["behaviors"].nest["time"])
    supervised = HUIHENClassifier(n_estimators=1, max_epochs=1, teacher=None, random_state=0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "histories.parquet"
        X[["applied_at", "behaviors"]].to_parquet(path, row_group_size=500)
        calls: dict[str, Callable[[], Any]] = {
            SUPERVISED: lambda: supervised.fit(X, y),
            "next behavior": lambda: pretrain(X, losses=("next",), max_epochs=1),
            "contrast": lambda: pretrain(X, losses=("contrast",), max_epochs=1),
            "contrast, from Parquet": lambda: pretrain(path, losses=("contrast",), max_epochs=1),
        }
        medians = interleaved(
            {name: (lambda call=call: on_processor(call)) for name, call in calls.items()},
            arguments.rounds,
        )
    table = pd.DataFrame({"times the supervised": (medians / medians[SUPERVISED]).round(2)})
    table["seconds"] = medians.round(2)
    table["histories a second"] = (len(X) / medians).round().astype(int)
    table["events a second"] = (n_events / medians).round().astype(int)
    lines = [
        f"{len(X):,} histories, {n_events:,} events; batches of 128; one thread; one epoch, with "
        f"all that comes before it; medians of {arguments.rounds} rounds; processor time."
    ]
    report("speed", "Speed of pre-training", lines, table, arguments.output)


if __name__ == "__main__":
    main()
