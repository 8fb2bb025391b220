"""How long an epoch of training takes, beside the usual ways and beside LightGBM.

All contenders run in one process on one thread, round by round, so that what slows the machine
slows them all; medians are compared. HUIHEN and its variants are trained by `HUIHENClassifier.fit`
itself, collation and skorch included. The padded network would take minutes an epoch, as would
torch's GRU of all behaviors: their times are those of some batches. Those of the padded network are
all alike; those of the other vary with the longest sequence in them.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from unittest.mock import patch

import numpy as np
import pandas as pd
import torch
from lightgbm import LGBMClassifier
from measuring import interleaved, peak_memory, report, seconds
from padded import PaddedHUIHEN, pad
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from torch.nn.functional import cross_entropy
from workload import N_APPLICATIONS, make_prepared

from skhuihen import HUIHENClassifier, ProfileEncoder
from skhuihen._training.net import HUIHENNet
from skhuihen.network.batch import ApplicationDataset

BATCH_SIZE = 256
VARIANTS: dict[str, dict] = {
    "HUIHEN": {},
    "HUIHEN, event numbers and mean intention": {
        "event_numbers": "auto",
        "net_params": {"module__mean_intention": True},
    },
    "HUIHEN, ten topics, found before": {"n_topics": 10},
    "HUIHEN, taught in step two; the teacher not timed": {
        "teacher": make_pipeline(ProfileEncoder(), LogisticRegression())
    },
    "HUIHEN, plain path": {"net_params": {"module__fused": False}},
    "HUIHEN, traditional GRUs": {
        "net_params": {"module__time_aware": False, "module__user_item_aware": False}
    },
    "HUIHEN, one GRU of all behaviors": {"net_params": {"module__hierarchical": False}},
    "hierarchical torch.nn.GRU, packed": {
        "net_params": {
            "module__fused": False,
            "module__time_aware": False,
            "module__user_item_aware": False,
        },
    },
}
PADDED = "HUIHEN, padded"
ONE_OF_TORCH = "one torch.nn.GRU of all behaviors, packed"
TREES = "LightGBM, 100 trees, 200 columns"
BARE = "forward, backward and step of HUIHEN alone"
WITH_VALIDATION = "HUIHEN, training on nine tenths and scoring one"
TWO_THREADS = "HUIHEN, two threads"


def fit(X: pd.DataFrame, y: np.ndarray, **parameters: object) -> HUIHENClassifier:
    """Train one epoch."""
    # The network of the paper, which the padded one is too.
    paper = {"event_numbers": None, "net_params": {"module__mean_intention": False}}
    paper |= {"n_estimators": 1, "max_epochs": 1, "teacher": None, "n_topics": 0}
    parameters = {**paper, **parameters}
    return HUIHENClassifier(batch_size=BATCH_SIZE, random_state=0, **parameters).fit(X, y)


def train_on(module: torch.nn.Module, batches: list) -> float:
    """Return the seconds of forward, backward and step over batches made before."""
    module.train()
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-3)
    started = time.perf_counter()
    for batch, y in batches:
        optimizer.zero_grad()
        cross_entropy(module(batch), y).backward()
        optimizer.step()
    return time.perf_counter() - started


def share_around(X: pd.DataFrame, y: np.ndarray) -> float:
    """Return what part of an epoch is not forward, backward and step, measured in that epoch."""
    inside, step = 0.0, HUIHENNet.train_step

    def timed(net: HUIHENNet, *arguments: object, **keywords: object) -> object:
        nonlocal inside
        started = time.perf_counter()
        result = step(net, *arguments, **keywords)
        inside += time.perf_counter() - started
        return result

    with patch.object(HUIHENNet, "train_step", timed):
        model = fit(X, y, early_stopping=True)
    return 1 - inside / float(model.history_["dur"].sum())


def on_two_threads(function: Callable[[], float]) -> float:
    """Call a function while torch has two threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        return function()
    finally:
        torch.set_num_threads(before)


def floor(dataset: ApplicationDataset, gru_dim: int = 30, dim: int = 10) -> float:
    """Return the seconds that the products of an epoch alone would take at full speed.

    A product of the forward pass has two in the gradient. What enters by tables costs none.
    """
    n_behaviors, n_sessions = (
        len(dataset.behaviors.behavior),
        int(dataset.behaviors.n_sessions.sum()),
    )
    of_behavior = gru_dim * 3 * gru_dim + gru_dim * gru_dim + dim * gru_dim
    of_session = 2 * gru_dim * 3 * gru_dim
    operations = 3 * 2 * (n_behaviors * of_behavior + n_sessions * of_session)
    square = torch.ones(1500, 1500)
    rate = 2 * 1500**3 / min(seconds(lambda: square @ square) for _ in range(5))
    return operations / rate


def check_equal(
    model: HUIHENClassifier, padded: PaddedHUIHEN, batch: tuple, of_padded: tuple
) -> None:
    """Raise if the two networks do not give the same scores."""
    with torch.no_grad():
        packed = model.net_.module_.eval()(batch[0])
        torch.testing.assert_close(padded.eval()(of_padded[0]), packed, rtol=0, atol=1e-5)


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--applications", type=int, default=N_APPLICATIONS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--padded-batches", type=int, default=3)
    parser.add_argument("--output", help="folder for the table")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    X, y = make_prepared(arguments.applications)
    size = min(BATCH_SIZE, len(X))
    n_batches = -(-len(X) // size)

    model = fit(X, y)
    dataset = model._encoder.dataset(X, model._encoder.read(X), y)
    starts = [min(i * size, len(X) - size) for i in range(n_batches)]
    parts = [range(start, start + size) for start in starts]
    padded = PaddedHUIHEN(model.net_.module_)
    padded_batches = [
        (pad(dataset, rows, 50, 25), torch.from_numpy(y[list(rows)]))
        for rows in parts[: arguments.padded_batches]
    ]
    check_equal(model, padded, dataset.__getitems__(parts[0]), padded_batches[0])
    one_gru = fit(X, y, net_params={"module__hierarchical": False})
    whole = one_gru.net_.module_
    whole.fused = False
    sequences = one_gru._encoder.dataset(X, one_gru._encoder.read(X), y)
    whole_batches = [sequences.__getitems__(rows) for rows in parts[: arguments.padded_batches]]
    columns = np.random.default_rng(0).normal(size=(len(X), 200))
    trees = LGBMClassifier(n_estimators=100, n_jobs=1, verbose=-1)

    def epoch(**parameters: object) -> float:
        return float(fit(X, y, **parameters).history_["dur"].sum())

    contenders: dict[str, Callable[[], float]] = {
        name: (lambda parameters=parameters: epoch(**parameters))
        for name, parameters in VARIANTS.items()
    }
    contenders[PADDED] = lambda: train_on(padded, padded_batches) * n_batches / len(padded_batches)
    contenders[ONE_OF_TORCH] = lambda: (
        train_on(whole, whole_batches) * n_batches / len(whole_batches)
    )
    contenders[TREES] = lambda: seconds(lambda: trees.fit(columns, y))
    ours = model.net_.module_
    # What has no contender: the parts of an epoch of ours.
    batches = [dataset.__getitems__(rows) for rows in parts]
    contenders[BARE] = lambda: train_on(ours, batches)
    contenders[WITH_VALIDATION] = lambda: epoch(early_stopping=True)
    contenders[TWO_THREADS] = lambda: on_two_threads(epoch)
    medians = interleaved(contenders, arguments.rounds)

    around = float(np.median([share_around(X, y) for _ in range(arguments.rounds)]))
    memory = {
        "HUIHEN": peak_memory(lambda: train_on(ours, batches[:1])),
        PADDED: peak_memory(lambda: train_on(padded, padded_batches[:1])),
    }
    table = pd.DataFrame({"times HUIHEN's": medians / medians["HUIHEN"], "seconds": medians})
    table["MB per batch"] = pd.Series(memory)
    n_sessions, n_behaviors = dataset.behaviors.n_sessions.sum(), len(dataset.behaviors.behavior)
    lines = [
        f"{len(X):,} applications, {n_sessions:,} sessions, {n_behaviors:,} behaviors; batches of "
        f"{BATCH_SIZE}; one thread but where said; medians of {arguments.rounds} rounds.",
        f"Everything around forward, backward and step (collation, skorch, scoring the "
        f"held-out tenth) is {around:.1%} of an epoch, timed inside it.",
        f"The products of an epoch alone would take {floor(dataset):.1f} s at this machine's rate "
        "for large matrices.",
    ]
    report("training", "Training: one epoch", lines, table.round(2), arguments.output)


if __name__ == "__main__":
    main()
