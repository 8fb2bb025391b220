"""How often Monitor's alarms are false, and after how many months they notice a planted change.

    python benchmarks/monitoring.py
    python benchmarks/monitoring.py --repetitions 2000 --output docs/monitoring_measured.md

Months are drawn as counts, so that thousands of years of months take minutes. Each bank has a
score, ten numbers, ten categories and labels, a reference of 5,000 applications and 36 months.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats
from scipy.special import expit

from skhuihen import Monitor
from skhuihen.monitoring._bins import CategoryBins, NumberBins, count_texts
from skhuihen.monitoring._months import Month, Reference, alarms_of
from skhuihen.monitoring._scores import N_CELLS, cells_of

N_REFERENCE, N_MONTHS, N_NUMBERS, N_CATEGORIES = 5_000, 36, 10, 10
SHARES = np.array([0.5, 0.2, 0.12, 0.08, 0.05, 0.03, 0.02])
NAMES = list("abcdefg")
INTERCEPT, SPREAD = -1.6, 1.0


class Bank:
    """A reference, and months drawn after it."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.bins: dict = {}
        z = rng.normal(0, SPREAD, N_REFERENCE)
        self.bins["score", "score"] = NumberBins.learn(z, 10)
        for i in range(N_NUMBERS):
            self.bins["column", f"number {i}"] = NumberBins.learn(rng.normal(size=N_REFERENCE), 10)
        for i in range(N_CATEGORIES):
            drawn = rng.choice(NAMES, N_REFERENCE, p=SHARES)
            self.bins["column", f"category {i}"] = CategoryBins.learn(*count_texts(drawn))
        overdue, others = self.labels(z, 0.0, 1.0)
        self.reference = Reference.of(overdue, others, pd.Series(dtype=float), ("", ""))
        self.n_checks = len(self.bins) + 2

    def labels(
        self, z: NDArray[np.float64], worse: float, slope: float
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Draw labels and return counts by cell of the score."""
        is_overdue = self.rng.random(z.size) < expit(INTERCEPT + worse + slope * z)
        cell = cells_of(expit(INTERCEPT + z))
        return (
            np.bincount(cell[is_overdue], minlength=N_CELLS),
            np.bincount(cell[~is_overdue], minlength=N_CELLS),
        )

    def month(
        self,
        n: int,
        *,
        mean: float = 0.0,
        category: float = 0.0,
        worse: float = 0.0,
        slope: float = 1.0,
    ) -> Month:
        """Draw a month: `mean` moves number 0, `category` makes that share of category 0 new."""
        month = Month(n_rows=n)
        z = self.rng.normal(0, SPREAD, n)
        for key, bins in self.bins.items():
            if isinstance(bins, CategoryBins):
                new = category if key[1] == "category 0" else 0.0
                order = [NAMES.index(name) for name in bins.names]
                share = np.array([*SHARES[order] * (1 - new), 0, 0])
                share[-2] = 1 - share.sum()
                month.counts[key] = self.rng.multinomial(n, share.clip(0))
            elif key[0] == "score":
                month.counts[key] = bins.count(z)
            else:
                shift = mean if key[1] == "number 0" else 0.0
                below = np.array([0, *stats.norm.cdf(bins.edges - shift), 1])
                month.counts[key] = self.rng.multinomial(n, [*np.diff(below), 0])
            month.outside[key] = 0
        month.overdue, month.others = self.labels(z, worse, slope)
        month.scores = month.overdue + month.others
        return month

    def alarms(self, month: Month, rate: float) -> list[dict]:
        """Return the alarms of a month."""
        level = self.level(rate)
        return alarms_of(month, self.bins, self.reference, level, Monitor().min_psi)

    def level(self, rate: float) -> float:
        """Return the p-value below which an alarm sounds, as `Monitor` computes it."""
        return float(-np.expm1(np.log1p(-rate) / (self.n_checks * N_MONTHS)))


RATES = (0.05, 0.5)


def false_alarms(n: int, repetitions: int) -> list[dict[str, float | str]]:
    """Count banks with any alarm in 36 months in which nothing changes."""
    n_alarms = np.zeros((repetitions, len(RATES)))
    for seed in range(repetitions):
        bank = Bank(np.random.default_rng([seed, n]))
        found = [
            a["p_value"] for _ in range(N_MONTHS) for a in bank.alarms(bank.month(n), RATES[1])
        ]
        n_alarms[seed] = [(np.array(found) < bank.level(rate)).sum() for rate in RATES]
    rows = []
    for rate, counts in zip(RATES, n_alarms.T, strict=True):
        low, high = stats.binomtest(int((counts > 0).sum()), repetitions).proportion_ci()
        row = [n, rate, (counts > 0).mean(), f"{low:.3f} to {high:.3f}", counts.mean() * 12 / 36]
        rows.append(dict(zip(FALSE, row, strict=True)))
    return rows


FALSE = ["applications a month", "stated", "measured", "95% interval", "false alarms a year"]
#: Changes by name: the arguments of `Bank.month` in the month of this number, from 1 on.
CHANGES: dict[str, Callable[[int], dict[str, float]]] = {
    "a number moves by 0.25 standard deviations": lambda m: {"mean": 0.25},
    "a number moves by 0.5 standard deviations": lambda m: {"mean": 0.5},
    "a number moves by 0.05 standard deviations each month": lambda m: {"mean": 0.05 * m},
    "a new category is 5% of values": lambda m: {"category": 0.05},
    "odds of overdue rise by a quarter": lambda m: {"worse": float(np.log(1.25))},
    "odds of overdue rise by a half": lambda m: {"worse": float(np.log(1.5))},
    "the score loses half of its slope": lambda m: {"slope": 0.5},
}


def months_until_noticed(n: int, repetitions: int, rate: float = 0.05) -> dict[str, str]:
    """Return the median number of months until the first alarm of each change."""
    row = {}
    for name, change in CHANGES.items():
        months = []
        for seed in range(repetitions):
            bank = Bank(np.random.default_rng([seed, n, 1]))
            noticed = (
                m for m in range(1, N_MONTHS + 1) if bank.alarms(bank.month(n, **change(m)), rate)
            )
            months.append(next(noticed, N_MONTHS + 1))
        median, late = np.quantile(months, [0.5, 0.9], method="higher")
        row[name] = " / ".join("over 36" if m > N_MONTHS else str(int(m)) for m in (median, late))
    return row


def main() -> None:
    """Measure, print and write the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repetitions", type=int, default=400)
    parser.add_argument("--planted", type=int, default=25, help="repetitions of each change")
    parser.add_argument("--sizes", type=int, nargs="+", default=[300, 1000, 5000])
    parser.add_argument("--output", type=Path, default=None, help="a Markdown file to write")
    arguments = parser.parse_args()
    false = pd.DataFrame(
        [row for n in arguments.sizes for row in false_alarms(n, arguments.repetitions)]
    )
    print(false.to_string(index=False), flush=True)
    noticed = pd.DataFrame({n: months_until_noticed(n, arguments.planted) for n in arguments.sizes})
    print(noticed.to_string())
    if arguments.output is not None:
        arguments.output.write_text(page(false, noticed, arguments))


def page(false: pd.DataFrame, noticed: pd.DataFrame, arguments: argparse.Namespace) -> str:
    """Return the page."""
    rows = [
        "| " + " | ".join([name, *map(str, row)]) + " |"
        for name, row in zip(noticed.index, noticed.to_numpy(), strict=True)
    ]
    of_false = [
        f"| {row[0]:,} | {row[1]} | {row[2]:.3f} | {row[3]} | {row[4]:.2f} |"
        for row in false.itertuples(index=False)
    ]
    sizes = " | ".join(f"{n:,} a month" for n in noticed.columns)
    return "\n".join(
        [
            "# Monitor, measured",
            "",
            f"By `python benchmarks/monitoring.py --repetitions {arguments.repetitions} --planted "
            f"{arguments.planted} --output docs/monitoring_measured.md`. The page "
            "[validation](validation.md) says how to use it.",
            "",
            f"A bank has a score, {N_NUMBERS} numbers, {N_CATEGORIES} categories and labels: "
            f"{1 + N_NUMBERS + N_CATEGORIES + 2} tests a month. The reference has "
            f"{N_REFERENCE:,} applications, 20% of them overdue.",
            "",
            "## False alarms",
            "",
            "Nothing changes for 36 months. The stated rate is the probability of any alarm in all "
            "of them. In large months, chance rarely moves a stability index to `min_psi`, so "
            "there are fewer false alarms than stated.",
            "",
            "| applications a month | stated | measured | 95% interval | false alarms a year |",
            "|---|---|---|---|---|",
            *of_false,
            "",
            "## Months until a change is noticed",
            "",
            "The change begins in month 1, and `false_alarm_rate` is 0.05. The first number is the "
            "median, the second the month by which nine of ten banks had an alarm. For changes of "
            "labels, months are counted from the first month whose labels are known.",
            "",
            f"| change | {sizes} |",
            "|---" * (1 + noticed.shape[1]) + "|",
            *rows,
            "",
        ]
    )


if __name__ == "__main__":
    main()
