"""Which videos there are, and which folder each becomes."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dfer.data.folders import VIDEOS, walk
from dfer.errors import BadInput


@dataclass(frozen=True)
class Clip:
    """A video and where its faces go: `folder`, with the report at `folder` + .json. name: the path that is printed."""

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
    """Every video under `source` (or the one file), sorted; its folder under `out` has its path without the suffix."""
    if source.is_file():
        return [Clip(source, out / source.stem, _printable(source.name))]
    if not source.is_dir():
        raise BadInput(f"{source}: expected a video or a folder of videos; there is nothing of that name")
    videos = sorted(_videos(source))
    if not videos:
        raise BadInput(f"{source}: no video in it; expected files that end in {', '.join(sorted(VIDEOS))}")
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
            raise BadInput(f"{outer.video} would become {outer.folder}, which also holds {clip.folder}; rename it")
    return list(clips.values())


def _videos(source: Path) -> Iterator[Path]:
    for folder, names in walk(source):
        for name in names:
            # Hidden files are not videos: macOS leaves a ._a.mp4 beside every a.mp4 that it copies.
            if name[0] != "." and Path(name).suffix.lower() in VIDEOS:
                yield folder / name


def _printable(name: str) -> str:
    return name.encode(errors="replace").decode()


def clear_partial(clip: Clip) -> None:
    """Removes what an interrupted run has left of this clip."""
    shutil.rmtree(clip.partial, ignore_errors=True)
