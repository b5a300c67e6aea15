"""Who is where in each frame: faces are looked for in some frames, and carried through those between.

In a file the frames between two looks are known when they are needed: where the same faces are found in both, boxes and
points are interpolated in time. Where they are not, because a face came or left, two are about to cross, or the shot
changed, the frame in the middle is looked at, too, and so on until it is known where each face came or left. A camera's
next look is not known: a face stays where it was last seen.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from dfer.video.alignment import align
from dfer.video.appearance import looks
from dfer.video.cuts import are_cuts, reduced
from dfer.video.faces import FaceDetector, Faces
from dfer.video.following import Follower
from dfer.video.reading import Frame
from dfer.video.stopwatch import Stopwatch

# A run is as many frames as fit this, from one look to another.
RUN_FRAMES, RUN_PIXELS = 16, 16_000_000
# In seconds: at a low frame rate no face is carried for longer, however few frames that are.
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


class Watcher:
    """Finds and follows the faces of one video; take either `in_runs` or `one_by_one`, once.

    size: side of an aligned face. detect_every: faces are looked for in every frame whose number is this much higher
    than that of the last look.
    """

    def __init__(self, detector: FaceDetector, size: int, detect_every: int, stopwatch: Stopwatch) -> None:
        self._detector, self._size, self._every, self._stopwatch = detector, size, detect_every, stopwatch
        self._follower = Follower()
        self._last: Watched | None = None  # the last frame that was looked at
        self._before: Tensor | None = None  # the reduced picture of the last frame
        self.changed_size: list[int] = []
        """Numbers of the frames whose size is another than that of the frame before."""
        self.cuts = 0

    @property
    def awaited(self) -> set[int]:
        """The faces that may still be seen again under their number."""
        return self._follower.awaited

    def in_runs(self, frames: Iterator[tuple[int, Frame]]) -> Iterator[list[Watched]]:
        """Runs of frames of a file, each frame with the faces in it."""
        run: list[Watched] = []
        due: list[int] = []  # places in the run of the frames to look at
        for number, frame in frames:
            now = Watched(number, *frame)
            if run and now.pixels.shape != run[-1].pixels.shape:
                yield self._watch(run, due)
                run, due = [], []
            latest = run[due[-1]] if due else self._last
            if self._is_due(latest, now):
                due.append(len(run))
            run.append(now)
            full = len(run) >= RUN_FRAMES or len(run) * now.pixels[0].numel() >= RUN_PIXELS
            if full and due and due[-1] == len(run) - 1:
                yield self._watch(run, due)
                run, due = [], []
        if run:
            yield self._watch(run, due)

    def one_by_one(self, frames: Iterator[tuple[int, Frame]]) -> Iterator[list[Watched]]:
        """The same for frames of which the next is not known yet, such as a camera's: runs of one frame."""
        for number, frame in frames:
            now = Watched(number, *frame)
            cut = self._cuts([now])[0]
            if cut or self._is_due(self._last, now):
                with self._stopwatch.stage("detect"):
                    self._see(now, self._look([now])[0], cut)
            elif self._last is not None and self._last.faces:
                with self._stopwatch.stage("align"):
                    self._align([(now, face) for face in self._last.faces])
            yield [now]

    def _is_due(self, latest: Watched | None, now: Watched) -> bool:
        return (
            latest is None
            or latest.pixels.shape != now.pixels.shape
            or now.number - latest.number >= self._every
            or now.time - latest.time >= LONGEST_CARRY
        )

    def _watch(self, run: list[Watched], due: list[int]) -> list[Watched]:
        if due[-1:] != [len(run) - 1]:
            due = [*due, len(run) - 1]  # behind the end of a shot or a file there is no other look
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
        """Follow the faces from the last look, just before `start`, to the one at `place`.

        Returns the faces of the frames between that are carried. Where those of the two looks are not the same, the
        frame in the middle is looked at, and then each half in the same way.
        """
        frame, inner = run[place], run[start:place]
        cut, last = any(cuts[start : place + 1]), self._last
        if inner and (cut or not self._follower.is_steady(frame.time, look.faces, look.looks)):
            middle = (start + place) // 2
            between = self._settle(run, cuts, start, middle, self._look([run[middle]])[0])
            return between + self._settle(run, cuts, middle + 1, place, look)
        self._see(frame, look, cuts[place])
        return [(one, face) for one in inner for face in _between(last, frame, one.time)] if last else []

    def _cuts(self, run: Sequence[Watched]) -> list[bool]:
        """Whether another shot begins with each frame; a frame of another size begins one."""
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
        """Align each face as it is in the frame beside it, and add it to the frame."""
        for frame, face in sightings:
            aligned = align(frame.pixels[None], face.points[None], self._size)[0]
            frame.faces.append(face._replace(aligned=aligned))


def _between(first: Watched, last: Watched, time: float) -> list[Sighting]:
    """The faces at a time between two looks that found the same ones: in a straight line from one to the other."""
    elapsed = last.time - first.time
    share = (time - first.time) / elapsed if elapsed > 0 else 1.0
    return [
        a._replace(box=torch.lerp(a.box, b.box, share), points=torch.lerp(a.points, b.points, share))
        for a, b in zip(first.faces, last.faces, strict=True)
    ]
