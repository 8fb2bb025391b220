"""Are the probabilities of the default right? Calibration on rows that no network has seen.

`HUIHENClassifier()` after `BehaviorAbstractor` and `Sessionizer`, without old data and with nothing
tuned, is fitted on all folds but one and scores that one; the applications of a user are in one
fold. The scores of all folds together are summarized by `calibration_summary`. Its slope is ideally
1; the interval is for other applications, not for other training rows.

The scores of each fold are kept at once, so a run that was stopped goes on where it was.

    python evidence/calibration.py --output docs/evidence
    python evidence/calibration.py --output quick --data superlender --rows 300 --folds 2
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from contenders import EVERYTHING, SEED, Budget
from measure import DATA, commit_of_code
from scipy.special import expit, logit
from sklearn.base import clone
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold
from tables import NAMES, markdown

from skhuihen.metrics import calibration_summary

MODEL = "HUIHEN, default"
#: The real data at their own overdue rates, the banks at the one of `--overdue-rate`.
SETS = ("superlender", "bpic2012", "uci", "bank_a", "bank_b")
#: A slope in this range is what the package promises.
GOOD = (0.9, 1.1)


def scores_of(name: str, arguments: argparse.Namespace) -> pd.DataFrame:
    """Return label and held-out probability of each row; of folds not measured yet, measure."""
    at = arguments.rows, arguments.overdue_rate, arguments.folds
    folder = arguments.output / "scores" / "calibration" / "-".join(map(str, (name, *at)))
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{fold}.csv" for fold in range(arguments.folds)]
    if not all(path.exists() for path in paths):
        case = replace(DATA[name](*at[:2]), old=None)
        users = case.X["user_id"] if "user_id" in case.X else np.arange(len(case.y))
        splitter = StratifiedGroupKFold(arguments.folds, shuffle=True, random_state=SEED)
        model = EVERYTHING[MODEL](case, Budget())
        for path, (train, test) in zip(paths, splitter.split(case.X, case.y, users), strict=True):
            if path.exists():
                continue
            fitted = clone(model).fit(case.X.iloc[train], case.y[train])
            score = fitted.predict_proba(case.X.iloc[test])[:, 1]
            pd.DataFrame({"y": case.y[test], "score": score}).to_csv(path, index=False)
    return pd.concat(map(pd.read_csv, paths), keys=range(arguments.folds), names=["fold"])


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
    error = 1.96 * slope_error(score, found.intercept, found.slope)
    of_fold = [calibration_summary(one["y"], one["score"]) for _, one in scores.groupby("fold")]
    return {
        **{"data": name, "applications": len(y), "overdue": int(y.sum())},
        "folds": arguments.folds,
        **{"overdue_rate": found.overdue_rate, "mean_probability": found.mean_probability},
        **{"slope": found.slope, "low": found.slope - error, "high": found.slope + error},
        **{"lowest_fold": min(one.slope for one in of_fold)},
        **{"highest_fold": max(one.slope for one in of_fold)},
        **{"expected_error": found.expected_error, "brier_skill": found.brier_skill},
        "auc": roc_auc_score(y, score),
        "commit": commit_of_code(),
    }


def tell(results: pd.DataFrame) -> str:
    """Return the table as Markdown."""
    rows = {}
    for row in results.to_dict("records"):
        rows[NAMES[row["data"]]] = {
            "applications": f"{int(row['applications']):,}",
            "overdue": f"{int(row['overdue']):,} ({row['overdue_rate']:.1%})",
            "mean probability": f"{row['mean_probability']:.1%}",
            "slope": f"{row['slope']:.2f} ({row['low']:.2f} to {row['high']:.2f})",
            "slope of single folds": f"{row['lowest_fold']:.2f} to {row['highest_fold']:.2f}",
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
    add("--rows", type=int, default=5000, help="of each data set at most")
    add("--overdue-rate", type=float, default=0.2, help="of the simulated banks")
    add("--folds", type=int, default=5)
    arguments = parser.parse_args()
    path = arguments.output / "calibration.csv"
    results = pd.read_csv(path) if path.exists() else pd.DataFrame(columns=["data"])
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
