"""How much of each planted effect the scores hold, at the simulated banks.

The simulator knows what each mechanism adds to the log-odds of each application. The log-odds that
a contender gives to held-out rows are regressed on these effects, fold by fold: a coefficient of 1
says that the score moves as much as the truth does, 0 that it does not move with it. The scores are
those that the tables have kept; of a contender whose scores are no longer there, the last summary
stands, as long as its results are the same.

    python evidence/planted.py --output results
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from contenders import EVERYTHING
from measure import ALONE, simulate_data
from scipy.special import logit
from tables import NO_COMMIT, kept_folds, markdown, read_about, titled

from skhuihen._compat import EXACTLY, stack

TITLE = __doc__.partition("\n")[0].rstrip(".")
RESULTS = "planted.csv"
BANKS = {"bank_a": "A", "bank_b": "B"}
TO_FIND = "standard deviation of the effect"
EFFECTS = ["profile", "nonlinear", *ALONE]
COLUMNS = ["data", "contender", "auc", *EFFECTS, *(f"{effect} sd" for effect in EFFECTS)]


def coefficients(effects: pd.DataFrame, score: np.ndarray) -> pd.Series:
    """Return what the log-odds of a score gain with each unit of log-odds of each effect."""
    X = np.column_stack([np.ones(len(effects)), effects])
    # Scores of trees may be 0 or 1 after rounding.
    log_odds = logit(np.clip(score, 1e-7, 1 - 1e-7))
    return pd.Series(np.linalg.lstsq(X, log_odds, rcond=None)[0][1:], effects.columns)


def mean_auc(folder: Path, name: str) -> pd.Series:
    """Return the mean AUC of each contender over the folds of the first repetition."""
    results = pd.read_csv(folder / f"{name}.csv").query("repetition == 0")
    return results.groupby("contender")["auc"].mean()


def measure(name: str, folder: Path) -> pd.DataFrame:
    """Return mean and deviation over folds of the coefficients; of lost scores the last ones.

    The first row is the standard deviation of the effects themselves.
    """
    known = read(folder)
    known = known[known["data"] == name].set_index("contender")
    settings = read_about(folder, name)["settings"]
    auc = mean_auc(folder, name)
    kept = {one: kept_folds(folder, name, one, settings["folds"]) for one in auc.index}
    lines: dict[str, dict[str, Any]] = {}
    if any(kept.values()):
        effects = simulate_data(BANKS[name], settings["rows"], settings["overdue rate"]).effects
        lines[TO_FIND] = dict(effects.std())
    for contender, folds in kept.items():
        if folds is not None:
            each = [coefficients(effects.iloc[fold["row"]], fold["score"]) for fold in folds]
            of_fold = pd.DataFrame(each)
            deviation = of_fold.std().add_suffix(" sd")
            lines[contender] = {"auc": auc[contender], **of_fold.mean(), **deviation}
    measured = pd.DataFrame.from_dict(lines, orient="index").assign(data=name)
    together = stack(
        [measured, known.drop(index=measured.index, errors="ignore")], ignore_index=False
    )
    order = [one for one in (TO_FIND, *EVERYTHING) if one in together.index]
    return together.loc[order].rename_axis("contender").reset_index()


def read(folder: Path) -> pd.DataFrame:
    """Return the last summary, but for contenders whose results are other ones by now."""
    path = folder / RESULTS
    summary = pd.read_csv(path, **EXACTLY) if path.exists() else pd.DataFrame(columns=COLUMNS)
    parts = [summary.iloc[:0]]
    for name, rows in summary.groupby("data", sort=False):
        now = rows["contender"].map(mean_auc(folder, str(name)))
        parts.append(rows[np.isclose(now, rows["auc"]) | (rows["contender"] == TO_FIND)])
    return stack([part for part in parts if len(part) > 1] or parts, ignore_index=False)


def tell(folder: Path) -> list[str]:
    """Return the paragraphs of the page."""
    summary = read(folder)
    parts = [
        "The log-odds of held-out rows are regressed on the planted effects, fold by fold. At 1 a "
        "score moves as much as the truth; at 0 it does not depend on the effect. Mean and "
        "standard deviation over folds. The first line is the size of each effect in log-odds.",
        NO_COMMIT,
    ]
    for name, rows in summary.groupby("data", sort=False):
        text = pd.DataFrame(index=rows["contender"])
        for effect in EFFECTS:
            both = zip(rows[effect], rows[f"{effect} sd"], strict=True)
            text[effect] = [f"{mean:.2f}" + f" ± {sd:.2f}" * (sd >= 0) for mean, sd in both]
        parts += [f"### {titled(str(name))}", markdown(text)]
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
        known = read(parsed.output)
        together = stack(
            [known[known["data"] != name], measure(name, parsed.output)], ignore_index=False
        )
        together = together.sort_values("data", kind="stable")
        together.to_csv(parsed.output / RESULTS, index=False, columns=COLUMNS)
    print("\n\n".join(tell(parsed.output)))


if __name__ == "__main__":
    main()
