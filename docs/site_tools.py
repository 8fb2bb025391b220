"""What the site needs beyond the extensions that it uses: formulas, and pictures of the gallery."""

from __future__ import annotations

import re
import shutil
import sys
import warnings
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.utils.math import latex2mathml
from sphinx.application import Sphinx
from sphinx_gallery.scrapers import figure_rst

#: Where the examples of the gallery write what they save, relative to them.
OUTPUT = Path("../build/gallery")
#: Members that scikit-learn adds to each estimator; its own pages describe them.
OF_SCIKIT_LEARN = re.compile(r"set_\w+_request|get_metadata_routing")


def arguments_of(gallery_conf: dict[str, Any], variables: dict[str, Any]) -> list[str]:
    """Return the command line of an example: a folder for what it saves, which is emptied."""
    shown = set()

    def show_once(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        """Show a warning once, without the path of the file that warned on this machine."""
        text = f"{category.__name__}: {message}"
        if text not in shown:
            shown.add(text)
            print(text, file=sys.stderr)

    warnings.showwarning = show_once
    path = Path(variables["src_file"])
    shutil.rmtree(path.parent / OUTPUT, ignore_errors=True)
    script = path.read_text()
    return ["--output", str(OUTPUT)] if '"--output"' in script else []


def saved_pictures(
    block: tuple, block_vars: dict[str, Any], gallery_conf: dict[str, Any], **options: Any
) -> str:
    """Show the pictures that a block of an example saved."""
    pictures = []
    saved = (Path(block_vars["src_file"]).parent / OUTPUT).glob("*.png")
    for path in sorted(saved, key=lambda path: path.stat().st_mtime_ns):
        target = next(block_vars["image_path_iterator"])
        shutil.move(path, target)
        pictures.append(target)
    # One below the other: side by side they would be too small to read.
    return "\n".join(figure_rst([picture], gallery_conf["src_dir"]) for picture in pictures)


def _write_formula(translator: Any, node: nodes.Element, display: bool) -> None:
    """Write a formula as MathML, which browsers draw without a script."""
    translator.body.append(latex2mathml.tex2mathml(node.astext(), as_block=display))
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the renderer of formulas, and leave out what scikit-learn adds."""
    app.add_html_math_renderer(
        "mathml",
        (lambda self, node: _write_formula(self, node, False), None),
        (lambda self, node: _write_formula(self, node, True), None),
    )
    app.connect(
        "autodoc-skip-member",
        lambda app, what, name, thing, skip, options: (
            True if OF_SCIKIT_LEARN.fullmatch(name) else None
        ),
    )
    return {"parallel_read_safe": True, "parallel_write_safe": True}
