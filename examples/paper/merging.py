"""Table 4 at a small size: what merging operations is worth, by every way of merging.

Beside the original operations and the true groups of the simulated banks stand merging by
frequency, by the former criterion (names first), and by that of today. Gains are on that of today,
in the AUC by the true probabilities, which is without the noise of labels. The former criterion is
no longer in the package: its groups are read from ``DATA_former.csv`` in the folder of the results.
``--former`` writes them, if an earlier commit is on the path (c2cb364 was the last): they are of
all applications, not of those of training alone, as merging sees no label.

python examples/paper/merging.py --output results
python examples/paper/merging.py --output quick --small
PYTHONPATH=checkout_of_c2cb364 python examples/paper/merging.py --former results
"""

import sys
from pathlib import Path

from contenders import MERGED, ONE_NETWORK
from measure import DATA
from tables import Table

from skhuihen import BehaviorAbstractor

WAYS = [ONE_NETWORK, *MERGED]
TABLE = Table(
    "merging",
    __doc__,
    {"bank_a_small": WAYS, "bank_b_small": WAYS},
    repetitions=2,
    metric="expected_auc",
    reference=ONE_NETWORK,
)


def write_former(folder: Path) -> None:
    """Write the groups of operations that the package on the path finds."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in TABLE.contenders:
        table = BehaviorAbstractor().fit(DATA[name](None, None).X).rules_
        # Items are counted anew, among the applications of training.
        groups = table.loc[table["item"] == "*", ["operation", "field", "behavior"]]
        groups.to_csv(folder / f"{name}_former.csv", index=False)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--former"]:
        write_former(Path(sys.argv[2]))
    else:
        TABLE.main()
