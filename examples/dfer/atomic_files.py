"""Files that are either whole or not there: written beside their place, then moved into it."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dfer.errors import BadInput


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Write to the path that this yields; `path` changes only when the block ends without an error.

    Raises BadInput where the place cannot be written: a full disk, a read-only folder.
    """
    # The suffix stays last: savefig takes the file format from it.
    beside = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        yield beside
        # Else a power cut may leave the name without the content.
        with beside.open("rb+") as written:
            os.fsync(written.fileno())
        os.replace(beside, path)
    except OSError as error:
        raise BadInput(
            f"{path}: cannot be written ({error.strerror or error}); make room or name another place"
        ) from None
    finally:
        beside.unlink(missing_ok=True)


def remove_partial_files(folder: Path) -> None:
    """Delete what killed processes left of files that they were writing into the folder."""
    for file in folder.iterdir():
        if re.match(r"\.\d+-", file.name):
            file.unlink(missing_ok=True)
