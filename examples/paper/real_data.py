"""HUIHEN and the other contenders on public data: two lenders' and credit card clients.

``uci`` takes the six months of the clients as behaviors; ``uci_flat`` takes them as columns of the
profile, as is usual, so that only contenders of the profile apply. None of these data sets has old
applications without behaviors, so nothing is warm-started. The files are looked for in the folder
that the environment variable ``SKHUIHEN_DATA`` names.

    python examples/paper/real_data.py --output results
    python examples/paper/real_data.py --output quick --data superlender --small
"""

from contenders import CONTENDERS
from measure import run

if __name__ == "__main__":
    data = ["superlender", "bpic2012", "uci", "uci_flat"]
    run("real_data", __doc__, data, list(CONTENDERS), repetitions=3)
