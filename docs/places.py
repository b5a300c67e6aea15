"""Where a line of the package or a test is, found by name, so that the pages cannot point to the wrong place."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PACKAGE, TESTS = ROOT / "src" / "agdt_layers", ROOT / "tests"


class Place(NamedTuple):
    file: str
    name: str
    line: int


def place_of_line(target: str) -> Place:
    """Find `module.name`, or the first line of it that holds a text: `module.name :: text`."""
    dotted, _, text = (part.strip() for part in target.partition("::"))
    module, _, name = dotted.partition(".")
    path = PACKAGE / f"{module}.py"
    node = _definition(path, name)
    if not text:
        return Place(path.name, name, node.lineno)
    lines = path.read_text(encoding="utf-8").splitlines()
    for number in range(node.lineno, (node.end_lineno or node.lineno) + 1):
        if text in lines[number - 1]:
            return Place(path.name, name, number)
    raise LookupError(f"{path.name}: {name} has no line with {text!r}.")


def place_of_test(target: str) -> Place:
    """Find `test_file.test_name`."""
    module, _, name = target.partition(".")
    path = next(TESTS.rglob(f"{module}.py"), TESTS / f"{module}.py")
    return Place(path.name, name, _definition(path, name).lineno)


def _definition(path: Path, name: str) -> ast.FunctionDef | ast.ClassDef:
    if not path.is_file():
        raise LookupError(f"There is no {path.name} in {path.parent.name}.")
    body: list[ast.stmt] = ast.parse(path.read_text(encoding="utf-8")).body
    found: ast.FunctionDef | ast.ClassDef | None = None
    for part in name.split("."):
        found = next((n for n in body if isinstance(n, ast.FunctionDef | ast.ClassDef) and n.name == part), None)
        if found is None:
            raise LookupError(f"{path.name} defines no {name!r}.")
        body = found.body
    assert found is not None
    return found
