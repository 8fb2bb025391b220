"""Whether memory stays flat over a million calls of `OnlineScorer`.

Histories are new at each call, and so are some of their operations and items; every thousandth
application has what only the Pipeline can read.
"""

from __future__ import annotations

import argparse
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from measuring import megabytes, report
from online import plain
from sklearn.pipeline import make_pipeline

from skhuihen import (
    BehaviorAbstractor,
    HUIHENClassifier,
    OnlineScorer,
    Sessionizer,
    attach_behaviors,
)
from skhuihen.datasets import make_loan_data


def made_up(application: dict[str, Any], number: int, dice: np.random.Generator) -> dict[str, Any]:
    """Return another history of some 30 events, with one event that nobody has had."""
    events = application["behaviors"]
    first = int(dice.integers(max(len(events) - 30, 1)))
    chosen = [dict(event) for event in events[first : first + 30]]
    if len(chosen) == 30:  # of few events one is reason enough for a warning
        chosen[number % len(chosen)] |= {"operation": f"made up {number}", "item": f"{number}"}
    changed = {**application, "behaviors": chosen}
    if number % 1000 == 0:
        changed["user__age"] = True
    return changed


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=1_000_000)
    parser.add_argument("--output", help="folder for the table")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # each text of one would be kept, to be told once
    bank = make_loan_data(n_new=300, n_old=0, random_state=0)
    X, y = attach_behaviors(bank.applications, bank.events), np.asarray(bank.y)
    model = make_pipeline(
        BehaviorAbstractor(), Sessionizer(), HUIHENClassifier(max_epochs=1, random_state=0)
    )
    scorer = OnlineScorer(model.fit(X, y))
    applications = [plain(row) for row in X.to_dict("records")]
    dice = np.random.default_rng(0)
    status = Path("/proc/self/status")
    marks = sorted({*(10**power for power in range(3, 7)), 30_000, 300_000, arguments.calls})
    found, started = {}, time.process_time()
    for number in range(1, arguments.calls + 1):
        scorer.probability(made_up(applications[number % len(applications)], number, dice))
        if number in marks:
            seconds = round(time.process_time() - started)
            resident = round(megabytes(status, "VmRSS"))
            found[f"{number:,} calls"] = {"resident memory, MB": resident, "CPU, s": seconds}
            print(f"{number:,} calls: {resident} MB", flush=True)
    lines = [__doc__.split("\n\n")[1].replace("\n", " ")]
    report("online_memory", "Memory of a scorer", lines, pd.DataFrame(found).T, arguments.output)


if __name__ == "__main__":
    main()
