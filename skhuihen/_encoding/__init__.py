"""Encoding of tables as tensors."""
