"""Data to learn and test with: a simulated bank, and loaders for public data."""

from __future__ import annotations

from skhuihen.datasets.public import load_superlender
from skhuihen.datasets.simulated import make_loan_data

__all__ = ["load_superlender", "make_loan_data"]
