"""Where the frames of clips lie: folders of pictures below a root, kept in little memory."""

import hashlib
import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice, pairwise
from pathlib import Path
from typing import NamedTuple, Protocol

from torch import Tensor

from dfer.data.pictures import OTHER_PICTURES, PICTURES, load_frames, picture_sides
from dfer.errors import BadInput

VIDEOS = {
    *(".3gp", ".asf", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv", ".ts"),
    *(".vob", ".webm", ".wmv"),
}


class Checked(NamedTuple):
    """`broken` has a line for each frame that cannot be read; `pixels` is a hash of all frames, resized."""

    frames: int
    broken: list[str]
    pixels: bytes


class Frames(Protocol):
    """The frames of one clip, in order."""

    other: str | None
    """The name of a picture beside them of a kind that is not read."""

    def __len__(self) -> int: ...

    def load(self, chosen: Sequence[int], size: int) -> Tensor:
        """The chosen frames as (T, 3, size, size) uint8."""

    def sides(self) -> tuple[int, int]:
        """Width and height of the frame at the middle."""

    def stamp(self) -> bytes:
        """What changes if a file of the clip is written again: sizes and dates, or the checksum in a store."""

    def check(self, size: int) -> Checked:
        """Read every frame."""

    def __str__(self) -> str: ...


class Place(Protocol):
    """Holds clips, which are looked up by their path below it."""

    def has(self, path: str) -> bool: ...

    def has_video(self, path: str) -> bool: ...

    def left_out(self, path: str) -> str | None:
        """Why prepare_videos.py made no frames of the video: "no face" or "unreadable"."""

    def frames(self, path: str) -> Frames: ...

    def folders(self, path: str, most: int) -> list[str]:
        """The names of the folders in a folder; none where there are more."""

    def walk(self) -> tuple[list[str], dict[str, str]]:
        """The paths of all clips, and the videos of which prepare_videos.py made none, with why."""


def natural_order(name: str, *, fractions: bool = True) -> list[tuple[int, int, str, int]]:
    """Sort key under which 2.jpg comes before 10.jpg, and 1.25.jpg before 1.5.jpg.

    Without `fractions`, what follows the point of a number is a number of its own: then 1.5.jpg comes before 1.25.jpg.
    """
    key = []
    for number, fraction, text in re.findall(r"(\d+)(?:[.,](\d+))?|(\D+)", name):
        if not number:
            key.append((1, 0, text, 0))
        elif fractions:
            key.append((0, int(number), fraction, 0))
        else:
            key.append((0, int(number), "", int(fraction or -1)))
    return key


def frames_in_order(folder: Path, names: Sequence[str]) -> list[str]:
    """The names in their order in time, which must not depend on how a point in them is read."""
    stems = {name: os.path.splitext(name)[0] for name in names}
    found = sorted(names, key=lambda name: natural_order(stems[name]))
    keys = [natural_order(stems[name], fractions=False) for name in found]
    for (one, before), (other, after) in pairwise(zip(found, keys, strict=True)):
        if before > after:
            raise BadInput(
                f"{folder}: is {one} before {other}? It depends on whether the digits after the point are decimals; "
                "rename the frames, with the same number of digits after the point"
            )
        if before == after:
            raise BadInput(f"{folder}: {one} and {other} are two frames of one number; move one of them away")
    return found


@contextmanager
def readable(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BadInput(
            f"{folder}: cannot be read ({error.strerror}); give it read permission or move it away"
        ) from None


def files_in(folder: Path) -> list[str]:
    with readable(folder):
        return os.listdir(folder)


def walk(folder: Path, above: tuple[str, ...] = ()) -> Iterator[tuple[Path, list[str]]]:
    """The folder and every one below it, each with the names of its files, in natural order.

    Links are followed unless they lead in a circle; hidden folders are left out. A folder that cannot be read is
    BadInput: what lies in it would be missed.
    """
    real = os.path.realpath(folder)
    if real in above:
        return
    with readable(folder), os.scandir(folder) as found:
        entries = sorted(found, key=lambda entry: natural_order(entry.name))
    folders = [entry.name for entry in entries if is_folder(entry)]
    yield folder, [entry.name for entry in entries if not is_folder(entry)]
    for name in folders:
        if not name.startswith("."):
            yield from walk(folder / name, (*above, real))


def is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


class FrameFolder:
    """The pictures of a folder; `other` is a picture beside them of a kind that is not read.

    All names are one string of bytes: a data set of 900,000 frames fits into 100 MB, and loading processes share it.
    """

    __slots__ = ("_count", "_folder", "_names", "other")

    def __init__(self, folder: Path, names: Sequence[str], other: str | None = None) -> None:
        self.other = other
        self._folder, self._names, self._count = str(folder), os.fsencode("/".join(names)), len(names)

    def __str__(self) -> str:
        return self._folder

    def __len__(self) -> int:
        return self._count

    def names(self) -> list[str]:
        return os.fsdecode(self._names).split("/") if self._count else []

    def __iter__(self) -> Iterator[Path]:
        return (Path(self._folder, name) for name in self.names())

    def __getitem__(self, index: int) -> Path:
        return Path(self._folder, self.names()[index])

    def load(self, chosen: Sequence[int], size: int) -> Tensor:
        names = self.names()
        return load_frames([Path(self._folder, names[i]) for i in chosen], size)

    def sides(self) -> tuple[int, int]:
        return picture_sides(self[len(self) // 2])

    def stamp(self) -> bytes:
        total = hashlib.sha256()
        for path in self:
            with readable(path):
                found = path.stat()
            # Whole seconds: archives and some file systems keep no more.
            total.update(f"{path.name} {found.st_size} {int(found.st_mtime)}\n".encode(errors="surrogateescape"))
        return total.digest()

    def check(self, size: int) -> Checked:
        broken, pixels = [], hashlib.sha256()
        for path in self:
            try:
                pixels.update(load_frames([path], size).numpy().tobytes())
            except BadInput as error:
                broken.append(str(error))
        return Checked(len(self), broken, pixels.digest())


def is_frame(name: str) -> bool:
    """Dot files are not frames: macOS leaves a `._1.jpg` beside every 1.jpg that it copies."""
    return not name.startswith(".") and suffix_of(name) in PICTURES


def suffix_of(name: str) -> str:
    return os.path.splitext(name)[1].lower()


def frame_folder(folder: Path) -> FrameFolder:
    with readable(folder), os.scandir(folder) as found:
        files = [entry.name for entry in found if not is_folder(entry)]
    frames = [name for name in files if is_frame(name)]
    others = [name for name in files if not name.startswith(".") and suffix_of(name) in OTHER_PICTURES]
    return FrameFolder(folder, frames_in_order(folder, frames), min(others, default=None))


class FolderTree:
    """Folders of frames below a root."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def has(self, path: str) -> bool:
        # Not Path.is_dir, which raises where a name is too long or a folder above is closed.
        return os.path.isdir(self.root / path)

    def has_video(self, path: str) -> bool:
        found = self.root / path
        if os.path.isdir(found):
            return any(os.path.splitext(name)[1].lower() in VIDEOS for name in files_in(found))
        stem, suffix = os.path.splitext(found)
        stem = stem if suffix.lower() in VIDEOS else str(found)
        # Cameras write IMG.MOV.
        return any(os.path.isfile(f"{stem}{video}") for suffix in VIDEOS for video in (suffix, suffix.upper()))

    def left_out(self, path: str) -> str | None:
        try:
            status = json.loads((self.root / f"{path}.json").read_text(encoding="utf-8"))["status"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        # A report that says "prepared" beside no folder tells of a folder that was moved or deleted.
        return None if status == "prepared" else str(status)

    def frames(self, path: str) -> FrameFolder:
        return frame_folder(self.root / path)

    def folders(self, path: str, most: int) -> list[str]:
        try:
            with os.scandir(self.root / path) as found:
                names = list(islice((entry.name for entry in found if is_folder(entry)), most + 1))
        except (OSError, ValueError):
            return []
        return names if len(names) <= most else []

    def walk(self) -> tuple[list[str], dict[str, str]]:
        """Every folder that holds frames, hidden ones aside, and what was left out of the preparation, with why."""
        found: list[str] = []
        left_out: dict[str, str] = {}
        for folder, files in walk(self.root):
            here = folder.relative_to(self.root)
            if any(map(is_frame, files)):
                found.append(here.as_posix())
            for name in files:
                path = (here / name).with_suffix("").as_posix()
                if name.endswith(".json") and not self.has(path) and (why := self.left_out(path)):
                    left_out[path] = why
        return found, left_out
