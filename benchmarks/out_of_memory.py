"""From Parquet to prepared Parquet, to a network and to scores, with more events than memory holds.

Beside it stands what is hardest to beat: DuckDB sorting the same events by user and time and
writing them, and, for the smallest size, what people write by hand with pandas. Each stage runs in
a process of its own; what it holds is read every tenth of a second, its child processes included
(pages that two of them share are counted twice). Writes ``docs/scale_measured.md``.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from join_memory import texts
from matplotlib.figure import Figure
from measuring import describe_machine, report

from skhuihen import (
    BehaviorAbstractor,
    HUIHENClassifier,
    Sessionizer,
    attach_behaviors,
    prepare_parquet,
    score_table,
)

FILE = 1_000_000
START = np.datetime64("2024-01-01", "us").astype(np.int64)
DAY = 86_400_000_000
DAYS = 180
N_JOBS = 2
SUBFIELDS = ["time", "operation", "item", "amount"]
HEAD = """\
# Scale, measured

Written by `make bench-scale` (`benchmarks/out_of_memory.py`); do not edit by hand.
[larger_than_memory.md](larger_than_memory.md) says how it is done.

{machine}
"""


# --------------------------------------------------------------------------------------------------
# A bank's log.


def simulate(folder: Path, n_events: int, per_application: int) -> None:
    """Write half a year of an app's log in order of time, and an application of 4 users in 5."""
    n_users = n_events // per_application
    (folder / "events").mkdir()
    names = np.array(
        [f"{kind}Page{i // 7}.widget{i % 7}" for kind in ("A", "B") for i in range(200)]
    )
    items = np.array([f"item-{i:04d}" for i in range(500)])
    n_files = -(-n_events // FILE)
    for number in range(n_files):
        random = np.random.default_rng([0, number])
        n = min(FILE, n_events - number * FILE)
        # Visits of some nine events, half a minute apart.
        first = np.append(True, random.random(n - 1) < 0.11)
        visit = np.cumsum(first) - 1
        start = (number + random.random(visit[-1] + 1)) * (DAYS * DAY / n_files)
        pause = np.where(first, 0, random.exponential(30e6, n)).cumsum()
        moment = START + (start[visit] + pause - pause[first][visit]).astype(np.int64)
        operation = random.zipf(1.3, n) % len(names)
        columns = {
            "user_id": random.integers(0, n_users, visit[-1] + 1)[visit],
            "time": moment.view("datetime64[us]"),
            "operation": texts(operation, names),
            "item": texts(random.integers(0, len(items), n), items, operation % 5 > 0),
            "amount": pa.array(random.lognormal(4, 1, n).round(2), mask=operation % 7 > 0),
        }
        table = pa.table(columns).take(pa.array(np.argsort(moment, kind="stable")))
        pq.write_table(table, folder / "events" / f"{number:04d}.parquet")
    random = np.random.default_rng(1)
    users = random.permutation(n_users)[: n_users * 4 // 5]
    n = len(users)
    applications = {
        "user_id": users,
        "applied_at": (START + ((90 + random.random(n) * 90) * DAY).astype(np.int64)).view(
            "M8[us]"
        ),
        **{f"user__{i}": random.normal(size=n) for i in range(15)},
        **{f"device__{i}": random.choice(["a", "b", "c"], n) for i in range(5)},
        "overdue": (random.random(n) < 0.05).astype(np.int64),
    }
    pq.write_table(pa.table(applications), folder / "applications.parquet")


# --------------------------------------------------------------------------------------------------
# The stages. Each reads from the folder and writes into it.


def attach(folder: Path) -> None:
    """Join, in partitions."""
    attach_behaviors(
        folder / "applications.parquet",
        folder / "events",
        output=folder / "attached",
        memory_limit="3GB",
    )


def prepare(folder: Path) -> None:
    """Learn the behaviors, then abstract and sessionize."""
    from sklearn.pipeline import make_pipeline

    steps = make_pipeline(BehaviorAbstractor().fit(folder / "attached"), Sessionizer())
    prepare_parquet(steps, folder / "attached", folder / "prepared", n_jobs=N_JOBS)


def train(folder: Path) -> None:
    """Train for one epoch."""
    import joblib

    model = HUIHENClassifier(max_epochs=1, n_estimators=1, batch_size=256, random_state=0)
    joblib.dump(model.fit(folder / "prepared", "overdue"), folder / "model.joblib")


def score(folder: Path) -> None:
    """Score all applications from prepared files."""
    import joblib

    model = joblib.load(folder / "model.joblib")
    names = pq.ParquetDataset(folder / "prepared").schema.names
    columns = [name for name in names if name != "overdue"]
    score_table(model, folder / "prepared", folder / "scores", columns=columns)


def sort_by_duckdb(folder: Path) -> None:
    """Sort the events by user and time, and write them."""
    import duckdb

    settings: dict = {
        "threads": 2,
        "memory_limit": "6GB",
        "temp_directory": str(folder / "spill"),
        "preserve_insertion_order": False,
    }
    with duckdb.connect(config=settings) as connection:
        connection.execute(
            f"COPY (SELECT * FROM '{folder}/events/*.parquet' ORDER BY user_id, time) "
            f"TO '{folder}/sorted.parquet'"
        )


def by_pandas(folder: Path) -> pd.DataFrame:
    """Attach the events as one would by hand."""
    applications = pd.read_parquet(folder / "applications.parquet")
    events = pd.read_parquet(folder / "events")
    pairs = applications[["user_id", "applied_at"]].merge(events, on="user_id")
    pairs = pairs[pairs["time"] < pairs["applied_at"]]
    pairs = pairs.sort_values(["user_id", *SUBFIELDS])
    return applications.join(pairs.groupby("user_id")[SUBFIELDS].agg(list), on="user_id")


def by_us(folder: Path) -> pd.DataFrame:
    """Attach the events to a frame."""
    return attach_behaviors(folder / "applications.parquet", folder / "events")


def compare(folder: Path) -> None:
    """Refuse to go on if the two ways to attach have different results."""
    ours = by_us(folder)
    flat = ours["behaviors"].array.list_array.combine_chunks()
    hand = by_pandas(folder)
    has_events = hand["time"].notna()
    np.testing.assert_array_equal(
        flat.value_lengths(), hand["time"].str.len().fillna(0).astype(int)
    )
    values = flat.flatten()
    for name in SUBFIELDS:
        by_hand = hand.loc[has_events, name].explode(ignore_index=True)
        found = values.field(name).to_pandas()
        if name == "time":
            by_hand = by_hand.astype("datetime64[us]")
        elif name == "amount":
            by_hand = by_hand.astype(float)
        assert (by_hand.eq(found) | (by_hand.isna() & found.isna())).all(), name


STAGES: dict[str, Callable[[Path], object]] = {
    "DuckDB, sort and write": sort_by_duckdb,
    "attach_behaviors": attach,
    "fit and prepare_parquet": prepare,
    "HUIHEN, one epoch": train,
    "HUIHEN, scoring": score,
}
ONCE: dict[str, Callable[[Path], object]] = {
    "pandas, by hand": by_pandas,
    "attach_behaviors, to a frame": by_us,
}
_OTHERS: dict[str, Callable[[Path], object]] = {"compare": compare}


# --------------------------------------------------------------------------------------------------
# Measuring.


def run(name: str, folder: Path) -> dict[str, float]:
    """Run a stage in a process of its own; return its seconds and the most MB that it held.

    And the seconds that processors worked for it, which also tell what a busy machine measured.
    """
    command = [sys.executable, __file__, "--stage", name, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        peak = 0.0
        while process.poll() is None:
            peak = max(peak, sum(map(resident, family(process.pid))))
            time.sleep(0.1)
        assert process.stdout is not None
        output = process.stdout.read()
    if process.returncode:
        raise RuntimeError(f"{name} failed.")
    return {**json.loads(output.splitlines()[-1]), "MB": peak}


def family(pid: int) -> list[int]:
    """Return a process and all that it started, as far as they still run."""
    pids = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            pids += [member for child in task.read_text().split() for member in family(int(child))]
        except OSError:
            continue
    return pids


def resident(pid: int) -> float:
    """Return the resident set of a process in MB; 0 if it is gone."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def plot(table: pd.DataFrame, path: Path) -> None:
    """Draw seconds and MB of every stage against the number of events."""
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    for ax, what in zip(figure.subplots(1, 2), ("seconds", "MB"), strict=True):
        for name, rows in table.groupby("stage", sort=False):
            ax.plot(rows["millions"], rows[what], marker="o", label=name)
        ax.set(xlabel="million events", ylabel=what, ylim=(0, None))
        ax.grid(alpha=0.3)
    ax.legend(fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def measure(millions: float, per_application: int, work: str | None, small: bool) -> list[dict]:
    """Run all stages on one size."""
    rows = []
    with tempfile.TemporaryDirectory(dir=work) as name:
        folder = Path(name)
        simulate(folder, int(millions * 1e6), per_application)
        if small:
            run("compare", folder)
        for stage in [*(ONCE if small else ()), *STAGES]:
            rows.append({"stage": stage, "millions": millions, **run(stage, folder)})
            print(f"{millions:g} million events, {stage}: {rows[-1]}", flush=True)
            shutil.rmtree(folder / "spill", ignore_errors=True)
            (folder / "sorted.parquet").unlink(missing_ok=True)
            if stage == "fit and prepare_parquet":
                shutil.rmtree(folder / "attached")
        rows[-1]["applications"] = pq.read_metadata(folder / "applications.parquet").num_rows
    return rows


def main() -> None:
    """Measure all sizes, print tables, draw the picture and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--millions", type=float, nargs="+", default=[10, 30, 100])
    parser.add_argument("--per-application", type=int, default=267, help="events of a user")
    parser.add_argument("--work", help="folder for the files; 100 million events need 30 GB")
    parser.add_argument("--output", type=Path, default=Path("docs"))
    parser.add_argument("--tables", type=Path, default=Path("demo_output/benchmarks"))
    parser.add_argument("--stage", nargs=2, metavar=("STAGE", "FOLDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.stage:
        name, folder = arguments.stage
        started = time.perf_counter()
        (STAGES | ONCE | _OTHERS)[name](Path(folder))
        seconds = time.perf_counter() - started
        used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        processor = sum(usage.ru_utime + usage.ru_stime for usage in used)
        print(json.dumps({"seconds": seconds, "processor seconds": processor}))
        return
    sizes = sorted(arguments.millions)
    rows = []
    for millions in sizes:
        small = millions == sizes[0]
        rows += measure(millions, arguments.per_application, arguments.work, small)
    table = pd.DataFrame(rows)
    write(table, sizes, arguments.output, arguments.tables)


def write(table: pd.DataFrame, sizes: list[float], output: Path, tables: Path) -> None:
    """Write tables, the picture and the page."""
    wide = {
        what: table.pivot_table(what, "stage", "millions", sort=False) for what in ("seconds", "MB")
    }
    seconds, memory = wide["seconds"], wide["MB"]
    path = seconds.loc[["attach_behaviors", "fit and prepare_parquet"]].sum()
    ratio = path / seconds.loc["DuckDB, sort and write"]
    by_hand = seconds.loc["pandas, by hand"] / seconds.loc["attach_behaviors, to a frame"]
    n = table["applications"].max()
    rate = n / seconds.loc["HUIHEN, scoring", sizes[-1]]
    lines = [
        "Seconds by number of events in millions, two cores; one run each. From Parquet to "
        "prepared Parquet (attach_behaviors, fit and prepare_parquet) takes "
        f"{', '.join(f'{value:.1f}' for value in ratio)} times what DuckDB takes to sort the same "
        f"events by user and time and to write them. At {sizes[0]:g} million, what people write by "
        "hand with pandas (merge, filter, sort, group; the same result, which is checked) takes "
        f"{by_hand[sizes[0]]:.1f} times as long as attach_behaviors. At {sizes[-1]:g} million, "
        f"{n:,.0f} applications are scored from prepared Parquet, {rate:,.0f} a second.",
    ]
    report("scale", "Time", lines, seconds.round(1), str(tables))
    path = memory.loc[["attach_behaviors", "fit and prepare_parquet"]].max()
    lines = [
        "The most MB that a stage holds, with all its processes. From Parquet to prepared Parquet "
        f"it is {', '.join(f'{value:,.0f}' for value in path)} at most.",
    ]
    report("scale_memory", "Memory", lines, memory.round(0), str(tables))
    plot(table, output / "images" / "scale.png")
    parts = [HEAD.format(machine=describe_machine())]
    parts += [(tables / f"{name}.md").read_text() for name in ("scale", "scale_memory")]
    parts.append("![Time and memory against the number of events](images/scale.png)\n")
    (output / "scale_measured.md").write_text("\n".join(parts))
    print(f"\nWrote {output / 'scale_measured.md'}")


if __name__ == "__main__":
    main()
