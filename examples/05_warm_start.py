"""05. Warm start: few applications with behaviors, many older ones without
========================================================================

A bank that has just begun to collect app events has few labeled applications with behaviors and
many older ones without. On the same folds, this script compares a network trained on new
applications alone with networks that were first trained on the old ones. They learned there from
labels and XGBoost as the teacher, from labels alone, or from the bank's scorecard as the teacher
without any label.

The simulated bank is small: it shows the calls, not what a warm start is worth.
"""

from __future__ import annotations

import argparse

import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline

from skhuihen import (
    BehaviorAbstractor,
    HUIHENClassifier,
    ProfileEncoder,
    Sessionizer,
    attach_behaviors,
)
from skhuihen.datasets import make_loan_data

parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
)
parser.add_argument("--applications", type=int, default=400, help="with behaviors")
parser.add_argument("--old", type=int, default=6000, help="without")
parser.add_argument("--epochs", type=int, default=12)
parser.add_argument("--networks", type=int, default=5, help="of each classifier")
arguments = parser.parse_args()

bank = make_loan_data(
    n_new=arguments.applications, n_old=arguments.old, overdue_rate=0.2, random_state=0
)
X = attach_behaviors(bank.applications, bank.events)
X = make_pipeline(BehaviorAbstractor(), Sessionizer(max_sessions=20)).fit_transform(X)

# %%
# The bank's model of the profile
# -------------------------------
# In a real bank it was fitted long ago, on rows that are no longer known. Here it is fitted on the
# old applications.
scorecard = make_pipeline(ProfileEncoder(), LogisticRegression(max_iter=1000))
scorecard.fit(bank.old_applications, bank.old_y)

# %%
# Four starts
# -----------
shape = {"n_estimators": arguments.networks, "max_epochs": arguments.epochs}
cold = HUIHENClassifier(**shape, random_state=0)
settings = {"max_epochs": arguments.epochs, "batch_size": 256}  # of step one
models = {"new applications alone": cold}
for name, old_y, teacher in (
    ("warm start, XGBoost", bank.old_y, "xgboost"),
    ("warm start, labels alone", bank.old_y, None),
    ("warm start, scorecard alone", None, scorecard),
):
    model = HUIHENClassifier(**shape, random_state=0)
    models[name] = model.warm_start_from(bank.old_applications, old_y, teacher=teacher, **settings)
    # A model must not be evaluated on applications with labels that it was trained on.
    assert not model.find_old_rows(X).any()

print(models["warm start, XGBoost"].warm_start_student_.history_.tail(3).round(4).T, "\n")
# %%
# Cross-validation on the same folds
# ----------------------------------
folds = StratifiedKFold(3, shuffle=True, random_state=0)
auc = {
    name: cross_val_score(model, X, bank.y, cv=folds, scoring="roc_auc")
    for name, model in models.items()
}
print(pd.DataFrame(auc).T.assign(mean=lambda table: table.mean(axis=1)).round(4).to_string())
