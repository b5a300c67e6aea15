"""The whole way from a video to the timeline of its faces: read, find, follow, align, score."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn

from agdt_layers import AGDTNet, prepare_for_inference
from dfer.errors import BadInput
from dfer.training.trained_file import TrainedFacts
from dfer.video.face_streams import FaceStreams
from dfer.video.faces import FaceDetector
from dfer.video.reading import Frame
from dfer.video.stopwatch import Stopwatch
from dfer.video.thumbnails import Thumbnails
from dfer.video.timeline import Row
from dfer.video.tracks import LONGEST_GAP
from dfer.video.watching import Watched, Watcher


class Source(Protocol):
    """Where frames come from: a file or a camera."""

    def numbered(self, step: int = 1) -> Iterator[tuple[int, Frame]]: ...


@dataclass(frozen=True)
class RecognitionSettings:
    every: int = 1
    """Every so many frames are analysed."""
    detect_every: int = 5
    """Faces are looked for at least this many frames apart."""
    in_runs: bool = True
    """False: frame by frame, for a source whose next frame is not known yet."""
    thumbnails: bool = True


@dataclass
class Recognised:
    """What a run found out beside its rows."""

    thumbnails: Thumbnails = field(default_factory=Thumbnails)
    frames: int = 0
    """That were analysed."""
    faces: int = 0
    size: tuple[int, int] = (0, 0)
    """Width and height of the first frame."""
    changed_size: Sequence[int] = ()
    """Numbers of the frames from which on the frames have another size."""


class Recogniser:
    """A trained net, made ready for faces.

    Raises BadInput where the net cannot be streamed.
    """

    def __init__(self, net: nn.Module, facts: TrainedFacts, settings: RecognitionSettings) -> None:
        if not isinstance(net, AGDTNet):
            raise BadInput(f"--weights: expected an agdtnet, got a {facts.net.get('model')}, which cannot be streamed")
        self.stopwatch = Stopwatch()
        self._net, self._facts, self._settings = prepare_for_inference(net), facts, settings
        assert isinstance(self._net, AGDTNet)
        self.stopwatch.follow("temporal", self._net.temporal)
        self._streams = FaceStreams(self._net, facts.frames)
        self._scale = 1 / (255 * torch.tensor(facts.std).view(3, 1, 1))
        self._shift = torch.tensor(facts.mean).view(3, 1, 1) / torch.tensor(facts.std).view(3, 1, 1)

    @torch.inference_mode()
    def rows(self, source: Source, found: Recognised) -> Iterator[list[Row]]:
        """The rows of each analysed frame, as they come; `found` is filled on the way. Raises UnreadableVideo."""
        settings, stopwatch = self._settings, self.stopwatch
        watcher = Watcher(FaceDetector(), self._facts.size, settings.detect_every, stopwatch)
        frames = stopwatch.iterate("decode", source.numbered(settings.every))
        found.changed_size = watcher.changed_size
        last_seen: dict[int, float] = {}
        for run in watcher.in_runs(frames) if settings.in_runs else watcher.one_by_one(frames):
            if not found.frames:
                found.size = (run[0].pixels.shape[2], run[0].pixels.shape[1])
            found.frames += len(run)
            scored = self._score(run)
            for frame in run:
                for face in frame.faces:
                    last_seen[face.face_id] = frame.time
                    found.faces = max(found.faces, face.face_id)
                    if settings.thumbnails:
                        found.thumbnails.add(face.face_id, frame.time, face.aligned)
                yield _rows(frame, [next(scored[face.face_id]) for face in frame.faces])
            last_seen = {face: time for face, time in last_seen.items() if run[-1].time - time <= LONGEST_GAP}
            self._streams.keep_only(last_seen)

    def _score(self, run: Sequence[Watched]) -> dict[int, Iterator[Tensor]]:
        """By face, its probabilities in each of its frames of the run, in order."""
        aligned: defaultdict[int, list[Tensor]] = defaultdict(list)
        for frame in run:
            for face in frame.faces:
                aligned[face.face_id].append(face.aligned)
        with self.stopwatch.stage("backbone"):
            pushed = {face: torch.stack(own) * self._scale - self._shift for face, own in aligned.items()}
            return {face: iter(own) for face, own in self._streams.push(pushed).items()}


def _rows(frame: Watched, probabilities: Sequence[Tensor]) -> list[Row]:
    if not frame.faces:
        return [Row(frame.number, None, frame.time, 0.0, False, None, None)]
    rows = []
    for face, own in zip(frame.faces, probabilities, strict=True):
        left, top, right, bottom = face.box.tolist()
        box = (left, top, right - left, bottom - top)
        rows.append(Row(frame.number, face.face_id, frame.time, face.confidence, True, box, tuple(own.tolist())))
    return rows


def in_words(stopwatch: Stopwatch, duration: float, took: float) -> str:
    """One line: how much faster than the video it went, and where the time was spent."""
    ratio = duration / took if took > 0 else 0.0
    pace = f"{ratio:.2f} x real time" if ratio >= 1 else f"{ratio:.2f} x real time, slower than the video"
    stages = sorted(stopwatch.seconds.items(), key=lambda stage: -stage[1])
    spent = ", ".join(f"{name} {seconds:.1f}" for name, seconds in stages)
    return f"{duration:.1f} s of video in {took:.1f} s: {pace}. Seconds by stage: {spent}."
