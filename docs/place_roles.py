"""The roles {line} and {test} of the pages: links to the source, with the line's number as it is at the build."""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from places import place_of_line, place_of_test
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxRole


class LineRole(SphinxRole):
    """`module.name` or `module.name :: text`, shown as file and line, linked to the highlighted source."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        try:
            place = place_of_line(self.text)
        except LookupError as error:
            return [], [self.inliner.reporter.error(str(error), line=self.lineno)]
        page = f"_modules/agdt_layers/{place.file.removesuffix('.py')}"
        link = addnodes.pending_xref(
            refdomain="std",
            reftype="viewcode",
            reftarget=page,
            refid=f"L{place.line}",
            refexplicit=True,
            refdoc=self.env.docname,
        )
        link["viewcode_page"] = page
        link += nodes.literal(text=f"{place.file}:{place.line}")
        return [link], []


class TestRole(SphinxRole):
    """`test_file.test_name`, checked to exist."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        try:
            place = place_of_test(self.text)
        except LookupError as error:
            return [], [self.inliner.reporter.error(str(error), line=self.lineno)]
        return [nodes.literal(text=f"{place.file}::{place.name}", classes=["proof"])], []


def _resolve(app: Sphinx, _env: Any, node: addnodes.pending_xref, content: nodes.TextElement) -> nodes.Element | None:
    if "viewcode_page" not in node:
        return None
    html = app.builder.format == "html"
    address = app.builder.get_relative_uri(node["refdoc"], node["viewcode_page"]) if html else ""
    return nodes.reference("", "", content, internal=True, refuri=f"{address}#{node['refid']}")


def _anchor_lines(_app: Sphinx, page: str, _template: str, context: dict[str, Any], _tree: Any) -> None:
    """Give every line of the highlighted source an anchor; viewcode gives them to documented objects alone."""
    if page.startswith("_modules/"):
        context["body"] = re.sub(r'(<span class="linenos")(>\s*(\d+)</span>)', r'\1 id="L\3"\2', context["body"])


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_role("line", LineRole())
    app.add_role("test", TestRole())
    app.connect("missing-reference", _resolve)
    app.connect("html-page-context", _anchor_lines)
    return {"parallel_read_safe": True}
