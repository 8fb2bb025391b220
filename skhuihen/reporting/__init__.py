"""Documents for those who approve models: the report of a model, and its description."""

from skhuihen.reporting._card import ModelCard, model_card
from skhuihen.reporting._report import RiskReport, risk_report

__all__ = ["ModelCard", "RiskReport", "model_card", "risk_report"]
