"""Watching a model after its release: changes, estimates before labels, and alarms."""

from skhuihen.monitoring._monitor import Monitor
from skhuihen.monitoring._months import MonitorResult

__all__ = ["Monitor", "MonitorResult"]
