"""The videos to prepare: their output folders, shards, and locks against a second process."""

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from math import gcd
from pathlib import Path
from typing import NamedTuple, TypeVar

from dfer.data.folders import VIDEOS, walk
from dfer.errors import BadInput
from dfer.lock import is_held, one_at_a_time

# In bytes: file systems allow 255, and unfinished clips have a prefix.
LONGEST_NAME = 255 - len(".partial-")


@dataclass(frozen=True)
class Clip:
    """A video, its output `folder`, and the path to print, `name`. Its report is at `folder` + .json."""

    video: Path
    folder: Path
    name: str

    @property
    def report(self) -> Path:
        return self.folder.with_name(self.folder.name + ".json")

    @property
    def partial(self) -> Path:
        return self.folder.with_name(f".partial-{self.folder.name}")


def find_clips(source: Path, out: Path) -> list[Clip]:
    """The videos under `source`, or that one file, sorted. Folders under `out` mirror their paths without the suffix.

    Raises BadInput if there is no video, or if two videos would have the same folder.
    """
    clips = _clips_of(source, out)
    for clip in clips:
        if len(os.fsencode(clip.folder.name)) > LONGEST_NAME:
            raise BadInput(f"{clip.video}: name too long; rename it to at most {LONGEST_NAME} bytes before the suffix")
    return clips


def _clips_of(source: Path, out: Path) -> list[Clip]:
    if source.is_file():
        return [Clip(source, out / source.stem, _printable(source.name))]
    if not source.is_dir():
        raise BadInput(f"{source}: no such file; expected a video or a folder of videos")
    videos = sorted(_videos(source))
    if not videos:
        raise BadInput(f"{source}: contains no video; expected files that end in {', '.join(sorted(VIDEOS))}")
    clips: dict[Path, Clip] = {}
    for video in videos:
        path = video.relative_to(source)
        folder = out / path.with_suffix("")
        if folder in clips:
            raise BadInput(f"{clips[folder].video} and {video} would both become {folder}; rename one of them")
        clips[folder] = Clip(video, folder, _printable(str(path)))
    for clip in clips.values():
        outer = next((clips[parent] for parent in clip.folder.parents if parent in clips), None)
        if outer is not None:
            raise BadInput(f"{outer.video} would become {outer.folder}, which also contains {clip.folder}; rename it")
    return list(clips.values())


def _videos(source: Path) -> Iterator[Path]:
    for folder, names in walk(source):
        for name in names:
            # Skip hidden files: macOS writes ._a.mp4 beside a.mp4 when it copies.
            if name[0] != "." and Path(name).suffix.lower() in VIDEOS:
                yield folder / name


def _printable(name: str) -> str:
    return name.encode(errors="replace").decode()


def clear_partial(clip: Clip) -> None:
    """Remove the unfinished folder of this clip."""
    shutil.rmtree(clip.partial, ignore_errors=True)


Item = TypeVar("Item")


class Shard(NamedTuple):
    """Every `total`-th item, starting with the `number`-th, counted from 1."""

    number: int
    total: int

    def __str__(self) -> str:
        return f"{self.number}/{self.total}"

    def of(self, items: Sequence[Item]) -> Sequence[Item]:
        return items[self.number - 1 :: self.total]

    def overlaps(self, other: "Shard") -> bool:
        """Whether both contain a common item, for any number of items.

        >>> Shard(1, 2).overlaps(Shard(3, 4)), Shard(1, 2).overlaps(Shard(2, 4))
        (True, False)
        """
        return (self.number - other.number) % gcd(self.total, other.total) == 0


@contextmanager
def alone_in(out: Path, shard: Shard) -> Iterator[None]:
    """Make `out` and lock the shard's clips for this process.

    Raises BadInput if another process holds some of them, or nothing can be written.
    """

    def refusal(other: Shard) -> str:
        which = "" if other == (1, 1) == shard else f", shard {other},"
        advice = "wait until it ends, or choose another --out"
        return f"--out {out}: another prepare_videos.py{which} is writing there; {advice}"

    with ExitStack() as held:
        try:
            out.mkdir(parents=True, exist_ok=True)
            held.enter_context(one_at_a_time(out / f".shard-{shard.number}-of-{shard.total}", refusal(shard)))
        except OSError as error:
            raise BadInput(f"--out {out}: cannot be written ({error.strerror}); choose another folder") from None
        # Take our own lock first, so that of two processes that start together at least one sees the other.
        for file in out.glob(".shard-*-of-*"):
            if match := re.fullmatch(r"\.shard-(\d+)-of-(\d+)", file.name):
                other = Shard(int(match[1]), int(match[2]))
                # Never open our own file: closing it would release the lock.
                if other != shard and shard.overlaps(other) and is_held(file):
                    raise BadInput(refusal(other))
        yield
