"""Models that a bank has, for tests."""

from __future__ import annotations

from typing import Any

from lightgbm import LGBMClassifier
from sklearn.pipeline import make_pipeline, make_union

from skhuihen import ProfileEncoder, WindowStatistics

#: One network that holds out rows and stops early at a constant rate, as the default once was.
STOPPED_EARLY: dict[str, Any] = {
    "n_estimators": 1,
    "schedule": "constant",
    "lr": 1e-3,
    "batch_size": 64,
    "early_stopping": True,
    "teacher": None,
    "n_topics": 0,
}


def trees() -> Any:
    """Return few trees on the profile and on window statistics."""
    features = make_union(ProfileEncoder(), WindowStatistics(group_by="behavior"))
    model = LGBMClassifier(n_estimators=10, n_jobs=1, verbose=-1, random_state=0)
    return make_pipeline(features, model)
