"""Why this score: values of profile and behavior, reasons in plain words, and pictures."""

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
