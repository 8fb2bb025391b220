"""Scores one application for a decision engine: takes a dict and returns a probability."""

from skhuihen._online.scorer import ApplicationError, OnlineScorer

__all__ = ["ApplicationError", "OnlineScorer"]
