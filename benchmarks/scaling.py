"""How time and memory of every stage grow with the number of events, and with the caps.

Each size runs in a process of its own, so that no size inherits the memory of another.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
from matplotlib.figure import Figure
from measuring import peak_of, report
from workload import make_prepared, make_raw

from skhuihen import (
    BehaviorAbstractor,
    HUIHENClassifier,
    Sessionizer,
    WindowStatistics,
    attach_behaviors,
)
from skhuihen._events.behaviors import Behaviors

SIZES = (10_000, 100_000, 1_000_000, 10_000_000, 30_000_000)
CAPS = ((10, 25), (25, 25), (50, 25), (100, 25), (50, 5), (50, 10), (50, 50))


def measure_size(n_events: int) -> dict[str, dict[str, float]]:
    """Return seconds and MB of every stage."""
    X = make_raw(n_events)
    found: dict[str, dict[str, float]] = {}

    def stage(name: str, function: Callable[[], Any]) -> Any:
        result, seconds, rise = peak_of(function)
        found[name] = {"seconds": seconds, "MB": rise}
        return result

    applications = X.drop(columns="behaviors").assign(user_id=range(len(X)))
    tables = [applications, flatten(X)]
    stage("attach_behaviors", lambda: attach_behaviors(*tables))
    tables.clear()
    stage("WindowStatistics", lambda: WindowStatistics().fit_transform(X))
    X = stage("BehaviorAbstractor", lambda: BehaviorAbstractor().fit_transform(X))
    X = stage("Sessionizer", lambda: Sessionizer().fit_transform(X))
    y = (pd.Series(range(len(X))) % 5 == 0).astype(int)
    model = HUIHENClassifier(
        max_epochs=1, batch_size=256, n_estimators=1, teacher=None, random_state=0
    )
    stage("HUIHEN, one epoch", lambda: model.fit(X, y))
    stage("HUIHEN, scoring", lambda: model.predict_proba(X))
    return found


def flatten(X: pd.DataFrame) -> pa.Table:
    """Return one row per event, as a warehouse has them."""
    behaviors = Behaviors.from_column(X["behaviors"])
    return pa.table({**behaviors.fields, "user_id": pa.array(behaviors.rows)})


def measure_caps(n_applications: int) -> dict[str, dict[str, float]]:
    """Return seconds of an epoch and number of behaviors for several caps."""
    found = {}
    for max_sessions, max_behaviors in CAPS:
        X, y = make_prepared(n_applications, max_sessions=max_sessions, max_behaviors=max_behaviors)
        model = HUIHENClassifier(
            max_epochs=1, batch_size=256, n_estimators=1, teacher=None, random_state=0
        )
        seconds = float(model.fit(X, y).history_["dur"].sum())
        n_behaviors = int(X["behaviors"].array.flat_length)
        found[f"{max_sessions} sessions of {max_behaviors}"] = {
            "behaviors": n_behaviors,
            "seconds of an epoch": seconds,
            "microseconds per behavior": seconds / n_behaviors * 1e6,
        }
    return found


def plot(table: pd.DataFrame, path: Path) -> None:
    """Draw seconds and MB of every stage against the number of events."""
    figure = Figure(figsize=(11, 4.8), layout="constrained")
    for ax, what in zip(figure.subplots(1, 2), ("seconds", "MB"), strict=True):
        for name, rows in table.groupby("stage", sort=False):
            ax.plot(rows["events"], rows[what].clip(lower=1e-3), marker="o", label=name)
        largest = table[table["events"] == table["events"].max()]
        top = largest[what].max()
        ends = [table["events"].min(), table["events"].max()]
        line = [top * n / ends[1] for n in ends]
        ax.plot(ends, line, color="0.6", linestyle=":", label="linear growth")
        ax.set(xscale="log", yscale="log", xlabel="events", ylabel=what)
    ax.legend(fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def main() -> None:
    """Measure all sizes and caps, print tables and draw the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--applications", type=int, default=5000, help="for the caps")
    parser.add_argument("--output", default="demo_output", help="folder for tables and picture")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure_size(arguments.one)))
        return
    rows = []
    for size in arguments.sizes:
        command = [sys.executable, __file__, "--one", str(size)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        for name, values in json.loads(done.stdout.splitlines()[-1]).items():
            rows.append({"stage": name, "events": size, **values})
    table = pd.DataFrame(rows)
    plot(table, Path(arguments.output) / "scaling.png")
    table["events"] = [f"{n:,}" for n in table["events"]]
    seconds, megabytes = (
        table.pivot_table(what, "stage", "events", sort=False) for what in ("seconds", "MB")
    )
    lines = ["Seconds by number of events, one thread but for DuckDB's join; one run each."]
    report("scaling", "Scaling: time", lines, seconds.round(2), arguments.output)
    lines = ["MB that the memory rises while the stage runs, its result included."]
    report("scaling_memory", "Scaling: memory", lines, megabytes.round(0), arguments.output)
    caps = pd.DataFrame(measure_caps(arguments.applications)).T.round(2)
    lines = [f"{arguments.applications:,} applications."]
    report("scaling_caps", "Scaling: caps on sessions and behaviors", lines, caps, arguments.output)


if __name__ == "__main__":
    main()
