"""Every fenced block of the README and of the pages, as copied.

Python runs in an empty folder. Blocks of a page that name the same group share their names; all others run alone.
Output below a block is compared. Blocks of packages that are not installed here are skipped; `.ci/run` runs them with
timm and torchvision.

Commands run in a folder that holds this repository and none of the data: a script must either succeed, or accept its
arguments and then name the missing file. What takes minutes may be stopped after a few seconds.
"""

import contextlib
import doctest
import io
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "examples" / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
FENCE = re.compile(r"^( *)```(\{?[\w-]+\}?) *([\w-]*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
PYTHON, SHELL = ("python", "{testcode}"), ("console", "bash")
# Not to be run: output, data of other kinds, and what Sphinx reads.
OTHER = ("text", "{testoutput}", "diff", "bibtex", "json", "{include}", "{image}", "{eval-rst}", "{toctree}")
# Data, files and earlier runs that the pages speak of and that are not here.
MISSING = (
    "DFEW",
    "FERV39k",
    "DAiSEE",
    "RAVDESS",
    "resnet18.pth",
    "runs/",
    "videos",
    "clips",
    "faces",
    "fashion",
    "video.mp4",
)
MISSING += ("crowd.mp4", "model.onnx", "train1.txt", "train.txt", "camera", "frames", ".npz", "CUDA device")
# Installs, runs in `.ci/run` anyway, or needs an environment of its own.
ELSEWHERE = (
    "pip ",
    "python3 -m venv",
    "python -m pytest",
    "mypy",
    "ruff ",
    "sphinx-build ",
    ". .venv",
    "apt-get ",
    "python docs/",
)
SECONDS = 20


class Block(NamedTuple):
    page: str
    line: int
    language: str
    group: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks_of(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for match in FENCE.finditer(text):
        indent, language, group, body = match.groups()
        lines = re.sub(f"^{indent}", "", body, flags=re.MULTILINE)
        yield Block(page.relative_to(ROOT).as_posix(), text[: match.start()].count("\n") + 1, language, group, lines)


BLOCKS = [block for page in PAGES for block in blocks_of(page)]


def units() -> list[list[tuple[Block, Block | None]]]:
    """Return blocks of Python with their output: those of a group together, each other block alone."""
    found: dict[tuple[str, ...], list[tuple[Block, Block | None]]] = {}
    for number, block in enumerate(BLOCKS):
        if block.language in PYTHON:
            key = (block.page, block.group) if block.group else (str(block),)
            after = BLOCKS[number + 1] if number + 1 < len(BLOCKS) else block
            output = after if after.language == "{testoutput}" and after.page == block.page else None
            found.setdefault(key, []).append((block, output))
    return list(found.values())


def commands(block: Block) -> list[str]:
    """Return the commands of a block; in a console, what follows no prompt is output."""
    lines = re.sub(r"\\\n\s*", " ", block.text).splitlines()
    if block.language == "console":
        lines = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    parts = [part.strip() for line in lines for part in re.split(r"; |&& ", line)]
    return [part.partition("  #")[0].removeprefix("do ") for part in parts if part not in ("", "done")]


SCRIPTS = sorted(
    {each for block in BLOCKS if block.language in SHELL for each in commands(block) if "examples/" in each}
)


def test_every_block_is_of_a_known_language() -> None:
    assert {block.language for block in BLOCKS} <= {*PYTHON, *SHELL, *OTHER}
    assert len(units()) > 15
    assert len(SCRIPTS) > 25


def needs_a_run(block: Block) -> bool:
    return "load_trained(" in block.text


@pytest.mark.parametrize("unit", units(), ids=lambda unit: str(unit[0][0]))
def test_python_runs_as_copied_and_prints_what_the_page_shows(
    unit: list[tuple[Block, Block | None]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "copied"}
    for block, output in unit:
        for package in re.findall(r"^(?:import|from) (\w+)", block.text, re.MULTILINE):
            pytest.importorskip(package, reason=f"{package} is not installed")
        if needs_a_run(block):
            Path("runs").mkdir()
            shipped = ROOT / "examples" / "dfer" / "weights" / "rendered_faces.safetensors"
            Path("runs/expressions").mkdir()
            Path("runs/expressions/weights.safetensors").write_bytes(shipped.read_bytes())
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(block.text, str(block), "exec"), names)
        if output is not None:
            same = doctest.OutputChecker().check_output(output.text, printed.getvalue(), doctest.ELLIPSIS)
            assert same, f"{block} printed:\n{printed.getvalue()}"


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language == "json"], ids=str)
def test_json_can_be_read(block: Block) -> None:
    json.loads(block.text)


def test_every_command_is_a_script_or_runs_elsewhere() -> None:
    for block in BLOCKS:
        for command in commands(block) if block.language in SHELL else ():
            plain = re.sub(r"^\.venv/bin/|^OMP_NUM_THREADS=1 \.venv/bin/", "", command)
            known = "examples/" in plain or plain.startswith((*ELSEWHERE, "for fold in", "dpkg ", "pre-commit"))
            assert known, f"{block}: {command}"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name in ("examples", "src", "docs"):
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


@pytest.mark.parametrize("command", SCRIPTS)
def test_script_accepts_the_arguments_that_a_page_gives_it(command: str, checkout: Path) -> None:
    words = shlex.split(command.replace("$fold", "1"))
    start = next(number for number, word in enumerate(words) if word.startswith("examples/"))
    environment = os.environ | {"PYTHONPATH": f"{checkout}/src", "OMP_NUM_THREADS": "1"}
    arguments = [sys.executable, "-W", "ignore", *words[start:]]
    with subprocess.Popen(
        arguments, cwd=checkout, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            _, errors = process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            return
    assert "unrecognized" not in errors
    if missing := re.search(r"(?:No module named '| needs )(\w+)", errors):
        pytest.skip(f"{missing[1]} is not installed")
    assert "Traceback" not in errors, errors
    assert process.returncode == 0 or any(name in errors for name in MISSING), errors
