"""What a run writes down of where it comes from, and what it leaves alone."""

import os
import subprocess
from pathlib import Path

import pytest

from dfer.training import identity


def test_the_commit_is_read_and_the_checkout_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """git may refresh its index while it looks, under a lock that stays where the disk is full or the run is killed."""

    def git(*arguments: str) -> str:
        author = ["-c", "user.name=a", "-c", "user.email=a@b"]
        command = ["git", "-C", str(tmp_path), *author, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    module = tmp_path / "identity.py"
    module.write_text("x")
    git("init")
    git("add", ".")
    git("commit", "-m", "first")
    os.utime(module, (0, 0))
    before = (tmp_path / ".git/index").read_bytes()
    monkeypatch.setattr(identity, "__file__", str(module))
    assert identity.commit() == git("rev-parse", "HEAD")
    assert (tmp_path / ".git/index").read_bytes() == before
    module.write_text("y")
    assert identity.commit() == git("rev-parse", "HEAD") + "+"
