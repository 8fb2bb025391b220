"""Draw ``docs/images/architecture.svg`` from the table in ``docs/architecture.md``.

    python docs/architecture.py

The table says which package may import which. A package stands above all that it imports. An arrow
is drawn only if no other arrows lead the same way.
"""

from __future__ import annotations

import re
from html import escape
from pathlib import Path

DOCS = Path(__file__).resolve().parent
PAGE, PICTURE = DOCS / "architecture.md", DOCS / "images" / "architecture.svg"

#: Where a table (blue) and old data (orange) pass; the steps of the page.
TABLE_STEPS = {
    "_tables": "1",
    "_assembly": "2",
    "preprocessing": "3",
    "classifier": "4",
    "_encoding": "5",
    "_companions": "6 9",
    "_training": "7",
    "network": "8",
}
OLD_STEPS = {"classifier": "a f", "_companions": "b d", "_encoding": "c", "_training": "e"}

#: Where each package stands from left to right; how high, its imports say.
COLUMNS = {
    **{"reporting": 4.2, "monitoring": 3.6, "_online": 1.2, "_scale": 2.2},
    **{"persistence": 1.7, "inspection": 2.7},
    **{"_points": 1.7, "classifier": 1.7, "_companions": 1.7, "_training": 1.3, "utils": 2.9},
    **{"_encoding": 1.3, "_scorecard": 2.3, "datasets": 3.4},
    **{"model_selection": 0, "network": 0.9, "preprocessing": 1.9},
    **{"_assembly": 2.9, "plotting": 4.2},
    **{"_estimators": 0.9, "_events": 1.9, "metrics": 3.9, "_tables": 1.9},
    **{"_compat": 2.9, "_show_versions": 4.2},
}

WIDTH, BOX, HEIGHT, STEP, MARGIN = 1000, 148, 50, 96, 46
BLUE, ORANGE, GREY, INK = "#1f5f99", "#b35900", "#8a939c", "#1b1f24"


def read_table(text: str, first_heading: str) -> dict[str, tuple[str, list[str]]]:
    """Read a table of the page.

    Parameters
    ----------
    text : str
        The page.
    first_heading : str
        The heading of the first column, which has package names.

    Returns
    -------
    dict of str to (str, list of str)
        For each package, the text of the second column and the names in the third.
    """
    _, _, rest = text.partition(f"| {first_heading} |")
    if not rest:
        raise ValueError(f"The page has no table that begins with {first_heading!r}.")
    table = {}
    for line in rest.splitlines()[2:]:
        if not line.startswith("|"):
            break
        name, about, names = (cell.strip() for cell in line.strip("|").split("|"))
        table[name.strip("`")] = about, re.findall(r"`(\w+)`", names)
    return table


def floors(arrows: dict[str, list[str]]) -> dict[str, int]:
    """Return the floor of each package: one above the highest that it imports.

    Raises
    ------
    ValueError
        If packages import each other in a cycle.
    """
    found: dict[str, int] = {}

    def floor(name: str, path: tuple[str, ...]) -> int:
        if name in path:
            raise ValueError("a cycle: " + " -> ".join([*path[path.index(name) :], name]))
        if name not in found:
            found[name] = 1 + max((floor(to, (*path, name)) for to in arrows[name]), default=-1)
        return found[name]

    for name in arrows:
        floor(name, ())
    return found


def without_detours(arrows: dict[str, list[str]]) -> list[tuple[str, str]]:
    """Return the arrows to which no path of other arrows corresponds."""

    def reached(name: str) -> set[str]:
        return {name}.union(*(reached(to) for to in arrows[name]))

    return [
        (name, to)
        for name in sorted(arrows)
        for to in sorted(arrows[name])
        if not any(to in reached(other) for other in arrows[name] if other != to)
    ]


def draw(arrows: dict[str, list[str]]) -> str:
    """Return the picture as SVG."""
    floor_of = floors(arrows)
    drawn = without_detours(arrows)
    n_floors = max(floor_of.values()) + 1
    # A package without arrows downwards would stand far from what imports it: let it rise.
    for name in sorted(arrows, key=floor_of.__getitem__, reverse=True):
        above = [floor_of[start] for start, to in drawn if to == name]
        if above and not any(start == name for start, _ in drawn):
            floor_of[name] = min(above) - 1
    if lacking := sorted(set(arrows) - set(COLUMNS)):
        raise ValueError(f"Add {lacking} to COLUMNS.")
    x = {name: 90 + 192 * COLUMNS[name] for name in arrows}
    y = {name: MARGIN + (n_floors - 1 - floor) * STEP for name, floor in floor_of.items()}
    height = MARGIN + n_floors * STEP - 24
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" font-family="Helvetica, Arial, sans-serif">',
        "<title>Who imports whom in skhuihen</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        '<defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" '
        f'markerHeight="7" orient="auto"><path d="M0 0L10 5L0 10z" fill="{GREY}"/></marker></defs>',
        _text(20, 24, "Arrows: imports, without those that follow from others.", INK, 14),
        _text(490, 24, "1 to 9: the route of a table", BLUE, 14),
        _text(740, 24, "a to f: the route of old data", ORANGE, 14),
    ]
    for start, to in drawn:
        drop = y[to] - y[start] - HEIGHT
        from_x, from_y = x[start] + (x[to] - x[start]) * 0.12, y[start] + HEIGHT
        to_x = x[to] + (x[start] - x[to]) * 0.08
        bend = drop / 2
        lines.append(
            f'<path d="M{from_x:.0f} {from_y}C{from_x:.0f} {from_y + bend:.0f} '
            f'{to_x:.0f} {y[to] - bend:.0f} {to_x:.0f} {y[to] - 2}" fill="none" '
            f'stroke="{GREY}" stroke-width="1.4" marker-end="url(#tip)"/>'
        )
    for name in sorted(arrows):
        left, is_private = x[name] - BOX / 2, name.startswith("_")
        lines += [
            f'<rect x="{left:.0f}" y="{y[name]}" width="{BOX}" height="{HEIGHT}" rx="6" '
            f'fill="{"#f2f4f6" if is_private else "#e3eefa"}" stroke="{INK}"/>',
            _text(x[name], y[name] + 22, name, INK, 15, "middle", bold=not is_private),
            _text(left + 10, y[name] + 42, TABLE_STEPS.get(name, ""), BLUE, 15, bold=True),
            _text(left + BOX - 10, y[name] + 42, OLD_STEPS.get(name, ""), ORANGE, 15, "end", True),
        ]
    return "\n".join([*filter(None, lines), "</svg>"]) + "\n"


def _text(
    x: float, y: float, text: str, color: str, size: int, anchor: str = "start", bold: bool = False
) -> str:
    weight = ' font-weight="bold"' if bold else ""
    if not text:
        return ""
    return (
        f'<text x="{x:.0f}" y="{y:.0f}" fill="{color}" font-size="{size}" '
        f'text-anchor="{anchor}"{weight}>{escape(text)}</text>'
    )


def picture() -> str:
    """Return the picture of the arrows on the page."""
    table = read_table(PAGE.read_text(), "package")
    return draw({name: names for name, (_, names) in table.items()})


if __name__ == "__main__":
    PICTURE.write_text(picture())
