"""The package's modules as a Markdown table, read from the code: every module stands below those that it imports."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "src" / "agdt_layers"


def module_table() -> str:
    files = [path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py"]
    parsed = {_name(path): ast.parse(path.read_text(encoding="utf-8")) for path in files}
    imports = {name: (imported(tree) & parsed.keys()) - {name} for name, tree in parsed.items()}
    lines = ["| module | what it is |", "| --- | --- |"]
    for name in sorted(parsed, key=lambda name: (height(name, imports), name)):
        said = (ast.get_docstring(parsed[name]) or "").partition("\n\n")[0].replace("\n", " ").replace("|", r"\|")
        below = f" Imports {', '.join(sorted(imports[name]))}." if imports[name] else ""
        lines.append(f"| `{name}` | {said}{below} |")
    return "\n".join(lines)


def _name(path: Path) -> str:
    """The dotted name of a module below the package; that of a folder for its ``__init__``."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def imported(tree: ast.Module) -> set[str]:
    """Names of the package's modules that a module imports, wherever in it."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            package, _, module = node.module.partition(".")
            if package == PACKAGE.name:
                found |= {module} if module else {alias.name for alias in node.names}
    return found


def height(name: str, imports: Mapping[str, set[str]]) -> int:
    """How many imports lie below a module on the longest way down."""
    return max((1 + height(other, imports) for other in imports[name]), default=0)
