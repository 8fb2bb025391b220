"""How HUIHEN learns today, beside what a risk team has and what an expert adds.

At simulated banks it is warm-started from the old applications, as `LightGBM, old and new` sees
them; on real data there are none. Nothing is tuned: each contender has one setting.

python examples/paper/learning.py --output results
python examples/paper/learning.py --output quick --data superlender --small
"""

import sys

from contenders import TODAY
from tables import Table

HERE = [name for name in TODAY if "expert" not in name and "old" not in name]
OLD = "LightGBM, profile + windows + topics, old and new, 150 trees"
EXPERT = "LightGBM, profile + expert, 150 trees"
AT_BANKS = ["HUIHEN, default", *(name for name in TODAY if "old" in name), OLD]
AT_BANKS += [name for name in HERE if "HUIHEN" not in name]
TABLE = Table(
    "learning",
    __doc__,
    {
        "superlender": [*HERE, "HUIHEN, default, by and on an expert's trees", EXPERT],
        "bpic2012": HERE,
        "uci": [name for name in HERE if name != "HUIHEN, default, single network"],
        "bank_a": AT_BANKS,
        "bank_b": AT_BANKS,
    },
    repetitions=3,
    reference="HUIHEN, default",
)

if __name__ == "__main__":
    TABLE.main(["--n-settings", "1", *sys.argv[1:]])
