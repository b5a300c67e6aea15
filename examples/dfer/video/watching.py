"""Every face in every frame: full detection in some frames, refinement and interpolation between them.

In a file, two detections enclose the frames between them. If both find the same faces, each face is refined at its
expected position in some of those frames, and its box and points are interpolated in the others. If they differ,
because a face entered or left, two faces are close, or the shot changed, the middle frame is searched too, and so on
until the frame in which each face enters or leaves is known. With a camera, a face stays where it was last seen.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from dfer.video.alignment import align
from dfer.video.boxes import overlaps
from dfer.video.faces import FACE, FaceDetector, Faces
from dfer.video.following import SAME_FACE, Follower, are_cuts, looks, reduced
from dfer.video.reading import Frame
from dfer.video.stopwatch import Stopwatch

# Largest run of frames; each run ends with a searched frame.
RUN_FRAMES, RUN_PIXELS = 16, 40_000_000
# Every third detection searches the whole frame, the others only the expected positions.
WHOLE_LOOKS = 3
# In seconds: the longest time between two detections, at any frame rate.
LONGEST_CARRY = 0.5


class Sighting(NamedTuple):
    """One face in one frame."""

    face_id: int
    box: Tensor  # (4,) left, top, right, bottom
    points: Tensor  # (5, 2)
    confidence: float
    aligned: Tensor  # (3, size, size) uint8


@dataclass
class Watched:
    """One frame and the faces in it."""

    number: int
    time: float
    pixels: Tensor
    faces: list[Sighting] = field(default_factory=list)


class _Look(NamedTuple):
    faces: Faces
    aligned: Tensor
    looks: Tensor


class _Key(NamedTuple):
    """The faces of a frame in which they were detected, ordered by number."""

    time: float
    boxes: Tensor  # (n, 4)
    points: Tensor  # (n, 5, 2)
    confidence: list[float]


class Watcher:
    """Detects and tracks the faces of one video; call either `in_runs` or `one_by_one`, once.

    size: side of an aligned face in pixels. detect_every: frames between two detections.
    """

    def __init__(self, detector: FaceDetector, size: int, detect_every: int, stopwatch: Stopwatch) -> None:
        self._detector, self._size, self._every, self._stopwatch = detector, size, detect_every, stopwatch
        self._follower = Follower()
        self._last: Watched | None = None  # the last searched frame
        self._before: Tensor | None = None  # the reduced picture of the last frame
        self.changed_size: list[int] = []
        """Numbers of the frames whose size differs from that of the frame before."""
        self.cuts = 0

    @property
    def awaited(self) -> set[int]:
        """Numbers of the faces that may still come back."""
        return self._follower.awaited

    def in_runs(self, frames: Iterator[tuple[int, Frame]]) -> Iterator[list[Watched]]:
        """Yield runs of frames of a file with their faces."""
        run: list[Watched] = []
        due: list[int] = []  # indices of the frames to search
        for number, frame in frames:
            now = Watched(number, *frame)
            if run and now.pixels.shape != run[-1].pixels.shape:
                yield self._watch(run, due)
                run, due = [], []
            latest = run[due[-1]] if due else self._last
            too_large = (len(run) + 1) * now.pixels[0].numel() >= RUN_PIXELS
            if too_large or self._is_due(latest, now, WHOLE_LOOKS * self._every):
                due.append(len(run))
            run.append(now)
            if (too_large or len(run) >= RUN_FRAMES) and due and due[-1] == len(run) - 1:
                yield self._watch(run, due)
                run, due = [], []
        if run:
            yield self._watch(run, due)

    def one_by_one(self, frames: Iterator[tuple[int, Frame]]) -> Iterator[list[Watched]]:
        """Yield runs of one frame for a live source, without looking ahead."""
        for number, frame in frames:
            now = Watched(number, *frame)
            cut = self._cuts([now])[0]
            if cut or self._is_due(self._last, now, self._every):
                with self._stopwatch.stage("detect"):
                    self._see(now, self._look([now])[0], cut)
            elif self._last is not None and self._last.faces:
                with self._stopwatch.stage("align"):
                    self._align([(now, face) for face in self._last.faces])
            yield [now]

    def _is_due(self, latest: Watched | None, now: Watched, every: int) -> bool:
        return (
            latest is None
            or latest.pixels.shape != now.pixels.shape
            or now.number - latest.number >= every
            or now.time - latest.time >= LONGEST_CARRY
        )

    def _watch(self, run: list[Watched], due: list[int]) -> list[Watched]:
        if due[-1:] != [len(run) - 1]:
            due = [*due, len(run) - 1]  # nothing follows the end of a shot or a file
        cuts = self._cuts(run)
        between: list[tuple[Watched, Sighting]] = []
        with self._stopwatch.stage("detect"):
            start = 0
            for place, look in zip(due, self._look([run[place] for place in due]), strict=True):
                between += self._settle(run, cuts, start, place, look)
                start = place + 1
        with self._stopwatch.stage("align"):
            self._align(between)
        return run

    def _settle(
        self, run: list[Watched], cuts: list[bool], start: int, place: int, look: _Look
    ) -> list[tuple[Watched, Sighting]]:
        """Track the faces from the last searched frame, before `start`, to the one at `place`.

        Returns the interpolated faces of the frames between. If the two detections differ, searches the middle frame
        and settles each half in the same way.
        """
        frame, inner, last = run[place], run[start:place], self._last
        keys = None if last is None or any(cuts[start : place + 1]) else self._confirm(last, inner, frame, look)
        if inner and keys is None:
            middle = (start + place) // 2
            between = self._settle(run, cuts, start, middle, self._look([run[middle]])[0])
            return between + self._settle(run, cuts, middle + 1, place, look)
        self._see(frame, look, cuts[place])
        return [(one, face) for one in inner for face in _between(keys or [], frame.faces, one.time)]

    def _confirm(self, last: Watched, inner: Sequence[Watched], frame: Watched, look: _Look) -> list[_Key] | None:
        """Refine the faces of two detections in frames between them; None if they differ or one is not found."""
        rows = self._follower.rows_of_same(frame.time, look.faces, look.looks)
        if rows is None:
            return None
        first = _key(last)
        end = _Key(frame.time, look.faces.boxes[rows], look.faces.points[rows], look.faces.confidence[rows].tolist())
        chosen: list[Watched] = []
        for one in inner if rows else ():
            if one.number - (chosen[-1] if chosen else last).number >= self._every:
                chosen.append(one)
        if not chosen:
            return [first, end]
        expected = torch.cat([_interpolated(first, end, one.time)[0] for one in chosen])
        found = self._detector.refine([one.pixels for one in chosen for _ in rows], expected)
        shared = overlaps(found.boxes, expected).diagonal()
        if bool((found.confidence < FACE[2]).any()) or bool((shared < SAME_FACE).any()):
            return None
        parts = (part.split(len(rows)) for part in found)
        between = zip(chosen, *parts, strict=True)
        return [first, *(_Key(one.time, boxes, points, sure.tolist()) for one, boxes, points, sure in between), end]

    def _cuts(self, run: Sequence[Watched]) -> list[bool]:
        """Whether a new shot begins at each frame, as it also does when the size changes."""
        with self._stopwatch.stage("cuts"):
            pictures = torch.cat([reduced(frame.pixels[None]) for frame in run])
            before = pictures[:1] if self._before is None else self._before
            cuts: list[bool] = are_cuts(torch.cat([before, pictures[:-1]]), pictures).tolist()
            self._before = pictures[-1:].clone()
        if self._last is not None and self._last.pixels.shape != run[0].pixels.shape:
            self.changed_size.append(run[0].number)
            cuts[0] = True
        self.cuts += sum(cuts)
        return cuts

    def _look(self, frames: Sequence[Watched]) -> list[_Look]:
        found = self._detector.detect([frame.pixels for frame in frames])
        made = []
        for frame, faces in zip(frames, found, strict=True):
            owner = torch.zeros(len(faces.boxes), dtype=torch.long)
            aligned = align(frame.pixels[None], faces.points, self._size, owner)
            made.append(_Look(faces, aligned, looks(aligned)))
        return made

    def _see(self, frame: Watched, look: _Look, cut: bool) -> None:
        if cut:
            self._follower.cut()
        numbers = self._follower.follow(frame.time, look.faces, look.looks)
        rows = zip(numbers, *look.faces, look.aligned, strict=True)
        frame.faces = sorted(
            Sighting(number, box, points, float(confidence), aligned)
            for number, box, points, confidence, aligned in rows
        )
        self._last = frame

    def _align(self, sightings: Sequence[tuple[Watched, Sighting]]) -> None:
        """Align each face and add it to its frame."""
        for frame, face in sightings:
            aligned = align(frame.pixels[None], face.points[None], self._size)[0]
            frame.faces.append(face._replace(aligned=aligned))


def _key(frame: Watched) -> _Key:
    faces = frame.faces
    boxes = torch.stack([face.box for face in faces]) if faces else torch.empty(0, 4)
    points = torch.stack([face.points for face in faces]) if faces else torch.empty(0, 5, 2)
    return _Key(frame.time, boxes, points, [face.confidence for face in faces])


def _between(keys: Sequence[_Key], faces: Sequence[Sighting], time: float) -> list[Sighting]:
    """The faces at `time`, interpolated linearly between the keys before and after it."""
    after = next(n for n, key in enumerate(keys) if key.time >= time or n == len(keys) - 1)
    before = max(after - 1, 0)
    boxes, points = _interpolated(keys[before], keys[after], time)
    parts = zip(faces, boxes, points, keys[before].confidence, strict=True)
    return [face._replace(box=box, points=point, confidence=sure) for face, box, point, sure in parts]


def _interpolated(first: _Key, last: _Key, time: float) -> tuple[Tensor, Tensor]:
    elapsed = last.time - first.time
    share = (time - first.time) / elapsed if elapsed > 0 else 1.0
    return torch.lerp(first.boxes, last.boxes, share), torch.lerp(first.points, last.points, share)
