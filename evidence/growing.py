"""The value of a warm start while few labeled applications have behaviors.

A simulated bank with the size of the paper's (142,521 or 14,272 old applications) starts to collect
behaviors, so it has 500 to 26,602 new labeled applications. Compared are HUIHEN with a warm start
with XGBoost as its teacher, with a warm start on labels only, and without a warm start; the network
of step one alone; LightGBM on the profile of old and new rows, which has the same labels; and
LightGBM on profile and window statistics of the new rows. The metric is the expected AUC on the
same held-out applications, from their true probabilities, so labels add no noise. Repetitions have
other training rows and other seeds.

Each result is saved immediately as a line of ``growing.csv``. A second run continues where the
first one stopped.

    python evidence/growing.py --output results
    python evidence/growing.py --output quick --bank B --new 500 --sizes 500 --epochs 2
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from contenders import STOPPED_EARLY, WithOldRows
from lightgbm import LGBMClassifier
from matplotlib.figure import Figure
from sklearn.base import clone
from sklearn.pipeline import make_pipeline, make_union
from tqdm.auto import tqdm

from skhuihen import (
    BehaviorAbstractor,
    HUIHENClassifier,
    ProfileEncoder,
    Sessionizer,
    WindowStatistics,
    attach_behaviors,
)
from skhuihen.datasets import make_loan_data
from skhuihen.metrics import expected_auc

SIZES = (500, 1000, 2000, 4000, 8000, 26_602)
WARM, LABELS, STUDENT, COLD = (
    "HUIHEN, warm start",
    "HUIHEN, warm start by labels only",
    "its step one alone",
    "HUIHEN, no warm start",
)
OLD_AND_NEW, WINDOWS = "LightGBM, profile, old and new rows", "LightGBM, profile + windows"
ARMS = (WARM, LABELS, STUDENT, COLD, OLD_AND_NEW, WINDOWS)
#: Only measured on request: in step two, old weights have the learning rate of new ones.
ONE_RATE = "HUIHEN, warm start, one learning rate"
#: Fewer repetitions for large sizes, which take longer and vary less.
REPETITIONS = {500: 3, 1000: 3, 2000: 3, 4000: 2}


class Bank:
    """A simulated bank, prepared for all arms."""

    def __init__(self, name: str, n_new: int, n_test: int, n_old: int | None, epochs: int) -> None:
        data = make_loan_data(bank=name, n_new=n_new + n_test, n_old=n_old, random_state=0)
        self.raw = attach_behaviors(data.applications, data.events)
        # The abstraction uses no labels, so it is learned once on all rows.
        front = make_pipeline(BehaviorAbstractor(), Sessionizer())
        self.sessions = front.fit_transform(self.raw)
        self.y, self.probability = data.y, data.probability
        self.old_X, self.old_y = data.old_applications, data.old_y
        self.order = np.random.default_rng(0).permutation(n_new + n_test)
        self.test = self.order[:n_test]
        self.settings: dict[str, Any] = {"max_epochs": epochs, "n_iter_no_change": 10}
        self._warm: dict[Any, HUIHENClassifier] = {}

    def rows(self, size: int, repetition: int) -> np.ndarray:
        """Return rows to train on."""
        rest = self.order[len(self.test) :]
        return np.random.default_rng(repetition).permutation(rest)[:size]

    def network(self, size: int, repetition: int) -> HUIHENClassifier:
        """Return an unfitted network; the batch size is larger for large data."""
        return HUIHENClassifier(
            **STOPPED_EARLY | self.settings,
            batch_size=64 if size < 4000 else 256,
            random_state=repetition,
        )

    def warm(self, teacher: str | None, size: int, repetition: int) -> HUIHENClassifier:
        """Return a network after step one, which all sizes share."""
        if (teacher, repetition) not in self._warm:
            model = self.network(size, repetition)
            self._warm[teacher, repetition] = model.warm_start_from(
                self.old_X,
                self.old_y,
                teacher=teacher,
                batch_size=1024 if len(self.old_y) > 100_000 else 256,
            )
        model = clone(self._warm[teacher, repetition])
        return model.set_params(batch_size=self.network(size, repetition).batch_size)

    def measure(self, arm: str, size: int, repetition: int) -> float:
        """Return the expected AUC of one arm on the held-out applications."""
        rows = self.rows(size, repetition)
        trees = LGBMClassifier(
            n_estimators=150, learning_rate=0.03, num_leaves=15, n_jobs=1, verbose=-1
        )
        X, y = self.sessions, self.y[rows]
        if arm == OLD_AND_NEW:
            X = self.raw[self.old_X.columns]
            # More trees than for the few new rows alone.
            of_profile = make_pipeline(ProfileEncoder(), trees.set_params(n_estimators=400))
            model = WithOldRows(of_profile, self.old_X, self.old_y).fit(X.iloc[rows], y)
        elif arm == WINDOWS:
            X = self.raw
            features = make_union(ProfileEncoder(), WindowStatistics(("2D", "21D", "60D")))
            model = make_pipeline(features, trees).fit(X.iloc[rows], y)
        elif arm == STUDENT:
            X = self.raw[self.old_X.columns]
            model = self.warm("xgboost", size, repetition).warm_start_student_
        elif arm == COLD:
            model = self.network(size, repetition).fit(X.iloc[rows], y)
        else:
            model = self.warm(None if arm == LABELS else "xgboost", size, repetition)
            if arm == ONE_RATE:
                everything = [("*", {"lr": model.lr})]
                model.set_params(net_params={"optimizer__param_groups": everything})
            model.fit(X.iloc[rows], y)
        scores = model.predict_proba(X.iloc[self.test])[:, 1]
        return expected_auc(self.probability[self.test], scores)


def save_picture(results: pd.DataFrame, path: Path) -> None:
    """Draw the AUC of each arm over the number of new applications."""
    banks = list(results["bank"].unique())
    figure = Figure(figsize=(6.5 * len(banks), 5), layout="constrained")
    axes = figure.subplots(1, len(banks), squeeze=False)[0]
    for ax, bank in zip(axes, banks, strict=True):
        part = results[results["bank"] == bank]
        for arm in [arm for arm in (*ARMS, ONE_RATE) if arm in set(part["arm"])]:
            by_size = part[part["arm"] == arm].groupby("size")["auc"]
            mean, low, high = by_size.mean(), by_size.min(), by_size.max()
            style = "o--" if arm.startswith("LightGBM") else "o-"
            (line,) = ax.plot(mean.index, mean, style, label=arm)
            ax.fill_between(mean.index, low, high, color=line.get_color(), alpha=0.15, lw=0)
        ax.axhline(part["best"].iloc[0], color="black", lw=1, ls=":", label="best possible")
        sizes = sorted(part["size"].unique())
        ax.set_xscale("log")
        ax.set_xticks(sizes, [f"{size:,}" for size in sizes])
        ax.minorticks_off()
        ax.set(
            title=f"Simulated bank {bank}, {part['n_old'].iloc[0]:,} old applications",
            xlabel="new labeled applications with behaviors",
            ylabel="expected AUC, held out",
        )
    axes[0].legend(fontsize="small")
    figure.savefig(path, dpi=120)


def summarize(results: pd.DataFrame) -> pd.DataFrame:
    """Return the mean of each arm by bank and size, and the gain of the warm start."""
    table = results.pivot_table(index=["bank", "size"], columns="arm", values="auc")
    table = table[[arm for arm in (*ARMS, ONE_RATE) if arm in table]]
    if {WARM, COLD} <= set(table):
        table["gain"] = table[WARM] - table[COLD]
    return table


def main() -> None:
    """Measure the missing results; print the table, and save the table and the picture."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=Path("demo_output"))
    parser.add_argument("--bank", nargs="+", choices=("A", "B"), default=["A", "B"])
    parser.add_argument("--arms", nargs="+", choices=(*ARMS, ONE_RATE), default=list(ARMS))
    parser.add_argument("--sizes", nargs="+", type=int, default=SIZES)
    parser.add_argument("--repetitions", type=int, help="default: 3 of the small sizes, 1 of large")
    parser.add_argument("--test", type=int, default=4000, help="held-out applications")
    parser.add_argument("--new", type=int, default=max(SIZES), help="that sizes are drawn from")
    parser.add_argument(
        "--old", type=int, help="number of old applications; default: that of the paper"
    )
    parser.add_argument("--epochs", type=int, default=40)
    arguments = parser.parse_args()
    if max(arguments.sizes) > arguments.new:
        parser.error(
            f"--sizes contains {max(arguments.sizes)}, which is more than --new={arguments.new}"
        )
    arguments.output.mkdir(parents=True, exist_ok=True)
    path = arguments.output / "growing.csv"
    if not path.exists():
        path.write_text("bank,n_old,settings,size,repetition,arm,auc,best\n")
    for name in arguments.bank:
        bank = Bank(name, arguments.new, arguments.test, arguments.old, arguments.epochs)
        n_old, best = len(bank.old_y), expected_auc(bank.probability[bank.test])
        settings = (
            f"{n_old} old; {arguments.new} new; {arguments.test} test; {arguments.epochs} epochs"
        )
        known = pd.read_csv(path).query("bank == @name")
        if (known["settings"] != settings).any():
            raise SystemExit(f"{path} contains results of other settings. Pass another folder.")
        done = set(known[["size", "repetition", "arm"]].itertuples(index=False, name=None))
        jobs = [
            (size, repetition, arm)
            for size in arguments.sizes
            for repetition in range(arguments.repetitions or REPETITIONS.get(size, 1))
            for arm in arguments.arms
            if (size, repetition, arm) not in done
        ]
        for size, repetition, arm in tqdm(jobs, desc=f"bank {name}", unit="fit"):
            auc = bank.measure(arm, size, repetition)
            with path.open("a") as file:
                file.write(
                    f'{name},{n_old},{settings},{size},{repetition},"{arm}",{auc:.6f},{best:.6f}\n'
                )
    results = pd.read_csv(path)
    table = summarize(results)
    table.to_csv(arguments.output / "growing_summary.csv")
    save_picture(results, arguments.output / "growing.png")
    print(table.round(4).T.to_string(na_rep=""))


if __name__ == "__main__":
    main()
