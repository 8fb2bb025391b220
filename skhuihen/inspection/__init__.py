"""Why this score: effects of profile and behavior, reason codes, and plots."""

from skhuihen.inspection._explain import explain
from skhuihen.inspection._explanation import Explanation
from skhuihen.inspection._plots import (
    EffectSummaryDisplay,
    EffectTimelineDisplay,
    WaterfallDisplay,
)
from skhuihen.inspection._reasons import reason_codes

__all__ = [
    "EffectSummaryDisplay",
    "EffectTimelineDisplay",
    "Explanation",
    "WaterfallDisplay",
    "explain",
    "reason_codes",
]
