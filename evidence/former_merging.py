"""Write the groups of operations that an earlier version finds, for `merging.py`.

Put that version on the path; commit c2cb364 was the last one that compares names first. The groups
are learned from all applications, not only from training rows, because merging uses no labels.

PYTHONPATH=checkout_of_c2cb364 python evidence/former_merging.py results
"""

import sys
from pathlib import Path

from skhuihen import BehaviorAbstractor, attach_behaviors
from skhuihen.datasets import make_loan_data

#: The banks of `measure.py`, which cannot be imported together with an earlier version.
BANKS = {"bank_a_small": ("A", 2_000, 10_715), "bank_b_small": ("B", 2_000, 2_236)}

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, (bank, n_new, n_old) in BANKS.items():
        data = make_loan_data(n_new, n_old, bank=bank, overdue_rate=0.3, random_state=0)
        X = attach_behaviors(data.applications, data.events, known_at="recorded_at")
        table = BehaviorAbstractor().fit(X).rules_
        # Items are counted again, from training rows only.
        groups = table.loc[table["item"] == "*", ["operation", "field", "behavior"]]
        groups.to_csv(folder / f"{name}_former.csv", index=False)
