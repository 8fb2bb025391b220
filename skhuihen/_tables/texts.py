"""Texts that Arrow and every engine can hold."""

from __future__ import annotations

from typing import Any


def is_unicode(text: str) -> bool:
    """Tell text from what was read in the wrong encoding, which Arrow cannot hold."""
    return text.isascii() or text == text.encode(errors="replace").decode()


def as_text(value: Any) -> str:
    """Return a value as text; a code beside missing ones has become a float in pandas."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
