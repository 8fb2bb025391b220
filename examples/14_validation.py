"""14. Validation: a report for those who approve, the document of a model, and a watch
====================================================================================

`risk_report` compares champion and challengers on later applications, and writes one page.
`model_card` writes the document that describes the model. `Monitor` is fitted at training time, and
then watches months in which the app gets new operations.

To run it::

    python examples/14_validation.py
    python examples/14_validation.py --lender --network   # the real lender in SKHUIHEN_DATA
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from lightgbm import LGBMClassifier
from sklearn.pipeline import make_pipeline, make_union

from skhuihen import (
    BehaviorAbstractor,
    HUIHENClassifier,
    IntervalStatistics,
    Monitor,
    ProfileEncoder,
    Sessionizer,
    WindowStatistics,
    attach_behaviors,
    make_scorecard,
    model_card,
    risk_report,
    save_model,
)
from skhuihen.datasets import load_superlender, make_loan_data

parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
)
parser.add_argument("--applications", type=int, default=4000)
parser.add_argument("--lender", action="store_true", help="read SuperLender from SKHUIHEN_DATA")
parser.add_argument("--network", action="store_true", help="make HUIHEN the champion")
parser.add_argument("--output", type=Path, default=Path("demo_output"))
arguments = parser.parse_args()

if arguments.lender:
    data = load_superlender()
    events = data.events[data.events["user_id"].isin(data.applications["user_id"])]
    X, y = attach_behaviors(data.applications, events), data.y
    sessions = Sessionizer(session="loan", min_behaviors=1)
    windows, freq = ("2D", "7D", "21D", "60D", "180D"), "W"
    segments = ["user__loan_number", "user__account_type"]
    note = "SuperLender, a lender in Nigeria: public data of a challenge on Zindi. July 2017."
else:
    data = make_loan_data(arguments.applications, 0, overdue_rate=0.2, random_state=0)
    X, y = attach_behaviors(data.applications, data.events, known_at="recorded_at"), data.y
    sessions, windows, freq = Sessionizer(), ("1D", "7D", "30D", "90D", "365D"), "M"
    segments = ["item__product", "user__age"]
    note = "A simulated bank."

# %%
# A split by time
# ---------------
# The earliest 60% of the applications train the models, the next 15% are the reference of the
# monitor, and the rest is new.
order = np.argsort(X["applied_at"].to_numpy(), kind="stable")
X, y = X.iloc[order].reset_index(drop=True), y[order]
n_train, n_reference = int(0.6 * len(X)), int(0.15 * len(X))
train, held_out = slice(n_train), slice(n_train, None)
reference, later = slice(n_train, n_train + n_reference), slice(n_train + n_reference, None)

trees = LGBMClassifier(
    n_estimators=150, learning_rate=0.03, num_leaves=15, n_jobs=1, verbose=-1, random_state=0
)
features = make_union(ProfileEncoder(), WindowStatistics(windows=windows), IntervalStatistics())
models = {
    "LightGBM": make_pipeline(features, trees),
    "scorecard": make_scorecard(),
    "scorecard on the profile": make_scorecard(ProfileEncoder()),
}
if arguments.network:
    steps = [] if arguments.lender else [BehaviorAbstractor()]
    huihen = make_pipeline(*steps, sessions, HUIHENClassifier(n_estimators=2, random_state=0))
    models = {"HUIHEN": huihen, **models}
for model in models.values():
    model.fit(X[train], y[train])
name, champion = next(iter(models.items()))

# %%
# The report
# ----------
report = risk_report(
    models,
    X[held_out],
    y[held_out],
    reference=X[train],
    segments=segments,
    freq=freq,
    title="Validation report",
)
print(report)
print("\n".join(f"* {finding}" for finding in report.summary))

# %%
# The monitor, and the document of the model
# ------------------------------------------
monitor = Monitor(n_months=12, freq=freq).fit(champion, X[reference], y[reference])
arguments.output.mkdir(exist_ok=True)
path = arguments.output / "validated.model"
save_model(champion, path, X[train], y[train], monitor=monitor)
card = model_card(path, report, monitor=monitor, about={"owner": "the team of this example"})
report.to_html(arguments.output / "validation_report.html", note=note)
card.to_html(arguments.output / "model_card.html")
card.to_markdown(arguments.output / "model_card.md")
print(f"\n{card}: {', '.join(card.blanks)}")

# %%
# A new version of the app
# ------------------------
# It renames the operations of half the applicants. Labels are not known yet.
monitor = Monitor.load(path)
months = X[later].copy()
if not arguments.lender:
    renamed = data.events.copy()
    half = renamed["user_id"] % 2 == 0
    renamed.loc[half, "operation"] = renamed.loc[half, "operation"].astype(str) + "_v2"
    months = attach_behaviors(months.drop(columns="behaviors"), renamed, known_at="recorded_at")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # steps warn of unseen operations, too
    result = monitor.check(champion, months)
    known = monitor.check(champion, X[later], y[later])
columns = ["applications", "mean_probability", "expected_auc", "auc", "auc_low", "auc_high"]
with pd.option_context("display.width", 120):
    print("\nMonths before labels are known, and the alarms:")
    print(result.months[columns[:3]].round(3).to_string())
    print(result.alarms.head(8).to_string(index=False) if len(result.alarms) else "no alarms")
    print("\nThe same applicants as they were, once labels are known:")
    print(known.months[columns].round(3).to_string())
for file in ("validation_report.html", "model_card.html", "model_card.md"):
    print(f"wrote {arguments.output / file}")
