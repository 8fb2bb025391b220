"""Data for learning and testing: a simulated bank, and loaders for public data."""

from __future__ import annotations

from skhuihen.datasets._bpic2012 import load_bpic2012
from skhuihen.datasets._cmb2020 import load_cmb2020
from skhuihen.datasets._profiles import load_creditcard, load_uci_default
from skhuihen.datasets._simulated import make_loan_data
from skhuihen.datasets._superlender import load_superlender

__all__ = [
    "load_bpic2012",
    "load_cmb2020",
    "load_creditcard",
    "load_superlender",
    "load_uci_default",
    "make_loan_data",
]
