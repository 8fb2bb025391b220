"""Figure 5 of the paper: HUIHEN by the number of sessions kept.

The paper draws its bank A, with the latest 25 behaviors of each session; of its curve the text
gives one point, that of Table 2 at 50 sessions, and the shape: AUC and KS rise up to 50 and are
flat beyond. Here it is a quarter of the simulated bank A.

    python evidence/figure5.py --output results
    python evidence/figure5.py --output quick --small
"""

from contenders import SESSIONS_KEPT
from sweep import Sweep

TABLE = Sweep("figure5", __doc__, SESSIONS_KEPT, "sessions")

if __name__ == "__main__":
    TABLE.main()
