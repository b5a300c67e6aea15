"""A lock between processes that is released when its process ends, even if it is killed."""

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
    """Lock `file` while the block runs, then delete it. Raises BadInput(refusal) if another process holds it.

    A file left by a killed process is not locked. On Windows, and on file systems without locks, this never refuses.
    """
    while True:
        with file.open("w") as opened:
            if not lock(opened):
                raise BadInput(refusal)
            if not is_open_at(opened, file):  # its last holder has deleted it since it was opened here
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
        # lockf, not flock: it works over NFS, and a forked process does not inherit it.
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
