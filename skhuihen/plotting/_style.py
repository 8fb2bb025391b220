"""Shared colors and markers of all plots, and the import of matplotlib when one is drawn."""

from __future__ import annotations

import base64
import io
import re
from html import escape
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from types import ModuleType

    from matplotlib.figure import Figure


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


def as_svg(figure: Figure) -> bytes:
    """Return a picture as SVG that is the same to the byte each time."""
    import matplotlib as mpl

    buffer = io.BytesIO()
    # Texts stay texts, and neither a date nor a random id makes two equal pages differ.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "skhuihen"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    # matplotlib names clip paths by their place in memory.
    svg = buffer.getvalue()
    for number, name in enumerate(dict.fromkeys(re.findall(rb'id="(p[0-9a-f]{10})"', svg))):
        svg = svg.replace(name, b"clip%d" % number)
    return svg


def as_image(svg: bytes, shows: str) -> str:
    """Return an HTML element that holds a picture and what it shows.

    On a narrow screen the picture is scrolled rather than shrunk until nobody can read it.
    """
    code = base64.b64encode(svg).decode("ascii")
    return (
        '<div style="overflow-x: auto">'
        f'<img alt="{escape(shows)}" src="data:image/svg+xml;base64,{code}" '
        'style="max-width: 100%; min-width: 36em"></div>'
    )
