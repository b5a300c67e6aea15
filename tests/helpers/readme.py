"""Read the README's fenced blocks by the comment before each."""

from pathlib import Path

ROOT = Path(__file__).parents[2]


def readme_block(marker: str) -> str:
    after = (ROOT / "README.md").read_text(encoding="utf-8").split(f"<!-- {marker} -->\n```", 1)[1]
    return after.split("\n", 1)[1].split("```", 1)[0]
