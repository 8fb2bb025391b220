r"""Learning before labels on real data: public lenders, and real behaviors without a label.

The public lenders have no history without a label, so the networks of a fold are pre-trained on
its training rows alone. `cmb2020` has real behaviors of 4,000 customers and no label at all, so it
shows only that the code runs on them, and how long it takes: a loss of training that falls does not
tell whether what is learned is of use. The files must be in the folder that the environment
variable ``SKHUIHEN_DATA`` names. A run that was stopped goes on where it was.

    python evidence/pretraining_real.py --output docs/evidence/pretraining

The rows of `cmb2020` on the page are of two epochs:

    python evidence/pretraining_real.py --output docs/evidence/pretraining \
        --data cmb2020 --epochs 2
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from measure import DATA, commit_of_code, read_results
from pretrained import pretrain
from pretraining import ARMS, FOLDS, LENDERS, TRAINED, TREES_KNOWN, Bank, Setting
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import RepeatedStratifiedKFold
from tqdm.auto import tqdm

from skhuihen import BehaviorAbstractor, Sessionizer, attach_behaviors
from skhuihen.datasets import load_cmb2020

USUAL = [TREES_KNOWN, "LightGBM, with vectors, contrast"]


class Fold(Bank):
    """The rows of a fold, prepared for all arms; only its training rows are learned from.

    Parameters
    ----------
    name : str
    rows : int or None
        Size of the sample; None is all.
    train, test : ndarray of int
    setting : Setting
    """

    def __init__(
        self, name: str, rows: int | None, train: np.ndarray, test: np.ndarray, setting: Setting
    ) -> None:
        case = DATA[name](rows, None)
        order = np.concatenate([train, test])
        self.setting, self.seed, self.n_train, self.days = setting, 0, len(train), case.windows
        self.y = np.asarray(case.y)[order]
        X = case.X.iloc[order].reset_index(drop=True)
        self.X = BehaviorAbstractor().fit(X[: self.n_train]).transform(X)
        self.sessions = case.sessionizer.fit(self.X[: self.n_train]).transform(self.X)
        self.histories = self.sessions[: self.n_train]
        self._remember()


def measure_lenders(arguments: argparse.Namespace) -> None:
    """Measure the missing folds of the public lenders."""
    path = arguments.output / "own_rows.csv"
    keys = ["data", "rows", "epochs", "networks", "repetition", "fold", "arm"]
    results = read_results(path) if path.exists() else pd.DataFrame(columns=keys)
    known = {tuple(map(str, key)) for key in results[keys].itertuples(index=False)}
    commit = commit_of_code()
    splitter = RepeatedStratifiedKFold(
        n_splits=FOLDS, n_repeats=arguments.repetitions, random_state=0
    )
    for name in arguments.data:
        case = DATA[name](arguments.rows, None)
        setting = Setting(name, np.nan, 0, 0, arguments.epochs, 30, arguments.networks, False)
        splits = list(splitter.split(case.X, case.y))
        for number, (train, test) in enumerate(tqdm(splits, name, unit="fold")):
            about = (name, len(case.y), arguments.epochs, arguments.networks)
            jobs = [
                key
                for arm in arguments.arms
                for key in [(*about, *divmod(number, FOLDS), arm)]
                if tuple(map(str, key)) not in known
            ]
            if not jobs:
                continue
            fold = Fold(name, arguments.rows, train, test, setting)
            for key in jobs:
                arm = str(key[-1])
                score, seconds = fold.timed(arm, fold.n_train)
                line = dict(zip(keys, key, strict=True)) | {
                    "auc": round(roc_auc_score(fold.y[fold.n_train :], score), 6),
                    "seconds": round(seconds, 1),
                    "pretraining_seconds": round(fold.seconds(arm), 1),
                    "commit": commit,
                }
                line = pd.DataFrame([line])
                results = line if results.empty else pd.concat([results, line])
                results.sort_values(keys, kind="stable").to_csv(path, index=False)


def measure_mechanics(arguments: argparse.Namespace) -> None:
    """Pre-train on real behaviors without a label with each loss; write losses and seconds."""
    data = load_cmb2020()
    users = data.applications[["user_id", "applied_at"]][: arguments.rows]
    events = data.events[data.events["user_id"].isin(users["user_id"])]
    raw = attach_behaviors(users, events)
    table = Sessionizer().fit_transform(BehaviorAbstractor().fit_transform(raw))
    lines = []
    for loss in ("next", "contrast"):
        found = pretrain(
            table, losses=TRAINED[loss], max_epochs=arguments.epochs, verbose=1, random_state=0
        )
        lines.append(
            {
                "data": "cmb2020",
                "histories": len(table),
                "events": len(events),
                "events in sessions": len(table["behaviors"].nest["time"]),
                "loss": loss,
                "epochs": arguments.epochs,
                "first epoch": round(found.losses[0], 3),
                "last epoch": round(found.losses[-1], 3),
                "seconds": round(found.seconds, 1),
                "commit": commit_of_code(),
            }
        )
    pd.DataFrame(lines).to_csv(arguments.output / "mechanics.csv", index=False)


def main() -> None:
    """Measure what is lacking."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--output", type=Path, default=Path("demo_output/pretraining"), help="folder of results")
    add("--data", nargs="+", choices=[*LENDERS, "cmb2020"], default=[*LENDERS, "cmb2020"])
    add("--rows", type=int, help="of a sample; default: all")
    add("--arms", nargs="+", choices=list(ARMS), default=USUAL)
    add("--networks", type=int, default=1, help="of HUIHEN, whose default is 5")
    add("--repetitions", type=int, default=1, help="of the cross-validation")
    add("--epochs", type=int, default=4, help="of pre-training")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    if "cmb2020" in arguments.data:
        measure_mechanics(arguments)
        arguments.data.remove("cmb2020")
    measure_lenders(arguments)


if __name__ == "__main__":
    main()
