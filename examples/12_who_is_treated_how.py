"""12. Who is treated how: approvals, ranking and calibration by group, and what may not be used
=============================================================================================

A bank must know how its model treats groups of applicants, here three groups of age. `group_table`
shows approval rates, AUC and calibration of each, and fairlearn's `MetricFrame` accepts the same
metrics (pip install skhuihen[fairness]). Then the model learns without what may not be used: a
step drops columns, and rules drop operations of the app before anything sees them.

Leaving a column out does not make groups equal: what remains may stand for it. So the table is made
again, with the column beside the model and not in it.

To run it::

    python examples/12_who_is_treated_how.py
    python examples/12_who_is_treated_how.py --applications 6000
"""

from __future__ import annotations

import argparse

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline

from skhuihen import BehaviorAbstractor, HUIHENClassifier, Sessionizer, attach_behaviors
from skhuihen.datasets import make_loan_data
from skhuihen.metrics import gini_score, group_table, ks_score

parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
)
parser.add_argument("--applications", type=int, default=1500)
parser.add_argument("--epochs", type=int, default=15)
parser.add_argument("--networks", type=int, default=5)
parser.add_argument("--cutoff", type=float, default=0.2, help="approve below this probability")
arguments = parser.parse_args()

bank = make_loan_data(n_new=arguments.applications, n_old=0, overdue_rate=0.2, random_state=0)
X, y = attach_behaviors(bank.applications, bank.events), np.asarray(bank.y)
age = pd.cut(X["user__age"], [0, 30, 45, 120], labels=["to 30", "31 to 45", "over 45"])

# %%
# What may not be used
# --------------------
# The field "excluded" drops events.
rules = [{"operation": "Account*", "field": "excluded"}]
without = make_column_transformer(
    ("drop", ["user__age"]), remainder="passthrough", verbose_feature_names_out=False
).set_output(transform="pandas")


def rest() -> list:
    """Return the steps after the operations."""
    network = HUIHENClassifier(
        n_estimators=arguments.networks, max_epochs=arguments.epochs, random_state=0
    )
    return [Sessionizer(max_sessions=10), network]


models = {
    "all columns and operations": make_pipeline(BehaviorAbstractor(), *rest()),
    "without what may not be used": make_pipeline(without, BehaviorAbstractor(rules), *rest()),
}
# %%
# By group of age
# ---------------
folds = StratifiedGroupKFold(3, shuffle=True, random_state=0)
columns = ["count", "approval_rate", "approval_ratio", "auc", "auc_low", "auc_high"]
for name, model in models.items():
    risk = cross_val_predict(model, X, y, cv=folds, groups=X["user_id"], method="predict_proba")[
        :, 1
    ]
    table = group_table(y, risk, age, cutoff=arguments.cutoff)
    print(f"{name}:")
    print(table[[*columns, "overdue_rate", "mean_probability"]].round(3).to_string(), end="\n\n")

# %%
# The same in fairlearn
# ---------------------
try:
    from fairlearn.metrics import MetricFrame, demographic_parity_ratio
except ImportError:
    print("fairlearn is not installed: pip install skhuihen[fairness]")
else:
    metrics = {"AUC": roc_auc_score, "KS": ks_score, "Gini": gini_score}
    frame = MetricFrame(metrics=metrics, y_true=y, y_pred=risk, sensitive_features=age.astype(str))
    print("The same scores in fairlearn:")
    print(frame.by_group.round(3).to_string())
    is_approved = (risk < arguments.cutoff).astype(int)
    ratio = demographic_parity_ratio(1 - y, is_approved, sensitive_features=age.astype(str))
    print(f"Lowest approval rate over the highest: {ratio:.3f}")
    assert np.isclose(ratio, table["approval_ratio"].drop("all").min())
    assert np.allclose(frame.by_group["AUC"], table["auc"].drop("all").loc[frame.by_group.index])
