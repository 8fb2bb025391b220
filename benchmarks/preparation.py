"""How fast raw events become sessions of behaviors, beside pandas and skrub."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
from measuring import interleaved, peak_of, report, seconds
from workload import make_raw

from skhuihen import BehaviorAbstractor, BehaviorTopics, Sessionizer
from skhuihen._events.behaviors import Behaviors

OURS, STEPS = "BehaviorAbstractor + Sessionizer", "the same, fitting included"
GROUPBY, SMALL = "pandas groupby-apply, part of the events", "ours, the same part"
TOPICS = "BehaviorTopics behind BehaviorAbstractor, fitting included"
SKRUB, SESSIONS = "skrub SessionEncoder", "Sessionizer, session numbers of the same events"


def flatten(X: pd.DataFrame) -> pd.DataFrame:
    """Return one row per event."""
    behaviors = Behaviors.from_column(X["behaviors"])
    flat = pd.DataFrame({name: values.to_pandas() for name, values in behaviors.fields.items()})
    return flat.assign(application=behaviors.rows)


def by_groupby(flat: pd.DataFrame, tokens: dict[str, tuple[str, str]]) -> pd.DataFrame:
    """Abstract and sessionize as people write it by hand: a function for each application."""
    field = flat["operation"].map(lambda operation: tokens[operation][0])
    behavior = flat["operation"].map(lambda operation: tokens[operation][1])

    def cut(events: pd.DataFrame) -> pd.DataFrame:
        events = events.sort_values("time", kind="stable")
        events["session"] = (events["time"].diff() > pd.Timedelta("1h")).cumsum()
        length = events.groupby("session")["session"].transform("size")
        events = events[length >= 3]
        latest = events["session"].unique()[-50:]
        events = events[events["session"].isin(latest)].groupby("session").tail(25)
        events["session"] = pd.factorize(events["session"])[0]
        interval = events.groupby("session")["time"].diff().dt.total_seconds().fillna(0)
        days = events["time"].dt
        return events.assign(interval=interval, weekday=days.day_of_week, monthday=days.day)

    table = flat.assign(field=field, behavior=behavior)
    return table.groupby("application", group_keys=False)[list(table.columns)].apply(cut)


def memory(n_events: int) -> None:
    """Print the MB of the events, of the result, and of the rise while the two steps run."""
    X = make_raw(n_events)
    abstractor, sessionizer = BehaviorAbstractor().fit(X), Sessionizer()
    result, _, rise = peak_of(lambda: sessionizer.transform(abstractor.transform(X)))
    for table in (X, result):
        fields = Behaviors.from_column(table["behaviors"]).fields
        print(sum(array.nbytes for array in fields.values()) / 2**20)
    print(rise)


def memory_by_allocator(n_events: int) -> dict[str, list[float]]:
    """Return what `memory` prints, with each of Arrow's allocators."""
    command = [sys.executable, __file__, "--memory", "--events", str(n_events)]
    found = {}
    for name in pa.supported_memory_backends():
        environment = {**os.environ, "ARROW_DEFAULT_MEMORY_POOL": name}
        done = subprocess.run(
            command, check=True, env=environment, stdout=subprocess.PIPE, text=True
        )
        found[name] = [float(line) for line in done.stdout.split()]
    return found


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", help="folder for the table")
    parser.add_argument("--memory", action="store_true", help="measure memory alone")
    arguments = parser.parse_args()
    if arguments.memory:
        memory(arguments.events)
        return
    try:
        from skrub import SessionEncoder
    except ImportError:
        SessionEncoder = None

    X = make_raw(arguments.events)
    n_events = Behaviors.from_column(X["behaviors"]).n_events
    abstractor, sessionizer = BehaviorAbstractor().fit(X), Sessionizer()
    small = X.head(max(1, len(X) // 50))
    small_flat = flatten(small)
    tokens = {}
    learned = flatten(abstractor.transform(X.head(len(X) // 10)))
    for row in learned.drop_duplicates("operation").itertuples():
        tokens[row.operation] = row.field, row.behavior
    for operation in small_flat["operation"].unique():
        tokens.setdefault(operation, ("function_widget", "function_widget:other"))
    n_small = len(small_flat)

    def ours(X: pd.DataFrame) -> pd.DataFrame:
        return sessionizer.fit(X).transform(abstractor.transform(X))

    by_hand, of_ours = by_groupby(small_flat, tokens), flatten(ours(small))
    for name in ("time", "session", "interval", "weekday", "monthday"):
        np.testing.assert_allclose(
            by_hand[name].to_numpy().astype(float), of_ours[name].to_numpy().astype(float)
        )
    abstracted = abstractor.transform(X)
    contenders = {
        OURS: lambda: seconds(lambda: sessionizer.transform(abstractor.transform(X))),
        STEPS: lambda: seconds(
            lambda: Sessionizer().fit_transform(BehaviorAbstractor().fit_transform(X))
        ),
        TOPICS: lambda: seconds(
            lambda: BehaviorTopics(group_by="behavior").fit_transform(abstracted)
        ),
        SMALL: lambda: seconds(lambda: sessionizer.transform(abstractor.transform(small))),
        GROUPBY: lambda: seconds(lambda: by_groupby(small_flat, tokens)),
    }
    events_of = dict.fromkeys([OURS, STEPS, TOPICS], n_events) | dict.fromkeys(
        [SMALL, GROUPBY], n_small
    )
    if SessionEncoder is not None:
        alone = X[["applied_at", "behaviors"]].head(len(X) // 10)
        flat = flatten(alone)[["application", "time"]]
        encoder = SessionEncoder("time", split_by="application", session_gap=3600)
        every = Sessionizer(min_behaviors=1, max_sessions=None, max_behaviors=None)
        contenders[SKRUB] = lambda: seconds(lambda: encoder.fit_transform(flat))
        contenders[SESSIONS] = lambda: seconds(lambda: every.fit_transform(alone))
        events_of[SKRUB] = events_of[SESSIONS] = len(flat)
    medians = interleaved(contenders, arguments.rounds)
    events = pd.Series(events_of)
    table = pd.DataFrame(
        {
            "million events a second": (events / medians / 1e6).round(2),
            "seconds": medians.round(3),
            "events": [f"{n:,}" for n in events],
        }
    )
    by_allocator = memory_by_allocator(arguments.events)
    default = pa.default_memory_pool().backend_name
    before, behind, _ = by_allocator[default]
    rises = ", ".join(
        f"{rise:,.0f} MB with {name} ({rise / before:.1f} times the former)"
        for name, (*_, rise) in by_allocator.items()
    )
    lines = [
        f"One thread, medians of {arguments.rounds} rounds. Ours is "
        f"{medians[GROUPBY] / medians[SMALL]:.0f} times as fast as groupby-apply of the same "
        "result"
        + (
            f", and its sessions {medians[SKRUB] / medians[SESSIONS]:.1f} times as fast as skrub's."
            if SessionEncoder is not None
            else "; skrub is not installed."
        ),
        f"The flat arrays of the events take {before:,.0f} MB, those of the result "
        f"{behind:,.0f} MB. At the peak of the two steps memory rises, the result included, by "
        f"{rises}. ARROW_DEFAULT_MEMORY_POOL chooses Arrow's allocator; by default here it is "
        f"{default}.",
    ]
    report("preparation", "Preparation: raw events to sessions", lines, table, arguments.output)


if __name__ == "__main__":
    main()
