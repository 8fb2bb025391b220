"""08. The model that you have: next to HUIHEN, blended with it, or as its teacher
===============================================================================

A risk team has LightGBM on profile and window statistics and will not replace it untested. On the
same folds, this script compares the trees alone, the network alone, the network taught by the trees
(which are then not needed for scoring), and the network blended with the trees, with both weights.

A simulated bank this small shows the calls, not what the models are worth. With a folder of
SuperLender's files, the script uses a real lender and takes some ten minutes.

To run it::

    python examples/08_the_model_you_have.py
    python examples/08_the_model_you_have.py --data path/to/superlender --epochs 200
"""

from __future__ import annotations

import argparse

import pandas as pd
from lightgbm import LGBMClassifier
from sklearn.model_selection import StratifiedKFold, cross_validate
from sklearn.pipeline import make_pipeline, make_union

from skhuihen import (
    BehaviorAbstractor,
    HUIHENClassifier,
    IntervalStatistics,
    ProfileEncoder,
    Sessionizer,
    WindowStatistics,
    attach_behaviors,
)
from skhuihen.datasets import load_superlender, make_loan_data

parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
)
parser.add_argument("--data", help="folder of SuperLender's files; default: a simulated bank")
parser.add_argument("--applications", type=int, default=200, help="size of the simulated bank")
parser.add_argument("--epochs", type=int, default=5)
parser.add_argument("--networks", type=int, default=5, help="of each classifier")
arguments = parser.parse_args()

if arguments.data:
    bank = load_superlender(arguments.data)
    sessions = Sessionizer(session="loan", min_behaviors=1)
    windows, session = ("2D", "7D", "21D", "60D", "180D"), "loan"
else:
    bank = make_loan_data(n_new=arguments.applications, n_old=0, overdue_rate=0.3, random_state=0)
    sessions = Sessionizer(max_sessions=10)
    windows, session = ("2D", "21D", "60D"), None
X = attach_behaviors(bank.applications, bank.events)

# %%
# The models
# ----------
features = make_union(
    ProfileEncoder(),
    WindowStatistics(windows, group_by="behavior"),
    IntervalStatistics(group_by="behavior", session=session),
)
trees = make_pipeline(
    features,
    LGBMClassifier(
        n_estimators=50, learning_rate=0.05, num_leaves=15, n_jobs=1, verbose=-1, random_state=0
    ),
)
network = {"n_estimators": arguments.networks, "max_epochs": arguments.epochs, "random_state": 0}
models = {
    "LightGBM": make_pipeline(BehaviorAbstractor(), trees),
    **{
        name: make_pipeline(BehaviorAbstractor(), sessions, HUIHENClassifier(**network, **how))
        for name, how in {
            "HUIHEN": {},
            "HUIHEN, taught by LightGBM": {"teacher": trees},
            "HUIHEN, blended with LightGBM": {"base_estimator": trees},
            "HUIHEN, taught by and blended with it": {"base_estimator": trees, "teacher": "base"},
        }.items()
    },
}

# %%
# The same folds for all
# ----------------------
folds = StratifiedKFold(3, shuffle=True, random_state=0)
rows = {}
for name, model in models.items():
    result = cross_validate(model, X, bank.y, cv=folds, scoring="roc_auc", return_estimator=True)
    row = {f"fold {number}": auc for number, auc in enumerate(result["test_score"])}
    row["mean"] = result["test_score"].mean()
    blends = [getattr(fitted[-1], "blend_", None) for fitted in result["estimator"]]
    if blends[0]:
        row["weight of trees"] = sum(blend.base for blend in blends) / len(blends)
        row["weight of network"] = sum(blend.network for blend in blends) / len(blends)
    rows[name] = row
print("AUC, and the mean weights of the log-odds:")
print(pd.DataFrame.from_dict(rows, orient="index").round(3).to_string(na_rep=""))
