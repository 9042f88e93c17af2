"""Sphinx configuration. The build is offline: no intersphinx, no downloads."""

from __future__ import annotations

import os
import sys
from importlib import metadata
from pathlib import Path

os.environ["INVKIT_DISABLE_PLUGINS"] = "1"  # the reference describes invkit alone
os.environ.setdefault("OMP_NUM_THREADS", "1")  # on a busy machine, waiting threads would cost minutes
sys.path.insert(0, str(Path(__file__).parent))

import reference_pages
from sphinx.application import Sphinx

project = "invkit"
author = "The invkit authors"
copyright = "2026, The invkit authors"
version = release = metadata.version("invkit")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "gallery"]  # sphinx-gallery writes the pages to generated/gallery
default_role = "py:obj"
html_theme = "pydata_sphinx_theme"
html_title = "invkit"
html_static_path = ["_static"]
html_css_files = ["pages.css"]
html_show_sourcelink = False
html_context = {"default_mode": "auto"}
html_theme_options = {
    "show_prev_next": False,
    "navigation_with_keys": False,
    "secondary_sidebar_items": {"*": ["page-toc"], "*/*": ["page-toc"]},  # the gallery is deeper
}

# These pages belong to no section, so their left sidebar would be empty; their tables need the width.
WITHOUT_SIDEBAR = ("index", "quickstart", "concepts", "api", "changelog", "generated/*")
html_sidebars: dict[str, list[str]] = {page: [] for page in WITHOUT_SIDEBAR}

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3

napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_default_options = {"members": True, "show-inheritance": True}
copybutton_exclude = ".linenos, .gp, .go"

sphinx_gallery_conf = {
    "examples_dirs": "gallery",
    "gallery_dirs": "generated/gallery",
    "backreferences_dir": "generated/gallery/backreferences",
    "capture_repr": (),
    "download_all_examples": False,
    "show_signature": False,
    "min_reported_time": 1e9,  # times on a busy machine have no meaning
    "write_computation_times": False,
    "thumbnail_size": (440, 330),
}


def setup(app: Sphinx) -> None:
    """Write the pages that are made from the registry, before Sphinx searches for sources."""
    app.connect("builder-inited", lambda app: reference_pages.write(Path(app.srcdir) / "generated"))
