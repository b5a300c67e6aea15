"""Where the frames of clips lie: folders of pictures below a root, stored in little memory."""

import hashlib
import json
import os
import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from torch import Tensor

from dfer.data.pictures import OTHER_PICTURES, PICTURES, load_frames, picture_sides
from dfer.errors import BadInput

VIDEOS = {
    *(".3gp", ".asf", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv", ".ts"),
    *(".vob", ".webm", ".wmv"),
}


def folder_of(path: str) -> str:
    """The path without a video's suffix: prepare_videos.py turns the video x.avi into a folder x."""
    stem, suffix = os.path.splitext(path)
    return stem if suffix.lower() in VIDEOS else path


class Checked(NamedTuple):
    """`broken` has a line for each unreadable frame; `pixels` is a hash of all frames, resized."""

    frames: int
    broken: list[str]
    pixels: bytes


class Frames(Protocol):
    """The frames of one clip, in order."""

    other: str | None
    """The name of a picture beside them in a format that is not read."""

    def __len__(self) -> int: ...

    def load(self, chosen: Sequence[int], size: int) -> Tensor:
        """The chosen frames as (T, 3, size, size) uint8."""

    def sides(self) -> tuple[int, int]:
        """Width and height of the middle frame."""

    def stamp(self) -> bytes:
        """Changes if a file of the clip is written again: a hash of sizes and dates, or the checksum in a store."""

    def check(self, size: int) -> Checked:
        """Read every frame."""


def natural_order(name: str, *, decimals: bool = True) -> list[tuple[Any, ...]]:
    """Sort key under which 2.jpg comes before 10.jpg, and 1.25.jpg before 1.5.jpg.

    Without `decimals`, the digits after a point are an integer of their own: then 1.5.jpg comes before 1.25.jpg.
    """
    parts = re.findall(r"(\d+)(?:[.,](\d+))?|(\D+)", name)
    return [
        (0, int(number), fraction if decimals else int(fraction or -1)) if number else (1, text)
        for number, fraction, text in parts
    ]


def frames_in_order(folder: Path, names: Sequence[str]) -> list[str]:
    """The names in temporal order, which must not depend on how a point, sign or exponent in them is read."""
    stems = {name: os.path.splitext(name)[0] for name in names}
    signed = next((name for name in names if re.match(r"-\d|[\d.]+e[+-]?\d+$", stems[name], re.IGNORECASE)), None)
    if signed is not None and (other := next((name for name in names if name != signed), None)):
        raise BadInput(f"{folder}: is {signed} before {other}? Rename the frames without signs and exponents")
    found = sorted(names, key=lambda name: natural_order(stems[name]))
    keys = [natural_order(stems[name], decimals=False) for name in found]
    for (one, before), (other, after) in pairwise(zip(found, keys, strict=True)):
        if before > after:
            raise BadInput(
                f"{folder}: is {one} before {other}? It depends on whether the digits after the point are decimals; "
                "rename the frames, with the same number of digits after the point"
            )
        if before == after:
            raise BadInput(f"{folder}: {one} and {other} have the same frame number; move one of them away")
    return found


@contextmanager
def readable(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BadInput(
            f"{folder}: cannot be read ({error.strerror}); give it read permission or move it away"
        ) from None


def walk(folder: Path, above: tuple[str, ...] = ()) -> Iterator[tuple[Path, list[str]]]:
    """The folder and all subfolders, each with the names of its files, in natural order.

    Links are followed unless they form a cycle; hidden folders are skipped. An unreadable folder raises BadInput.
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
    """The pictures of a folder; see Frames.

    All names are one byte string: a data set of 900,000 frames fits into 100 MB, and loading processes share it.
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

    def load(self, chosen: Sequence[int], size: int) -> Tensor:
        names = self.names()
        return load_frames([Path(self._folder, names[i]) for i in chosen], size)

    def sides(self) -> tuple[int, int]:
        return picture_sides(Path(self._folder, self.names()[len(self) // 2]))

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


def is_frame(name: str, suffixes: Collection[str] = PICTURES) -> bool:
    """Dot files are not frames: macOS creates a `._1.jpg` beside every 1.jpg that it copies."""
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in suffixes


class FolderTree:
    """Folders of frames below a root; clips are named by their paths below it."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def has(self, path: str) -> bool:
        # Not Path.is_dir, which raises where a name is too long or a folder above is closed.
        return os.path.isdir(self.root / path)

    def has_video(self, path: str) -> bool:
        found = self.root / path
        if os.path.isdir(found):
            with readable(found):
                return any(folder_of(name) != name for name in os.listdir(found))
        # Cameras write IMG.MOV.
        suffixes = (written for suffix in VIDEOS for written in (suffix, suffix.upper()))
        return any(os.path.isfile(folder_of(str(found)) + suffix) for suffix in suffixes)

    def left_out(self, path: str) -> str | None:
        """Why prepare_videos.py made no frames of the video: "no face" or "unreadable"."""
        try:
            status = json.loads((self.root / f"{path}.json").read_text(encoding="utf-8"))["status"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        # If the report says "prepared" and there is no folder, it was moved or deleted.
        return None if status == "prepared" else str(status)

    def frames(self, path: str) -> Frames:
        folder = self.root / path
        with readable(folder), os.scandir(folder) as found:
            files = [entry.name for entry in found if not is_folder(entry)]
        others = [name for name in files if is_frame(name, OTHER_PICTURES)]
        return FrameFolder(folder, frames_in_order(folder, [*filter(is_frame, files)]), min(others, default=None))

    def folders(self, path: str) -> list[str]:
        """The names of a folder's subfolders."""
        try:
            with os.scandir(self.root / path) as found:
                return [entry.name for entry in found if is_folder(entry)]
        except (OSError, ValueError):
            return []

    def walk(self) -> tuple[list[str], dict[str, str]]:
        """The paths of all clips outside hidden folders, and why prepare_videos.py made none of a video, by path."""
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
