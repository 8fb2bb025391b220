"""Table 4 at a small size: what merging operations is worth, by every way of merging.

Beside the original operations and the true groups of the simulated banks stand merging by
frequency, by the former criterion (names first), and by that of today. Gains are on that of today,
in the AUC by the true probabilities, which is without the noise of labels. The former criterion is
no longer in the package: its groups are read from ``DATA_former.csv`` in the folder of the results,
which `former_merging.py` writes.

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
