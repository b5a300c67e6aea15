"""Sphinx configuration. Build: sphinx-build -W -b html docs docs/_build/html. Needs no network."""

import re
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
sys.path[:0] = [str(path) for path in (ROOT / "src", DOCS)]

from cost_table import BENCHMARK, cost_table, network_ratio  # noqa: E402
from module_table import module_table  # noqa: E402
from sphinx.application import Sphinx  # noqa: E402

import agdt_layers  # noqa: E402

project = "agdt-layers"
author = copyright = "The agdt-layers authors"
version = release = agdt_layers.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.doctest",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "mathml",
    "place_roles",
]
exclude_patterns = ["_build", "benchmark", "complexity", "experiments"]
templates_path = ["_templates"]
nitpicky = True
# Objects of torch and of the standard library are documented elsewhere, and the build must not need the network.
nitpick_ignore_regex = [(r"py:.*", r"(?!agdt_layers\.).*")]
# Bases of public classes that are not public themselves.
nitpick_ignore = [
    ("py:class", "agdt_layers.attention.ChannelWeights"),
    ("py:class", "agdt_layers.inference.Model"),
    ("py:obj", "agdt_layers.inference.Model"),
    ("py:class", "agdt_layers.tracing.NotScriptable"),
]

myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence", "substitution"]
myst_substitutions = {
    "modules": module_table(),
    "costs": cost_table(),
    "agdtnet_ratio": network_ratio(),
    "benchmark_machine": f"{BENCHMARK['machine']}, {BENCHMARK['threads']} threads, "
    f"torch {BENCHMARK['versions']['torch']}",
}
myst_heading_anchors = 3

autodoc_typehints = "signature"
autodoc_typehints_format = "short"
# Longer signatures have one line for each parameter.
python_maximum_signature_line_length = 60
autodoc_member_order = "bysource"
autosummary_generate = True
napoleon_google_docstring = True
napoleon_use_ivar = True
viewcode_line_numbers = True
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
# The examples in docstrings may use what their own module imports.
doctest_global_setup = """
import torch
from torch import nn
from agdt_layers import *
from agdt_layers.functional import reach
"""

html_math_renderer = "mathml"
html_theme = "furo"
html_title = f"agdt-layers {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_theme_options = {"source_edit_link": "", "top_of_page_buttons": []}


def _without_lone_full_stops(
    _app: Sphinx, _what: str, _name: str, _obj: object, _options: object, lines: list[str]
) -> None:
    """Docutils takes a description that is "C." alone for an enumerated list."""
    lines[:] = [re.sub(r"^(:param \w+: [A-Z])\.$", r"\1", line) for line in lines]


def setup(app: Sphinx) -> None:
    # After napoleon, which makes the :param: lines.
    app.connect("autodoc-process-docstring", _without_lone_full_stops, priority=900)
