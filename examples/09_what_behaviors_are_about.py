"""09. What behaviors are about: a habit that shows in the choice among dozens of products
=======================================================================================

At this simulated bank a single habit decides who is overdue: an appetite for risky funds. Half of
the funds are risky, and no column says which. Window statistics give trees a count of each fund,
which is too much to learn from few labels. `BehaviorTopics` finds without any label that the same
applicants look at some of the funds, and gives trees a few numbers instead. Use the table of
loadings to name the topics. The AUC shows what they are worth at this bank, where nothing else
matters.

To run it::

    python examples/09_what_behaviors_are_about.py
    python examples/09_what_behaviors_are_about.py --applications 6000
"""

from __future__ import annotations

import argparse

import pandas as pd
from lightgbm import LGBMClassifier
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline, make_union

from skhuihen import (
    BehaviorAbstractor,
    BehaviorTopics,
    ProfileEncoder,
    WindowStatistics,
    attach_behaviors,
)
from skhuihen.datasets import make_loan_data

parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
)
parser.add_argument("--applications", type=int, default=1000)
arguments = parser.parse_args()

others = ("profile", "nonlinear", "impulsive", "hesitant", "month_end")
bank = make_loan_data(
    n_new=arguments.applications,
    n_old=0,
    overdue_rate=0.3,
    habit_effect=3.0,
    random_state=0,
    **{f"{name}_effect": 0.0 for name in others},
)
X = attach_behaviors(bank.applications, bank.events, known_at="recorded_at")

# %%
# The topics, and their two ends
# ------------------------------
topics = BehaviorTopics(group_by="behavior")
behaviors = BehaviorAbstractor().fit_transform(X)
loadings = topics.fit(behaviors).loadings_
frequent = behaviors["behaviors"].nest["behavior"].value_counts().index[:100]
ends = {
    topic: {"below": ", ".join(of.nsmallest(4).index), "above": ", ".join(of.nlargest(4).index)}
    for topic, of in loadings.loc[frequent].items()
}
print("The two ends of each topic, among the hundred most frequent behaviors:")
print(pd.DataFrame.from_dict(ends, orient="index").to_string(), end="\n\n")

# %%
# What they are worth to trees
# ----------------------------
trees = LGBMClassifier(
    n_estimators=100, learning_rate=0.03, num_leaves=7, n_jobs=1, verbose=-1, random_state=0
)
windows = [ProfileEncoder(), WindowStatistics(group_by="behavior")]
features = {
    "profile + windows": make_union(*windows),
    "profile + windows of every item": make_union(
        ProfileEncoder(), WindowStatistics(group_by="behavior", n_operations=300)
    ),
    "profile + windows + topics": make_union(*windows, topics),
}
folds = StratifiedKFold(3, shuffle=True, random_state=0)
print("AUC of LightGBM, mean and standard deviation over three folds:")
for name, table in features.items():
    model = make_pipeline(BehaviorAbstractor(), table, trees)
    auc = cross_val_score(model, X, bank.y, cv=folds, scoring="roc_auc")
    print(f"{name:32} {auc.mean():.3f} +/- {auc.std(ddof=1):.3f}")
