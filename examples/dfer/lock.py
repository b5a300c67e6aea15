"""One process at a time: a lock that ends with the process that holds it, however that ends."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from dfer.errors import BadInput

if sys.platform != "win32":
    import fcntl


@contextmanager
def one_at_a_time(file: Path, refusal: str) -> Iterator[None]:
    """Hold `file` while the block runs, then delete it; BadInput(refusal) where another process holds it.

    What a killed process left of it is no lock. On Windows, and where the file system has no locks, nobody is refused.
    """
    while True:
        with file.open("w") as opened:
            if not lock(opened):
                raise BadInput(refusal)
            if not is_open_at(opened, file):  # who held it before has deleted it since it was opened here
                continue
            try:
                yield
            finally:
                file.unlink(missing_ok=True)
            return


def is_held(file: Path) -> bool:
    """Whether another process holds it."""
    try:
        with file.open("r+") as opened:
            return not lock(opened)
    except FileNotFoundError:
        return False


def lock(opened: TextIO) -> bool:
    if sys.platform == "win32":
        return True
    try:
        # Of lockf's kind, not of flock's: it holds over NFS, and a forked process does not inherit it.
        fcntl.lockf(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        return True
    return True


def is_open_at(opened: TextIO, file: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(opened.fileno()), file.stat())
    except FileNotFoundError:
        return False
