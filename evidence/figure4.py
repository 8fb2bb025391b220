"""Figure 4 of the paper: HUIHEN by the number of behaviors kept of each session.

The paper draws its bank A, with the latest 50 sessions; of its curve the text gives one point, that
of Table 2 at 25 behaviors, and the shape: AUC and KS rise up to 25 and are flat beyond.
Here it is a quarter of the simulated bank A.

    python evidence/figure4.py --output results
    python evidence/figure4.py --output quick --small
"""

from contenders import BEHAVIORS_KEPT
from sweep import Sweep

TABLE = Sweep("figure4", __doc__, BEHAVIORS_KEPT, "behaviors of each session")

if __name__ == "__main__":
    TABLE.main()
