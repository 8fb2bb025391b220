"""Shared colors and markers of all plots, and the import of matplotlib when one is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from types import ModuleType


class Style(NamedTuple):
    label: str
    color: str
    marker: str


# Okabe and Ito's palette, which is safe for color-blind readers; markers repeat the distinction.
BLUE, VERMILLION, GREEN, GRAY = "#0072B2", "#D55E00", "#009E73", "#7F7F7F"
INK, FAINT, PALE = "#333333", "#CCCCCC", "#F4F4F4"


def import_pyplot(caller: str) -> ModuleType:
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            f"{caller} requires matplotlib. Install it: pip install skhuihen[plots]"
        ) from error
    return plt
