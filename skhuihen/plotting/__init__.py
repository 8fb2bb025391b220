"""Pictures, in the form of scikit-learn's displays.

matplotlib is an extra, and loads only when something is drawn.
"""

from skhuihen.plotting._merging import MergingDisplay
from skhuihen.plotting._scores import KSDisplay, LiftDisplay
from skhuihen.plotting._timeline import SessionTimelineDisplay

__all__ = ["KSDisplay", "LiftDisplay", "MergingDisplay", "SessionTimelineDisplay"]
