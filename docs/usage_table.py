"""Print the table "way of use by class" as Markdown: a cell says yes where a test is marked as its proof.

Run from the root of the project: python docs/usage_table.py
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


class Proofs:
    """A plug-in of pytest that notes what the collected tests are marked to prove: (class, way of use)."""

    def __init__(self) -> None:
        self.noted: dict[tuple[str, str], set[str]] = {}

    def pytest_collection_modifyitems(self, items: Iterable[pytest.Item]) -> None:
        for item in items:
            for mark in item.iter_markers("proves"):
                self.noted.setdefault(mark.args, set()).add(f"`{item.path.stem}`")


def table(proofs: Proofs) -> str:
    names = sorted({name for name, _ in proofs.noted})
    files: dict[str, set[str]] = {}
    for (_, way), proving in proofs.noted.items():
        files.setdefault(way, set()).update(proving)
    rows = [["", *map(_short, names), "proved in"], ["---"] * (len(names) + 2)]
    for way, proving in sorted(files.items()):
        rows.append(
            [way, *("yes" if (name, way) in proofs.noted else "" for name in names), ", ".join(sorted(proving))]
        )
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _short(name: str) -> str:
    """The capitals of a long name: AdaptiveGlobalAttention is AGA."""
    return name if len(name) < 12 else "".join(letter for letter in name if letter.isupper())


def main() -> int:
    proofs = Proofs()
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        status = pytest.main(["--collect-only", "-q", "-n0", str(ROOT / "tests")], plugins=[proofs])
    if status != pytest.ExitCode.OK:
        print("usage_table.py: the tests cannot be collected; see: python -m pytest --collect-only", file=sys.stderr)
        return 2
    print(table(proofs))
    return 0


if __name__ == "__main__":
    sys.exit(main())
