"""Figure 4 of the paper: HUIHEN by the number of behaviors kept of each session.

The figure of the paper is for its bank A, with the latest 50 sessions. The text of the paper gives
one point of the curve, that of Table 2 at 25 behaviors, and its shape: AUC and KS rise up to 25
behaviors and are flat beyond. These results are for a quarter of the simulated bank A.

    python evidence/figure4.py --output results
    python evidence/figure4.py --output quick --small
"""

from contenders import BEHAVIORS_KEPT
from sweep import Sweep

TABLE = Sweep("figure4", __doc__, BEHAVIORS_KEPT, "behaviors of each session")

if __name__ == "__main__":
    TABLE.main()
