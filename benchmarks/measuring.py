"""What the benchmarks measure with."""

from __future__ import annotations

import ctypes
import gc
import os
import platform
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa


def seconds(function: Callable[[], Any]) -> float:
    """Return how long a call takes."""
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def interleaved(contenders: dict[str, Callable[[], float]], rounds: int) -> pd.Series:
    """Run all contenders round by round, so that what slows the machine slows them all.

    Each returns its own seconds; the medians come back.
    """
    times = [{name: run() for name, run in contenders.items()} for _ in range(rounds)]
    return pd.DataFrame(times).median()


def peak_memory(function: Callable[[], Any]) -> float:
    """Return by how many MB memory rises while a function runs, at its second call."""
    function()  # what is allocated once and kept is not counted
    return peak_of(function)[2]


def peak_of(function: Callable[[], Any]) -> tuple[Any, float, float]:
    """Return the result, the seconds, and by how many MB the memory rises (NaN off Linux)."""
    status = Path("/proc/self/status")
    before = float("nan")
    if status.exists():
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)  # what is free but kept for later would hide the rise
        pa.default_memory_pool().release_unused()
        Path("/proc/self/clear_refs").write_text("5")
        before = megabytes(status, "VmRSS")
    started = time.perf_counter()
    result = function()
    elapsed = time.perf_counter() - started
    return result, elapsed, megabytes(status, "VmHWM") - before if status.exists() else before


def megabytes(status: Path, name: str) -> float:
    """Return a figure of the process from Linux."""
    (line,) = [line for line in status.read_text().splitlines() if line.startswith(name)]
    return int(line.split()[1]) / 1024


def describe_machine() -> str:
    """Name the processor and the versions that the figures depend on."""
    processor = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                processor = line.split(":")[1].strip()
                break
    packages = ("torch", "pyarrow", "pandas", "nested-pandas", "scikit-learn", "lightgbm")
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    return f"{processor}, {os.cpu_count()} cores; Python {platform.python_version()}, {versions}"


def report(
    name: str, title: str, lines: list[str], table: pd.DataFrame, folder: str | None
) -> None:
    """Print a table, and save it as CSV and Markdown where a folder is named."""
    print(f"\n{title}\n", *lines, table.to_string(), sep="\n")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        table.to_csv(Path(folder) / f"{name}.csv")
        text = "\n\n".join([f"## {title}", *lines, _markdown(table), describe_machine()])
        (Path(folder) / f"{name}.md").write_text(text + "\n")


def _markdown(table: pd.DataFrame) -> str:
    rows = [["", *map(str, table.columns)], ["---"] * (len(table.columns) + 1)]
    for index, row in zip(table.index, table.to_numpy(object), strict=True):
        cells = [
            "" if pd.isna(cell) else f"{cell:,}" if isinstance(cell, int) else str(cell)
            for cell in row
        ]
        rows.append([str(index), *cells])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
