"""What became of each video: a JSON file beside its folder."""

import json
from collections import Counter
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path

from dfer.errors import BadInput
from dfer.video.clip_folders import Clip


@dataclass(frozen=True)
class Settings:
    """What makes two preparations of one video differ."""

    size: int = 112
    every: float | None = None  # seconds between frames; None: every frame of the video


@dataclass(frozen=True)
class Report:
    """status: "prepared", "no face" or "unreadable". problem: what was damaged, if anything was."""

    video: str
    bytes: int
    settings: dict[str, float | None]
    status: str
    problem: str | None
    fps: float = 0.0
    duration: float = 0.0
    frames_read: int = 0
    frames: int = 0  # that the interval asks for; a prepared clip has as many pictures
    found: int = 0
    filled: int = 0
    several: int = 0  # frames with more than one face

    def in_words(self) -> str:
        if self.status == "unreadable":
            return f"unreadable: {self.problem}"
        words = f"{self.frames} frames, face found in {self.found}" + (f", {self.filled} filled" if self.filled else "")
        words += "; left out" if self.status == "no face" else ""
        return words + (f"; damaged: {self.problem}" if self.problem else "")


def summary(reports: Collection[Report], already: int) -> str:
    """What became of all videos, in one line."""
    count = Counter(report.status for report in reports)
    prepared = [report for report in reports if report.status == "prepared"]
    parts = [
        f"{len(reports)} videos: {count['prepared']} prepared",
        f"{sum(report.problem is not None for report in prepared)} of them damaged",
        f"{count['no face']} without a face",
        f"{count['unreadable']} unreadable" + (f" ({already} done before)" if already else ""),
    ]
    frames, filled, several = (sum(getattr(r, name) for r in prepared) for name in ("frames", "filled", "several"))
    return f"{', '.join(parts)}; {frames} frames, {filled} filled, {several} with several faces"


def read_report(clip: Clip, settings: Settings) -> Report | None:
    """The report of a clip that needs no more work; None if it is still to do. What stands in its way is BadInput."""
    try:
        report = Report(**json.loads(clip.report.read_text()))
    except FileNotFoundError:
        if clip.folder.exists():
            raise BadInput(
                f"{clip.folder} is there without its report {clip.report.name}; move it away or choose another --out"
            ) from None
        return None
    except (OSError, ValueError, TypeError) as error:
        raise BadInput(f"{clip.report} is not a report of prepare_videos.py ({error}); choose another --out") from error
    if report.status == "unreadable" or (report.status == "prepared" and not clip.folder.is_dir()):
        return None
    if report.settings != asdict(settings):
        raise BadInput(
            f"{clip.folder} was prepared with {report.settings}, now asked for {asdict(settings)}; choose another --out"
        )
    if report.bytes != file_size(clip.video):
        raise BadInput(f"{clip.video} has changed since {clip.report} was written; remove the report and the folder")
    return report


def file_size(path: Path) -> int:
    """In bytes; 0 where that cannot be told, as behind a broken link: the video's own report says so."""
    try:
        return path.stat().st_size
    except OSError:
        return 0
