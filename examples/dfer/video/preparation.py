"""Videos to folders of aligned faces, each with a report beside it; a folder appears whole or not at all."""

import io
import json
import os
import shutil
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from dfer.errors import BadInput
from dfer.video.alignment import align
from dfer.video.clip_folders import Clip, clear_partial
from dfer.video.faces import FaceDetector, Faces
from dfer.video.preparation_reports import Report, Settings, file_size
from dfer.video.reading import UnreadableVideo, VideoReader
from dfer.video.tracks import face_to_follow, nearest
from dfer.video.workers import run_jobs

# A batch is as many frames as fit this, at most 32: the maps of P-Net are larger by far.
BATCH_PIXELS = 4_000_000


def prepare_clips(
    clips: Sequence[Clip], settings: Settings, device: str, workers: int
) -> Generator[tuple[Clip, Report], None, None]:
    """Each clip with its report, as they are finished, by `workers` processes.

    Whatever goes wrong with a video is in its report; BadInput where the output cannot be written. However this ends,
    it leaves no half-written clip.
    """
    try:
        with closing(run_jobs(partial(_start, device, settings), clips, workers)) as outcomes:
            for clip, outcome in outcomes:
                if isinstance(outcome, BadInput):
                    raise outcome
                if isinstance(outcome, OSError):
                    raise BadInput(
                        f"{clip.folder}: cannot be written ({outcome.strerror or outcome}); make room, and the same "
                        "command goes on with the clips that are left"
                    )
                yield clip, report_failure(clip, settings, str(outcome)) if isinstance(outcome, Exception) else outcome
    finally:
        for clip in clips:
            clear_partial(clip)


def _start(device: str, settings: Settings) -> Callable[[Clip], Report]:
    # One thread each: the last bits of a convolution depend on the number of threads, and with them the pictures'
    # bytes, which should be the same with any number of workers.
    torch.set_num_threads(1)
    return partial(prepare_clip, detector=FaceDetector(device), settings=settings)


def prepare_clip(clip: Clip, detector: FaceDetector, settings: Settings) -> Report:
    """Detects, follows and aligns; reads the video twice, so that memory does not grow with its length.

    A video that cannot be read is a report like any other. OSError: the output cannot be written.
    """
    clear_partial(clip)
    clip.partial.mkdir(parents=True)
    reader = VideoReader(clip.video)
    found: list[Faces] = []
    times: list[float] = []
    status, problem = "prepared", None
    followed: list[int | None] = []
    try:
        for batch_times, frames in batches(reader, settings.every):
            found += detector.detect(frames)
            times += batch_times
        followed = face_to_follow(found, times)
        problem = reader.problem
        if any(row is not None for row in followed):
            _write_faces(clip.partial, reader, detector.device, found, followed, times, settings)
        else:
            status = "no face"
    except UnreadableVideo as error:
        status, problem = "unreadable", str(error)
    present = sum(row is not None for row in followed)
    report = Report(
        **_common(clip, settings),
        status=status,
        problem=problem,
        fps=round(reader.fps, 3),
        duration=round(reader.duration, 3),
        frames_read=reader.frames_read,
        frames=len(times),
        found=present,
        filled=len(times) - present if present else 0,
        several=sum(len(faces.boxes) > 1 for faces in found),
    )
    _commit(clip, report)
    return report


def report_failure(clip: Clip, settings: Settings, problem: str) -> Report:
    """The report of a video whose reading ended without one."""
    clear_partial(clip)
    clip.partial.mkdir(parents=True)
    report = Report(**_common(clip, settings), status="unreadable", problem=problem)
    _commit(clip, report)
    return report


def _common(clip: Clip, settings: Settings) -> dict[str, Any]:
    return {"video": clip.name, "bytes": file_size(clip.video), "settings": asdict(settings)}


def batches(reader: VideoReader, every: float | None) -> Iterator[tuple[list[float], Tensor]]:
    """Consecutive frames of one size; a video may change its size in the middle."""
    times: list[float] = []
    pixels: list[Tensor] = []
    for frame in chain(reader.frames(every), [None]):
        full = bool(pixels) and (len(pixels) == 32 or (len(pixels) + 1) * pixels[0][0].numel() > BATCH_PIXELS)
        if pixels and (frame is None or full or frame.pixels.shape != pixels[0].shape):
            yield times, torch.stack(pixels)
            times, pixels = [], []
        if frame is not None:
            times.append(frame.time)
            pixels.append(frame.pixels)


def _write_faces(
    folder: Path,
    reader: VideoReader,
    device: torch.device,
    found: list[Faces],
    followed: list[int | None],
    times: list[float],
    settings: Settings,
) -> None:
    number = 0
    for batch_times, frames in batches(reader, settings.every):
        numbers = [n for n in range(number, number + len(batch_times)) if followed[n] is not None]
        if numbers:
            points = torch.stack([found[n].points[followed[n]] for n in numbers])
            own = torch.tensor(numbers) - number
            for n, face in zip(numbers, align(frames[own].to(device), points, settings.size).cpu(), strict=True):
                _picture(folder, n).write_bytes(_jpeg(face))
        number += len(batch_times)
    for n, source in enumerate(nearest([row is not None for row in followed], times)):
        if source != n:
            shutil.copyfile(_picture(folder, source), _picture(folder, n))


def _jpeg(face: Tensor) -> bytes:
    # Into memory: on a full disk Pillow, given a file, writes what fits and says nothing.
    content = io.BytesIO()
    Image.fromarray(face.permute(1, 2, 0).numpy()).save(content, "JPEG", quality=95, subsampling=0)
    return content.getvalue()


def _picture(folder: Path, number: int) -> Path:
    return folder / f"{number + 1:05d}.jpg"


def _commit(clip: Clip, report: Report) -> None:
    # The report goes first: a folder without one is never ours, a report without its folder is work to do again.
    text = json.dumps(asdict(report), indent=2)
    written = clip.partial / "report.json"
    written.write_text(text + "\n")
    os.replace(written, clip.report)
    if report.status == "prepared":
        os.rename(clip.partial, clip.folder)
    else:
        clear_partial(clip)
