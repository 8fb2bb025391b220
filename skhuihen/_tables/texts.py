"""Texts that Arrow and every engine can hold."""

from __future__ import annotations

from typing import Any


def is_unicode(text: str) -> bool:
    """Return whether text is valid Unicode; text read in a wrong encoding may not be."""
    return text.isascii() or text == text.encode(errors="replace").decode()


def as_text(value: Any) -> str:
    """Return a value as text; pandas converts integer codes to floats next to missing values."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
