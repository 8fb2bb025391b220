"""The documentation site: ``make docs`` builds it into ``build/site``, without any request.

The root of the site is the root of the repository, so that a link between two Markdown pages works
in both. Pages lie in ``docs``, which is also where Sphinx finds this file.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))  # site_tools

import skhuihen  # noqa: E402

# The gallery shows what everyone gets, and nothing of data that lie on one machine.
os.environ.pop("SKHUIHEN_DATA", None)

project = "skhuihen"
author = "the skhuihen developers"
copyright = author
version = release = skhuihen.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
    "numpydoc",
    "myst_parser",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "site_tools",
]
root_doc = "docs/index"
include_patterns = [
    "docs/**",
    "CHANGELOG.md",
    "CODE_OF_CONDUCT.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
]
# Results that stand beside the figures are offered as files, not as pages.
exclude_patterns = ["docs/_*", "docs/evidence/**"]
templates_path = [str(HERE / "_templates")]  # not relative: Sphinx looks below the root
# A name in single backticks becomes a link where it is public, and stays code elsewhere.
default_role = "py:obj"

# Pages in Markdown. Links to a heading are those that repositories show.
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 4
highlight_language = "none"  # of blocks that name no language

# The reference: one page for each public object.
autosummary_generate = True
toc_object_entries_show_parents = "hide"
autodoc_typehints = "none"  # types are in the docstrings
autodoc_member_order = "bysource"
numpydoc_show_class_members = False  # the template shows them
numpydoc_xref_param_type = False
viewcode_follow_imported_members = True
viewcode_line_numbers = True

# The gallery. `-D plot_gallery=0` shows the scripts without running them.
sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "docs/gallery",
    "filename_pattern": r"/\d\d_\w+\.py$",
    "ignore_pattern": r"^(?!\d\d_)",
    "within_subsection_order": "FileNameSortKey",
    "reset_argv": "site_tools.arguments_of",
    # Not matplotlib's as well: it would show again what an example saves.
    "image_scrapers": ("site_tools.saved_pictures",),
    "doc_module": ("skhuihen",),
    "reference_url": {"skhuihen": None},
    "default_thumb_file": str(HERE / "images" / "printed.png"),
    "backreferences_dir": "docs/reference/used_in",
    # The scripts read a command line, which a notebook does not have.
    "notebook_extensions": set(),
    "download_all_examples": False,
    "remove_config_comments": True,
    "write_computation_times": False,  # their page fetches scripts from elsewhere
    "abort_on_example_error": True,
}

# Looks.
html_theme = "pydata_sphinx_theme"
html_title = "skhuihen"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_extra_path = ["_root"]
html_show_copyright = False
html_show_sphinx = False
html_copy_source = False
html_math_renderer = "mathml"
html_sidebars = {"docs/index": []}
html_theme_options = {
    "logo": {"text": "skhuihen"},
    "navbar_align": "left",
    "header_links_before_dropdown": 7,
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "show_version_warning_banner": False,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": [],
    "footer_end": [],
}
