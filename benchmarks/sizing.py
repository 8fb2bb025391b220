"""What a month of events takes, from the figures of docs/speed.md; the table in docs/scale.md.

    python benchmarks/sizing.py                     writes the table of a billion events
    python benchmarks/sizing.py --events 2e8 ...    prints the table of your own bank

It divides and multiplies what `make bench` has measured on one machine, and assumes that twice the
events take twice the time, as they do there from a million on.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

DOCS = Path(__file__).resolve().parents[1] / "docs"
MARK = "<!-- written by benchmarks/sizing.py -->\n"


def number(text: str) -> float:
    """Read a number as the tables print it."""
    return float(text.replace(",", ""))


def section_of(page: str, title: str) -> str:
    """Return the part of a page below a title."""
    return page.split(f"## {title}\n")[1].split("\n## ")[0]


def row_of(section: str, label: str) -> list[float]:
    """Return the numbers of the row with this label."""
    (line,) = re.findall(rf"^\| {re.escape(label)} \|(.*)\|$", section, re.MULTILINE)
    return [number(cell) for cell in line.split("|") if cell.strip()]


def duration(seconds: float) -> str:
    """Write seconds in the unit that a reader would choose."""
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"


def table(page: str, events: float, applications: float, history: float, epochs: int) -> str:
    """Return the arithmetic as a table, from the page of figures."""
    times = section_of(page, "Scaling: time")
    measured_events = row_of(times, "")[-1]
    join_seconds = row_of(times, "attach_behaviors")[-1]
    preparation = section_of(page, "Preparation: raw events to sessions")
    (megabytes,) = re.findall(r"arrays of the events take ([\d,]+) MB", preparation)
    prepared = row_of(preparation, "BehaviorAbstractor + Sessionizer")
    scored, per_application = row_of(
        section_of(page, "Scoring: many applications"), "whole Pipeline, from raw events"
    )
    training = section_of(page, "Training: one epoch")
    (trained,) = re.findall(r"([\d,]+) behaviors;", training)
    epoch_seconds = row_of(training, "HUIHEN")[1]

    pairs = applications * history
    size = number(megabytes) / prepared[2] * 1e6
    epoch = pairs / (number(trained) / epoch_seconds)
    lines = [
        (
            "the events, uncompressed in Arrow",
            f"{events:,.0f} events x {size:.1f} bytes",
            f"{events * size / 1e9:.0f} GB",
            f"{megabytes} MB for {prepared[2]:,.0f} events",
        ),
        (
            "the events that applications use",
            f"{applications:,.0f} applications x {history:,.0f} events",
            f"{pairs / 1e6:,.0f} million, {pairs * size / 1e9:.1f} GB",
            "the same",
        ),
        (
            "`attach_behaviors`, DuckDB on two cores",
            f"{events:,.0f} / ({measured_events:,.0f} / {join_seconds} s)",
            duration(events / (measured_events / join_seconds)),
            "Scaling: time, attach_behaviors",
        ),
        (
            "`BehaviorAbstractor`, `Sessionizer`, one thread",
            f"{pairs:,.0f} / ({prepared[0]} million a second)",
            duration(pairs / (prepared[0] * 1e6)),
            "Preparation, BehaviorAbstractor + Sessionizer",
        ),
        (
            f"`fit`, {epochs} epochs, one thread",
            f"{epochs} x {pairs:,.0f} / ({trained} / {epoch_seconds} s)",
            duration(epochs * epoch),
            "Training, HUIHEN",
        ),
        (
            "`predict_proba` of the Pipeline, as `score_table` calls it, one thread",
            f"{pairs:,.0f} / ({scored:,.0f} x {per_application:,.0f} a second)",
            duration(pairs / (scored * per_application)),
            "Scoring: many applications, whole Pipeline",
        ),
    ]
    head = ["| what | arithmetic | result | measured in [speed.md](speed.md) |"]
    return "\n".join([*head, "|---|---|---|---|", *(f"| {' | '.join(line)} |" for line in lines)])


def main() -> None:
    """Write or print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=float, default=1e9, help="events of a month")
    parser.add_argument("--applications", type=float, default=3e5, help="applications of a month")
    parser.add_argument("--history", type=float, default=211, help="events of an application")
    parser.add_argument("--epochs", type=int, default=50)
    arguments = vars(parser.parse_args())
    text = table((DOCS / "speed.md").read_text(), **arguments)
    if arguments == vars(parser.parse_args([])):
        page = DOCS / "scale.md"
        before, _, after = page.read_text().split(MARK)
        page.write_text(f"{before}{MARK}{text}\n{MARK}{after}")
    print(text)


if __name__ == "__main__":
    main()
