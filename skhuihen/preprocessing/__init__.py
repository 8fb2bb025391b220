"""Transformers in front of the network: frames in, frames out."""

from skhuihen.preprocessing.abstractor import BehaviorAbstractor
from skhuihen.preprocessing.intervals import IntervalStatistics
from skhuihen.preprocessing.profile import ProfileEncoder
from skhuihen.preprocessing.sessionizer import Sessionizer
from skhuihen.preprocessing.topics import BehaviorTopics
from skhuihen.preprocessing.windows import WindowStatistics

__all__ = [
    "BehaviorAbstractor",
    "BehaviorTopics",
    "IntervalStatistics",
    "ProfileEncoder",
    "Sessionizer",
    "WindowStatistics",
]
