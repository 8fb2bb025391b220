"""How much memory `Monitor` takes from Parquet, with few parts and with many.

Each part has applications with 100 events. The parts are written one by one, so all together need
never fit into memory. `fit` and `check` of each number of parts run in a process of their own,
which reports the most memory that it held (its peak resident set), above that of the process after
its imports. `frame` is `check` of the same rows read into memory as a whole, on the smallest number
of parts alone.

    python benchmarks/monitoring_memory.py
    python benchmarks/monitoring_memory.py --parts 2 8 --rows 500
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from measuring import megabytes

from skhuihen import Monitor
from skhuihen._tables.parquet import ParquetTable

EVENTS, OPERATIONS = 100, 400
STATUS = Path("/proc/self/status")


def write_part(path: Path, number: int, n: int) -> None:
    """Write applications of one month, their scores, labels and events."""
    rng = np.random.default_rng(number)
    month = np.datetime64("2024-01") + number % 12
    applied_at = month.astype("datetime64[us]") + rng.integers(0, 27 * 86_400, n).astype("m8[s]")
    before = np.sort(rng.integers(1, 90 * 86_400, (n, EVENTS)), axis=1)[:, ::-1]
    names = pa.array([f"operation_{i}" for i in range(OPERATIONS)])
    operations = names.take(pa.array(rng.integers(0, OPERATIONS, n * EVENTS)))
    events = pa.StructArray.from_arrays(
        [pa.array((applied_at[:, None] - before.astype("m8[s]")).ravel()), operations],
        names=["time", "operation"],
    )
    x = rng.normal(size=n)
    columns: dict[str, Any] = {
        "application_id": np.arange(n) + number * n,
        "applied_at": applied_at,
        "p": 1 / (1 + np.exp(1 - x)),
        "overdue": (rng.random(n) < 1 / (1 + np.exp(1 - x))).astype(int),
        **{f"number_{i}": rng.normal(size=n) for i in range(10)},
        "text": rng.choice(["a", "b", "c"], n),
        "behaviors": pa.ListArray.from_arrays(np.arange(n + 1) * EVENTS, events),
    }
    pq.write_table(pa.table(columns), path)


def child(way: str, folder: Path) -> None:
    """Run one way in this process; print its seconds and the memory that it took, in MB."""
    first = sorted(folder.glob("*.parquet"))[0]
    monitor = Monitor(n_behaviors=20).fit("p", first, "overdue")
    before, started = megabytes(STATUS, "VmHWM"), time.perf_counter()
    if way == "fit":
        Monitor(n_behaviors=20).fit("p", folder, "overdue")
    elif way == "check":
        monitor.check("p", folder, "overdue")
    else:
        rows: Any = ParquetTable(folder, "X").read()
        monitor.check("p", rows, "overdue")
    print(time.perf_counter() - started, megabytes(STATUS, "VmHWM") - before)


def run(way: str, folder: Path) -> tuple[float, float]:
    """Run one way in a process of its own; return its seconds and its memory in MB."""
    command = [sys.executable, __file__, "--child", way, str(folder)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise RuntimeError(f"{way}: {result.stderr}")
    seconds, memory = map(float, result.stdout.split())
    return seconds, memory


def main() -> None:
    """Print one row for each way and number of parts."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", type=int, nargs="+", default=[4, 16, 64])
    parser.add_argument("--rows", type=int, default=2_500, help="applications of a part")
    parser.add_argument("--child", nargs=2, metavar=("WAY", "FOLDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments.child[0], Path(arguments.child[1]))
        return
    print("memory is that above what `fit` on the first part took, in MB")
    print("parts  applications  million events     way  seconds  memory")
    parts = sorted(arguments.parts)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for n in parts:
            for number in range(len(list(folder.iterdir())), n):
                write_part(folder / f"{number:04d}.parquet", number, arguments.rows)
            for way in ["check", "fit", *(["frame"] if n == parts[0] else [])]:
                seconds, memory = run(way, folder)
                rows = n * arguments.rows
                events = rows * EVENTS / 1e6
                row = f"{n:5}  {rows:12,}  {events:14g}  {way:>6}  {seconds:7.1f}  {memory:6.0f}"
                print(row, flush=True)


if __name__ == "__main__":
    main()
