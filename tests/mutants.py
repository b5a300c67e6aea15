"""Change the code at random places and print the changes that no test detects.

Run by hand on an idle machine. A surviving change takes as long as all tests of its part:

    python tests/mutants.py src --number 40 --seed 1
    python tests/mutants.py examples/dfer --number 40 --seed 1

Each change is made alone, in a copy of the project. Tests that name the changed file or its definitions run first,
then all others of its part, folder by folder, until one fails. A survivor is equivalent to the original code or reveals
a missing test. `--start 9` continues a stopped run with the ninth change.
"""

from __future__ import annotations

import argparse
import ast
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
# All tests of a part, fast folders first.
TESTS_OF = {
    "src": (
        "tests/layers",
        "tests/network",
        "tests/hosts",
        "tests/use",
        "tests/test_public_api.py",
        "tests/test_malformed_calls.py",
        "tests/test_checks.py",
    ),
    "examples/dfer": ("tests/dfer", "tests/scripts"),
}
SECONDS_PER_RUN = 1800
SWAPPED: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or, ast.Or: ast.And,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult, ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.MatMult: ast.Mult,
}  # fmt: skip


class Mutant(NamedTuple):
    """A change that replaces the bytes from start to end of a file."""

    file: Path
    line: int
    start: int
    end: int
    original: str
    replacement: str

    def __str__(self) -> str:
        before, after = (" ".join(text.split()) for text in (self.original, self.replacement))
        return f"{self.file}:{self.line}: {before[:80]}  ->  {after[:80]}"


def nodes_that_run(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes that affect behaviour: no annotations, imports or formatted strings."""
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not isinstance(child, ast.JoinedStr | ast.Import | ast.ImportFrom):
                yield child
                yield from nodes_that_run(child)


def changed(node: ast.AST) -> ast.AST | None:
    """Return the node with one change, or None if it should not be changed."""
    match node:
        case ast.Compare(left, [op, *ops], comparators):
            return ast.Compare(left, [SWAPPED[type(op)](), *ops], comparators)  # type: ignore[list-item]
        case ast.BinOp(left, op, right) if type(op) in SWAPPED:
            return ast.BinOp(left, SWAPPED[type(op)](), right)  # type: ignore[arg-type]
        case ast.BoolOp(op, values):
            return ast.BoolOp(SWAPPED[type(op)](), values)  # type: ignore[arg-type]
        case ast.UnaryOp(ast.Not(), operand):
            return operand
        case ast.Constant(bool() as value):
            return ast.Constant(not value)
        case ast.Constant(int() | float() as value):
            return ast.Constant(value + 1 if isinstance(value, int) else 2 * value or 1.0)
        case ast.IfExp(test, body, orelse):
            return ast.IfExp(test, orelse, body)
        case ast.Expr(ast.Constant()):
            return None
        case ast.Expr() | ast.Assign() | ast.AugAssign() | ast.Raise() | ast.Delete():
            return ast.Pass()
    return None


def mutants_of(file: Path) -> Iterator[Mutant]:
    source = (ROOT / file).read_bytes()
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))

    def mutant(node: ast.AST, other: ast.AST) -> Mutant:
        start = starts[node.lineno - 1] + node.col_offset  # type: ignore[attr-defined]
        end = starts[node.end_lineno - 1] + node.end_col_offset  # type: ignore[attr-defined]
        text = ast.unparse(ast.fix_missing_locations(other))
        replacement = f"({text})" if isinstance(other, ast.expr) else text
        return Mutant(file, node.lineno, start, end, source[start:end].decode(), replacement)  # type: ignore[attr-defined]

    for node in nodes_that_run(ast.parse(source)):
        if isinstance(node, ast.If):
            # Swap the two branches.
            yield mutant(node.test, ast.UnaryOp(ast.Not(), node.test))
        elif (other := changed(node)) is not None:
            yield mutant(node, other)


def nearest_tests(file: Path, tests: Sequence[str]) -> list[str]:
    """Return the test files that name the file, or a function or class in it, those named after it first."""
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    defined = [node.name for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)]
    names = re.compile(rf"\b({'|'.join(map(re.escape, [file.stem, *defined]))})\b")
    found = []
    for place in map(ROOT.joinpath, tests):
        for path in sorted(place.rglob("test_*.py")) if place.is_dir() else [place]:
            named_after = file.stem in path.stem
            if named_after or names.search(path.read_text(encoding="utf-8")):
                found.append((not named_after, path.stat().st_size, str(path.relative_to(ROOT))))
    return [path for *_, path in sorted(found)]


def tests_pass(copy: Path, tests: Sequence[str]) -> bool:
    """Run tests until one fails. A timeout is a failure too."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-n", "0", "-p", "no:randomly", "-p", "no:cacheprovider"]
    # Absolute paths, so that a test that starts a process in another folder does not find an installed package.
    places = os.pathsep.join(str(copy / room) for room in ("src", "examples"))
    settings = {"PYTHONPATH": places, "PYTHONDONTWRITEBYTECODE": "1", "CI": "1", "OMP_NUM_THREADS": "1"}
    try:
        run = subprocess.run(
            [*command, *tests], cwd=copy, env=os.environ | settings, capture_output=True, timeout=SECONDS_PER_RUN
        )
    except subprocess.TimeoutExpired:
        return False
    if run.returncode in (pytest.ExitCode.USAGE_ERROR, pytest.ExitCode.NO_TESTS_COLLECTED):
        raise SystemExit(f"mutants.py: pytest cannot run {' '.join(tests)}:\n{run.stdout.decode()}")
    return run.returncode == pytest.ExitCode.OK


def groups_of_tests(file: Path, tests: Sequence[str]) -> list[tuple[str, ...]]:
    """Return all tests of a part, those most likely to fail first.

    First come those named after the file, then those that name it or its definitions, then the others by folder.
    """
    near = nearest_tests(file, tests)
    named_after = tuple(path for path in near if file.stem in Path(path).stem)
    groups = {"named after": named_after, "near": tuple(path for path in near if path not in named_after)}
    for place in map(ROOT.joinpath, tests):
        for path in sorted(place.rglob("test_*.py")) if place.is_dir() else [place]:
            if (name := str(path.relative_to(ROOT))) not in near:
                groups[str(path.parent)] = (*groups.get(str(path.parent), ()), name)
    return list(filter(None, groups.values()))


def survives(mutant: Mutant, copy: Path, tests: Sequence[str], passing: set[tuple[str, ...]]) -> bool:
    """Return whether all tests pass with the change. ``passing`` holds the groups known to pass without it."""
    path = copy / mutant.file
    source = path.read_bytes()
    for group in groups_of_tests(mutant.file, tests):
        if group not in passing and not tests_pass(copy, group):
            raise SystemExit(f"mutants.py: one of {' '.join(group)} fails without any change")
        passing.add(group)
        path.write_bytes(source[: mutant.start] + mutant.replacement.encode() + source[mutant.end :])
        try:
            if not tests_pass(copy, group):
                return False
        finally:
            path.write_bytes(source)
    return True


def copy_of_the_project(folder: Path) -> Path:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    for name in filter(None, listed.decode().split("\0")):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target)
    return folder


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=TESTS_OF, help="the code to change")
    parser.add_argument("--number", type=int, default=40, help="number of random changes (default: 40)")
    parser.add_argument("--seed", type=int, default=0, help="random seed (default: 0)")
    parser.add_argument("--start", type=int, default=1, help="first change to make (default: 1)")
    args = parser.parse_args(argv)
    tests = [place for place in TESTS_OF[args.part] if (ROOT / place).exists()]
    files = sorted(path.relative_to(ROOT) for path in (ROOT / args.part).rglob("*.py"))
    possible = [mutant for file in files for mutant in mutants_of(file)]
    drawn = random.Random(args.seed).sample(possible, min(args.number, len(possible)))
    print(f"{len(drawn)} of {len(possible)} possible changes to {args.part}, seed {args.seed}", flush=True)
    made = drawn[args.start - 1 :]
    survivors = []
    passing: set[tuple[str, ...]] = set()
    with tempfile.TemporaryDirectory() as folder:
        copy = copy_of_the_project(Path(folder))
        for number, mutant in enumerate(made, start=args.start):
            survived = survives(mutant, copy, tests, passing)
            survivors += [mutant] * survived
            print(f"{number:>3} {'SURVIVED' if survived else 'killed'}  {mutant}", flush=True)
    print(f"\n{len(survivors)} of {len(made)} survived", *survivors, sep="\n")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
