"""Turn videos into folders of aligned faces, written atomically, each with a report.

Faces are tracked as in recognise.py. A clip is one track, from the first frame with its face to the last. It contains
no other face, and its gaps are filled with the picture nearest in time.
"""

import io
import os
import shutil
from array import array
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from dfer.errors import BadInput
from dfer.preparation.clips import Clip, clear_partial
from dfer.preparation.reports import ClipReport, Report, Settings, report_of, write_report
from dfer.video.faces import FaceDetector
from dfer.video.pictures import open_reader
from dfer.video.reading import UnreadableVideo
from dfer.video.stopwatch import Stopwatch
from dfer.video.watching import Sighting, Watcher
from dfer.workers import run_jobs

# In seconds. Shorter tracks give no clip, unless they last a quarter of the video.
SHORTEST_TRACK = 0.5


def prepare_clips(
    clips: Sequence[Clip], settings: Settings, device: str, workers: int
) -> Generator[tuple[Clip, Report], None, None]:
    """Prepare clips in `workers` processes and yield each with its report as it is finished.

    The report of a video contains its errors. Raises BadInput if the output cannot be written. Never leaves a
    half-written clip.
    """
    try:
        with closing(run_jobs(partial(_start, device, settings), clips, workers)) as outcomes:
            for clip, outcome in outcomes:
                if isinstance(outcome, BadInput):
                    raise outcome
                if isinstance(outcome, OSError):
                    raise BadInput(
                        f"{clip.folder}: cannot be written ({outcome.strerror or outcome}); free some space and run "
                        "the same command to continue"
                    )
                yield clip, report_failure(clip, settings, str(outcome)) if isinstance(outcome, Exception) else outcome
    finally:
        for clip in clips:
            clear_partial(clip)


def _start(device: str, settings: Settings) -> Callable[[Clip], Report]:
    # Use one thread, since the number of threads changes the last bits of a convolution, and the pictures must not
    # depend on the number of workers.
    torch.set_num_threads(1)
    return partial(prepare_clip, detector=FaceDetector(device), settings=settings)


class _Track:
    """One face. Its pictures are written to `folder` as they come, numbered from its first frame."""

    def __init__(self, folder: Path, first: int) -> None:
        self.folder, self.first = folder, first
        self.frames = array("l")
        self.weight = 0.0  # sum of the areas of its boxes
        folder.mkdir()

    def add(self, number: int, face: Sighting) -> None:
        self.frames.append(number)
        self.weight += float((face.box[2:] - face.box[:2]).prod())
        self.picture(number).write_bytes(_jpeg(face.aligned))

    def picture(self, number: int) -> Path:
        return self.folder / f"{number - self.first + 1:05d}.jpg"

    def fill(self, times: Sequence[float]) -> None:
        """Fill each frame without the face with the picture nearest in time."""
        for before, after in zip(self.frames, self.frames[1:], strict=False):
            for number in range(before + 1, after):
                source = after if times[after] - times[number] < times[number] - times[before] else before
                shutil.copyfile(self.picture(source), self.picture(number))

    def report(self, name: str, times: Sequence[float]) -> ClipReport:
        frames = self.frames[-1] - self.first + 1
        found = len(self.frames)
        return ClipReport(
            name, round(times[self.first], 3), round(times[self.frames[-1]], 3), frames, found, frames - found
        )


def prepare_clip(clip: Clip, detector: FaceDetector, settings: Settings) -> Report:
    """Detect, track and align the faces in one pass; memory grows by a few bytes per frame.

    An unreadable video also gets a report. Raises OSError if the output cannot be written.
    """
    clear_partial(clip)
    clip.partial.mkdir(parents=True)
    reader = open_reader(clip.video)
    watcher = Watcher(detector, settings.size, 1, Stopwatch())
    tracks: dict[int, _Track] = {}
    times = array("d")
    several = at_once = 0
    status, problem = "prepared", None
    kept: list[_Track] = []
    try:
        for run in watcher.in_runs(enumerate(reader.frames(settings.every))):
            for frame in run:
                times.append(frame.time)
                several += len(frame.faces) > 1
                at_once = max(at_once, len(frame.faces))
                for face in frame.faces:
                    if face.face_id not in tracks:
                        tracks[face.face_id] = _Track(clip.partial / str(face.face_id), frame.number)
                    tracks[face.face_id].add(frame.number, face)
        problem = reader.problem
        kept = list(_long_enough(tracks.values(), len(times), reader.duration))
        status = "prepared" if kept else "no face"
    except UnreadableVideo as error:
        status, problem = "unreadable", str(error)
    chosen = kept if settings.every_face else sorted(kept, key=lambda track: -track.weight)[:1]
    names = [
        f"{clip.folder.name}/face{n}" if settings.every_face else clip.folder.name for n in range(1, len(chosen) + 1)
    ]
    for track in chosen:
        track.fill(times)
    report = report_of(
        clip,
        settings,
        status=status,
        problem=problem,
        clips=[track.report(name, times) for name, track in zip(names, chosen, strict=True)],
        fps=round(reader.fps, 3),
        duration=round(reader.duration, 3),
        frames_read=reader.frames_read,
        analysed=len(times),
        several=several,
        faces=len(kept),
        at_once=at_once,
        cuts=watcher.cuts,
    )
    _commit(clip, report, [track.folder for track in chosen])
    return report


def _long_enough(tracks: Iterable[_Track], frames: int, duration: float) -> Iterable[_Track]:
    least = min(SHORTEST_TRACK, duration / 4) * frames / duration if duration else 1
    return (track for track in tracks if len(track.frames) >= least * (1 - 1e-6))


def report_failure(clip: Clip, settings: Settings, problem: str) -> Report:
    """Write the report of a video whose preparation failed."""
    clear_partial(clip)
    clip.partial.mkdir(parents=True)
    report = report_of(clip, settings, status="unreadable", problem=problem)
    _commit(clip, report, [])
    return report


def _jpeg(face: Tensor) -> bytes:
    # Encode into memory: on a full disk Pillow silently writes truncated files.
    content = io.BytesIO()
    Image.fromarray(face.permute(1, 2, 0).contiguous().numpy()).save(content, "JPEG", quality=95, subsampling=0)
    return content.getvalue()


def _commit(clip: Clip, report: Report, folders: Sequence[Path]) -> None:
    # The report goes first: a folder without a report is not ours; a report without its folder is unfinished.
    write_report(clip.report, report, beside=clip.partial / "report.json")
    if folders:
        whole = folders[0]
        if report.settings["every_face"]:
            whole = clip.partial / "faces"
            whole.mkdir()
            for number, folder in enumerate(folders, start=1):
                os.rename(folder, whole / f"face{number}")
        os.rename(whole, clip.folder)
    clear_partial(clip)
