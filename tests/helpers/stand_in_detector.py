"""Frames with patches in place of faces, and a detector that knows their positions."""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from dfer.video.alignment import TEMPLATE
from dfer.video.faces import Faces
from dfer.video.reading import Frame

# By person, (left, top) of a patch.
Places = Mapping[int, tuple[float, float]]
SIDE = 32


def pattern(person: int, side: int = SIDE) -> Tensor:
    """Return a smooth picture (3, side, side) that is different for every person."""
    coarse = torch.rand(1, 3, 5, 5, generator=torch.Generator().manual_seed(person)) * 255
    return torch.nn.functional.interpolate(coarse, side, mode="bilinear")[0].byte()


def paint(places: Places, height: int = 96, width: int = 160, background: int = 40, light: float = 1.0) -> Tensor:
    frame = torch.full((3, height, width), background, dtype=torch.uint8)
    frame[:, : height // 2] += 60
    for person, (x, y) in places.items():
        frame[:, round(y) : round(y) + SIDE, round(x) : round(x) + SIDE] = pattern(person)
    return (frame * light).byte()


class StandInDetector:
    """A detector that looks up the true positions by the frame's pixels.

    `looked` lists the number of frames in each call of detect, `refined` counts the boxes passed to refine.
    """

    def __init__(self, film: Sequence[tuple[Places, Tensor]]) -> None:
        self._truth = {self._key(frame): places for places, frame in film}
        self.looked: list[int] = []
        self.refined = 0

    @staticmethod
    def _key(frame: Tensor) -> bytes:
        return frame.contiguous().numpy().tobytes()

    def detect(self, frames: Tensor) -> list[Faces]:
        self.looked.append(len(frames))
        found = []
        for frame in frames:
            corners = torch.tensor(list(self._truth[self._key(frame)].values())).reshape(-1, 2)
            boxes = torch.cat([corners, corners + SIDE], 1)
            found.append(Faces(boxes, corners[:, None] + SIDE * TEMPLATE, torch.full((len(boxes),), 0.9)))
        return found

    def refine(self, frames: Sequence[Tensor], boxes: Tensor) -> Faces:
        """Return for each frame the patch nearest to the box, if it is within half a patch."""
        self.refined += len(boxes)
        corners, sure = boxes[:, :2].clone(), torch.zeros(len(boxes))
        for row, (frame, box) in enumerate(zip(frames, boxes, strict=True)):
            truth = torch.tensor(list(self._truth[self._key(frame)].values())).reshape(-1, 2)
            distance = (truth - box[:2]).abs().amax(1)
            if len(truth) and distance.min() < SIDE / 2:
                corners[row], sure[row] = truth[distance.argmin()], 0.9
        return Faces(torch.cat([corners, corners + SIDE], 1), corners[:, None] + SIDE * TEMPLATE, sure)


def numbered(frames: Sequence[Tensor], rate: float = 25.0, step: int = 1) -> Iterator[tuple[int, Frame]]:
    for number in range(0, len(frames), step):
        yield number, Frame(number / rate, frames[number])
