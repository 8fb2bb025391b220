"""HUIHEN and the other contenders on public data: two lenders and credit card clients.

In ``uci``, the six months of the clients are behaviors. In ``uci_flat``, they are columns of the
profile, as usual, so only contenders without behaviors apply. None of these data sets has old
applications without behaviors, so there is no warm start. The files must be in the folder that the
environment variable ``SKHUIHEN_DATA`` names.

    python evidence/real_data.py --output results
    python evidence/real_data.py --output quick --data superlender --small
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from contenders import (
    BASELINES,
    CONTENDERS,
    OF_EXPERT,
    OF_FIVE,
    OF_MANY_ROWS,
    OF_OLD_APPLICATIONS,
)
from tables import NAMES, Table

#: The true groups of operations are known only for simulated banks.
COLD = [
    name
    for name in CONTENDERS
    if name not in (*OF_OLD_APPLICATIONS, "HUIHEN, true groups of operations")
]
NO_EXPERT = [name for name in COLD if name not in OF_EXPERT]
FEW_ROWS = [name for name in COLD if name not in OF_MANY_ROWS]
TABLE = Table(
    "real_data",
    __doc__,
    {
        "superlender": FEW_ROWS,
        "bpic2012": [name for name in FEW_ROWS if name not in OF_EXPERT],
        # Without the forms of five networks, each of which takes half an hour here.
        "uci": [name for name in NO_EXPERT if name not in OF_FIVE],
        "uci_flat": list(BASELINES),
    },
    repetitions=3,
)

#: Earlier AUC and its standard error, if known: five folds, three repetitions, with other code,
#: other window statistics and other settings.
KNOWN: dict[tuple[str, str], tuple[float, float | None]] = {
    ("superlender", "logistic regression, profile"): (0.610, None),
    ("superlender", "XGBoost, profile"): (0.619, None),
    ("superlender", "LightGBM, profile"): (0.615, None),
    ("superlender", "LightGBM, profile + windows"): (0.682, 0.005),
    ("superlender", "LightGBM, profile + windows + expert"): (0.714, 0.007),
    ("superlender", "LightGBM, profile + windows, 150 trees"): (0.686, None),
    ("superlender", "LightGBM, profile + expert, 150 trees"): (0.717, None),
    ("bpic2012", "logistic regression, profile"): (0.520, None),
    ("bpic2012", "XGBoost, profile"): (0.544, None),
    ("bpic2012", "LightGBM, profile"): (0.543, None),
    ("bpic2012", "LightGBM, profile + windows"): (0.579, 0.005),
    ("uci_flat", "LightGBM, profile"): (0.785, 0.009),
}


def compare_known(folder: Path) -> pd.DataFrame:
    """Return, as text, the known baselines and ours, for the measured contenders."""
    summary = TABLE.summarize(folder)
    rows = {}
    for key, (known, known_error) in KNOWN.items():
        if key not in summary.index:
            continue
        ours, spread, n_folds = summary.loc[key, ["AUC", "AUC sd", "folds"]]
        error = spread / np.sqrt(n_folds)
        difference = ours - known
        # If the error is unknown, use ours.
        bound = 2 * np.hypot(error, error if known_error is None else known_error)
        rows[f"{NAMES[key[0]]}: {key[1]}"] = {
            "ours": f"{ours:.4f} ({error:.4f})",
            "known": f"{known:.3f}" + ("" if known_error is None else f" ({known_error})"),
            "difference": f"{difference:+.4f}",
            "within two errors": _judge(ours, known, bound),
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def _judge(ours: float, known: float, bound: float) -> str:
    if abs(ours - known) <= bound:
        return "yes"
    if abs(1 - ours - known) <= bound:
        # With one column, a linear model learns only its direction, which a few large values can
        # reverse.
        return f"no, but 1 - AUC = {1 - ours:.4f} is: the order of the scores is reversed"
    return "no"


if __name__ == "__main__":
    TABLE.main()
