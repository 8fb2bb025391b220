"""11. Champion and challenger: from scores to points, bands and swap sets
=======================================================================

A bank decides by a scorecard (the champion) and asks whether HUIHEN (the challenger) should take
over. Both score the applications of the latest eight weeks, from which neither has learned. Points
put both on one scale. Bands show what each cut-off would approve. The swap set shows who would be
newly approved and newly declined at the same approval rate.

Consider three things before you decide by such a table:

* In a real bank most newly approved applications were declined before, so their outcome is unknown.
  A few were approved by exception, and are not typical. Approve a small random share of the
  declined applications, and use their outcomes.
* The known outcomes depend on the champion's limits and prices.
* Look at the intervals. A swap set of thirty applications proves nothing.

To run it::

    python examples/11_champion_and_challenger.py
    python examples/11_champion_and_challenger.py --applications 6000
"""

from __future__ import annotations

import argparse

import numpy as np
from sklearn.pipeline import make_pipeline

from skhuihen import (
    BehaviorAbstractor,
    HUIHENClassifier,
    PointsScaler,
    ProfileEncoder,
    Sessionizer,
    attach_behaviors,
    make_scorecard,
)
from skhuihen.datasets import make_loan_data
from skhuihen.metrics import band_table, calibration_summary, delong_test, swap_set_table
from skhuihen.model_selection import OutOfTimeSplit

parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
)
parser.add_argument("--applications", type=int, default=1500)
parser.add_argument("--epochs", type=int, default=15)
parser.add_argument("--networks", type=int, default=5)
parser.add_argument("--approval-rate", type=float, default=0.7)
arguments = parser.parse_args()

bank = make_loan_data(
    n_new=arguments.applications,
    n_old=0,
    overdue_rate=0.2,
    impulsive_effect=2.0,
    hesitant_effect=2.0,
    random_state=0,
)
X, y = attach_behaviors(bank.applications, bank.events, known_at="recorded_at"), np.asarray(bank.y)
train, test = next(OutOfTimeSplit(n_splits=1, test_size="56D").split(X, y))

# %%
# Both learn from earlier applications
# ------------------------------------
# 600 points mean 20 paid loans for each overdue one, and 40 more points double these odds.
network = HUIHENClassifier(
    n_estimators=arguments.networks, max_epochs=arguments.epochs, random_state=0
)
scale = {"points": 600, "odds": 20, "pdo": 40}
champion = PointsScaler(make_scorecard(ProfileEncoder()), **scale)
challenger = PointsScaler(
    make_pipeline(BehaviorAbstractor(), Sessionizer(max_sessions=20), network), **scale
)
points, risk = {}, {}
for name, model in (("champion", champion), ("challenger", challenger)):
    model.fit(X.iloc[train], y[train])
    risk[name] = model.predict_proba(X.iloc[test])[:, 1]
    points[name] = model.to_points(risk[name])
    # Points mean what they say only if the probabilities are right.
    slope = calibration_summary(y[test], risk[name]).slope
    print(f"{name}: calibration slope {slope:.2f}")

# %%
# Ranking, bands and swap sets
# ----------------------------
difference = delong_test(y[test], risk["challenger"], risk["champion"])
print(
    f"AUC of the challenger minus that of the champion: {difference.difference:+.3f} "
    f"({difference.low:+.3f} to {difference.high:+.3f})\n"
)
for name, of_model in points.items():
    print(f"Bands of the {name}, best first:")
    table = band_table(y[test], of_model, bands=5)
    print(table.round(3).to_string(), end="\n\n")
swaps = swap_set_table(
    y[test], risk["champion"], risk["challenger"], approval_rate=arguments.approval_rate
)
print(f"Who changes places if both approve {arguments.approval_rate:.0%}:")
print(swaps.round(3).to_string())
