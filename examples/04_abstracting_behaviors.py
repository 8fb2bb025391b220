"""04. From hundreds of raw operations to some forty behaviors, and a table that a banker can edit
===============================================================================================

Merges the pages and transaction codes of a real bank's app if its files are available (see
`skhuihen.datasets.load_cmb2020`), and the operations of a simulated bank otherwise. Then edits
the table as a banker would, passes it back, and shows what changed. Finally compares the groups
found at a simulated bank with the true ones.

Run ``python examples/04_abstracting_behaviors.py [folder]``. Without a folder, the script uses
the one in ``SKHUIHEN_DATA``.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import pandas as pd
from sklearn.metrics import adjusted_rand_score

from skhuihen import BehaviorAbstractor, attach_behaviors
from skhuihen.datasets import load_cmb2020, make_loan_data


def count(X: pd.DataFrame, abstractor: BehaviorAbstractor) -> pd.Series:
    """Return the number of events of each behavior."""
    return abstractor.transform(X)["behaviors"].nest["behavior"].value_counts()


parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
)
parser.add_argument("folder", nargs="?", help="of the contest's files")
parser.add_argument("--applications", type=int, default=1000, help="of the simulated bank")
arguments = parser.parse_args()

simulated = make_loan_data(n_new=arguments.applications, n_old=0, random_state=0)
try:
    data, source = load_cmb2020(arguments.folder), "China Merchants Bank, FinTech contest 2020"
except FileNotFoundError:
    if arguments.folder is not None:
        raise
    data, source = simulated, "A simulated bank"
X = attach_behaviors(data.applications, data.events)

# %%
# The groups and why
# ------------------
# What placed each operation and how certain that is, least certain first. Item clicks are not
# shown: their items are kept apart one by one.
abstractor = BehaviorAbstractor().fit(X)
table = abstractor.rules_
widgets_and_money = table[table["field"] != "item_click"].sort_values("sure", kind="stable")
found = widgets_and_money.groupby(["field", "behavior"])["operation"].agg(list)
placed = widgets_and_money.set_index("operation")[["why", "sure"]]
n_events = count(X, abstractor)
print(f"{source}: {table['operation'].nunique()} operations\n")
for (field, behavior), operations in found.items():
    print(f"{field:20}{behavior:30}{n_events.get(behavior, 0):8,} events")
    for operation in operations if len(operations) > 1 else ():
        print(f"    {operation:30}by {placed['why'][operation]:8}{placed['sure'][operation]:.2f}")

# %%
# How many behaviors
# ------------------
# The best number is where merging costs least; `skhuihen.plotting.MergingDisplay` draws the cost.
automatic = BehaviorAbstractor(n_behaviors="auto").fit(X)
print(f"\nn_behaviors='auto': {automatic.n_behaviors_} behaviors; around it:")
cost = automatic.merges_.dropna(subset="cost").drop_duplicates("n_behaviors").reset_index(drop=True)
last = int(cost["made"].sum())
print(cost.iloc[max(0, last - 3) : last + 3].round(3).to_string(index=False))

# %%
# A banker edits the table
# ------------------------
# The banker merges two behaviors, renames one and returns the table.
widgets = found["function_widget"].drop("function_widget:other", errors="ignore").index
two, one = n_events[n_events.index.isin(widgets)].index[-2:]
renamed = n_events[n_events.index.isin(found["transform_operation"].index)].index[0]
with tempfile.TemporaryDirectory() as exported:
    path = Path(exported) / "behaviors.csv"
    table.to_csv(path, index=False)
    edited = pd.read_csv(path, dtype=str, keep_default_na=False)
    edited["behavior"] = edited["behavior"].replace({two: one, renamed: "money moved"})
    edited.to_csv(path, index=False)
    again = BehaviorAbstractor(path).fit(X)

print(f"\nEdited: {two!r} merged into {one!r}, {renamed!r} renamed to 'money moved'.")
effect = pd.DataFrame({"before": n_events, "after": count(X, again)}).fillna(0).astype(int)
print(effect[effect["before"] != effect["after"]].to_string())
print(f"behaviors: {abstractor.n_behaviors_} before, {again.n_behaviors_} after")

# %%
# With known true groups
# ----------------------
# Are operations of one group merged?
truth = simulated.operation_groups.set_index("operation")[["field", "behavior"]].agg(
    "/".join, axis=1
)
X = attach_behaviors(simulated.applications, simulated.events)
print("\nAdjusted Rand index with the true groups of a simulated bank, each operation once:")
for merge in ("frequency", "auto"):
    rules = BehaviorAbstractor(merge=merge).fit(X).rules_
    rules = rules[rules["item"] == "*"].set_index("operation")
    learned = rules[["field", "behavior"]].agg("/".join, axis=1)
    both = pd.concat([truth, learned], axis=1, join="inner").T.to_numpy()
    print(f"    merge={merge!r:12} {adjusted_rand_score(*both):.3f}")
