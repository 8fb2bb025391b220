"""13. Declined applications: reject inference by fuzzy augmentation, and what it cannot do
========================================================================================

A bank knows the outcome of the applications that it approved, but its model must score all. Fuzzy
augmentation adds each declined application twice: as overdue with the weight p, and as paid with
the weight 1 - p, where p is its probability by a model of the approved ones. The weights of an
application add up to one.

What to know before you use it:

* It adds no knowledge of outcomes. p comes from the approved, so a model of the same columns learns
  little that is new: its probabilities for the declined are at best those that it had before.
* It assumes that declined applicants pay as approved ones with the same columns do. If somebody
  declined for reasons that are not in the data, they pay worse. With `--hidden`, this script lets
  such reasons take part in the decisions. No method can see that in the data; a small random
  share of approved applications can.
* Both copies of an application must be in one fold. HUIHENClassifier keeps the applications of a
  user together; in your own folds pass groups.

At a simulated bank the outcomes of the declined are known, so the script can tell what it was
worth, next to the model of the approved alone and to one that knows everything.

To run it::

    python examples/13_declined_applications.py
    python examples/13_declined_applications.py --applications 6000 --hidden
"""

from __future__ import annotations

import argparse

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

from skhuihen import BehaviorAbstractor, HUIHENClassifier, Sessionizer, attach_behaviors
from skhuihen.datasets import make_loan_data
from skhuihen.metrics import calibration_summary, expected_auc

parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
)
parser.add_argument("--applications", type=int, default=1500)
parser.add_argument("--epochs", type=int, default=15)
parser.add_argument("--networks", type=int, default=5)
parser.add_argument("--approval-rate", type=float, default=0.6)
parser.add_argument("--hidden", action="store_true", help="decide by what is not in the data too")
arguments = parser.parse_args()

bank = make_loan_data(n_new=arguments.applications, n_old=0, overdue_rate=0.25, random_state=0)
X, y = attach_behaviors(bank.applications, bank.events, known_at="recorded_at"), np.asarray(bank.y)
rng = np.random.default_rng(0)
is_test = rng.random(len(X)) < 1 / 3

# %%
# The decisions of the past
# -------------------------
# They go by the part of the risk that the profile shows. An underwriter who knows more declines
# some who will not pay.
seen = bank.effects["profile"] + bank.effects["nonlinear"]
if arguments.hidden:
    seen = seen + 2 * y
is_approved = (seen <= np.quantile(seen, arguments.approval_rate)).to_numpy()
approved, declined = (np.flatnonzero(of & ~is_test) for of in (is_approved, ~is_approved))

# %%
# Three models
# ------------
network = HUIHENClassifier(
    n_estimators=arguments.networks, max_epochs=arguments.epochs, random_state=0
)
model = make_pipeline(BehaviorAbstractor(), Sessionizer(max_sessions=20), network)
of_approved = clone(model).fit(X.iloc[approved], y[approved])
p = of_approved.predict_proba(X.iloc[declined])[:, 1]

rows = np.concatenate([approved, declined, declined])
label = np.concatenate([y[approved], np.ones(len(declined)), np.zeros(len(declined))]).astype(int)
weight = np.concatenate([np.ones(len(approved)), p, 1 - p])
augmented = clone(model).fit(X.iloc[rows], label, huihenclassifier__sample_weight=weight)

everything = clone(model).fit(X.iloc[~is_test], y[~is_test])
# %%
# What they are worth, for all kinds of applications
# --------------------------------------------------
models = {
    "approved alone": of_approved,
    "fuzzy augmentation": augmented,
    "all outcomes known": everything,
}
table = {}
for name, fitted in models.items():
    risk = fitted.predict_proba(X.iloc[is_test])[:, 1]
    of_declined = risk[~is_approved[is_test]]
    table[name] = {
        "expected AUC": expected_auc(bank.probability[is_test], risk),
        "slope": calibration_summary(y[is_test], risk).slope,
        "mean probability of the declined": of_declined.mean(),
        "their overdue rate": y[is_test & ~is_approved].mean(),
    }
print(f"{len(approved)} approved, {len(declined)} declined, {is_test.sum()} to test on, all kinds:")
print(pd.DataFrame.from_dict(table, orient="index").round(3).to_string())
