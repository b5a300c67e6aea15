"""The commit that a result was made with."""

import os
import subprocess
from pathlib import Path

import pytest

from dfer import versions


def test_commit_is_read_without_writing_to_the_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """git status may refresh the index under a lock, which stays if the run is killed."""

    def git(*arguments: str) -> str:
        author = ["-c", "user.name=a", "-c", "user.email=a@b"]
        command = ["git", "-C", str(tmp_path), *author, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    module = tmp_path / "versions.py"
    module.write_text("x")
    git("init")
    git("add", ".")
    git("commit", "-m", "first")
    os.utime(module, (0, 0))
    before = (tmp_path / ".git/index").read_bytes()
    monkeypatch.setattr(versions, "__file__", str(module))
    assert versions.commit() == git("rev-parse", "HEAD")
    assert (tmp_path / ".git/index").read_bytes() == before
    module.write_text("y")
    assert versions.commit() == git("rev-parse", "HEAD") + "+"
