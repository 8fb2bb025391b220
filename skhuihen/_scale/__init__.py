"""Preparing and scoring tables that are larger than memory."""
