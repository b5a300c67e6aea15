"""Atomic writes: a file is written under a temporary name, then renamed."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dfer.errors import BadInput


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path to write to. It replaces `path` when the block ends without an error.

    Raises BadInput if it cannot be written, because of a full disk or a read-only folder.
    """
    # The suffix stays last, since savefig takes the file format from it.
    beside = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        yield beside
        # Without this, a power cut may leave the name without the content.
        with beside.open("rb+") as written:
            os.fsync(written.fileno())
        os.replace(beside, path)
    except OSError as error:
        raise BadInput(
            f"{path}: cannot be written ({error.strerror or error}); free some space, or choose another folder"
        ) from None
    finally:
        beside.unlink(missing_ok=True)


def remove_partial_files(folder: Path) -> None:
    """Delete the temporary files that killed processes left in the folder."""
    for file in folder.iterdir():
        if re.match(r"\.\d+-", file.name):
            file.unlink(missing_ok=True)
