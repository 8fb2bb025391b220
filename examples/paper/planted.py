"""How much of each planted effect the scores hold, at the simulated banks.

The simulator knows what each mechanism adds to the log-odds of each application. The log-odds that
a contender gives to held-out rows are regressed on these effects, fold by fold: a coefficient of 1
says that the score moves as much as the truth does, 0 that it does not move with it. The scores are
those that the tables have kept; where they are no longer there, the last summary stands.

    python examples/paper/planted.py --output results
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from contenders import EVERYTHING
from measure import scores_path, simulate_data
from scipy.special import logit
from tables import NAMES, markdown, read_about

TITLE = __doc__.partition("\n")[0].rstrip(".")
RESULTS = "planted.csv"
BANKS = {"bank_a": "A", "bank_b": "B"}
TO_FIND = "standard deviation of the effect"


def coefficients(effects: pd.DataFrame, score: np.ndarray) -> pd.Series:
    """Return what the log-odds of a score gain with each unit of log-odds of each effect."""
    X = np.column_stack([np.ones(len(effects)), effects])
    # Scores of trees may be 0 or 1 after rounding.
    log_odds = logit(np.clip(score, 1e-7, 1 - 1e-7))
    return pd.Series(np.linalg.lstsq(X, log_odds, rcond=None)[0][1:], effects.columns)


def measure(name: str, folder: Path) -> pd.DataFrame:
    """Return mean and deviation over folds of the coefficients of all whose scores are kept.

    The first row is the standard deviation of the effects themselves.
    """
    settings = read_about(folder, name)["settings"]
    effects = simulate_data(BANKS[name], settings["rows"], settings["overdue rate"]).effects
    lines = [{"data": name, "contender": TO_FIND, **effects.std()}]
    for contender in EVERYTHING:
        paths = [scores_path(folder, name, contender, 0, fold) for fold in range(settings["folds"])]
        if not all(path.exists() for path in paths):
            continue
        kept = [np.load(path) for path in paths]
        of_fold = pd.DataFrame([coefficients(effects.iloc[k["row"]], k["score"]) for k in kept])
        deviation = of_fold.std().add_suffix(" sd")
        lines.append({"data": name, "contender": contender, **of_fold.mean(), **deviation})
    return pd.DataFrame(lines)


def read(folder: Path) -> pd.DataFrame:
    """Return the last summary; empty where there is none."""
    path = folder / RESULTS
    return pd.read_csv(path) if path.exists() else pd.DataFrame(columns=["data", "contender"])


def tell(folder: Path) -> list[str]:
    """Return the paragraphs of the page."""
    summary = read(folder)
    effects = [name for name in summary if f"{name} sd" in summary]
    parts = [
        "The log-odds of held-out rows, regressed on what the simulator planted, fold by fold: at "
        "1 a score moves as much as the truth, at 0 it knows nothing of the effect. Mean and "
        "deviation over folds. The first line is how much there is to find, in log-odds."
    ]
    for name, rows in summary.groupby("data", sort=False):
        text = pd.DataFrame(index=rows["contender"])
        for effect in effects:
            both = zip(rows[effect], rows[f"{effect} sd"], strict=True)
            text[effect] = [f"{mean:.2f}" + f" ± {sd:.2f}" * (sd >= 0) for mean, sd in both]
        parts += [f"### {NAMES[str(name)][0].upper()}{NAMES[str(name)][1:]}", markdown(text)]
    return parts


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the summary of the banks whose scores are kept; keep that of others."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--output", type=Path, default=Path("demo_output/paper"), help="folder of the results")
    add("--data", nargs="+", choices=list(BANKS), default=list(BANKS), metavar="BANK")
    parsed = parser.parse_args(arguments)
    for name in parsed.data:
        if not (parsed.output / f"{name}.csv").exists():
            continue
        measured = measure(name, parsed.output)
        if len(measured) > 1:
            known = read(parsed.output)
            others = [rows for data, rows in known.groupby("data") if data != name]
            together = pd.concat([*others, measured]).sort_values("data", kind="stable")
            together.to_csv(parsed.output / RESULTS, index=False)
    print("\n\n".join(tell(parsed.output)))


if __name__ == "__main__":
    main()
