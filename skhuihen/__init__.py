"""Overdue risk from thin profiles and app behavior, as scikit-learn estimators.

The names below load on first use, so ``import skhuihen`` is fast: torch, ibis and the tree
libraries are imported only when they are needed.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skhuihen._assembly.attach import attach_behaviors
    from skhuihen._online import OnlineScorer
    from skhuihen._points import PointsScaler
    from skhuihen._scale.prepare import prepare_parquet
    from skhuihen._scale.score import score_table
    from skhuihen._scorecard import make_scorecard
    from skhuihen._show_versions import show_versions
    from skhuihen.classifier import HUIHENClassifier
    from skhuihen.monitoring import Monitor
    from skhuihen.persistence import load_model, read_manifest, save_model
    from skhuihen.preprocessing import (
        BehaviorAbstractor,
        BehaviorTopics,
        IntervalStatistics,
        ProfileEncoder,
        Sessionizer,
        WindowStatistics,
    )
    from skhuihen.reporting import model_card, risk_report

__version__ = "0.1.0"

_HOMES = {
    "attach_behaviors": "skhuihen._assembly.attach",
    "BehaviorAbstractor": "skhuihen.preprocessing",
    "BehaviorTopics": "skhuihen.preprocessing",
    "HUIHENClassifier": "skhuihen.classifier",
    "IntervalStatistics": "skhuihen.preprocessing",
    "Monitor": "skhuihen.monitoring",
    "OnlineScorer": "skhuihen._online",
    "PointsScaler": "skhuihen._points",
    "ProfileEncoder": "skhuihen.preprocessing",
    "Sessionizer": "skhuihen.preprocessing",
    "WindowStatistics": "skhuihen.preprocessing",
    "load_model": "skhuihen.persistence",
    "make_scorecard": "skhuihen._scorecard",
    "model_card": "skhuihen.reporting",
    "prepare_parquet": "skhuihen._scale.prepare",
    "read_manifest": "skhuihen.persistence",
    "risk_report": "skhuihen.reporting",
    "save_model": "skhuihen.persistence",
    "score_table": "skhuihen._scale.score",
    "show_versions": "skhuihen._show_versions",
}
_SUBMODULES = (
    *("datasets", "inspection", "metrics", "model_selection", "monitoring", "plotting"),
    "reporting",
)

__all__ = [
    "BehaviorAbstractor",
    "BehaviorTopics",
    "HUIHENClassifier",
    "IntervalStatistics",
    "Monitor",
    "OnlineScorer",
    "PointsScaler",
    "ProfileEncoder",
    "Sessionizer",
    "WindowStatistics",
    "attach_behaviors",
    "load_model",
    "make_scorecard",
    "model_card",
    "prepare_parquet",
    "read_manifest",
    "risk_report",
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
