"""Check a built site: links lead somewhere, and nothing is fetched from elsewhere.

python docs/check_site.py build/site
"""

from __future__ import annotations

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

#: What a browser fetches by itself to show a page.
FETCHED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}


class Page(HTMLParser):
    """The links, the fetched files and the anchors of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.anchors: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what a tag names."""
        values = {name: value for name, value in attrs if value}
        self.anchors |= {values[name] for name in ("id", "name") if name in values}
        if tag in FETCHED and FETCHED[tag] in values:
            self.fetched.append(values[FETCHED[tag]])
        elif tag == "a" and "href" in values:
            self.links.append(values["href"])


def check(folder: Path) -> list[str]:
    """Return what is wrong in a site, a sentence for each."""
    folder = folder.resolve()
    # The theme has a template among its files, which is no page.
    paths = [path for path in sorted(folder.rglob("*.html")) if path.parent.name != "_static"]
    pages = {path: Page(path) for path in paths}
    wrong = []
    for path, page in pages.items():
        name = path.relative_to(folder)
        for address in page.fetched:
            if urlsplit(address).netloc:
                wrong.append(f"{name} fetches {address}.")
        for address in (*page.links, *page.fetched):
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                continue
            to = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            part = unquote(parts.fragment)
            if not to.is_file():
                wrong.append(f"{name} links {address}, which does not exist.")
            elif part and to in pages and part not in pages[to].anchors:
                if name.parts[0] == "_modules":
                    # viewcode expects all objects of a file in one module; the page is right.
                    continue
                wrong.append(f"{name} links {address}, a part that the page does not have.")
    for path in folder.rglob("*.css"):
        text = path.read_text(encoding="utf-8")
        if "url(http" in text or "url(//" in text or '@import "http' in text:
            wrong.append(f"{path.relative_to(folder)} fetches something from elsewhere.")
    return wrong


if __name__ == "__main__":
    found = check(Path(sys.argv[1]))
    print("\n".join(found) or "Every link of the site leads somewhere, and nothing is fetched.")
    sys.exit(bool(found))
