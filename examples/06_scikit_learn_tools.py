"""06. scikit-learn's tools: search, calibration, stacking, threshold
==================================================================

A grid search over a parameter of each of the three steps, after a ColumnTransformer that prepares
the profile; calibrated probabilities; a stack of LightGBM and the network; and the threshold for
refusing applications, chosen by the cost of wrong decisions.

A simulated bank this small and so few epochs show the calls, not what the model can do.
"""

from __future__ import annotations

import argparse

import numpy as np
import pandas as pd
from lightgbm import LGBMClassifier
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import StackingClassifier
from sklearn.metrics import brier_score_loss, confusion_matrix, make_scorer, roc_auc_score
from sklearn.model_selection import (
    GridSearchCV,
    StratifiedKFold,
    TunedThresholdClassifierCV,
    train_test_split,
)
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import PowerTransformer

from skhuihen import (
    BehaviorAbstractor,
    HUIHENClassifier,
    ProfileEncoder,
    Sessionizer,
    WindowStatistics,
    attach_behaviors,
)
from skhuihen.datasets import make_loan_data

parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
)
parser.add_argument("--applications", type=int, default=400)
parser.add_argument("--epochs", type=int, default=5)
parser.add_argument("--networks", type=int, default=5, help="of each classifier")
parser.add_argument("--jobs", type=int, default=1, help="folds in parallel processes")
arguments = parser.parse_args()

bank = make_loan_data(n_new=arguments.applications, n_old=0, overdue_rate=0.3, random_state=0)
X = attach_behaviors(bank.applications, bank.events)
X_train, X_test, y_train, y_test = train_test_split(
    X, bank.y, test_size=0.3, stratify=bank.y, random_state=0
)
folds = StratifiedKFold(3, shuffle=True, random_state=0)

# %%
# Three steps after a ColumnTransformer
# -------------------------------------
# Amounts have long tails. The last two settings keep the column names. Without them, later steps
# would not find the events, the application time and the profile fields.
profile = ColumnTransformer(
    [("amounts", PowerTransformer(), ["user__monthly_income", "item__amount"])],
    remainder="passthrough",
    verbose_feature_names_out=False,
).set_output(transform="pandas")
model = make_pipeline(
    profile,
    BehaviorAbstractor(),
    Sessionizer(max_sessions=20),
    HUIHENClassifier(
        n_estimators=arguments.networks, max_epochs=arguments.epochs, lr=0.005, random_state=0
    ),
)

# %%
# A search over all three steps
# -----------------------------
grid = {
    "behaviorabstractor__n_behaviors": [20, 45],
    "sessionizer__session_gap": ["30min", "2h"],
    "huihenclassifier__dropout": [0.4, 0.6],
}
search = GridSearchCV(model, grid, scoring="roc_auc", cv=folds, n_jobs=arguments.jobs)
search.fit(X_train, y_train)
table = pd.DataFrame(search.cv_results_).set_index("rank_test_score").sort_index()
table.columns = table.columns.str.removeprefix("param_")
print(table[[*grid, "mean_test_score", "std_test_score"]].head(3).round(3).to_string(), "\n")
best = model.set_params(**search.best_params_)

# %%
# Calibration, and a stack of LightGBM and the network
# ----------------------------------------------------
features = make_union(ProfileEncoder(), WindowStatistics(["7D", "30D"]))
trees = make_pipeline(
    features.set_output(transform="pandas"),
    LGBMClassifier(n_estimators=50, learning_rate=0.05, num_leaves=7, n_jobs=1, verbose=-1),
)
models = {
    "HUIHEN": search.best_estimator_,
    "HUIHEN, calibrated": CalibratedClassifierCV(best, cv=folds).fit(X_train, y_train),
    "LightGBM": trees.fit(X_train, y_train),
    "both, stacked": StackingClassifier(
        [("huihen", best), ("trees", trees)], cv=folds, stack_method="predict_proba"
    ).fit(X_train, y_train),
}
risk = {name: one.predict_proba(X_test)[:, 1] for name, one in models.items()}
print(
    pd.DataFrame(
        {
            "AUC": {name: roc_auc_score(y_test, scores) for name, scores in risk.items()},
            "Brier": {name: brier_score_loss(y_test, scores) for name, scores in risk.items()},
            "mean risk": {name: scores.mean() for name, scores in risk.items()},
        }
    ).round(3),
    f"\noverdue: {np.mean(y_test):.3f}\n",
)


# %%
# Which applications to refuse
# ----------------------------
# An overdue loan costs twice what a good one earns.
def profit(y_true: np.ndarray, refused: np.ndarray) -> float:
    """Return the profit per application, in earnings of a good loan."""
    good_granted, _, bad_granted, _ = confusion_matrix(y_true, refused, labels=[0, 1]).ravel()
    return (good_granted - 2 * bad_granted) / len(y_true)


tuned = TunedThresholdClassifierCV(best, scoring=make_scorer(profit), cv=folds)
refused = tuned.fit(X_train, y_train).predict(X_test)
print(f"Refuse at a risk of {tuned.best_threshold_:.3f} or more: {refused.mean():.0%} of them")
print(f"profit per application: {profit(y_test, refused):.3f}, ", end="")
print(f"if all are granted: {profit(y_test, np.zeros_like(y_test)):.3f}")
