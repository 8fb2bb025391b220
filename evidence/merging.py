"""Table 4 at a small size: what merging operations is worth, by every way of merging.

The original operations and the true groups of the simulated banks are compared with merging by
frequency, by the former criterion (names first) and by the current one. Gains are over the current
criterion, in the AUC from the true probabilities, which has no noise from labels. The package no
longer contains the former criterion, so its groups are read from ``DATA_former.csv`` in the folder
of the results, which `former_merging.py` writes.

python evidence/merging.py --output results
python evidence/merging.py --output quick --small
"""

from contenders import MERGED, ONE_NETWORK
from tables import Table

WAYS = [ONE_NETWORK, *MERGED]
TABLE = Table(
    "merging",
    __doc__,
    {"bank_a_small": WAYS, "bank_b_small": WAYS},
    repetitions=2,
    metric="expected_auc",
    reference=ONE_NETWORK,
)

if __name__ == "__main__":
    TABLE.main()
