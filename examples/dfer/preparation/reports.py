"""The report of each video: a JSON file beside its folder, and printed lines."""

import hashlib
import json
import os
import sys
from collections import Counter
from collections.abc import Collection
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from rich import progress
from rich.console import Console

from dfer.errors import BadInput
from dfer.preparation.clips import Clip

ENDS = 64 * 1024


@dataclass(frozen=True)
class Settings:
    """Settings that change the output."""

    size: int = 112
    every: float | None = None
    """Seconds between frames; None: every frame of the video."""
    every_face: bool = False
    """A clip per face, each in its own folder; otherwise only the face that is seen longest and largest."""


@dataclass(frozen=True)
class ClipReport:
    """One folder of pictures: one face, from its first frame to its last."""

    folder: str
    start: float
    end: float
    """Times of its first and its last frame in the video, in seconds."""
    frames: int
    """found + filled"""
    found: int
    filled: int
    """Frames in which the face was not found, filled with the picture nearest in time."""


@dataclass(frozen=True)
class Report:
    """status: "prepared", "no face" or "unreadable". problem: one line on what is damaged, or None."""

    video: str
    fingerprint: str
    """SHA-256 of the size, the first and the last 64 KiB of the video."""
    settings: dict[str, Any]
    status: str
    problem: str | None
    clips: list[ClipReport] = field(default_factory=list)
    fps: float = 0.0
    duration: float = 0.0
    frames_read: int = 0
    analysed: int = 0
    """Analysed frames."""
    several: int = 0
    """Frames with more than one face."""
    faces: int = 0
    """Faces tracked for half a second or more. A person counts again after a cut."""
    at_once: int = 0
    """Largest number of faces in one frame."""
    cuts: int = 0

    @property
    def frames(self) -> int:
        return sum(clip.frames for clip in self.clips)

    @property
    def found(self) -> int:
        return sum(clip.found for clip in self.clips)

    @property
    def filled(self) -> int:
        return sum(clip.filled for clip in self.clips)

    def in_words(self) -> str:
        if self.status == "unreadable":
            return f"unreadable: {self.problem}"
        if self.status == "no face":
            words = f"no face in {self.analysed} frames; left out"
        else:
            which = "face" if len(self.clips) == 1 else f"{len(self.clips)} faces"
            words = f"{self.analysed} frames, {which} found in {self.found}" + f", {self.filled} filled" * bool(
                self.filled
            )
            others = self.faces - len(self.clips)
            words += f"; {others} other face{'s' * (others > 1)} left out" if others else ""
        words += f"; {self.cuts} cut{'s' * (self.cuts > 1)}" if self.cuts else ""
        return words + (f"; damaged: {self.problem}" if self.problem else "")


def report_of(clip: Clip, settings: Settings, *, status: str, problem: str | None, **counts: Any) -> Report:
    return Report(clip.name, fingerprint(clip.video), asdict(settings), status, problem, **counts)


def write_report(path: Path, report: Report, *, beside: Path) -> None:
    """Write the report atomically through the file `beside`."""
    beside.write_text(json.dumps(asdict(report), indent=2) + "\n")
    os.replace(beside, path)


def summary(reports: Collection[Report], already: int) -> str:
    """One line about all videos."""
    count = Counter(report.status for report in reports)
    prepared = [report for report in reports if report.status == "prepared"]
    parts = [
        f"{len(reports)} videos: {count['prepared']} prepared",
        f"{sum(report.problem is not None for report in prepared)} of them damaged",
        f"{count['no face']} without a face",
        f"{count['unreadable']} unreadable" + (f" ({already} done before)" if already else ""),
    ]
    clips, frames, filled = (
        (sum(values) for values in zip(*((len(r.clips), r.frames, r.filled) for r in prepared), strict=True))
        if prepared
        else (0, 0, 0)
    )
    left_out = sum(report.faces for report in prepared) - clips
    return f"{', '.join(parts)}; {clips} clips, {frames} frames, {filled} filled; {left_out} faces left out"


def read_report(clip: Clip, settings: Settings) -> Report | None:
    """The report of a finished clip; None if it is not finished. Raises BadInput if other files are in its place."""
    try:
        content = json.loads(clip.report.read_text())
        report = Report(**content | {"clips": [ClipReport(**each) for each in content["clips"]]})
    except FileNotFoundError:
        if clip.folder.exists():
            raise BadInput(
                f"{clip.folder} exists without its report {clip.report.name}; move it away or choose another --out"
            ) from None
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise BadInput(
            f"{clip.report} is not a report of this version of prepare_videos.py ({error}); choose another --out"
        ) from error
    if report.status == "unreadable" or (report.status == "prepared" and not clip.folder.is_dir()):
        return None
    if report.settings != asdict(settings):
        raise BadInput(
            f"{clip.folder} was prepared with {report.settings}, expected {asdict(settings)}; choose another --out"
        )
    if report.fingerprint != fingerprint(clip.video):
        raise BadInput(f"{clip.video} has changed since {clip.report} was written; remove the report and the folder")
    return report


def fingerprint(path: Path) -> str:
    """Tells one video from another without reading all of it; empty if it cannot be read, as for a broken link."""
    try:
        with path.open("rb") as file:
            first, size = file.read(ENDS), file.seek(0, os.SEEK_END)
            file.seek(max(0, size - ENDS))
            return hashlib.sha256(f"{size} ".encode() + first + file.read()).hexdigest()
    except OSError:
        return ""


class Progress:
    """Progress bar over clips; on a terminal, only clips with problems get a line above it."""

    def __init__(self, clips: int, done: int) -> None:
        self._console = Console(file=sys.stdout, highlight=False, markup=False, soft_wrap=True)
        self._bar = progress.Progress(
            progress.TextColumn("clips"),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TimeElapsedColumn(),
            progress.TextColumn("left"),
            progress.TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._clips, self._done = clips, done
        self._task = self._bar.add_task("clips", total=clips, completed=done)

    def __enter__(self) -> "Progress":
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def advance(self, name: str, report: Report) -> None:
        self._done += 1
        self._bar.advance(self._task)
        if report.problem or report.status != "prepared" or not self._console.is_terminal:
            self._console.print(f"[{self._done}/{self._clips}] {name}: {report.in_words()}")
            self._console.file.flush()
