"""Figure 5 of the paper: HUIHEN by the number of sessions kept.

The figure of the paper is for its bank A, with the latest 25 behaviors of each session. The text of
the paper gives one point of the curve, that of Table 2 at 50 sessions, and its shape: AUC and KS
rise up to 50 sessions and are flat beyond. These results are for a quarter of the simulated bank A.

    python evidence/figure5.py --output results
    python evidence/figure5.py --output quick --small
"""

from contenders import SESSIONS_KEPT
from sweep import Sweep

TABLE = Sweep("figure5", __doc__, SESSIONS_KEPT, "sessions")

if __name__ == "__main__":
    TABLE.main()
