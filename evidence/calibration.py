"""Are the probabilities of the default right? Calibration on rows that no network has seen.

`HUIHENClassifier()` after `BehaviorAbstractor` and `Sessionizer`, without old data and with nothing
tuned. Of real data, it is fitted on all folds but one and scores that one; the applications of a
user are in one fold, and the scores of all folds together are summarized by `calibration_summary`.
Of a simulated bank, it is fitted on the named number of rows and scores 6,000 others, whose true
probabilities take the place of labels, so labels add no noise; this is repeated with several banks.

The slope is ideally 1. Its interval is, for real data, for other applications, not for other
training rows; for banks it is that of the mean over banks.

All scores are kept at once, so a run that was stopped goes on where it was.

    python evidence/calibration.py --output docs/evidence
    python evidence/calibration.py --output quick --data superlender --rows 300 --folds 2
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from contenders import EVERYTHING, SEED, UNTUNED, Case
from few_overdue import slope_on_truth
from measure import DATA, commit_of_code, read_results
from scipy import stats
from scipy.special import expit, logit
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold
from tables import NAMES, markdown

from skhuihen import attach_behaviors
from skhuihen.datasets import make_loan_data
from skhuihen.metrics import calibration_summary

MODEL = "HUIHEN, default"
#: The real data at their own overdue rates, the banks at the one of `--overdue-rate`.
SETS = ("superlender", "bpic2012", "uci", "bank_a", "bank_b")
#: Names of simulated banks for `make_loan_data`.
BANKS = {"bank_a": "A", "bank_b": "B"}
#: Seed of the first simulated bank; those before it decided how wide the prior on the slope is.
FIRST_BANK = 100
#: Applications of a bank to score.
N_TEST = 6000
#: A slope in this range is what the package promises.
GOOD = (0.9, 1.1)


def of_folds(
    name: str, arguments: argparse.Namespace
) -> Iterator[tuple[Case, np.ndarray, np.ndarray]]:
    """Yield a case, its rows to learn from and its rows to score, for each fold."""
    case = replace(DATA[name](arguments.rows, None), old=None)
    users = case.X["user_id"] if "user_id" in case.X else np.arange(len(case.y))
    splitter = StratifiedGroupKFold(arguments.folds, shuffle=True, random_state=SEED)
    for train, test in splitter.split(case.X, case.y, users):
        yield case, train, test


def of_banks(
    name: str, arguments: argparse.Namespace
) -> Iterator[tuple[Case, np.ndarray, np.ndarray]]:
    """Yield a case, its rows to learn from and its rows to score, for each simulated bank."""
    n = arguments.rows
    for number in range(arguments.banks):
        data = make_loan_data(
            n + N_TEST,
            0,
            bank=BANKS[name],
            overdue_rate=arguments.overdue_rate,
            random_state=FIRST_BANK + number,
        )
        X = attach_behaviors(data.applications, data.events, known_at="recorded_at")
        case = Case(X, data.y, probability=data.probability)
        yield case, np.arange(n), np.arange(n, n + N_TEST)


def scores_of(name: str, arguments: argparse.Namespace) -> pd.DataFrame:
    """Return label, true probability if known, and score of each row that was not learned from.

    Of folds or banks that were not measured yet, measure.
    """
    n_parts = arguments.banks if name in BANKS else arguments.folds
    at = arguments.rows, *((arguments.overdue_rate, FIRST_BANK) if name in BANKS else (n_parts,))
    folder = arguments.output / "scores" / "calibration" / "-".join(map(str, (name, *at)))
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{part}.csv" for part in range(n_parts)]
    if not all(path.exists() for path in paths):
        parts = (of_banks if name in BANKS else of_folds)(name, arguments)
        for path, (case, train, test) in zip(paths, parts, strict=True):
            if path.exists():
                continue
            fitted = EVERYTHING[MODEL](case, UNTUNED).fit(case.X.iloc[train], case.y[train])
            score = fitted.predict_proba(case.X.iloc[test])[:, 1]
            found = pd.DataFrame({"y": case.y[test], "score": score})
            if case.probability is not None:
                found["probability"] = case.probability[test]
            found.to_csv(path, index=False)
    return pd.concat(map(pd.read_csv, paths), keys=range(n_parts), names=["part"])


def slope_error(score: np.ndarray, intercept: float, slope: float) -> float:
    """Return the standard error of the slope, from the information of its regression."""
    log_odds = logit(np.clip(score, 1e-6, 1 - 1e-6))
    fitted = expit(intercept + slope * log_odds)
    X = np.column_stack([np.ones_like(log_odds), log_odds])
    return float(np.sqrt(np.linalg.inv((X.T * (fitted * (1 - fitted))) @ X)[1, 1]))


def summarize(name: str, scores: pd.DataFrame, arguments: argparse.Namespace) -> dict[str, object]:
    """Return the row of a data set."""
    y, score = scores["y"].to_numpy(), scores["score"].to_numpy()
    found = calibration_summary(y, score)
    parts = [part for _, part in scores.groupby("part")]
    if name in BANKS:
        slopes = [slope_on_truth(part["probability"], part["score"]) for part in parts]
        slope = float(np.mean(slopes))
        t = stats.t.ppf(0.975, len(slopes) - 1)
        error = t * np.std(slopes, ddof=1) / np.sqrt(len(slopes)) if len(slopes) > 1 else np.nan
        n_rows = arguments.rows
    else:
        slopes = [calibration_summary(part["y"], part["score"]).slope for part in parts]
        slope = found.slope
        error = 1.96 * slope_error(score, found.intercept, slope)
        n_rows = round(len(y) * (1 - 1 / len(parts)))
    return {
        **{"data": name, "learned_from": n_rows, "scored": len(y), "parts": len(parts)},
        "of": "banks" if name in BANKS else "folds",
        **{"overdue_rate": found.overdue_rate, "mean_probability": found.mean_probability},
        **{"slope": slope, "low": slope - error, "high": slope + error},
        **{"lowest": min(slopes), "highest": max(slopes)},
        **{"expected_error": found.expected_error, "brier_skill": found.brier_skill},
        "auc": roc_auc_score(y, score),
        "commit": commit_of_code(),
    }


def tell(results: pd.DataFrame) -> str:
    """Return the table as Markdown."""
    rows = {}
    for row in results.to_dict("records"):
        rows[NAMES[row["data"]]] = {
            "learned from": f"{int(row['learned_from']):,}",
            "scored": f"{int(row['scored']):,}",
            "overdue": f"{row['overdue_rate']:.1%}",
            "mean probability": f"{row['mean_probability']:.1%}",
            "slope": f"{row['slope']:.2f} ({row['low']:.2f} to {row['high']:.2f})",
            "of single folds or banks": f"{row['lowest']:.2f} to {row['highest']:.2f}, "
            f"{int(row['parts'])} {row['of']}",
            "expected error": f"{row['expected_error']:.3f}",
            "AUC": f"{row['auc']:.3f}",
        }
    return markdown(pd.DataFrame.from_dict(rows, orient="index"))


def main() -> None:
    """Measure what is lacking, write ``calibration.csv``, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--output", type=Path, default=Path("demo_output/calibration"), help="folder of results")
    add("--data", nargs="+", choices=SETS, default=list(SETS), metavar="DATA")
    add(
        "--rows",
        type=int,
        default=5000,
        help="of a real data set at most; of a bank, to learn from",
    )
    add("--overdue-rate", type=float, default=0.2, help="of the simulated banks")
    add("--folds", type=int, default=5, help="of real data")
    add("--banks", type=int, default=5, help="how many of each simulated bank")
    arguments = parser.parse_args()
    path = arguments.output / "calibration.csv"
    results = read_results(path) if path.exists() else pd.DataFrame(columns=["data"])
    for name in arguments.data:
        row = summarize(name, scores_of(name, arguments), arguments)
        results = pd.concat([results[results["data"] != name], pd.DataFrame([row])])
        results = results.sort_values("data", key=lambda names: names.map(SETS.index))
        results.to_csv(path, index=False)
        is_good = GOOD[0] <= float(str(row["slope"])) <= GOOD[1]
        print(f"{name}: slope {row['slope']:.3f}{'' if is_good else ', outside of 0.9 to 1.1'}")
    print(tell(results))


if __name__ == "__main__":
    main()
