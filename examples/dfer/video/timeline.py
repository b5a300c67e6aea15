"""The displayed expression of every face of a video, over time."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from dfer.training.trained_file import TrainedFacts

# If the best class leads by less, the label is "uncertain".
CLEAR_LEAD = 0.15
# Left and right in the picture, not of the person.
LANDMARKS = ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth")
UNCERTAIN = "uncertain"


@dataclass(frozen=True)
class Row:
    """One face in one analysed frame; in a frame without faces, `face_id` is None and `success` False."""

    frame: int
    """Number of the decoded frame, from 0."""
    face_id: int | None
    """From 1, in order of appearance; it does not identify a person."""
    timestamp: float
    """Seconds from the start of the file, by its time stamps."""
    confidence: float
    """Of the detection, 0 to 1; an interpolated face has that of the detection before it; 0 without a face."""
    success: bool
    box: tuple[float, float, float, float] | None
    """Left, top, width and height in pixels of the upright frame."""
    points: tuple[tuple[float, float], ...] | None
    """(x, y) of the LANDMARKS in pixels of the upright frame."""
    probabilities: tuple[float, ...] | None
    """One per class; they sum to 1 up to rounding."""

    @property
    def roll(self) -> float | None:
        """Slope of the line between the eyes in degrees, positive if it falls to the right; 0 for an upright face."""
        if self.points is None:
            return None
        (left, top), (right, bottom) = self.points[:2]
        return math.degrees(math.atan2(bottom - top, right - left))


@dataclass(frozen=True)
class Timeline:
    """All faces of a video over time."""

    video: Path
    duration: float
    """Seconds from the start of the file to the end of the last readable frame."""
    fps: float
    """Stated frame rate; 0 if there is none or it varies."""
    still: bool
    """Whether the source is one picture."""
    width: int
    height: int
    """Of the first upright frame, in pixels."""
    rows: Iterable[Row]
    """Ordered by frame, then by face; each iteration reads them from disk."""
    facts: TrainedFacts
    """Of the weights: classes, training data, test scores."""
    thumbnails: Mapping[int, Sequence[tuple[float, Tensor]]]
    """For each face a few timestamps and aligned pictures (3, size, size) uint8; empty with --no-thumbnails."""
    problem: str | None
    """One line on what is damaged or missing in the file, or None."""


def is_uncertain(probabilities: Sequence[float]) -> bool:
    """Whether the best class leads the second best by less than CLEAR_LEAD.

    >>> is_uncertain((0.5, 0.4, 0.1)), is_uncertain((0.6, 0.3, 0.1)), is_uncertain((1.0,))
    (True, False, False)
    """
    best = sorted(probabilities, reverse=True)[:2]
    return len(best) == 2 and best[0] - best[1] < CLEAR_LEAD


def label_of(probabilities: Sequence[float], classes: Sequence[str]) -> str:
    """The most probable class, or "uncertain".

    >>> label_of((0.6, 0.4), ("happy", "sad")), label_of((0.55, 0.45), ("happy", "sad"))
    ('happy', 'uncertain')
    """
    if is_uncertain(probabilities):
        return UNCERTAIN
    return max(zip(probabilities, classes, strict=True))[1]
