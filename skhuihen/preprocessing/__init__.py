"""Transformers in front of the network: frames in, frames out."""

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
