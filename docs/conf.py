"""How the documentation is built: Markdown through MyST, warnings are errors."""

from bunri.core.version import __version__

project = "bunri"
author = "the bunri authors"
copyright = "the bunri authors, Apache-2.0"
version = release = __version__
extensions = ["myst_parser"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"bunri {__version__}"
