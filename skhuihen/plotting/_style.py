"""Colors and marks that all plots share, and matplotlib, imported when one is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from types import ModuleType


class Style(NamedTuple):
    label: str
    color: str
    marker: str


# Okabe and Ito's palette, which color-blind readers tell apart; markers say it a second time.
BLUE, VERMILLION, GREEN, GRAY = "#0072B2", "#D55E00", "#009E73", "#7F7F7F"
INK, FAINT, PALE = "#333333", "#CCCCCC", "#F4F4F4"


def import_pyplot(caller: str) -> ModuleType:
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            f"{caller} needs matplotlib, which is not installed: pip install skhuihen[plots]"
        ) from error
    return plt
