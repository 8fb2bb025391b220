"""How fast applications are scored: many at once, and one at a time through a whole Pipeline."""

from __future__ import annotations

import argparse
import time

import numpy as np
import pandas as pd
import torch
from measuring import interleaved, report, seconds
from sklearn.pipeline import make_pipeline
from workload import make_prepared

from skhuihen import BehaviorAbstractor, HUIHENClassifier, Sessionizer, attach_behaviors
from skhuihen.datasets import make_loan_data


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--applications", type=int, default=10_000)
    parser.add_argument("--singles", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", help="folder for the table")
    arguments = parser.parse_args()
    torch.set_num_threads(1)

    X, y = make_prepared(arguments.applications)
    quick: dict = {"max_epochs": 1, "n_estimators": 1, "random_state": 0}
    of_prepared = HUIHENClassifier(**quick).fit(X, y)
    of_paper = HUIHENClassifier(
        event_numbers=None, net_params={"module__mean_intention": False}, **quick
    ).fit(X, y)
    bank = make_loan_data(n_new=arguments.applications // 4, n_old=0, random_state=0)
    raw = attach_behaviors(bank.applications, bank.events)
    model = make_pipeline(
        BehaviorAbstractor(),
        Sessionizer(),
        HUIHENClassifier(max_epochs=1, n_estimators=1, random_state=0),
    ).fit(raw, bank.y)

    bulk, whole = "from sessions", "whole Pipeline, from raw events"
    paper = "from sessions, the paper's form"
    medians = interleaved(
        {
            bulk: lambda: seconds(lambda: of_prepared.predict_proba(X)),
            paper: lambda: seconds(lambda: of_paper.predict_proba(X)),
            whole: lambda: seconds(lambda: model.predict_proba(raw)),
        },
        arguments.rounds,
    )
    rate = pd.Series({bulk: len(X), paper: len(X), whole: len(raw)}) / medians
    n_behaviors = int(X["behaviors"].array.flat_length / len(X))
    n_raw = int(raw["behaviors"].array.flat_length / len(raw))
    table = pd.DataFrame(
        {
            "applications a second": rate.round().astype(int),
            "behaviors per application": [n_behaviors, n_behaviors, n_raw],
        }
    )
    lines = [f"One thread, batches as the library cuts them, medians of {arguments.rounds} rounds."]
    report("scoring_bulk", "Scoring: many applications", lines, table, arguments.output)

    abstractor, sessionizer, classifier = (step for _, step in model.steps)
    rows = np.random.default_rng(0).integers(len(raw), size=arguments.singles)
    total, network, frames = [], [], []
    for row in rows:
        one = raw.iloc[[row]]
        started = time.perf_counter()
        model.predict_proba(one)
        total.append(time.perf_counter() - started)
        sessions = model[:-1].transform(one)
        data = classifier._encoder.dataset(sessions, classifier._encoder.read(sessions))
        started = time.perf_counter()
        with torch.inference_mode():
            classifier.net_.module_(data.__getitems__([0])[0])
        network.append(time.perf_counter() - started)
        # What each step does before and after its own work on flat arrays.
        abstracted = abstractor.transform(one)
        as_read = [step._read(X)[1] for step, X in ((abstractor, one), (sessionizer, abstracted))]
        started = time.perf_counter()
        for step, X, as_of in zip(
            (abstractor, sessionizer), (one, abstracted), as_read, strict=True
        ):
            frame, _ = step._read(X)
            step._with_events(frame, [as_of.behaviors])
        classifier._encoder.read(classifier._check_table(sessions, reset=False))
        frames.append(time.perf_counter() - started)
    parts = {
        "whole Pipeline": np.array(total),
        "the network in it": np.array(network),
        "all around the network": np.array(total) - np.array(network),
        "of that, frames and validation": np.array(frames),
    }
    table = pd.DataFrame(
        {
            name: {"p50, ms": np.median(values) * 1e3, "p99, ms": np.quantile(values, 0.99) * 1e3}
            for name, values in parts.items()
        }
    ).T
    lines = [f"{arguments.singles} applications, one `predict_proba` each, one thread."]
    report("scoring_one", "Scoring: one application", lines, table.round(2), arguments.output)


if __name__ == "__main__":
    main()
