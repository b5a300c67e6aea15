"""Tracking: each detection gets the number of a known face or a new one.

The rule, in order:

1. The position of each track is extrapolated at its last speed. A detection that overlaps it may continue the track.
   Where several tracks and detections overlap, the pairs with the most similar appearance are linked first, so that two
   people who cross keep their numbers. Pairs with entirely different appearance are not linked.
2. An unmatched track that was seen at most a second ago is linked to an unmatched detection of similar appearance
   anywhere in the frame.
3. The remaining detections start new tracks. A hard cut ends all tracks.

Gaps between frames, as in a screen recording of a still picture, count for at most half a second.

Appearance is kept in memory while a face is tracked and is never written, so it cannot identify anybody later.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from dfer.video.boxes import overlaps
from dfer.video.faces import Faces

# Two boxes may be the same face if they overlap by this much (intersection over union).
SAME_FACE = 0.3
# In seconds: how long a face may be away, and the longest time that counts between two detections.
LONGEST_GAP, LONGEST_STEP = 1.0, 0.5
# Correlations of appearance. Within one shot they exceed 0.7 for one person a fifth of a second later and are mostly
# below 0.5 for two people.
ENTIRELY_DIFFERENT, SAME_LOOK = 0.25, 0.7
# Weights of the newest detection in the moving averages of appearance and speed.
NEWEST_LOOK, NEWEST_SPEED = 0.2, 0.5


@dataclass
class _Track:
    face_id: int
    time: float
    box: Tensor
    """(4,), where the face was last seen."""
    speed: Tensor
    """(2,), of the box's centre along x and y, in pixels a second."""
    look: Tensor

    def expected(self, time: float) -> Tensor:
        return self.box + (self.speed * (time - self.time)).repeat(2)

    def see(self, time: float, box: Tensor, look: Tensor | None) -> None:
        elapsed = time - self.time
        if elapsed > 0:
            moved = (box - self.box).view(2, 2).mean(0) / elapsed
            self.speed = torch.lerp(self.speed, moved, NEWEST_SPEED)
        self.time, self.box = time, box
        if look is not None:
            mixed = torch.lerp(self.look, look, NEWEST_LOOK)
            self.look = mixed / mixed.norm().clamp(min=1e-6)


class Follower:
    """Numbers the faces of one video by the rule above.

    >>> follower = Follower()
    >>> one = Faces(torch.tensor([[10.0, 10.0, 50.0, 50.0]]), torch.zeros(1, 5, 2), torch.ones(1))
    >>> look = torch.nn.functional.normalize(torch.randn(1, 768))
    >>> follower.follow(0.0, one, look), follower.follow(0.2, one, look)
    ([1], [1])
    >>> follower.cut()
    >>> follower.follow(0.4, one, look)
    [2]
    """

    def __init__(self) -> None:
        self._tracks: list[_Track] = []
        self._last = 0.0  # time of the last detection, and the time counted until then
        self._counted = 0.0
        self._numbers = 0

    @property
    def awaited(self) -> set[int]:
        """Numbers of the tracks that can still continue."""
        return {track.face_id for track in self._tracks}

    def cut(self) -> None:
        """End all tracks."""
        self._tracks = []

    def rows_of_same(self, time: float, faces: Faces, looks: Tensor) -> list[int] | None:
        """Row of each face of the last detection, ordered by number; None unless the same faces are detected.

        They are the same if there are as many of them, each at its expected position and away from the others.
        """
        linked, certain = self._link(self._count(time), faces, looks)
        seen = sorted(track.face_id for track in self._tracks if track.time == self._counted)
        row_of = {track.face_id: row for row, track in enumerate(linked) if track is not None}
        return [row_of[face] for face in seen] if all(certain) and seen == sorted(row_of) else None

    def follow(self, time: float, faces: Faces, looks: Tensor) -> list[int]:
        """Return the number of each face, from 1.

        time: in seconds. faces: the detections. looks: (n, d), see :func:`looks`.
        """
        now = self._count(time)
        linked, certain = self._link(now, faces, looks)
        missed = [track for track in self._tracks if all(track is not other for other in linked)]
        alive = [track for track in missed if now - track.time <= LONGEST_GAP]
        numbers = []
        for row, track in enumerate(linked):
            box, look = faces.boxes[row], looks[row]
            if track is None:
                self._numbers += 1
                track = _Track(self._numbers, now, box, torch.zeros(2), look)
            else:
                # A face that overlaps another is partly hidden: its appearance is not learned.
                track.see(now, box, look if certain[row] else None)
            alive.append(track)
            numbers.append(track.face_id)
        self._tracks, self._last, self._counted = alive, time, now
        return numbers

    def _count(self, time: float) -> float:
        return self._counted + min(time - self._last, LONGEST_STEP)

    def _link(self, time: float, faces: Faces, looks: Tensor) -> tuple[list[_Track | None], list[bool]]:
        """For each face, the track that it continues or None, and whether its position alone decides this."""
        linked: list[_Track | None] = [None] * len(faces.boxes)
        if not self._tracks or not linked:
            return linked, [False] * len(linked)
        alike = torch.stack([track.look for track in self._tracks]) @ looks.T
        near = overlaps(torch.stack([track.expected(time) for track in self._tracks]), faces.boxes) >= SAME_FACE
        alone = (near.sum(0) == 1) & ~(near & (near.sum(1, keepdim=True) > 1)).any(0)
        by_place = _most_alike(alike, near & (alike >= ENTIRELY_DIFFERENT))
        free = torch.ones_like(near)
        for track, row in by_place:
            free[track], free[:, row] = False, False
        recent = torch.tensor([time - track.time <= LONGEST_GAP for track in self._tracks])
        for track, row in by_place + _most_alike(alike, free & recent[:, None] & (alike >= SAME_LOOK)):
            linked[row] = self._tracks[track]
        return linked, (alone & torch.tensor([track is not None for track in linked])).tolist()


def _most_alike(alike: Tensor, allowed: Tensor) -> list[tuple[int, int]]:
    """Greedy pairs (track, row) of the allowed ones, most similar first, with each track and row at most once."""
    left = alike.masked_fill(~allowed, float("-inf"))
    pairs = []
    while left.numel() and left.max() > float("-inf"):
        track, row = divmod(int(left.argmax()), left.shape[1])
        pairs.append((track, row))
        left[track], left[:, row] = float("-inf"), float("-inf")
    return pairs


# The middle of an aligned face, without hair and background, as fractions of its side.
TOP, BOTTOM, LEFT, RIGHT = 0.14, 0.90, 0.11, 0.89
SIDE = 16


def looks(aligned: Tensor) -> Tensor:
    """Aligned faces (n, 3, size, size) uint8 -> coarse appearance (n, 768), each row with mean 0 and length 1.

    The product of two rows is the correlation of the two faces, each reduced to 16 x 16 colours.
    """
    size = aligned.shape[-1]
    middle = aligned[:, :, round(TOP * size) : round(BOTTOM * size), round(LEFT * size) : round(RIGHT * size)]
    reduced = adaptive_avg_pool2d(middle.float(), SIDE).flatten(1)
    centred = reduced - reduced.mean(1, keepdim=True)
    return centred / centred.norm(dim=1, keepdim=True).clamp(min=1e-6)


GRID = (9, 16)
# The ratio of `are_cuts` is about 1.4 for unrelated pictures and rarely above 0.3 within a shot.
CUT = 0.8
# In grey levels of 255: noise on a black or uniform picture stays below.
SMALLEST = 4.0


def reduced(frames: Tensor) -> Tensor:
    """(B, 3, H, W) uint8 -> (B, 144), grey pictures of 16 x 9. The mean is subtracted, so that a flash is not a cut."""
    step = max(1, min(frames.shape[-2:]) // 72)
    grey = frames[:, :, ::step, ::step].float().mean(1)
    small = adaptive_avg_pool2d(grey, GRID).flatten(1)
    return small - small.mean(1, keepdim=True)


def are_cuts(before: Tensor, after: Tensor) -> Tensor:
    """Whether a hard cut lies between the pictures of :func:`reduced`, pair by pair: (n, 144), (n, 144) -> bool (n,).

    The contrast of a picture is the mean of its absolute values. There is a cut if the mean absolute difference is at
    least CUT times the larger contrast.

    >>> scene, other = torch.randn(2, 3, 144) * 50
    >>> are_cuts(scene, scene * 0.9).tolist(), are_cuts(scene, other).tolist()
    ([False, False, False], [True, True, True])
    """
    difference = (after - before).abs().mean(1)
    contrast = torch.maximum(before.abs().mean(1), after.abs().mean(1))
    return difference >= (CUT * contrast).clamp(min=SMALLEST)
