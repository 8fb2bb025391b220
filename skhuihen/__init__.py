"""Overdue risk from thin profiles and app behavior, as scikit-learn estimators.

The names below load on first use, so that ``import skhuihen`` stays light: neither torch nor
ibis nor a tree library is imported before something that needs it is touched.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skhuihen.assembly import attach_behaviors
    from skhuihen.classifier import HUIHENClassifier
    from skhuihen.online import OnlineScorer
    from skhuihen.persistence import load_model, read_manifest, save_model
    from skhuihen.preparation import prepare_parquet
    from skhuihen.preprocessing import (
        BehaviorAbstractor,
        BehaviorTopics,
        IntervalStatistics,
        ProfileEncoder,
        Sessionizer,
        WindowStatistics,
    )
    from skhuihen.scorecard import make_scorecard
    from skhuihen.scoring import score_table
    from skhuihen.utils._show_versions import show_versions

__version__ = "0.1.0"

_HOMES = {
    "attach_behaviors": "skhuihen.assembly",
    "BehaviorAbstractor": "skhuihen.preprocessing",
    "BehaviorTopics": "skhuihen.preprocessing",
    "HUIHENClassifier": "skhuihen.classifier",
    "IntervalStatistics": "skhuihen.preprocessing",
    "OnlineScorer": "skhuihen.online",
    "ProfileEncoder": "skhuihen.preprocessing",
    "Sessionizer": "skhuihen.preprocessing",
    "WindowStatistics": "skhuihen.preprocessing",
    "load_model": "skhuihen.persistence",
    "make_scorecard": "skhuihen.scorecard",
    "prepare_parquet": "skhuihen.preparation",
    "read_manifest": "skhuihen.persistence",
    "save_model": "skhuihen.persistence",
    "score_table": "skhuihen.scoring",
    "show_versions": "skhuihen.utils._show_versions",
}
_SUBMODULES = ("datasets", "inspection", "metrics", "model_selection", "plotting")

__all__ = [
    "BehaviorAbstractor",
    "BehaviorTopics",
    "HUIHENClassifier",
    "IntervalStatistics",
    "OnlineScorer",
    "ProfileEncoder",
    "Sessionizer",
    "WindowStatistics",
    "attach_behaviors",
    "load_model",
    "make_scorecard",
    "prepare_parquet",
    "read_manifest",
    "save_model",
    "score_table",
    "show_versions",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    if name in _SUBMODULES:
        return importlib.import_module(f"skhuihen.{name}")
    raise AttributeError(f"module 'skhuihen' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__, *_SUBMODULES])
