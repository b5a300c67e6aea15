"""A lock that another process holds refuses; one that was left behind does not."""

import errno
import sys
from pathlib import Path
from typing import TextIO

import pytest

from dfer import lock as locking
from dfer.errors import BadInput
from dfer.lock import is_held, one_at_a_time
from helpers.locks import held_elsewhere

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no such locks")


def test_second_process_is_refused_and_the_first_keeps_its_lock(tmp_path: Path) -> None:
    file = tmp_path / "lock"
    with held_elsewhere(file):
        for _ in range(2):
            with pytest.raises(BadInput, match=r"^busy$"), one_at_a_time(file, "busy"):
                pytest.fail("two at a time")
            assert is_held(file)
    assert not file.exists()
    assert not is_held(file)


def test_lock_file_of_a_killed_process_is_ignored(tmp_path: Path) -> None:
    file = tmp_path / "lock"
    with held_elsewhere(file) as process:
        process.kill()
        process.wait()
        assert file.exists()
        assert not is_held(file)
        with one_at_a_time(file, "busy"):
            assert file.exists()
    assert not file.exists()


def test_lock_is_released_after_an_error(tmp_path: Path) -> None:
    file = tmp_path / "lock"
    with pytest.raises(RuntimeError), one_at_a_time(file, "busy"):
        raise RuntimeError
    with held_elsewhere(file):
        pass


def test_deleted_lock_file_is_not_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Opened before the holder deletes it, locked after: a third process would lock a new file of that name."""
    file, lock = tmp_path / "lock", locking.lock
    locked: list[int] = []

    def deleted_between(opened: TextIO) -> bool:
        if not locked:
            file.unlink()
        locked.append(opened.fileno())
        return lock(opened)

    monkeypatch.setattr(locking, "lock", deleted_between)
    with one_at_a_time(file, "busy"):
        assert len(locked) == 2
        monkeypatch.undo()
        with pytest.raises(AssertionError), held_elsewhere(file):
            pytest.fail("two at a time")


def test_file_system_without_locks_allows_every_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(locking.fcntl, "lockf", no_locks)
    with one_at_a_time(tmp_path / "lock", "busy"):
        pass


def test_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), one_at_a_time(tmp_path / "nowhere" / "lock", "busy"):
        pass
