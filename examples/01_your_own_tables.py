"""01. From two files of your own to overdue probabilities
=======================================================

This script writes two small tables to a folder, as a warehouse would export them, and turns them
into a table of probabilities. Replace the two paths and the column names with yours. If the two
tables name the customer differently, pass a pair: ``by=("customer", "client")``.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import pandas as pd
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

from skhuihen import BehaviorAbstractor, HUIHENClassifier, Sessionizer, attach_behaviors
from skhuihen.datasets import make_loan_data
from skhuihen.metrics import ks_score, lift_table

parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
)
parser.add_argument("--applications", type=int, default=1000, help="size of the simulated bank")
arguments = parser.parse_args()

# %%
# Two files become one table
# --------------------------
with tempfile.TemporaryDirectory() as folder:
    # What your warehouse exports: applications with their outcome, and app events.
    bank = make_loan_data(n_new=arguments.applications, n_old=0, overdue_rate=0.2, random_state=0)
    exported = bank.applications.assign(overdue=bank.y)
    exported.to_parquet(Path(folder) / "applications.parquet")
    bank.events.to_parquet(Path(folder) / "events.parquet")

    # One row per application, with the events before it nested inside.
    applications = pd.read_parquet(Path(folder) / "applications.parquet")
    y = applications.pop("overdue")
    X, report = attach_behaviors(
        applications,
        Path(folder) / "events.parquet",
        by="user_id",
        applied_at="applied_at",
        time="time",
        lookback="180D",
        return_report=True,
    )
print(report.to_string(), "\n")

# %%
# Behaviors, sessions, network
# ----------------------------
# The columns in ``by``, ``user_id`` and ``application_id`` never count as profile. If there are
# other identifiers, name all of them: ``HUIHENClassifier(id_columns=["customer", "contract"])``.
# Name them, too, if X was converted to another kind of table, such as polars, which does not
# remember ``by``.
model = make_pipeline(
    BehaviorAbstractor(),
    Sessionizer(session_gap="1h"),
    HUIHENClassifier(max_epochs=10, random_state=0, verbose=1),
)
X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)
model.fit(X_train, y_train)

# %%
# Probabilities, and how good they are on held-out applications
# -------------------------------------------------------------
probability = model.predict_proba(X_test)[:, 1]
result = X_test[["application_id", "user_id"]].assign(overdue_probability=probability)
print(result.sort_values("overdue_probability", ascending=False).head().to_string(index=False))
print(f"\nKS {ks_score(y_test, probability):.3f}\n")
print(lift_table(y_test, probability, n_bins=5).to_string())
