"""One stream through the net for each face, and the frames of all faces in as few batches as there can be."""

from collections import defaultdict
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from agdt_layers import AGDTNet, AGDTStream

# A batch larger than this is no faster a frame, and its feature maps would fill the memory.
MOST_FRAMES = 64


class FaceStreams:
    """The newest frames of any faces in, the probabilities of each frame out.

    A face's answers are those of an :class:`~agdt_layers.AGDTStream` of its own, up to rounding. Faces that bring
    equally many frames, after equally many before, share a batch; after a window's frames that is all of them.
    """

    def __init__(self, net: AGDTNet, num_frames: int) -> None:
        self._stream = AGDTStream(net, num_frames=num_frames)
        self._states: dict[int, dict[str, Tensor]] = {}

    def push(self, frames: Mapping[int, Tensor]) -> dict[int, Tensor]:
        """By face, a run of frames (n, 3, H, W), normalised -> by face, its probabilities (n, classes)."""
        alike: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
        for face, run in frames.items():
            alike[len(run), self._seen(face)].append(face)
        scores: dict[int, Tensor] = {}
        for (length, _), faces in alike.items():
            together = max(1, MOST_FRAMES // length)
            for first in range(0, len(faces), together):
                scores |= self._push_alike(faces[first : first + together], frames)
        return {face: scores[face].softmax(-1) for face in frames}

    def keep_only(self, faces: Iterable[int]) -> None:
        """Forget all faces but these."""
        kept = set(faces)
        self._states = {face: state for face, state in self._states.items() if face in kept}

    def _seen(self, face: int) -> int:
        return self._states[face]["vectors"].shape[1] if face in self._states else 0

    def _push_alike(self, faces: list[int], frames: Mapping[int, Tensor]) -> dict[int, Tensor]:
        self._stream.reset()
        if faces[0] in self._states:
            before = [self._states[face] for face in faces]
            self._stream.load_state_dict({name: torch.cat([state[name] for state in before]) for name in before[0]})
        scores = self._stream.push(torch.stack([frames[face] for face in faces]))
        after = self._stream.state_dict()
        for row, face in enumerate(faces):
            # A slice would keep the whole batch's memory.
            self._states[face] = {name: kept[row : row + 1].clone() for name, kept in after.items()}
        return dict(zip(faces, scores, strict=True))
