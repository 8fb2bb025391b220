"""Run all benchmarks, one after the other, and write ``docs/speed.md`` from what they print.

``--quick`` runs small sizes, to see that everything works; its figures mean nothing. ``--only``
runs some scripts and takes the tables of the others from the last run.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
DOCS = HERE.parent / "docs"
#: Script, its arguments, those of a quick run, and the tables that it makes.
RUNS = [
    (
        "training.py",
        [],
        ["--applications", "80", "--rounds", "1", "--padded-batches", "1"],
        ["training"],
    ),
    (
        "compiled.py",
        [],
        ["--applications", "120", "--rounds", "1"],
        ["compiled"],
    ),
    ("preparation.py", [], ["--events", "20000", "--rounds", "1"], ["preparation"]),
    (
        "scoring.py",
        [],
        ["--applications", "200", "--rounds", "1", "--singles", "5"],
        ["scoring_bulk", "scoring_one"],
    ),
    ("online.py", [], ["--applications", "100", "--calls", "5"], ["online"]),
    ("online_memory.py", [], ["--calls", "100"], ["online_memory"]),
    (
        "cross_validation.py",
        [],
        ["--applications", "120", "--epochs", "1", "--networks", "1", "--rounds", "1"],
        ["cross_validation"],
    ),
    (
        "fitting.py",
        [],
        ["--applications", "120", "--epochs", "1", "--only", "large"],
        ["fitting"],
    ),
    (
        "scaling.py",
        [],
        ["--sizes", "2000", "4000", "--applications", "50"],
        ["scaling", "scaling_memory", "scaling_caps"],
    ),
]
HEAD = """\
# Speed

Written by `make bench` (`benchmarks/run.py`); do not edit by hand. Absolute times wander
between runs and machines; compare ratios inside one run. `benchmarks/gpu.py` runs the
contenders on a GPU, where there is one; no figures from one stand here yet. Below each table is
the machine that it was measured on.
"""


def main() -> None:
    """Run, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--output", type=Path, default=DOCS, help="folder for speed.md")
    scripts = [script for script, *_ in RUNS]
    parser.add_argument("--only", nargs="+", choices=scripts, help="of the others, the last run")
    parser.add_argument("--tables", type=Path, default=Path("demo_output/benchmarks"))
    arguments = parser.parse_args()
    parts = [HEAD]
    for script, full, quick, tables in RUNS:
        if arguments.only is None or script in arguments.only:
            chosen = quick if arguments.quick else full
            command = [sys.executable, str(HERE / script), *chosen]
            command += ["--output", str(arguments.tables)]
            subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
        parts += [(arguments.tables / f"{table}.md").read_text() for table in tables]
    images = arguments.output / "images"
    images.mkdir(parents=True, exist_ok=True)
    (images / "scaling.png").write_bytes((arguments.tables / "scaling.png").read_bytes())
    parts.append("![Time and memory against the number of events](images/scaling.png)\n")
    (arguments.output / "speed.md").write_text("\n".join(parts))
    print(f"\nWrote {arguments.output / 'speed.md'}")


if __name__ == "__main__":
    main()
