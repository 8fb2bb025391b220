"""Features that a lending expert would add at SuperLender: how late earlier loans were repaid."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin


class Lateness(TransformerMixin, BaseEstimator):
    """Days from the first due date of earlier loans to their first repayment.

    The features are the mean over an applicant's loans, the maximum, and the value of the loan that
    was repaid last. Values are negative if the repayment was early. Due dates after the application
    count too, because ``due_days`` is known from the approval. Applicants without a repaid loan
    have NaN.
    """

    def fit(self, X: pd.DataFrame, y: np.ndarray | None = None) -> Lateness:
        """Learn nothing."""
        return self

    def transform(self, X: pd.DataFrame) -> np.ndarray:
        """Compute the three features of each row."""
        events = X["behaviors"].reset_index(drop=True).nest.to_flat()
        events = events.astype({"time": "datetime64[us]"}).set_index("loan", append=True)
        approved = events[events["operation"] == "loan_approved"]
        repaid = events.loc[events["operation"] == "first_repaid", "time"]
        due_days = pd.to_timedelta(approved["due_days"].astype(float), unit="D")
        due = approved["time"].dt.normalize() + due_days
        repaid = repaid.sort_values(kind="stable")
        days = (repaid - due.reindex(repaid.index)) / pd.Timedelta("1D")
        of_row = days.dropna().groupby(level=0).agg(["mean", "max", "last"])
        return of_row.reindex(range(len(X))).to_numpy(dtype=float)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return the names of the features."""
        return np.asarray([f"days_late_{what}" for what in ("mean", "most", "last")], dtype=object)
