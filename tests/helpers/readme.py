"""Fenced blocks of the README and of the pages, by the comment before each."""

from pathlib import Path

ROOT = Path(__file__).parents[2]


def readme_block(marker: str) -> str:
    return page_block("README.md", marker)


def page_block(page: str, marker: str) -> str:
    after = (ROOT / page).read_text(encoding="utf-8").split(f"<!-- {marker} -->\n```", 1)[1]
    return after.split("\n", 1)[1].split("```", 1)[0]
