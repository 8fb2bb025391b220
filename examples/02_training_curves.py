r"""02. Training curves: held-out AUC by epoch, for several settings
================================================================

The paper does not say how many epochs, which batch size and which weight decay to use. This script
draws the effect of such settings on a simulated bank or on the files of a real lender (``--data``).
Draw them on your own applications before you choose. The figures in ``docs/choices.md`` are of the
former optimizer and dropout. These commands draw larger ones::

    python examples/02_training_curves.py --applications 2000 --epochs 50
    python examples/02_training_curves.py --data <folder of SuperLender> --epochs 50
    python examples/02_training_curves.py --applications 40000 --epochs 30 \
        --settings defaults weight_decay=1 weight_decay=0
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure
from sklearn.pipeline import make_pipeline

from skhuihen import BehaviorAbstractor, HUIHENClassifier, Sessionizer, attach_behaviors
from skhuihen.datasets import load_superlender, make_loan_data

SETTINGS: dict[str, dict] = {
    "defaults": {},
    "weight_decay=1": {"weight_decay": 1.0},
    "weight_decay=0": {"weight_decay": 0.0},
    "batch_size=64": {"batch_size": 64},
    "dropout=0.6": {"dropout": 0.6},
    "log_interval=False": {"net_params": {"module__log_interval": False}},
}

parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
)
parser.add_argument("--data", help="folder of the SuperLender files; default: simulate a bank")
parser.add_argument("--applications", type=int, default=500, help="size of the simulated bank")
parser.add_argument("--epochs", type=int, default=8)
parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=list(SETTINGS))
parser.add_argument("--output", type=Path, default=Path("demo_output"))
arguments = parser.parse_args()

if arguments.data:
    data = load_superlender(arguments.data)
    sessionizer = Sessionizer(session="loan", min_behaviors=1)
else:
    data = make_loan_data(n_new=arguments.applications, n_old=0, overdue_rate=0.2, random_state=0)
    sessionizer = Sessionizer()
X = attach_behaviors(data.applications, data.events)
X = make_pipeline(BehaviorAbstractor(), sessionizer).fit_transform(X)

# %%
# One curve for each setting
# --------------------------
# Half of the rows are held out, so that the curves are smooth. Training does not stop early.
figure = Figure(figsize=(8, 5), layout="constrained")
ax = figure.subplots()
rows = {}
for name in arguments.settings:
    model = HUIHENClassifier(
        max_epochs=arguments.epochs,
        n_estimators=1,
        teacher=None,
        schedule="constant",
        lr=1e-3,
        early_stopping=True,
        validation_fraction=0.5,
        n_iter_no_change=arguments.epochs,
        random_state=0,
        verbose=1,
        **SETTINGS[name],
    )
    history = model.fit(X, data.y).history_
    history["valid_auc"].plot(ax=ax, label=name)
    best = int(history["valid_auc"].idxmax())
    rows[name] = {
        "best AUC": history.loc[best, "valid_auc"],
        "in epoch": best,
        "last AUC": history["valid_auc"].iloc[-1],
        "last training loss": history["train_loss"].iloc[-1],
    }
ax.set(xlabel="epoch", ylabel="AUC on the held-out half")
ax.legend()
arguments.output.mkdir(parents=True, exist_ok=True)
figure.savefig(arguments.output / "training_curves.png", dpi=120)
print(pd.DataFrame(rows).T.round(3).to_string())
print(f"Saved {arguments.output}/training_curves.png")
