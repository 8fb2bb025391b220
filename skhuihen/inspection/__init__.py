"""Why this score: values of profile and behavior, reasons in plain words, and pictures."""

from skhuihen.inspection._explain import explain
from skhuihen.inspection._explanation import Explanation

__all__ = ["Explanation", "explain"]
