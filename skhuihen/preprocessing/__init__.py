"""Transformers for use before the network; input and output are frames."""

from skhuihen.preprocessing._abstractor import BehaviorAbstractor
from skhuihen.preprocessing._intervals import IntervalStatistics
from skhuihen.preprocessing._profile import ProfileEncoder
from skhuihen.preprocessing._sessionizer import Sessionizer
from skhuihen.preprocessing._topics import BehaviorTopics
from skhuihen.preprocessing._windows import WindowStatistics

__all__ = [
    "BehaviorAbstractor",
    "BehaviorTopics",
    "IntervalStatistics",
    "ProfileEncoder",
    "Sessionizer",
    "WindowStatistics",
]
