"""Plots, as displays in scikit-learn's style.

matplotlib is an extra. It is imported only when something is drawn.
"""

from skhuihen.plotting._merging import MergingDisplay
from skhuihen.plotting._scores import KSDisplay, LiftDisplay
from skhuihen.plotting._timeline import SessionTimelineDisplay

__all__ = ["KSDisplay", "LiftDisplay", "MergingDisplay", "SessionTimelineDisplay"]
