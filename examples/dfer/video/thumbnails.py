"""A few aligned faces of each face's time: evenly spread, however long that lasts."""

from collections import defaultdict

from torch import Tensor

MOST_OF_A_FACE = 12
# Hours of film may show thousands of faces; later ones go without.
MOST_FACES = 200
# In seconds, between the first thumbnails of a face; doubled when they become too many.
FIRST_GAP = 0.5


class Thumbnails:
    """`by_face` maps a face to its (timestamp, picture) pairs, in order."""

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
