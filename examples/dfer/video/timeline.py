"""The displayed expression of every face of a video, over time."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from dfer.training.trained_file import TrainedFacts

# The smallest lead of the best class, as a probability, that is more than a guess between two.
CLEAR_LEAD = 0.15
# Left and right as in the picture, not of the person.
LANDMARKS = ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth")
UNCERTAIN = "uncertain"


@dataclass(frozen=True)
class Row:
    """One analysed frame of one face, or one frame without a face: then `face_id` is None and `success` False."""

    frame: int
    """Number of the decoded frame, from 0."""
    face_id: int | None
    """From 1, in the order in which the faces appear; a number, not a person."""
    timestamp: float
    """Seconds from the start of the file, by its time stamps."""
    confidence: float
    """Of the detection, 0 to 1; between two detections that of the earlier one, and 0 without a face."""
    success: bool
    box: tuple[float, float, float, float] | None
    """Left, top, width and height in pixels of the upright frame."""
    points: tuple[tuple[float, float], ...] | None
    """(x, y) of the LANDMARKS in pixels of the upright frame."""
    probabilities: tuple[float, ...] | None
    """One a class; their sum is 1 up to the file's last digit."""

    @property
    def roll(self) -> float | None:
        """Degrees by which the line between the eyes falls to the right: 0 for an upright face."""
        if self.points is None:
            return None
        (left, top), (right, bottom) = self.points[:2]
        return math.degrees(math.atan2(bottom - top, right - left))


@dataclass(frozen=True)
class Timeline:
    """What was found in a video."""

    video: Path
    duration: float
    """Seconds from the start of the file to the end of the last frame that could be read."""
    fps: float
    """As the file states it; 0 if it states none, or if the frames are unequally far apart."""
    still: bool
    """Whether it is one picture, which has no time."""
    width: int
    height: int
    """Of the first upright frame, in pixels."""
    rows: Iterable[Row]
    """By frame, then by face. It can be iterated again and again, and is read from disk each time."""
    facts: TrainedFacts
    """Of the weights: the classes, what they were trained on, how well they did on the test set."""
    thumbnails: Mapping[int, Sequence[tuple[float, Tensor]]]
    """By face: a few aligned faces (3, size, size) uint8 and their timestamps; empty with --no-thumbnails."""
    problem: str | None
    """What is damaged or missing in the file, in one line."""


def is_uncertain(probabilities: Sequence[float]) -> bool:
    """Whether the best class leads the second best by less than CLEAR_LEAD.

    >>> is_uncertain((0.5, 0.4, 0.1)), is_uncertain((0.6, 0.3, 0.1)), is_uncertain((1.0,))
    (True, False, False)
    """
    best = sorted(probabilities, reverse=True)[:2]
    return len(best) == 2 and best[0] - best[1] < CLEAR_LEAD


def label_of(probabilities: Sequence[float], classes: Sequence[str]) -> str:
    """The class that is displayed, or "uncertain".

    >>> label_of((0.6, 0.4), ("happy", "sad")), label_of((0.55, 0.45), ("happy", "sad"))
    ('happy', 'uncertain')
    """
    if is_uncertain(probabilities):
        return UNCERTAIN
    return max(zip(probabilities, classes, strict=True))[1]
