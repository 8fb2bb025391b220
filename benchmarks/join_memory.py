"""How much memory and time `attach_behaviors` takes from Parquet, with partitions and without.

Events are simulated file by file, so that they need never fit into memory. Each way runs in a
process of its own, which reports the most memory that it held (its peak resident set). "pandas" is
what one would write by hand: merge, filter, sort, and group into lists; it runs on the smallest
size alone. Times wander between runs and machines; compare ratios inside one run.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from skhuihen import attach_behaviors

FILE = 1_000_000
START = np.datetime64("2024-01-01", "us")
DAY = np.timedelta64(86_400_000_000, "us")


def simulate(folder: Path, n_events: int, per_user: int) -> None:
    """Write the events of half a year, and an application of four users in five."""
    n_users = n_events // per_user
    (folder / "events").mkdir(parents=True)
    operations = np.array([f"{kind}_page_{i}" for kind in ("fund", "loan") for i in range(200)])
    items = np.array([f"item-{i:05d}" for i in range(5000)])
    for number, start in enumerate(range(0, n_events, FILE)):
        random = np.random.default_rng([0, number])
        n = min(FILE, n_events - start)
        columns = {
            "user_id": random.integers(0, n_users, n),
            "time": START + random.random(n) * 180 * DAY,
            "operation": texts(random.integers(0, len(operations), n), operations),
            "item": texts(random.integers(0, len(items), n), items, random.random(n) < 0.6),
            "amount": pa.array(random.lognormal(4, 1, n), mask=random.random(n) < 0.7),
        }
        pq.write_table(pa.table(columns), folder / "events" / f"{number:04d}.parquet")
    random = np.random.default_rng(1)
    users = random.permutation(n_users)[: n_users * 4 // 5]
    applied_at = START + (90 + random.random(len(users)) * 90) * DAY
    applications = pa.table({"user_id": users, "applied_at": applied_at})
    pq.write_table(applications, folder / "applications.parquet")


def texts(codes: np.ndarray, names: np.ndarray, missing: np.ndarray | None = None) -> pa.Array:
    """Look names up."""
    indices = pa.array(codes.astype("int32"), mask=missing)
    return pa.DictionaryArray.from_arrays(indices, pa.array(names)).cast(pa.string())


def by_pandas(folder: Path) -> pd.DataFrame:
    """Attach the events as one would by hand."""
    applications = pd.read_parquet(folder / "applications.parquet")
    events = pd.read_parquet(folder / "events")
    pairs = applications.merge(events, on="user_id")
    pairs = pairs[pairs["time"] < pairs["applied_at"]]
    pairs = pairs.sort_values(["user_id", "time", "operation", "item", "amount"])
    columns = ["time", "operation", "item", "amount"]
    return applications.join(pairs.groupby("user_id")[columns].agg(list), on="user_id")


def child(way: str, folder: Path) -> None:
    """Run one way in this process; print its seconds and its peak memory in MB."""
    started = time.perf_counter()
    if way.startswith("simulate"):
        simulate(folder, *map(int, way.split()[1:]))
    elif way == "pandas":
        by_pandas(folder)
    elif way != "nothing":
        target, n_partitions, memory_limit = way.split()
        attach_behaviors(
            folder / "applications.parquet",
            folder / "events",
            output=None if target == "frame" else folder / "output",
            n_partitions=None if n_partitions == "auto" else int(n_partitions),
            memory_limit=None if memory_limit == "-" else memory_limit,
        )
    seconds = time.perf_counter() - started
    unit = 2**20 if sys.platform == "darwin" else 2**10
    print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit)


def run(way: str, folder: Path) -> tuple[float, float]:
    """Run one way in a process of its own; return its seconds and its peak memory in MB."""
    command = [sys.executable, __file__, "--child", way, str(folder)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise RuntimeError(f"{way}: {result.stderr}")
    seconds, peak = map(float, result.stdout.split())
    return seconds, peak


def main() -> None:
    """Print one row for each way and size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--millions", type=float, nargs="+", default=[5, 10, 20])
    parser.add_argument("--per-user", type=int, default=250, help="events of a user, on average")
    parser.add_argument("--memory-limit", default="500MB")
    parser.add_argument("--child", nargs=2, metavar=("WAY", "FOLDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments.child[0], Path(arguments.child[1]))
        return
    limit = arguments.memory_limit
    ways = ["frame 1 -", f"frame auto {limit}", "folder 1 -", f"folder auto {limit}"]
    print("million events  to, partitions, limit  parts  seconds  peak MB")
    for millions in (sizes := sorted(arguments.millions)):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            # In a process too: a child's peak begins at what its parent held when it started it.
            run(f"simulate {int(millions * 1e6)} {arguments.per_user}", folder)
            for way in ["nothing", *(["pandas"] if millions == sizes[0] else []), *ways]:
                seconds, peak = run(way, folder)
                output = folder / "output"
                parts = list(output.iterdir()) if output.exists() else []
                for part in parts:
                    part.unlink()
                if parts:
                    output.rmdir()
                n_parts = str(len(parts) or "")
                row = f"{millions:14g}  {way:>21}  {n_parts:>5}  {seconds:7.1f}  {peak:7.0f}"
                print(row, flush=True)


if __name__ == "__main__":
    main()
