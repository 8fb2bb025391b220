"""Measure all tables and figures of the paper, and write the page of the evidence.

Existing results are not measured again, so an interrupted run continues where it stopped. Two
processes can use the same folder of results at the same time for different data sets:

    python evidence/run.py --data bank_a &
    python evidence/run.py --data bank_b
    python evidence/run.py --small
    python evidence/run.py --results another_run --docs another_run/page

Public data must be in the folder that the environment variable ``SKHUIHEN_DATA`` names. If they are
missing, the page says that they were not measured.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import figure6
import page
import planted
import table6
from contenders import BASELINES, LEFT_OUT, ONE_NETWORK
from mechanisms import PART, TREES
from tables import NAMES, REFERENCE

BANK = "--n-settings 1 --batch-size 256 --patience 8 --n-epochs 60"
LENDER = "--n-settings 1"
UCI = "--n-settings 1 --batch-size 256 --patience 10"
MECHANISM = "--n-settings 1 --batch-size 128 --n-epochs 100"
FEW = "--n-settings 1 --folds 5 --repetitions 2"
#: The settings for each data set at full size; the page prints them with each table.
PRESETS = {
    "bank_a": BANK,
    "bank_b": BANK,
    "bank_a_quarter": BANK.replace("256", "128"),
    **dict.fromkeys(["bank_a_small", "bank_b_small"], FEW),
    "superlender": LENDER + " --repetitions 1",
    "bpic2012": LENDER + " --repetitions 1",
    "uci": UCI + " --repetitions 1",
    "uci_flat": UCI + " --repetitions 1",
    **dict.fromkeys(PART, MECHANISM),
}
#: Contenders for more repetitions, because the lenders' data are small, and their reference.
REPEATED = [REFERENCE, "HUIHEN, no mean intention", "HUIHEN, the paper's form"]
REPEATED += ["HUIHEN, topics", "HUIHEN, guided", *BASELINES]
REPEATED += [name for name in LEFT_OUT if "HUIHEN" not in name and "old" not in name]
THREE_TIMES = {
    name: f"{LENDER} --repetitions 3 --contenders".split() + REPEATED
    for name in ("superlender", "bpic2012")
}
#: The forms that use an expert's trees, which are the best other model there.
THREE_TIMES["superlender"] += ["HUIHEN, five guided by and on 150 trees of an expert"]
#: All rows are used, so the default of ten repetitions would take hours.
TABLE_6 = "--repetitions 5"
#: Figure 6 is for one bank, and has no held-out rows.
FIGURE_6 = {"bank_a": "--rows 8000 --batch-size 256 --patience 8 --n-epochs 60"}
#: A few contenders and the first data set of each table are enough to show that the command works.
SMALL = [
    *("HUIHEN", "HUIHEN, no field-aware matrices", "HUIHEN, original operations"),
    *("HUIHEN, 3 behaviors of a session", "HUIHEN, 5 sessions", *dict.fromkeys(PART.values())),
    *("LightGBM, profile", TREES, ONE_NETWORK),
]

Main = Callable[[Sequence[str]], None]


def steps(small: bool) -> list[tuple[str, str, Main, list[str]]]:
    """Return table or figure, data set, command and arguments of everything to measure."""
    every: list[tuple[str, str, Main, list[str]]] = []
    for name in NAMES:
        for table in page.TABLES:
            if name in table.contenders:
                arguments = PRESETS[name].split()
                if small:
                    if name != next(iter(table.contenders)):
                        continue
                    chosen = [one for one in table.contenders[name] if one in SMALL]
                    arguments = ["--small", "--contenders", *chosen]
                every.append((table.name, name, table.main, arguments))
                if name in THREE_TIMES and not small:
                    every.append((table.name, name, table.main, THREE_TIMES[name]))
        if name in planted.BANKS:
            every.append(("planted", name, planted.main, []))
        if name in table6.PAPER.index and (name == "bank_b" or not small):
            every.append(("table6", name, table6.main, ["--small"] if small else TABLE_6.split()))
        if name in FIGURE_6:
            arguments = ["--small"] if small else FIGURE_6[name].split()
            every.append(("figure6", name, figure6.main, arguments))
    return every


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the selected results that are missing, and write the page."""
    parts = [table.name for table in page.TABLES] + ["planted", "table6", "figure6"]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--results", type=Path, help="folder of the results; default: docs/evidence")
    add(
        "--docs",
        type=Path,
        help="folder for the pages; default: docs, or the folder of the results",
    )
    add("--parts", nargs="+", choices=parts, default=parts, metavar="PART", help=", ".join(parts))
    names = list(NAMES)
    add("--data", nargs="+", choices=names, default=names, metavar="DATA", help=", ".join(names))
    add(
        "--small",
        action="store_true",
        help="sizes that only show that the command works, in a minute",
    )
    parsed = parser.parse_args(arguments)
    results = parsed.results
    if results is None:
        results = Path("demo_output/evidence") if parsed.small else page.DOCS / "evidence"
    docs = parsed.docs
    if docs is None:
        docs = page.DOCS if results == page.DOCS / "evidence" else results
    for part, name, measure, options in steps(parsed.small):
        if part in parsed.parts and name in parsed.data:
            print(f"\n{part}, {NAMES[name]}")
            try:
                measure([*options, "--data", name, "--output", str(results)])
            except FileNotFoundError as error:
                print(f"Not measured: {error}")
    page.write(results, docs)
    print(f"\nWrote {docs / 'evidence.md'} and {docs / 'evidence_tables.md'}")


if __name__ == "__main__":
    main()
