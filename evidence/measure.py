"""Measure contenders by repeated stratified cross-validation, on data sets by name.

Each result is saved immediately. An interrupted run continues where it stopped, and tables in the
same folder share their common results. Each data set has its own files, so two processes can use
the same folder for different data sets. The folder contains:

- ``DATA.csv``: one line per contender, repetition and fold;
- ``DATA.json``: settings, sizes and versions; a run with other settings raises an error;
- ``DATA_former.csv`` (optional): the rules of an earlier version that merges operations;
- ``scores/DATA/CONTENDER-REPETITION-FOLD.npz``: for each line, the held-out ``row``, its label
  ``y`` and its ``score``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import re
import subprocess
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from importlib.metadata import version
from itertools import groupby, product
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from contenders import EVERYTHING, SEED, Budget, Case
from lateness import Lateness
from sklearn.base import clone
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import RepeatedStratifiedKFold, train_test_split
from tqdm.auto import tqdm

from skhuihen import Sessionizer, attach_behaviors
from skhuihen._compat import EXACTLY, stack
from skhuihen.datasets import load_bpic2012, load_superlender, load_uci_default, make_loan_data
from skhuihen.metrics import expected_auc, ks_score

#: New and old applications of Table 1 of the paper.
TABLE_1 = {"A": (26_602, 142_521), "B": (12_765, 14_272)}
#: Number of applications for comparisons that must take minutes; many of them are overdue.
FEW = 2_000
#: Size of the effect of each mechanism if it is the only one, for a best possible AUC near 0.72.
ALONE = {"impulsive": 3.0, "hesitant": 4.5, "month_end": 3.0, "habit": 3.0}


def simulate_data(bank: str, rows: int | None, overdue_rate: float | None) -> Any:
    """Return a simulated bank with the sizes of the paper, or with both scaled down."""
    n_new, n_old = TABLE_1[bank]
    if rows and rows < n_new:
        n_new, n_old = rows, round(n_old * rows / n_new)
    return make_loan_data(n_new, n_old, bank=bank, overdue_rate=overdue_rate, random_state=SEED)


def simulate(bank: str, rows: int | None, overdue_rate: float | None) -> Case:
    """Return a simulated bank, ready for all contenders."""
    data = simulate_data(bank, rows, overdue_rate)
    X = attach_behaviors(data.applications, data.events, known_at="recorded_at")
    old = (data.old_applications, data.old_y)
    planted = data.effects.drop(columns=["profile", "nonlinear"])
    truth = {"probability": data.probability, "planted": planted, "groups": data.operation_groups}
    return Case(X, data.y, old=old, **truth)


def simulate_alone(mechanism: str, rows: int | None, overdue_rate: float | None) -> Case:
    """Return a bank where a single mechanism of behavior determines the risk."""
    effects = {f"{name}_effect": 0.0 for name in ("profile", "nonlinear", *ALONE)}
    effects[f"{mechanism}_effect"] = ALONE[mechanism]
    # A high overdue rate, so that there are enough overdue applications to learn from.
    data = make_loan_data(
        rows or 6000, 0, overdue_rate=overdue_rate or 0.3, random_state=SEED, **effects
    )
    X = attach_behaviors(data.applications, data.events, known_at="recorded_at")
    return Case(X, data.y, probability=data.probability)


def read(
    load: Callable[[], Any], rows: int | None, overdue_rate: float | None, **kwargs: Any
) -> Case:
    """Return public data or a stratified sample of them."""
    data = load()
    X, y = data.applications, data.y
    if rows and rows < len(X):
        X, _, y, _ = train_test_split(X, y, train_size=rows, stratify=y, random_state=SEED)
    if data.events is not None:
        X = attach_behaviors(X, data.events[data.events["user_id"].isin(X["user_id"])])
    return Case(X, y, **kwargs)


DAYS = ("2D", "7D", "21D", "60D", "180D")
#: Data sets by name, as functions of the number of rows and the simulated overdue rate.
DATA: dict[str, Callable[[int | None, float | None], Case]] = {
    "bank_a": lambda *size: simulate("A", *size),
    "bank_b": lambda *size: simulate("B", *size),
    # For comparisons that would take too long at full size.
    "bank_a_quarter": lambda rows, rate: simulate("A", rows or TABLE_1["A"][0] // 4, rate),
    "bank_a_small": lambda rows, rate: simulate("A", rows or FEW, rate or 0.3),
    "bank_b_small": lambda rows, rate: simulate("B", rows or FEW, rate or 0.3),
    # Each earlier loan is a session, because its events are days apart and loans overlap.
    "superlender": lambda *size: read(
        load_superlender,
        *size,
        sessionizer=Sessionizer(session="loan", min_behaviors=1),
        windows=DAYS,
        expert=Lateness,
    ),
    "bpic2012": lambda *size: read(
        load_bpic2012, *size, sessionizer=Sessionizer(min_behaviors=1), windows=DAYS
    ),
    # Only the month of an event is known, so the windows are one to four months.
    "uci": lambda *size: read(
        lambda: load_uci_default(as_behaviors=True), *size, windows=("2D", "32D", "63D", "94D")
    ),
    "uci_flat": lambda *size: read(load_uci_default, *size),
    "impulsive": lambda *size: simulate_alone("impulsive", *size),
    "hesitant": lambda *size: simulate_alone("hesitant", *size),
    "month_end": lambda *size: simulate_alone("month_end", *size),
    "habit": lambda *size: simulate_alone("habit", *size),
}


@lru_cache(maxsize=1)
def prepare(name: str, rows: int | None, overdue_rate: float | None, budget: Budget) -> Case:
    """Return a data set. The last one is cached, so that tables share pre-trained networks."""
    # The budget is part of the key, because it changes the pre-trained networks.
    return DATA[name](rows, overdue_rate)


def measure(name: str, contenders: Sequence[str], arguments: argparse.Namespace) -> None:
    """Measure the missing results of one data set."""
    folder, n_folds = arguments.output, arguments.folds
    (folder / "scores" / name).mkdir(parents=True, exist_ok=True)
    about_path, results = folder / f"{name}.json", folder / f"{name}.csv"
    budget = Budget(**{key: getattr(arguments, key) for key in Budget._fields})
    settings = {
        "rows": arguments.rows,
        "overdue rate": arguments.overdue_rate,
        "folds": n_folds,
        **budget._asdict(),
    }
    about = json.loads(about_path.read_text()) if about_path.exists() else {}
    if about and about["settings"] != settings:
        raise SystemExit(
            f"{about_path} contains results of other settings. Pass another folder as --output, or "
            "repeat the earlier settings."
        )
    done = set()
    if results.exists():
        known = read_results(results)
        done = set(known[["contender", "repetition", "fold"]].itertuples(index=False, name=None))
    wanted = list(product(contenders, range(arguments.repetitions), range(n_folds)))
    lacking = [job for job in wanted if job not in done]
    if not lacking:
        return

    case = prepare(name, arguments.rows, arguments.overdue_rate, budget)
    former = folder / f"{name}_former.csv"
    if former.exists():
        case.former = pd.read_csv(former, dtype=str, keep_default_na=False)
    about = {"settings": settings, "sizes": describe(case), "versions": versions()}
    about_path.write_text(json.dumps(about, indent=1) + "\n")
    commit = commit_of_code()
    splitter = RepeatedStratifiedKFold(
        n_splits=n_folds, n_repeats=arguments.repetitions, random_state=SEED
    )
    splits = list(splitter.split(case.X, case.y))
    progress = tqdm(lacking, name, len(wanted), unit="fold", initial=len(wanted) - len(lacking))
    for contender, jobs in groupby(progress, key=itemgetter(0)):
        progress.set_postfix_str(contender)
        model = EVERYTHING[contender](case, budget)
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
                "contender": contender,
                "repetition": repetition,
                "fold": fold,
                "auc": roc_auc_score(case.y[test], score),
                "ks": ks_score(case.y[test], score),
                "expected_auc": np.nan,
                "seconds": round(seconds, 1),
                "commit": commit,
                "settings": settings_of(model),
            }
            if case.probability is not None:
                line["expected_auc"] = expected_auc(case.probability[test], score)
            # The scores are saved before the line, so every line has its scores.
            known = [read_results(results)] if results.exists() else []
            stack([*known, pd.DataFrame([line])]).to_csv(results, index=False)


def describe(case: Case) -> dict[str, Any]:
    """Return the sizes of a data set for its table."""
    about: dict[str, Any] = {"applications": len(case.y), "overdue": int(case.y.sum())}
    if "behaviors" in case.X:
        report = case.sessionizer.report(case.X)
        with_sessions = report["applications"] - report["applications_without_sessions"]
        about["behaviors"] = int(report["events"])
        about["behaviors in kept sessions"] = int(report["events_kept"])
        about["sessions"] = int(report["sessions_kept"])
        about["applications with sessions"] = int(with_sessions)
    if case.old is not None:
        about["old applications"] = len(case.old[1])
        about["old overdue"] = int(case.old[1].sum())
    if case.probability is not None:
        about["best possible AUC"] = round(expected_auc(case.probability), 4)
    return about


def commit_of_code() -> str:
    """Return the commit of the code, followed by a plus if there are uncommitted changes."""
    here = ["git", "-C", str(Path(__file__).parent)]

    def ask(*command: str) -> str:
        done = subprocess.run([*here, *command], capture_output=True, text=True, check=False)
        return done.stdout.strip()

    is_changed = ask("status", "--porcelain", "--", ":/skhuihen", ":/evidence/*.py")
    return ask("rev-parse", "--short=9", "HEAD") + ("+" if is_changed else "")


def read_results(path: Path) -> pd.DataFrame:
    """Read results to the last digit; the commit 218e55868 is a name, not an infinite number."""
    return pd.read_csv(path, dtype={"commit": str}, **EXACTLY)


def settings_of(model: Any) -> str:
    """Return a hash of all parameters of a model; equal settings give equal hashes."""
    return hashlib.sha256(_spell_out(model).encode()).hexdigest()[:9]


def _spell_out(value: Any) -> str:
    """Return a parameter as complete text; the repr of an estimator is shortened."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_spell_out, value))}]"
    if not hasattr(value, "get_params") or isinstance(value, type):
        return re.sub(r" at 0x\w+", "", repr(value))
    params = sorted(value.get_params(deep=False).items())
    spelled = ", ".join(f"{name}={_spell_out(param)}" for name, param in params)
    return f"{type(value).__name__}({spelled})"


def versions() -> dict[str, str]:
    """Return the versions of the packages that affect results."""
    packages = ("skhuihen", "torch", "scikit-learn", "lightgbm", "xgboost", "numpy", "pandas")
    return {"Python": platform.python_version()} | {name: version(name) for name in packages}


def scores_path(folder: Path, name: str, contender: str, repetition: int, fold: int) -> Path:
    """Return the path of the held-out scores of a fold."""
    plain = re.sub(r"\W+", "-", contender.lower())
    return folder / "scores" / name / f"{plain}-{repetition}-{fold}.npz"
