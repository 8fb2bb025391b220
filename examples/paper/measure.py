"""Measure contenders by repeated cross-validation, and make the tables and pictures of it.

The scripts of the tables beside this one call `run`. Every result is kept at once, so a run that
was stopped goes on where it was; tables in the same folder share what they have in common.
In the folder ``--output``:

- ``results.csv``: one line per data set, contender, repetition and fold;
- ``scores/DATA/CONTENDER-REPETITION-FOLD.npz``: the held-out ``row``, its label ``y`` and
  ``score`` of each of these lines;
- ``DATA.json``: settings and sizes; results of other settings are refused;
- ``TABLE.csv``, ``TABLE.md``, ``TABLE.png``: means, spread and paired tests.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections.abc import Callable, Sequence
from itertools import groupby, product
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from contenders import CONTENDERS, SEED, Budget, Case
from matplotlib.figure import Figure
from sklearn.base import clone
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import RepeatedStratifiedKFold, train_test_split
from tqdm.auto import tqdm

from skhuihen import Sessionizer, attach_behaviors
from skhuihen.datasets import load_bpic2012, load_superlender, load_uci_default, make_loan_data
from skhuihen.metrics import corrected_resampled_ttest, delong_test, expected_auc, ks_score

#: New and old applications of Table 1 of the paper.
TABLE_1 = {"A": (26_602, 142_521), "B": (12_765, 14_272)}
#: AUC and KS of Tables 2 to 5 of the paper, at its banks A and B, which are not public.
PAPER = {
    "HUIHEN": (0.6887, 0.2845, 0.6632, 0.2543),
    "HUIHEN, plain GRUs": (0.6832, 0.2795, 0.6626, 0.2537),
    "HUIHEN, no warm start": (0.6791, 0.2769, 0.6581, 0.2502),
    "HUIHEN, no teacher": (0.6812, 0.2776, 0.6593, 0.2509),
    "HUIHEN, no sessions": (0.6801, 0.2772, 0.6597, 0.2512),
    "HUIHEN, no field-aware matrices": (0.6871, 0.2843, 0.6619, 0.2535),
    "HUIHEN, original operations": (0.6832, 0.2786, 0.6582, 0.2502),
    "XGBoost, profile": (0.6743, 0.2645, 0.6524, 0.2486),
    "logistic regression, profile": (0.6245, 0.2212, 0.6213, 0.2241),
    "MLP, profile": (0.6614, 0.2589, 0.6489, 0.2394),
    "random forest, profile": (0.6691, 0.2604, 0.6501, 0.2396),
    "LightGBM, profile": (0.6749, 0.2648, 0.6523, 0.2485),
}


def simulate(bank: str, rows: int | None, overdue_rate: float | None) -> Case:
    """Return a simulated bank of the paper's sizes, or smaller by the same factor."""
    n_new, n_old = TABLE_1[bank]
    if rows and rows < n_new:
        n_new, n_old = rows, round(n_old * rows / n_new)
    data = make_loan_data(n_new, n_old, bank=bank, overdue_rate=overdue_rate, random_state=SEED)
    X = attach_behaviors(data.applications, data.events, known_at="recorded_at")
    old = (data.old_applications, data.old_y)
    return Case(X, data.y, old=old, probability=data.probability)


def read(
    load: Callable[[], Any], rows: int | None, overdue_rate: float | None, **kwargs: Any
) -> Case:
    """Return public data, or a stratified part of them."""
    data = load()
    X, y = data.applications, data.y
    if rows and rows < len(X):
        X, _, y, _ = train_test_split(X, y, train_size=rows, stratify=y, random_state=SEED)
    if data.events is not None:
        X = attach_behaviors(X, data.events[data.events["user_id"].isin(X["user_id"])])
    return Case(X, y, **kwargs)


DAYS = ("2D", "7D", "21D", "60D", "180D")
#: Data sets by name, each a function of the number of rows and the overdue rate to simulate.
DATA: dict[str, Callable[[int | None, float | None], Case]] = {
    "bank_a": lambda *size: simulate("A", *size),
    "bank_b": lambda *size: simulate("B", *size),
    # Earlier loans are the sessions: their events lie days apart, and loans overlap.
    "superlender": lambda *size: read(
        load_superlender,
        *size,
        sessionizer=Sessionizer(session="loan", min_behaviors=1),
        windows=DAYS,
    ),
    "bpic2012": lambda *size: read(
        load_bpic2012, *size, sessionizer=Sessionizer(min_behaviors=1), windows=DAYS
    ),
    # Only the month of an event is known: one, two, three and four of them.
    "uci": lambda *size: read(
        lambda: load_uci_default(as_behaviors=True), *size, windows=("2D", "32D", "63D", "94D")
    ),
    "uci_flat": lambda *size: read(load_uci_default, *size),
}


def measure(name: str, contenders: Sequence[str], arguments: argparse.Namespace) -> None:
    """Measure what is still lacking of one data set."""
    folder, n_folds = arguments.output, arguments.folds
    (folder / "scores" / name).mkdir(parents=True, exist_ok=True)
    about, results = folder / f"{name}.json", folder / "results.csv"
    budget = Budget(**{key: getattr(arguments, key) for key in Budget._fields})
    settings = {
        "rows": arguments.rows,
        "overdue rate": arguments.overdue_rate,
        "folds": n_folds,
        **budget._asdict(),
    }
    if about.exists() and json.loads(about.read_text())["settings"] != settings:
        raise SystemExit(f"{about} tells of results of other settings; name another folder.")
    done = set()
    if results.exists():
        known = pd.read_csv(results).query("data == @name")
        done = set(known[["contender", "repetition", "fold"]].itertuples(index=False, name=None))
    wanted = list(product(contenders, range(arguments.repetitions), range(n_folds)))
    lacking = [job for job in wanted if job not in done]
    if not lacking:
        return

    case = DATA[name](arguments.rows, arguments.overdue_rate)
    about.write_text(json.dumps({"settings": settings, "sizes": describe(case)}, indent=1))
    splitter = RepeatedStratifiedKFold(
        n_splits=n_folds, n_repeats=arguments.repetitions, random_state=SEED
    )
    splits = list(splitter.split(case.X, case.y))
    progress = tqdm(lacking, name, len(wanted), unit="fold", initial=len(wanted) - len(lacking))
    for contender, jobs in groupby(progress, key=itemgetter(0)):
        progress.set_postfix_str(contender)
        model = CONTENDERS[contender](case, budget)
        if model is None:
            progress.write(f"{contender} does not apply to {name}.")
            continue
        for _, repetition, fold in jobs:
            train, test = splits[repetition * n_folds + fold]
            started = time.perf_counter()
            fitted = clone(model).fit(case.X.iloc[train], case.y[train])
            score = fitted.predict_proba(case.X.iloc[test])[:, 1]
            seconds = time.perf_counter() - started
            np.savez_compressed(
                scores_path(folder, name, contender, repetition, fold),
                row=test,
                y=case.y[test],
                score=score,
            )
            line = {
                "data": name,
                "contender": contender,
                "repetition": repetition,
                "fold": fold,
                "auc": roc_auc_score(case.y[test], score),
                "ks": ks_score(case.y[test], score),
                "expected_auc": np.nan,
                "seconds": round(seconds, 1),
            }
            if case.probability is not None:
                line["expected_auc"] = expected_auc(case.probability[test], score)
            # What was counted as done has its scores: they were saved before.
            pd.DataFrame([line]).to_csv(results, mode="a", header=not results.exists(), index=False)


def describe(case: Case) -> dict[str, Any]:
    """Return what a table must say about a data set."""
    about: dict[str, Any] = {"applications": len(case.y), "overdue": int(case.y.sum())}
    if "behaviors" in case.X:
        about["behaviors"] = int(case.X["behaviors"].array.flat_length)
    if case.old is not None:
        about["old applications"] = len(case.old[1])
        about["old overdue"] = int(case.old[1].sum())
    if case.probability is not None:
        about["best possible AUC"] = round(expected_auc(case.probability), 4)
    return about


def scores_path(folder: Path, name: str, contender: str, repetition: int, fold: int) -> Path:
    """Return where the held-out scores of a fold are kept."""
    plain = re.sub(r"\W+", "-", contender.lower())
    return folder / "scores" / name / f"{plain}-{repetition}-{fold}.npz"


def pooled(folder: Path, name: str, contender: str, n_folds: int) -> dict[str, np.ndarray]:
    """Return the held-out scores of the first repetition, every row once, in order."""
    parts = [np.load(scores_path(folder, name, contender, 0, fold)) for fold in range(n_folds)]
    together = {key: np.concatenate([part[key] for part in parts]) for key in ("row", "y", "score")}
    order = np.argsort(together["row"])
    return {key: values[order] for key, values in together.items()}


def summarize(
    names: Sequence[str], contenders: Sequence[str], arguments: argparse.Namespace
) -> pd.DataFrame:
    """Return mean and spread of each contender, and what it gains on the first."""
    results = pd.read_csv(arguments.output / "results.csv")
    results = results[results["repetition"] < arguments.repetitions]
    rows = []
    for name in names:
        of_data = results[results["data"] == name]
        auc = of_data.pivot_table("auc", ["repetition", "fold"], "contender")
        reference, *_ = applicable = [contender for contender in contenders if contender in auc]
        for contender in applicable:
            mine = of_data[of_data["contender"] == contender]
            row: dict[str, Any] = {"data": name, "contender": contender, "folds": len(mine)}
            row |= {"AUC": mine["auc"].mean(), "AUC sd": mine["auc"].std()}
            row |= {"KS": mine["ks"].mean(), "KS sd": mine["ks"].std()}
            row["expected AUC"] = mine["expected_auc"].mean()
            if name.startswith("bank_") and contender in PAPER:
                of_bank = slice(0, 2) if name == "bank_a" else slice(2, 4)
                row["paper AUC"], row["paper KS"] = PAPER[contender][of_bank]
            if contender != reference:
                row |= compare(name, (contender, reference), auc, arguments)
            row["seconds"] = round(mine["seconds"].median())
            rows.append(row)
    table = pd.DataFrame(rows).set_index(["data", "contender"])
    return table.dropna(axis="columns", how="all")


def compare(
    name: str, pair: tuple[str, str], auc: pd.DataFrame, arguments: argparse.Namespace
) -> dict[str, float]:
    """Return what the first of two contenders gains on the second, by both tests."""
    mine, other = (pooled(arguments.output, name, one, arguments.folds) for one in pair)
    test = corrected_resampled_ttest(*(auc[one] for one in pair), test_size=1 / arguments.folds)
    return {
        "gain": test.difference,
        "low": test.low,
        "high": test.high,
        "p": test.pvalue,
        "p, DeLong": delong_test(mine["y"], mine["score"], other["score"]).pvalue,
    }


def write(table: str, title: str, summary: pd.DataFrame, arguments: argparse.Namespace) -> None:
    """Write the table as CSV and Markdown, and draw it."""
    stem = arguments.output / table
    summary.to_csv(stem.with_suffix(".csv"))
    parts = [f"# {title}"]
    best = {}
    for name in summary.index.unique("data"):
        about = json.loads((arguments.output / f"{name}.json").read_text())
        best[name] = about["sizes"].get("best possible AUC")
        parts += [
            f"## {name}",
            "; ".join(f"{key}: {value:,}" for key, value in about["sizes"].items()) + ".",
            f"Stratified cross-validation, {arguments.repetitions} time(s). "
            + "; ".join(f"{key}: {value}" for key, value in about["settings"].items())
            + ".",
            summary.loc[name]
            .dropna(axis="columns", how="all")
            .reset_index()
            .to_markdown(index=False, floatfmt=".4f")
            .replace(" nan ", "     "),
        ]
    parts.append(NOTES)
    stem.with_suffix(".md").write_text("\n\n".join(parts) + "\n")
    draw(summary, best).savefig(stem.with_suffix(".png"), dpi=120)


NOTES = """\
AUC and KS: mean and standard deviation over folds. Expected AUC: by the true probabilities of the
held-out rows, which the simulator knows, so without the noise of labels. Gain: mean AUC less that
of the first line on the same folds, its interval of 95% and p by the corrected resampled t test
(Nadeau and Bengio 2003). DeLong: on the held-out scores of the first repetition, pooled. The
paper's figures are of its own banks, which are not public. Seconds: median of the folds, tuning
included, pre-training not."""


def draw(summary: pd.DataFrame, best: dict[str, float | None]) -> Figure:
    """Draw mean and spread of the AUC of each contender, one panel per data set."""
    names = summary.index.unique("data")
    longest = summary.groupby("data").size().max()
    figure = Figure(figsize=(6.5 * len(names), 0.32 * longest + 1.5), layout="constrained")
    for ax, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        rows = summary.loc[name]
        y = np.arange(len(rows))[::-1]
        ax.errorbar(
            rows["AUC"],
            y,
            xerr=rows["AUC sd"],
            fmt="o",
            color="#0072B2",
            capsize=3,
            label="measured, and deviation of folds",
        )
        if "paper AUC" in rows:
            ax.plot(rows["paper AUC"], y, "D", mfc="none", color="#D55E00", label="paper")
        if best[name] is not None:
            ax.axvline(best[name], color="0.4", linestyle=":", label="best possible")
        ax.set(yticks=y, yticklabels=rows.index, ylim=(-0.6, len(rows) - 0.4))
        ax.set(xlabel="AUC", title=name)
        ax.grid(axis="x", alpha=0.3)
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


#: Sizes that take seconds and mean nothing: they show that the command works.
SMALL = {
    "rows": 160,
    "overdue_rate": 0.3,
    "folds": 2,
    "repetitions": 1,
    "n_settings": 2,
    "n_epochs": 2,
    "n_trees": 20,
}


def run(
    table: str,
    description: str,
    data: Sequence[str],
    contenders: Sequence[str],
    repetitions: int = 1,
) -> None:
    """Measure, summarize and write one table, as the command line asks."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=Path("demo_output/paper"))
    parser.add_argument("--data", nargs="+", choices=data, default=list(data))
    parser.add_argument("--contenders", nargs="+", choices=contenders, default=list(contenders))
    parser.add_argument("--small", action="store_true", help="sizes that only show that it works")
    parser.add_argument("--rows", type=int, help="applications with behaviors, of all there are")
    parser.add_argument("--overdue-rate", type=float, help="of simulated banks; default: Table 1")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--repetitions", type=int, default=repetitions)
    for key, value in Budget()._asdict().items():
        parser.add_argument(f"--{key.replace('_', '-')}", type=int, default=value, help="of budget")
    arguments = parser.parse_args()
    if arguments.small:
        vars(arguments).update(SMALL)
    for name in arguments.data:
        measure(name, arguments.contenders, arguments)
    summary = summarize(arguments.data, arguments.contenders, arguments)
    write(table, description.partition("\n")[0], summary, arguments)
    print(summary.round(4).to_string(na_rep=""))
