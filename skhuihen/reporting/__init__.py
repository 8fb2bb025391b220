"""Documents for those who approve models: a report on performance and stability."""

from skhuihen.reporting._report import RiskReport, risk_report

__all__ = ["RiskReport", "risk_report"]
