"""Four readers follow the links of the built site and run the first command they find: follow_readers.py SITE PYTHON.

Each gets from the start page to their page in at most two clicks, by the visible text of a link. If Python code comes
before the first script of `examples`, PYTHON runs it, an environment with the wheel and nothing else of this
repository, and it must print what the page shows. Otherwise the commands are run in this folder, up to that script. The
README's commands, which `.ci/run` has run before, are recognised word for word and not run again.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parents[1]


class Reader(NamedTuple):
    who: str
    clicks: tuple[str, ...]


READERS = (
    Reader("an engineer who wants one layer", ("Add attention to a CNN",)),
    Reader("a researcher with the paper", ("Reproduce the paper",)),
    Reader("an engineer with a video", ("Run on a video or camera",)),
    # Somebody who reviews the use of this on people finds limits and law on the page that has the command.
    Reader("an ethics reviewer", ("Run on a video or camera",)),
)


class Lost(Exception):
    """A reader could not go on: no such link, or a command that does not work."""


class Block(NamedTuple):
    language: str
    text: str

    @property
    def is_shell(self) -> bool:
        return self.language in ("console", "bash")

    @property
    def is_python(self) -> bool:
        """Sphinx marks code that it can test, and its output, as in the default language."""
        return self.language in ("python", "default")


class Page(HTMLParser):
    """The links of a page by their visible text, and its blocks of code in order, outputs among them."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.links: dict[str, str] = {}
        self.blocks: list[Block] = []
        self._href = self._language = ""
        self._text: list[str] = []
        self._in_code = False
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        language = re.search(r"highlight-(\w+)", given.get("class") or "")
        if tag == "div" and language:
            self._language = language[1].lower()
        if tag == "pre":
            self._in_code, self._text = True, []
        elif tag == "a" and not self._in_code:
            self._href, self._text = given.get("href") or "", []

    def handle_data(self, data: str) -> None:
        self._text.append(data)

    def handle_endtag(self, tag: str) -> None:
        text = "".join(self._text)
        if tag == "pre":
            self.blocks.append(Block(self._language, text))
            self._in_code = False
        elif tag == "a" and not self._in_code:
            self.links.setdefault(" ".join(text.split()), self._href)

    def click(self, label: str) -> Page:
        if label not in self.links:
            raise Lost(f"{self.path.name} has no link {label!r}")
        target = (self.path.parent / unquote(urlsplit(self.links[label]).path)).resolve()
        if not target.is_file():
            raise Lost(f"{self.path.name}: the link {label!r} leads to {target}, which is not there")
        return Page(target)


def already_run(root: Path) -> set[str]:
    """The lines of the README's commands that `.ci/run` runs."""
    readme, run = ((root / name).read_text(encoding="utf-8") for name in ("README.md", ".ci/run"))
    blocks = re.findall(r"<!-- command: (\w+) -->\n```bash\n(.*?)```", readme, re.DOTALL)
    return {line for name, text in blocks if f"\nrun_readme_command {name}\n" in run for line in text.splitlines()}


def follow_commands(blocks: list[Block], root: Path) -> None:
    lines = [line for block in blocks if block.is_shell for line in block.text.splitlines()]
    commands = [line.removeprefix("$ ") for line in lines]
    last = next((number for number, command in enumerate(commands) if "examples/" in command), None)
    if last is None:
        raise Lost("no command of the page runs a script of examples")
    known = already_run(root)
    for command in commands[: last + 1]:
        if command in known:
            print(f"  $ {command}\n    a command of the README, which .ci/run has run")
            continue
        done = subprocess.run(["bash", "-c", command], cwd=root, capture_output=True, text=True)
        if done.returncode != 0 or not done.stdout:
            raise Lost(f"{command} failed with {done.returncode}:\n{done.stdout}{done.stderr}")
        print(f"  $ {command}\n    {done.stdout.splitlines()[0]} ...")


def run_first_python(blocks: list[Block], python: Path) -> None:
    code, shown = blocks[0].text, blocks[1].text
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([python, "-I", "-c", code], cwd=folder, capture_output=True, text=True)
    if done.returncode != 0 or done.stdout.split() != shown.split():
        raise Lost(f"the first code fails or prints something else:\n{done.stdout}{done.stderr}\nThe page:\n{shown}")
    print("  its first code prints what the page shows:", *done.stdout.splitlines(), sep="\n    ")


def follow(reader: Reader, site: Path, python: Path, root: Path) -> None:
    if len(reader.clicks) > 2:
        raise Lost("more than two clicks")
    print(f"{reader.who}: {' > '.join(('index.html', *reader.clicks))}")
    page = Page(site / "index.html")
    for label in reader.clicks:
        page = page.click(label)
    if not page.blocks:
        raise Lost(f"{page.path.name} shows no code")
    shell = [number for number, block in enumerate(page.blocks) if block.is_shell and "examples/" in block.text]
    code = [number for number, block in enumerate(page.blocks) if block.is_python]
    if code and code[0] < min(shell, default=len(page.blocks)):
        run_first_python(page.blocks[code[0] :], python)
    else:
        follow_commands(page.blocks, root)


def main(arguments: list[str], readers: tuple[Reader, ...] = READERS, root: Path = ROOT) -> int:
    if len(arguments) != 2 or not (Path(arguments[0]) / "index.html").is_file():
        print("follow_readers.py expects a built site and a Python: follow_readers.py SITE PYTHON", file=sys.stderr)
        return 2
    lost = 0
    for reader in readers:
        try:
            follow(reader, Path(arguments[0]).resolve(), Path(arguments[1]), root)
        except Lost as error:
            print(f"{reader.who}: {error}", file=sys.stderr)
            lost += 1
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
