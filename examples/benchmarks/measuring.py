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

import numpy as np
import pandas as pd


def seconds(function: Callable[[], Any], rounds: int = 1) -> float:
    """Return the median time of some calls."""
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        function()
        times.append(time.perf_counter() - started)
    return float(np.median(times))


def peak_memory(function: Callable[[], Any]) -> float:
    """Return by how many MB the memory of the process rises while a function runs (Linux)."""
    status = Path("/proc/self/status")
    if not status.exists():
        return float("nan")
    function()  # what is allocated once and kept is not counted
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # what is free but kept for later would hide the rise
    Path("/proc/self/clear_refs").write_text("5")
    before = _megabytes(status, "VmRSS")
    function()
    return _megabytes(status, "VmHWM") - before


def _megabytes(status: Path, name: str) -> float:
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


def save_table(table: pd.DataFrame, folder: str | None, name: str) -> None:
    """Save a table as CSV where a folder is named."""
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        table.to_csv(Path(folder) / f"{name}.csv")
