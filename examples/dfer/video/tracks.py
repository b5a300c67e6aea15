"""One face through a video: detections linked into tracks, the track to follow, and the frames without it filled."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from dfer.video.boxes import areas, overlaps
from dfer.video.faces import Faces

# Two boxes are the same face if they overlap by this much (intersection over union) within this time.
SAME_FACE = 0.3
LONGEST_GAP = 1.0


@dataclass
class Track:
    """One face through consecutive frames: `faces` maps the frame's number to the row of its `Faces`."""

    faces: dict[int, int] = field(default_factory=dict)
    weight: float = 0.0  # the areas of its boxes, summed: how long it is seen, and how large

    @property
    def first(self) -> int:
        return next(iter(self.faces))

    @property
    def last(self) -> int:
        return next(reversed(self.faces))


def link(frames: Sequence[Faces], times: Sequence[float]) -> list[Track]:
    """Tracks by overlap: each face goes to the track whose last box it overlaps most, best pairs first.

    A track that was missed in a frame, and has not been seen for a second, has ended.
    """
    ended: list[Track] = []
    alive: list[Track] = []
    for number, faces in enumerate(frames):
        still = [t for t in alive if t.last == number - 1 or times[number] - times[t.last] <= LONGEST_GAP]
        ended += [track for track in alive if track not in still]
        alive = still
        free = set(range(len(faces.boxes)))
        for track, row in _best_pairs(frames, alive, faces):
            _add(track, number, row, faces)
            free.remove(row)
        for row in sorted(free):
            alive.append(Track())
            _add(alive[-1], number, row, faces)
    return sorted(ended + alive, key=lambda track: track.first)


def _best_pairs(frames: Sequence[Faces], tracks: list[Track], faces: Faces) -> list[tuple[Track, int]]:
    if not tracks or not len(faces.boxes):
        return []
    last_boxes = torch.stack([frames[track.last].boxes[track.faces[track.last]] for track in tracks])
    alike = overlaps(last_boxes, faces.boxes)
    pairs = []
    while alike.max() >= SAME_FACE:
        track, row = divmod(int(alike.argmax()), alike.shape[1])
        pairs.append((tracks[track], row))
        alike[track], alike[:, row] = 0, 0
    return pairs


def _add(track: Track, number: int, row: int, faces: Faces) -> None:
    track.faces[number] = row
    track.weight += float(areas(faces.boxes[row : row + 1]))


def face_to_follow(frames: Sequence[Faces], times: Sequence[float]) -> list[int | None]:
    """The row of the followed face in each frame, or None.

    The track that is seen longest and largest is followed from its first frame to its last, and no other face takes
    its place in the gaps. Before it and after it (a hard cut) the same rule holds for what is left.
    """
    followed: list[int | None] = [None] * len(frames)
    taken = [False] * len(frames)
    for track in sorted(link(frames, times), key=lambda track: -track.weight):
        free = {number: row for number, row in track.faces.items() if not taken[number]}
        for number, row in free.items():
            followed[number] = row
        if free:
            taken[min(free) : max(free) + 1] = [True] * (max(free) + 1 - min(free))
    return followed


def nearest(present: Sequence[bool], times: Sequence[float]) -> list[int]:
    """For each frame the frame nearest in time that has a face (the earlier of two equally near); itself if it has one.

    >>> nearest([False, True, False, False, True], [0.0, 1.0, 2.0, 3.0, 4.0])
    [1, 1, 1, 4, 4]
    """
    known = [number for number, has_face in enumerate(present) if has_face]
    if not known:
        raise ValueError("nearest expects a face in at least one frame; got none")
    filled, at = [], 0
    for time in times:
        while at + 1 < len(known) and abs(times[known[at + 1]] - time) < abs(times[known[at]] - time):
            at += 1
        filled.append(known[at])
    return filled
