"""From a video to the timeline of its faces: decode, detect, track, align, score."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from agdt_layers import AGDTNet, StreamStep, fold_batch_norms
from dfer.errors import BadInput
from dfer.training.run_folder import WEIGHTS
from dfer.training.trained_file import TrainedFacts, load_trained
from dfer.video.faces import FaceDetector
from dfer.video.reading import Frame
from dfer.video.stopwatch import Stopwatch
from dfer.video.timeline import Row
from dfer.video.watching import Watched, Watcher

MOST_OF_A_FACE = 12
# Bounds the memory: hours of video may show thousands of faces.
MOST_FACES = 200
# In seconds, between the first thumbnails of a face; doubled when they become too many.
FIRST_GAP = 0.5


class Thumbnails:
    """A few pictures of each face; `by_face` maps a face to its (timestamp, picture) pairs, in order."""

    def __init__(self) -> None:
        self.by_face: dict[int, list[tuple[float, Tensor]]] = {}
        self._gap: defaultdict[int, float] = defaultdict(lambda: FIRST_GAP)

    def add(self, face_id: int, time: float, picture: Tensor) -> None:
        kept = self.by_face.setdefault(face_id, []) if face_id <= MOST_FACES else None
        if kept is None or (kept and time - kept[-1][0] < self._gap[face_id]):
            return
        kept.append((time, picture.clone()))
        if len(kept) > MOST_OF_A_FACE:
            del kept[1::2]
            self._gap[face_id] *= 2


# Larger batches are no faster per frame and need memory for their feature maps.
MOST_FRAMES = 64


class FaceStreams:
    """Class probabilities of several faces, frame by frame.

    Each face has its own state and gets the probabilities of its own :class:`~agdt_layers.AGDTStream`, up to rounding.
    Faces with the same number of new frames share a batch.
    """

    def __init__(self, net: AGDTNet, num_frames: int) -> None:
        self._step = StreamStep(net, num_frames=num_frames)
        self._states: dict[int, dict[str, Tensor]] = {}

    @torch.no_grad()
    def push(self, frames: Mapping[int, Tensor]) -> dict[int, Tensor]:
        """Map each face's next normalised frames (n, 3, H, W) to its probabilities (n, classes)."""
        alike: defaultdict[int, list[int]] = defaultdict(list)
        for face, run in frames.items():
            alike[len(run)].append(face)
        scores: dict[int, Tensor] = {}
        for length, faces in alike.items():
            together = max(1, MOST_FRAMES // length)
            for first in range(0, len(faces), together):
                scores |= self._push_alike(faces[first : first + together], frames)
        return {face: scores[face].softmax(-1) for face in frames}

    def keep_only(self, faces: Iterable[int]) -> None:
        """Drop the states of all other faces."""
        kept = set(faces)
        self._states = {face: state for face, state in self._states.items() if face in kept}

    def _push_alike(self, faces: list[int], frames: Mapping[int, Tensor]) -> dict[int, Tensor]:
        before = [self._states.get(face) or self._step.initial_state(1) for face in faces]
        state = {name: torch.cat([own[name] for own in before]) for name in before[0]}
        scores, after = self._step(torch.stack([frames[face] for face in faces]), state)
        for row, face in enumerate(faces):
            # A view would keep the whole batch in memory.
            self._states[face] = {name: kept[row : row + 1].clone() for name, kept in after.items()}
        return dict(zip(faces, scores, strict=True))


class Source(Protocol):
    """Where frames come from: a file or a camera."""

    def numbered(self, step: int = 1) -> Iterator[tuple[int, Frame]]: ...


@dataclass(frozen=True)
class RecognitionSettings:
    every: int = 1
    """Analyse every n-th frame."""
    detect_every: int = 5
    """Detect faces at least this many frames apart."""
    in_runs: bool = True
    """False for live sources: frame by frame, without looking ahead."""
    thumbnails: bool = True


@dataclass
class Recognised:
    """Results of a run beside its rows."""

    thumbnails: Thumbnails = field(default_factory=Thumbnails)
    frames: int = 0
    """Number of analysed frames."""
    faces: int = 0
    size: tuple[int, int] = (0, 0)
    """Width and height of the first frame."""
    changed_size: Sequence[int] = ()
    """Numbers of the frames at which the frame size changes."""


class Scorer(Protocol):
    """Probabilities of several faces, frame by frame: :class:`FaceStreams`, or a model in an ONNX file."""

    def push(self, frames: Mapping[int, Tensor]) -> dict[int, Tensor]: ...

    def keep_only(self, faces: Iterable[int]) -> None: ...


def load_recogniser(path: Path, settings: RecognitionSettings) -> "Recogniser":
    """Load the network of a weights file or of a run's folder. Raises BadInput if it cannot be used."""
    path = path / WEIGHTS if path.is_dir() else path
    return recogniser_of(*load_trained(path), settings)


def recogniser_of(net: nn.Module, facts: TrainedFacts, settings: RecognitionSettings) -> "Recogniser":
    """Prepare a trained network. Raises BadInput if it cannot be streamed."""
    if not isinstance(net, AGDTNet):
        raise BadInput(f"--weights: expected an agdtnet, got a {facts.net.get('model')}, which cannot run as a stream")
    folded: AGDTNet = fold_batch_norms(net).model
    folded.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    made = Recogniser(FaceStreams(folded, facts.frames), facts, settings)
    made.stopwatch.follow("temporal", folded.temporal)
    return made


class Recogniser:
    """Applies a trained network to the faces of a video."""

    def __init__(self, streams: Scorer, facts: TrainedFacts, settings: RecognitionSettings) -> None:
        self.stopwatch = Stopwatch()
        self.facts, self.settings = facts, settings
        self._streams = streams
        self._scale = 1 / (255 * torch.tensor(facts.std).view(3, 1, 1))
        self._shift = torch.tensor(facts.mean).view(3, 1, 1) / torch.tensor(facts.std).view(3, 1, 1)

    @torch.inference_mode()
    def rows(self, source: Source, found: Recognised) -> Iterator[list[Row]]:
        """Yield the rows of each analysed frame and fill `found`. Raises UnreadableVideo."""
        settings, stopwatch = self.settings, self.stopwatch
        watcher = Watcher(FaceDetector(), self.facts.size, settings.detect_every, stopwatch)
        frames = stopwatch.iterate("decode", source.numbered(settings.every))
        found.changed_size = watcher.changed_size
        for run in watcher.in_runs(frames) if settings.in_runs else watcher.one_by_one(frames):
            if not found.frames:
                found.size = (run[0].pixels.shape[2], run[0].pixels.shape[1])
            found.frames += len(run)
            scored = self._score(run)
            for frame in run:
                for face in frame.faces:
                    found.faces = max(found.faces, face.face_id)
                    if settings.thumbnails:
                        found.thumbnails.add(face.face_id, frame.time, face.aligned)
                yield _rows(frame, [next(scored[face.face_id]) for face in frame.faces])
            self._streams.keep_only(watcher.awaited)

    def _score(self, run: Sequence[Watched]) -> dict[int, Iterator[Tensor]]:
        """Map each face to its probabilities in the frames of the run, in order."""
        aligned: defaultdict[int, list[Tensor]] = defaultdict(list)
        for frame in run:
            for face in frame.faces:
                aligned[face.face_id].append(face.aligned)
        with self.stopwatch.stage("backbone"):
            pushed = {face: torch.stack(own) * self._scale - self._shift for face, own in aligned.items()}
            return {face: iter(own) for face, own in self._streams.push(pushed).items()}


def _rows(frame: Watched, probabilities: Sequence[Tensor]) -> list[Row]:
    if not frame.faces:
        return [Row(frame.number, None, frame.time, 0.0, False, None, None, None)]
    rows = []
    for face, own in zip(frame.faces, probabilities, strict=True):
        left, top, right, bottom = face.box.tolist()
        box = (left, top, right - left, bottom - top)
        # Rounded as in the table, so that the roll matches the points.
        points = tuple((round(x, 2), round(y, 2)) for x, y in face.points.tolist())
        seen = (frame.number, face.face_id, frame.time, face.confidence, True)
        rows.append(Row(*seen, box, points, tuple(own.tolist())))
    return rows


def in_words(stopwatch: Stopwatch, duration: float, took: float) -> str:
    """One line: speed relative to real time, and the seconds of each stage."""
    ratio = duration / took if took > 0 else 0.0
    pace = f"{ratio:.2f} x real time" if ratio >= 1 else f"{ratio:.2f} x real time, slower than the video"
    stages = sorted(stopwatch.seconds.items(), key=lambda stage: -stage[1])
    spent = ", ".join(f"{name} {seconds:.1f}" for name, seconds in stages)
    return f"{duration:.1f} s of video in {took:.1f} s: {pace}. Seconds by stage: {spent}."
