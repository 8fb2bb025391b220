"""10. Reasons: why an applicant was declined, in the words of a table and as pictures
===================================================================================

A lender must be able to say which factors counted against an applicant, and these must be the
factors that the score used. `explain` divides the log-odds of each application among profile and
history. `reason_codes` expresses the largest parts in the words of a table, which the compliance
team can edit. The pictures show one applicant, and all explained applicants together.

To run it::

    python examples/10_reasons.py
    python examples/10_reasons.py --applications 3000
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.pipeline import make_pipeline

from skhuihen import BehaviorAbstractor, HUIHENClassifier, Sessionizer, attach_behaviors
from skhuihen.datasets import make_loan_data
from skhuihen.inspection import (
    EffectSummaryDisplay,
    EffectTimelineDisplay,
    WaterfallDisplay,
    explain,
    reason_codes,
)

parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
)
parser.add_argument("--applications", type=int, default=1000)
parser.add_argument("--epochs", type=int, default=15)
parser.add_argument("--explained", type=int, default=100)
parser.add_argument("--output", type=Path, default=Path("demo_output"))
arguments = parser.parse_args()

bank = make_loan_data(
    n_new=arguments.applications,
    n_old=0,
    overdue_rate=0.3,
    impulsive_effect=2.0,
    hesitant_effect=2.0,
    random_state=0,
)
X = attach_behaviors(bank.applications, bank.events, known_at="recorded_at")
network = HUIHENClassifier(max_epochs=arguments.epochs, n_estimators=2, random_state=0)
model = make_pipeline(BehaviorAbstractor(), Sessionizer(), network).fit(X, bank.y)

# %%
# The effects of parts
# --------------------
# The fifth of the applications with the highest risk is declined. The others are approved, and are
# the background that the declined ones are compared with.
risk = model.predict_proba(X)[:, 1]
declined = np.argsort(-risk)[: min(arguments.explained, len(X) // 5)]
approved = np.argsort(risk)[: len(X) * 4 // 5]
explanation = explain(model, X.iloc[declined], background=X.iloc[approved], verbose=1)
# The same effects for some approved applications. Reasons are relative to their mean.
reference = explain(model, X.iloc[approved[:: max(1, len(approved) // 50)]], X.iloc[approved])

# %%
# Reasons in the words of a table
# -------------------------------
# Each column and each session is a player. The first row that matches a player or its group counts.
table = pd.DataFrame(
    [
        ("user__monthly_income", "11", "Income is low for the credit applied for", "yes"),
        ("user__debt_ratio", "12", "Other debts are high relative to income", "yes"),
        ("user__credit_inquiries", "13", "Recent inquiries at other lenders", "yes"),
        ("user__employment", "14", "Kind of employment", "yes"),
        ("user__years_with_bank", "15", "Length of the relationship with this bank", "yes"),
        ("user__age", "16", "Age", "no"),
        ("user", "17", "Home, education and cards as stated in the application", "yes"),
        ("device", "21", "Device used for the application", "yes"),
        ("item__amount", "31", "Amount applied for", "yes"),
        ("item", "32", "Product, term and rate applied for", "yes"),
        ("session_1", "41", "Use of the app right before the application", "yes"),
        ("history", "42", "Use of the app in the months before", "yes"),
    ],
    columns=["player", "code", "text", "tell"],
)
codes = reason_codes(explanation, table, reference=reference)
print("Reasons for the three applicants with the highest risk:")
print(codes[codes["application"] < 3].drop(columns="index").round(3).to_string(index=False))
first = codes[codes["rank"] == 1].groupby(["code", "text"]).size().sort_values(ascending=False)
print(f"\nFirst reasons of {len(declined)} applicants:")
print(first.to_string())

# %%
# As pictures
# -----------
arguments.output.mkdir(exist_ok=True)
pictures = {
    "waterfall": WaterfallDisplay.from_explanation(explanation, 0),
    "effects": EffectSummaryDisplay.from_explanation(explanation),
    "sessions": EffectTimelineDisplay.from_explanation(explanation, 0),
}
for name, display in pictures.items():
    path = arguments.output / f"reasons_{name}.png"
    display.figure_.savefig(path, dpi=100)
    print(f"wrote {path}")
