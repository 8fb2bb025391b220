"""How many overdue applications does HUIHEN need? Simulated banks with few of them.

Each repetition simulates a bank, learns from as many overdue applications as named, and from as
many others as make the overdue rate, and scores 2,000 further applications whose true probabilities
are known. So the expected AUC has no noise of labels, and what is left is that of the training
rows. Nothing is tuned; the default HUIHEN is next to what a risk team has. Users visit at most 20
times, so that the runs are short.

A run that was stopped goes on where it was.

    python evidence/few_overdue.py --output docs/evidence
    python evidence/few_overdue.py --output quick --sizes 0.3:20 --repetitions 1 --test 100
"""

from __future__ import annotations

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from contenders import EVERYTHING, UNTUNED, Case
from measure import commit_of_code, read_results
from scipy.special import expit, logit
from tables import markdown

from skhuihen import attach_behaviors
from skhuihen.datasets import make_loan_data
from skhuihen.metrics import expected_auc

MODELS = {
    "HUIHEN": "HUIHEN, default",
    "LightGBM": "LightGBM, profile + windows + intervals, 150 trees",
    "scorecard": "scorecard, profile + windows + intervals",
}
#: Overdue rate and number of overdue applications to learn from.
SIZES = (
    *("0.2:20", "0.2:50", "0.2:100", "0.2:200", "0.2:400"),
    *("0.02:20", "0.02:50", "0.02:100", "0.005:20", "0.005:50"),
)
KEYS = ["rate", "overdue", "repetition", "model"]


def slope_on_truth(probability: np.ndarray, score: np.ndarray) -> float:
    """Return the slope of a regression of the true probability on the log-odds of a score."""
    log_odds = logit(np.clip(score, 1e-6, 1 - 1e-6))
    X = np.column_stack([np.ones_like(log_odds), log_odds])
    beta = np.array([0.0, 1.0])
    for _ in range(50):  # Newton steps of logistic regression, with probabilities as labels
        fitted = expit(X @ beta)
        information = (X.T * (fitted * (1 - fitted))) @ X + 1e-9 * np.eye(2)
        beta = beta + np.clip(np.linalg.solve(information, X.T @ (probability - fitted)), -1, 1)
    return float(beta[1])


def measure(rate: float, overdue: int, repetition: int, n_test: int) -> list[dict[str, object]]:
    """Return one row for each model."""
    n_train = round(overdue / rate)
    # Drawn labels: some more rows make sure of enough overdue ones.
    data = make_loan_data(
        n_train + n_test + int(4 * np.sqrt(overdue) / rate),
        0,
        overdue_rate=rate,
        max_sessions=20,
        random_state=repetition,
    )
    y = np.asarray(data.y)
    rng = np.random.default_rng(repetition)
    mixed = rng.permutation(len(y))
    chosen = [mixed[y[mixed] == 1][:overdue], mixed[y[mixed] == 0][: n_train - overdue]]
    if sum(map(len, chosen)) < n_train:
        raise SystemExit(f"{overdue} overdue at a rate of {rate} were not drawn: try another size.")
    train = np.sort(np.concatenate(chosen))
    test = np.setdiff1d(mixed, train)[:n_test]
    rows = np.concatenate([train, test])
    applications = data.applications.iloc[rows].reset_index(drop=True)
    events = data.events[data.events["user_id"].isin(applications["user_id"])]
    X = attach_behaviors(applications, events, known_at="recorded_at")
    case = Case(X.iloc[: len(train)], y[train])
    truth = data.probability[test]
    lines = []
    for name, contender in MODELS.items():
        model = EVERYTHING[contender](case, UNTUNED)
        started = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # few rows call for many
            score = model.fit(case.X, case.y).predict_proba(X.iloc[len(train) :])[:, 1]
        lines.append(
            {
                **{"rate": rate, "overdue": overdue, "repetition": repetition, "model": name},
                "expected_auc": expected_auc(truth, score),
                "best_auc": expected_auc(truth),
                "slope": slope_on_truth(truth, score),
                "ratio": score.mean() / truth.mean(),
                "seconds": round(time.perf_counter() - started, 1),
                "commit": commit_of_code(),
            }
        )
    return lines


def spread(values: pd.Series, form: str = ".3f") -> str:
    """Return mean and standard deviation as text; of one repetition, the value."""
    if len(values) == 1:
        return f"{values.iloc[0]:{form}}"
    return f"{values.mean():{form}} ± {values.std(ddof=1):.3f}"


def tell(results: pd.DataFrame) -> str:
    """Return the table as Markdown: mean and standard deviation over the repetitions."""
    rows = {}
    for (rate, overdue), of in results.groupby(["rate", "overdue"]):
        row = {"repetitions": str(of["repetition"].nunique())}
        for name in MODELS:
            auc = of.loc[of["model"] == name, "expected_auc"]
            row[name] = spread(auc)
        by_model = of.pivot_table("expected_auc", "repetition", "model")
        for other in list(MODELS)[1:]:
            gain = by_model["HUIHEN"] - by_model[other]
            row[f"gain on {other}"] = spread(gain, "+.3f")
        ours = of[of["model"] == "HUIHEN"]
        slopes = dict.fromkeys(f"{s:.2f}" for s in (ours["slope"].min(), ours["slope"].max()))
        row["slope of HUIHEN"] = " to ".join(slopes)
        row["best possible"] = f"{of['best_auc'].mean():.3f}"
        rows[f"{overdue} overdue of {round(overdue / float(str(rate))):,} ({rate:.1%})"] = row
    return markdown(pd.DataFrame.from_dict(rows, orient="index"))


def main() -> None:
    """Measure what is lacking, write ``few_overdue.csv``, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--output", type=Path, default=Path("demo_output/few_overdue"), help="folder of results")
    add("--sizes", nargs="+", default=list(SIZES), metavar="RATE:OVERDUE")
    add("--repetitions", type=int, default=4)
    add("--test", type=int, default=2000, help="applications to score")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    path = arguments.output / "few_overdue.csv"
    results = read_results(path) if path.exists() else pd.DataFrame(columns=KEYS)
    done = set(results[KEYS[:3]].itertuples(index=False, name=None))
    # All sizes once before any is repeated, so that a run may be stopped at any time.
    for repetition in range(arguments.repetitions):
        for size in arguments.sizes:
            rate, overdue = float(size.partition(":")[0]), int(size.partition(":")[2])
            if (rate, overdue, repetition) in done:
                continue
            lines = pd.DataFrame(measure(rate, overdue, repetition, arguments.test))
            results = lines if results.empty else pd.concat([results, lines])
            results.sort_values(KEYS, kind="stable").to_csv(path, index=False)
    print(tell(results))


if __name__ == "__main__":
    main()
