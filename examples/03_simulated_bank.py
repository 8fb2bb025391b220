"""03. The simulated bank next to the log of a real bank's app
===========================================================

This script prints which effects `make_loan_data` has planted. It also compares the times of the
simulated events with a real app log: 95,669 page views in one month, from China Merchants Bank's
FinTech contest of 2020. If you have the contest's files (``--data``, or the environment variable
``SKHUIHEN_DATA``), the real figures are computed from them; otherwise the recorded ones are shown.
The script saves one picture.

With ``--table-1`` the bank has the sizes of the paper's Table 1, and the script compares the AUC of
models of the profile alone with the paper's figures for them.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
import pandas as pd
from lightgbm import LGBMClassifier
from matplotlib.figure import Figure
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline

from skhuihen import ProfileEncoder, attach_behaviors
from skhuihen.datasets import make_loan_data

# The figures of the contest's file beh_b.csv.
NOTED = {
    "seconds between behaviors, median": 7.0,
    "seconds between behaviors, 75%": 36.0,
    "hours between behaviors, 90%": 4.7,
    "behaviors per session, median": 5.0,
    "behaviors per session, 90%": 15.0,
    "behaviors per session, 95%": 21.0,
    "behaviors per session, 99%": 39.0,
    "sessions with at least 3 behaviors, %": 69.6,
    "sessions per user and month, median": 7.0,
    "sessions per user and month, 90%": 26.0,
    "sessions per user and month, 99%": 57.7,
    "behaviors from 9 to 12 o'clock, %": 19.6,
    "behaviors from 15 to 17 o'clock, %": 14.1,
    "behaviors from 1 to 6 o'clock, %": 3.0,
}
# Tables 2 and 3 of the paper: AUC of logistic regression and LightGBM on the profile.
PAPER = {"A": (0.6245, 0.6749), "B": (0.6213, 0.6523)}


def real_log(folder: str | None) -> pd.DataFrame | None:
    """Read user and time of the contest's page views, if the file exists."""
    if folder is None:
        return None
    for path in (Path(folder) / "beh_b.csv", Path(folder) / "cmb2020" / "beh_b.csv"):
        if path.is_file():
            # The header names four columns, but the rows have three, the time in the third.
            return pd.read_csv(
                path,
                skiprows=1,
                usecols=[0, 2],
                names=["user_id", "page", "time"],
                parse_dates=["time"],
            )
    return None


def simulated_log(bank) -> pd.DataFrame:
    """Return user and time of what applicants did in the month before they applied."""
    X = attach_behaviors(bank.applications[["user_id", "applied_at"]], bank.events, lookback="30D")
    events = X["behaviors"].nest.to_flat()[["time"]]
    events = events.assign(user_id=events.index).reset_index(drop=True)
    return events.astype({"time": "datetime64[us]"})


def measure(log: pd.DataFrame) -> tuple[pd.Series, dict[str, np.ndarray]]:
    """Compute the figures of a log of one month, and the values behind them."""
    log = log.sort_values(["user_id", "time"])
    interval = log.groupby("user_id")["time"].diff().dt.total_seconds()
    opens = ~(interval <= 3600)
    length = opens.groupby(opens.cumsum()).size()
    sessions = opens.groupby(log["user_id"]).sum()
    hour = log["time"].dt.hour
    figures = [
        interval.quantile(0.5),
        interval.quantile(0.75),
        interval.quantile(0.9) / 3600,
        *length.quantile([0.5, 0.9, 0.95, 0.99]),
        100 * (length >= 3).mean(),
        *sessions.quantile([0.5, 0.9, 0.99]),
        100 * hour.isin([9, 10, 11]).mean(),
        100 * hour.isin([15, 16]).mean(),
        100 * hour.isin([1, 2, 3, 4, 5]).mean(),
    ]
    values = {
        "Seconds between behaviors": interval.dropna().clip(1).to_numpy(),
        "Behaviors per session": length.to_numpy(),
        "Sessions per user and month": sessions.to_numpy(),
        "Hour of the day": hour.to_numpy(),
    }
    return pd.Series(figures, index=list(NOTED)), values


def draw(values: dict[str, dict[str, np.ndarray]], path: Path) -> None:
    """Draw the share above each value, and the hours, with one line for each log."""
    figure = Figure(figsize=(10, 7), layout="constrained")
    for ax, title in zip(figure.subplots(2, 2).flat, next(iter(values.values())), strict=True):
        for name, of_log in values.items():
            drawn = np.sort(of_log[title])
            if title == "Hour of the day":
                share = np.bincount(drawn, minlength=24) / len(drawn)
                ax.plot(np.arange(24), 100 * share, marker="o", markersize=3, label=name)
                ax.set(ylabel="Share of behaviors, %", xticks=range(0, 24, 3), ylim=(0, None))
            else:
                ax.step(drawn, 100 * (1 - np.arange(len(drawn)) / len(drawn)), label=name)
                ax.set(ylabel="At least as many, %", xscale="log", ylim=(0, None))
        ax.set(xlabel=title)
        ax.grid(alpha=0.3)
    figure.axes[0].legend(loc="upper right")
    figure.savefig(path, dpi=120)


def score_profile(bank) -> list[tuple[float, float]]:
    """Return AUC of logistic regression and of LightGBM, mean and deviation over five folds."""
    trees = LGBMClassifier(
        n_estimators=150, learning_rate=0.03, num_leaves=15, random_state=0, n_jobs=1, verbose=-1
    )
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    aucs = []
    for model in (LogisticRegression(max_iter=1000), trees):
        pipeline = make_pipeline(ProfileEncoder().set_output(transform="pandas"), model)
        auc = cross_val_score(pipeline, bank.applications, bank.y, cv=folds, scoring="roc_auc")
        aucs.append((auc.mean(), auc.std()))
    return aucs


parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
)
parser.add_argument("--bank", choices=["A", "B"], default="A")
parser.add_argument("--applications", type=int, default=2000, help="size of the simulated bank")
parser.add_argument("--table-1", action="store_true", help="the paper's sizes, and profile models")
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--data", default=os.environ.get("SKHUIHEN_DATA"), help="the contest's files")
parser.add_argument("--output", type=Path, default=Path("demo_output"))
arguments = parser.parse_args()

# %%
# A bank, and what is planted in it
# ---------------------------------
# Each mechanism adds something to an applicant's log-odds. The table has its standard deviation.
sizes = (None, None) if arguments.table_1 else (arguments.applications, 1000)
bank = make_loan_data(*sizes, bank=arguments.bank, random_state=arguments.seed)
print(bank.DESCR)
print("What each mechanism adds to the log-odds (standard deviation):")
print(bank.effects.std().round(2).to_string(), "\n")
if arguments.table_1:
    scored = zip(
        ("logistic regression", "LightGBM"), score_profile(bank), PAPER[arguments.bank], strict=True
    )
    for name, (mean, deviation), of_paper in scored:
        print(f"{name} on the profile: AUC {mean:.3f} +/- {deviation:.3f}, paper {of_paper:.3f}")
    print()

# %%
# Hundreds of names for some forty behaviors
# ------------------------------------------
# The app uses several names for each behavior. These are some names of three behaviors.
groups = bank.operation_groups.groupby("behavior")["operation"]
for behavior in ("fund_purchase", "confirm", "accounts"):
    names = groups.get_group(behavior)
    print(f"{behavior}, {len(names)} names: {', '.join(names[:5])}, ...")

# %%
# Events that arrive late
# -----------------------
# The bank learned of some events only after the application. They do not count.
report = attach_behaviors(
    bank.applications, bank.events, known_at="recorded_at", return_report=True
)[1]
print(f"\n{report['pairs_known_too_late']} events before an application were known only after it.")

# %%
# Its timing next to that of a real bank
# --------------------------------------
real = real_log(arguments.data)
figures, values = measure(simulated_log(bank))
table = figures.to_frame("simulated").assign(real=pd.Series(NOTED))
drawn = {"simulated": values}
if real is not None:
    table["real"], drawn["real"] = measure(real)
print(f"\n{table.round(1).to_string()}\n")

arguments.output.mkdir(parents=True, exist_ok=True)
draw(drawn, arguments.output / "simulated_bank.png")
print(f"Picture: {arguments.output}/simulated_bank.png")
