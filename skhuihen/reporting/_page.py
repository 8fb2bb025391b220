"""A document of headings, sentences, tables and pictures, as HTML or Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING

import pandas as pd

from skhuihen.plotting._style import as_image, as_svg

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_STYLE = """
.skhuihen-report { font: 15px/1.5 system-ui, "Helvetica Neue", Arial, sans-serif; color: #1b1f24;
  max-width: 1000px; margin: 0 auto; padding: 0 1em 2em; background: white; }
.skhuihen-report h1 { font-size: 1.7em; margin: .8em 0 .2em; }
.skhuihen-report h2 { font-size: 1.25em; margin: 1.8em 0 .3em; padding-top: .5em;
  border-top: 2px solid #1f5f99; }
.skhuihen-report h3 { font-size: 1.05em; margin: 1.2em 0 .3em; }
.skhuihen-report p, .skhuihen-report ul { max-width: 52em; }
.skhuihen-report table { border-collapse: collapse; margin: .6em 0 1em; font-size: .92em;
  font-variant-numeric: tabular-nums; }
.skhuihen-report th, .skhuihen-report td { padding: .22em .7em; text-align: right;
  border-bottom: 1px solid #dde1e6; vertical-align: top; white-space: nowrap; }
.skhuihen-report th { border-bottom: 2px solid #8a939c; font-weight: 600; background: white;
  white-space: normal; vertical-align: bottom; }
.skhuihen-report th.text, .skhuihen-report td.text { text-align: left; max-width: 34em;
  white-space: normal; overflow-wrap: anywhere; min-width: 9.5em; }
.skhuihen-report .wide { overflow-x: auto; }
.skhuihen-report img { max-width: 100%; display: block; margin: .6em 0; }
.skhuihen-report .note { color: #57606a; font-size: .92em; }
.skhuihen-report .blank { background: #fff3c4; padding: .1em .4em; }
@media print { .skhuihen-report h2, .skhuihen-report table, .skhuihen-report img {
  break-inside: avoid; } }
"""


@dataclass(frozen=True)
class Heading:
    """A heading; level 1 is the title."""

    text: str
    level: int = 2


@dataclass(frozen=True)
class Text:
    """A paragraph, or the items of a list."""

    items: Sequence[str]
    kind: str = "paragraph"


@dataclass(frozen=True)
class Table:
    """A table of texts; columns in `texts` are aligned to the left."""

    frame: pd.DataFrame
    texts: Sequence[str] = ()


@dataclass(frozen=True)
class Picture:
    """A picture as SVG, and what it shows."""

    svg: bytes
    shows: str


@dataclass
class Page:
    """Parts of a document in order."""

    parts: list[Heading | Text | Table | Picture] = field(default_factory=list)

    def heading(self, text: str, level: int = 2) -> None:
        """Add a heading."""
        self.parts.append(Heading(text, level))

    def text(self, *paragraphs: str) -> None:
        """Add paragraphs."""
        self.parts += [Text([paragraph]) for paragraph in paragraphs]

    def note(self, text: str) -> None:
        """Add a remark in small type."""
        self.parts.append(Text([text], "note"))

    def blank(self, text: str) -> None:
        """Add a marked blank that only the bank can fill in."""
        self.parts.append(Text([text], "blank"))

    def items(self, items: Sequence[str]) -> None:
        """Add a list."""
        self.parts.append(Text(items, "list"))

    def table(self, frame: pd.DataFrame, texts: Sequence[str] = ()) -> None:
        """Add a table whose cells are texts or whole numbers."""
        self.parts.append(Table(frame, texts))

    def picture(self, figure: Figure, shows: str) -> None:
        """Add a picture."""
        self.parts.append(Picture(as_svg(figure), shows))

    def to_fragment(self) -> str:
        """Return HTML with its own styles, to stand in another page."""
        found = [part.text for part in self.parts if isinstance(part, Heading) and part.level == 2]
        lines = [f"<style>{_STYLE}</style>", '<div class="skhuihen-report">']
        for part in self.parts:
            lines.append(_as_html(part))
            if isinstance(part, Heading) and part.level == 1 and len(found) > 3:
                links = (f'<a href="#{_anchor(text)}">{escape(text)}</a>' for text in found)
                lines.append(f'<p class="note">{" &middot; ".join(links)}</p>')
        return "\n".join([*lines, "</div>"])

    def to_html(self) -> str:
        """Return a whole page that needs no other file and no network."""
        title = next((part.text for part in self.parts if isinstance(part, Heading)), "")
        return (
            '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
            f'<meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
            f"</head><body>\n{self.to_fragment()}\n</body></html>\n"
        )

    def to_markdown(self) -> str:
        """Return Markdown, without pictures."""
        return "\n\n".join(filter(None, map(_as_markdown, self.parts))) + "\n"


def _anchor(text: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in text.lower())


def _as_html(part: Heading | Text | Table | Picture) -> str:
    if isinstance(part, Heading):
        return f'<h{part.level} id="{_anchor(part.text)}">{escape(part.text)}</h{part.level}>'
    if isinstance(part, Text):
        if part.kind == "list":
            return "<ul>" + "".join(f"<li>{escape(item)}</li>" for item in part.items) + "</ul>"
        if part.kind == "blank":
            return f'<p><span class="blank">{escape(f"To fill in: {part.items[0]}")}</span></p>'
        kind = ' class="note"' if part.kind == "note" else ""
        return f"<p{kind}>{escape(part.items[0])}</p>"
    if isinstance(part, Picture):
        return as_image(part.svg, part.shows)
    head, *rows = _cells(part.frame)
    css = ['class="text"' if name in part.texts else "" for name in part.frame.columns]
    lines = ["<div class='wide'><table><thead><tr>"]
    lines += [f"<th {kind}>{escape(cell)}</th>" for kind, cell in zip(css, head, strict=True)]
    lines.append("</tr></thead><tbody>")
    for row in rows:
        cells = (f"<td {kind}>{escape(cell)}</td>" for kind, cell in zip(css, row, strict=True))
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return "".join([*lines, "</tbody></table></div>"])


def _as_markdown(part: Heading | Text | Table | Picture) -> str:
    if isinstance(part, Heading):
        return f"{'#' * part.level} {part.text}"
    if isinstance(part, Text):
        if part.kind == "list":
            return "\n".join(f"* {item}" for item in part.items)
        return f"**To fill in:** {part.items[0]}" if part.kind == "blank" else part.items[0]
    if isinstance(part, Picture):
        return ""
    head, *rows = (
        "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"
        for row in _cells(part.frame)
    )
    line = "|".join("---" if name in part.texts else "---:" for name in part.frame.columns)
    return "\n".join([head, f"|{line}|", *rows])


def _cells(frame: pd.DataFrame) -> list[list[str]]:
    """Return the header and the rows as texts, on one line each."""
    rows = [
        [f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row]
        for row in frame.astype(object).to_numpy().tolist()
    ]
    return [[" ".join(cell.split()) for cell in row] for row in [list(map(str, frame)), *rows]]
