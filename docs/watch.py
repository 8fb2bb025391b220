"""Draw ``docs/images/watch.svg``: the months of a monitor, for the page on validation.

    python docs/watch.py

A logistic regression on the profile scores a year of a simulated bank. In the second half other
people apply, and the outcome of the last four months is not known yet. In one month nobody applied.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from skhuihen import Monitor, ProfileEncoder
from skhuihen.datasets import make_loan_data
from skhuihen.monitoring import MonitorResult
from skhuihen.plotting._style import as_svg

PICTURE = Path(__file__).resolve().parent / "images" / "watch.svg"
N_MONTHS, WITHOUT, KNOWN_UNTIL = 12, 5, 8


def old(seed: int, drift: float = 0.0) -> tuple[pd.DataFrame, np.ndarray]:
    """Return applications with a profile alone, and their labels."""
    bank = make_loan_data(2, 6000, overdue_rate=0.2, drift=drift, random_state=seed)
    assert bank.old_applications is not None
    assert bank.old_y is not None
    return bank.old_applications, bank.old_y


def watch() -> MonitorResult:
    """Return a year of months."""
    X, y = old(0)
    model: Any = make_pipeline(ProfileEncoder(), LogisticRegression(C=0.01))
    model.fit(X[:3000], y[:3000])
    monitor = Monitor().fit(model, X[3000:], y[3000:])
    halves = []
    for number, drift in enumerate((0.0, 0.5)):
        rows, label = old(1, drift)
        month = 6 * number + np.arange(len(rows)) % 6
        applied_at = np.datetime64("2026-01") + month
        rows = rows.assign(
            applied_at=applied_at.astype("datetime64[us]"),
            overdue=np.where(month < KNOWN_UNTIL, label, np.nan),
        )
        halves.append(rows[month != WITHOUT])
    table = pd.concat(halves)
    return monitor.check(model, table, "overdue")


if __name__ == "__main__":
    result = watch()
    print(result)
    PICTURE.write_bytes(as_svg(result.plot()))
