"""Faces in frames: MTCNN over batches of frames of one size, on any device.

All three networks share one image pyramid. P-Net runs on the levels in which a face is 12 pixels wide; R-Net and O-Net
sample windows from the levels in which it is 24 and 48 pixels wide. Networks and sampling run on the device,
non-maximum suppression runs on the CPU.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from dfer.video.alignment import shrunk
from dfer.video.boxes import Over, non_maximum_suppression, shift_edges, squares
from dfer.video.mtcnn import load_nets

# The published thresholds: face probability of each network, and overlap of boxes within a level and a frame.
FACE = (0.6, 0.7, 0.8)
SAME_LEVEL, SAME_FRAME = 0.5, 0.7
# Extra O-Net passes per face, each in the square around its last box.
SETTLING = 2
# Pixels of the frames in one batch, whose maps need far more memory than the frames.
BATCH_PIXELS = 4_000_000
# Noise proposes windows everywhere; real frames propose a few hundred.
MOST_PROPOSALS = 1000


class Faces(NamedTuple):
    """The faces of one frame on the CPU, most certain first.

    boxes: (n, 4) left, top, right, bottom in pixels of the frame. points: (n, 5, 2) as (x, y): eyes, nose and mouth
    corners, each pair from left to right in the picture. confidence: (n,), 0 to 1.
    """

    boxes: Tensor
    points: Tensor
    confidence: Tensor


class Level(NamedTuple):
    maps: Tensor  # (B, 3, h, w), (value - 127.5) / 128
    scale: tuple[float, float]  # pixels of the level per pixel of the frame, along x and y


class FaceDetector:
    """Finds faces of at least `smallest` pixels; by default a fifteenth of the frame's shorter side, 24 or more.

    >>> detector = FaceDetector()
    >>> [len(faces.boxes) for faces in detector.detect(torch.zeros(2, 3, 120, 160, dtype=torch.uint8))]
    [0, 0]
    """

    def __init__(self, device: torch.device | str = "cpu", smallest: float | None = None) -> None:
        self.device = torch.device(device)
        self.smallest = smallest
        # channels_last is faster for these small networks; torch's type stubs lack the argument.
        self.pnet, self.rnet, self.onet = (
            net.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
            for net in load_nets()
        )

    @torch.inference_mode()
    def detect(self, frames: Sequence[Tensor] | Tensor) -> list[Faces]:
        """Frames of one size, (3, H, W) uint8 RGB each -> the faces of each frame."""
        if not len(frames):
            return []
        together = max(1, BATCH_PIXELS // frames[0][0].numel())
        parts = (frames[first : first + together] for first in range(0, len(frames), together))
        return [
            faces
            for part in parts
            for faces in self._detect(part if isinstance(part, Tensor) else torch.stack(tuple(part)))
        ]

    def _detect(self, frames: Tensor) -> list[Faces]:
        smallest = self.smallest or max(24.0, min(frames.shape[-2:]) / 15)
        pyramid = build_pyramid(frames.to(self.device), smallest)
        owner, boxes = self._propose(pyramid, smallest)
        owner, boxes = self._refine(pyramid, owner, boxes)
        return self._output(pyramid, owner, boxes, len(frames))

    def _propose(self, pyramid: list[Level], smallest: float) -> tuple[Tensor, Tensor]:
        owners, boxes, scores = [], [], []
        for level in pyramid:
            if 12 / level.scale[0] < smallest * 0.98 or min(level.maps.shape[-2:]) < 12:
                continue
            offsets, face = self.pnet(level.maps)
            frame, y, x = (face > FACE[0]).nonzero(as_tuple=True)
            corner = 2.0 * torch.stack([x, y], 1)
            windows = shift_edges(torch.cat([corner, corner + 12], 1), offsets[frame, :, y, x])
            windows /= torch.tensor(level.scale * 2, device=self.device)
            frame, windows, score = frame.cpu(), windows.cpu(), face[frame, y, x].cpu()
            kept = _suppress(frame, windows, score, SAME_LEVEL)
            owners.append(frame[kept])
            boxes.append(windows[kept])
            scores.append(score[kept])
        if not boxes:
            return torch.empty(0, dtype=torch.long), torch.empty(0, 4)
        owner, box = torch.cat(owners), torch.cat(boxes)
        kept = _suppress(owner, box, torch.cat(scores), SAME_FRAME)
        return owner[kept], squares(box[kept])

    def _refine(self, pyramid: list[Level], owner: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
        if not len(boxes):
            return owner, boxes
        offsets, face = (x.cpu() for x in self.rnet(sample_windows(pyramid, owner, boxes, 24)))
        kept = (face > FACE[1]).nonzero()[:, 0]
        kept = kept[_suppress(owner[kept], boxes[kept], face[kept], SAME_FRAME)]
        return owner[kept], squares(shift_edges(boxes[kept], offsets[kept]))

    def _output(self, pyramid: list[Level], owner: Tensor, boxes: Tensor, frames: int) -> list[Faces]:
        if not len(boxes):
            return [Faces(torch.empty(0, 4), torch.empty(0, 5, 2), torch.empty(0))] * frames
        offsets, _, face = (x.cpu() for x in self.onet(sample_windows(pyramid, owner, boxes, 48)))
        kept = (face > FACE[2]).nonzero()[:, 0]
        owner, boxes, face = owner[kept], shift_edges(boxes[kept], offsets[kept]), face[kept]
        # A box inside another is the same face, so overlap is relative to the smaller box.
        kept = _suppress(owner, boxes, face, SAME_FRAME, "smaller")
        owner, face = owner[kept], face[kept]
        boxes, points = self._settle(pyramid, owner, boxes[kept])
        return [Faces(boxes[own], points[own], face[own]) for own in (owner == frame for frame in range(frames))]

    def _settle(self, pyramid: list[Level], owner: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
        # The points jitter with their window, and P-Net's windows are two pixels apart. So O-Net runs twice more on
        # each face, in the square around its last box; its outputs for the window and its mirror image are averaged.
        points = torch.empty(len(boxes), 5, 2)
        for _ in range(SETTLING if len(boxes) else 0):
            windows = squares(boxes)
            boxes, points, _ = self._look_at(windows, sample_windows(pyramid, owner, windows, 48))
        return boxes, points

    @torch.inference_mode()
    def refine(self, frames: Sequence[Tensor], boxes: Tensor) -> Faces:
        """Refine one expected face per frame: frames (3, H, W) uint8 and boxes (n, 4) -> n faces.

        Takes a tenth of the work of :meth:`detect`. A confidence below FACE[2] means no face.
        """
        found = Faces(boxes, torch.empty(len(boxes), 5, 2), torch.zeros(len(boxes)))
        for _ in range(SETTLING):
            windows = squares(found.boxes).round()
            seen = torch.stack([_cut_window(frame, window) for frame, window in zip(frames, windows, strict=True)])
            found = self._look_at(windows, seen.to(self.device).float().sub_(127.5).div_(128))
        return found

    def _look_at(self, windows: Tensor, seen: Tensor) -> Faces:
        """O-Net on square windows (n, 4) and on their mirror images, averaged."""
        seen = torch.cat([seen, seen.flip(-1)]).contiguous(memory_format=torch.channels_last)
        (offsets, mirrored_offsets), (points, mirrored_points), (face, mirrored_face) = (
            answer.cpu().chunk(2) for answer in self.onet(seen)
        )
        offsets = (offsets + mirrored_offsets[:, [2, 1, 0, 3]] * torch.tensor([-1, 1, -1, 1])) / 2
        turned = mirrored_points[:, [1, 0, 2, 4, 3]] * torch.tensor([-1, 1]) + torch.tensor([1, 0])
        places = (points + turned) / 2 * (windows[:, 2:] - windows[:, :2])[:, None] + windows[:, None, :2]
        return Faces(shift_edges(windows, offsets), places, (face + mirrored_face) / 2)


def _cut_window(frame: Tensor, window: Tensor) -> Tensor:
    """Crop a square of whole pixels to (3, 48, 48) uint8; grey outside the frame."""
    left, top, right, bottom = window.int().tolist()
    height, width = frame.shape[1:]
    part = frame[:, max(top, 0) : min(bottom, height), max(left, 0) : min(right, width)]
    outside = (max(-left, 0), max(right - width, 0), max(-top, 0), max(bottom - height, 0))
    part = nn.functional.pad(part, outside, value=127) if any(outside) else part
    return nn.functional.interpolate(part[None], (48, 48), mode="bilinear", antialias=True, align_corners=False)[0]


def build_pyramid(frames: Tensor, smallest: float) -> list[Level]:
    """Levels that shrink by the square root of two each.

    The first is the frames, shrunk by the largest power of two that leaves `smallest` 48 pixels or more. Each level is
    the mean of 2 x 2 pixels of the level two before it.
    """
    reduction = 2 ** max(0, math.floor(math.log2(smallest / 48)))
    maps = frames.float().sub_(127.5).div_(128)
    maps = shrunk(maps, reduction)
    height, width = maps.shape[-2:]
    size = (max(1, round(height / math.sqrt(2))), max(1, round(width / math.sqrt(2))))
    between = nn.functional.interpolate(maps, size, mode="bilinear", antialias=True, align_corners=False)
    scale = 1 / reduction
    levels = [Level(maps, (scale, scale)), Level(between, (scale * size[1] / width, scale * size[0] / height))]
    while min(levels[-2].maps.shape[-2:]) >= 24:
        maps, (scale_x, scale_y) = levels[-2]
        levels.append(Level(shrunk(maps, 2), (scale_x / 2, scale_y / 2)))
    return levels


def sample_windows(pyramid: list[Level], owner: Tensor, boxes: Tensor, side: int) -> Tensor:
    """Sample the square `boxes` (n, 4) of the frames `owner` (n,) as (n, 3, side, side); grey outside the frame."""
    device = pyramid[0].maps.device
    windows = torch.empty(len(boxes), 3, side, side, device=device)
    finest = pyramid[0].scale[0]
    coarser = 2 * torch.log2((boxes[:, 2] - boxes[:, 0]).clamp(min=1) * finest / side)
    chosen = coarser.floor().clamp(0, len(pyramid) - 1).long()
    ticks = (torch.arange(side) + 0.5) / side
    for number, level in enumerate(pyramid):
        for frame in owner[chosen == number].unique().tolist():
            own = ((chosen == number) & (owner == frame)).nonzero()[:, 0]
            size = torch.tensor(level.maps.shape[:-3:-1]) / torch.tensor(level.scale)
            corner, extent = boxes[own, :2], boxes[own, 2:] - boxes[own, :2]
            x, y = ((corner[:, None] + ticks[:, None] * extent[:, None]) / size * 2 - 1).unbind(-1)
            grid = torch.stack(torch.broadcast_tensors(x[:, None, :], y[:, :, None]), -1)
            sampled = nn.functional.grid_sample(
                level.maps[frame : frame + 1], grid.view(1, -1, side, 2).to(device), align_corners=False
            )
            windows[own.to(device)] = sampled.view(3, len(own), side, side).transpose(0, 1)
    return windows.contiguous(memory_format=torch.channels_last)


def _suppress(owner: Tensor, boxes: Tensor, scores: Tensor, threshold: float, over: Over = "union") -> Tensor:
    """Indices of the boxes kept in each frame: by frame, best first."""
    kept = []
    for frame in owner.unique().tolist():
        own = (owner == frame).nonzero()[:, 0]
        own = own[scores[own].argsort(descending=True, stable=True)[:MOST_PROPOSALS]]
        kept.append(own[non_maximum_suppression(boxes[own], scores[own], threshold, over)])
    return torch.cat(kept) if kept else torch.empty(0, dtype=torch.long)
