"""Synthetic timelines like those of a recogniser: smooth probabilities, faces that come and go."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dfer.training.trained_file import TrainedFacts
from dfer.video.timeline import Row, Timeline

POINTS = ((20.0, 30.0), (40.0, 30.0), (30.0, 40.0), (22.0, 50.0), (38.0, 50.0))
CLASSES = ("happy", "sad", "neutral", "angry", "surprise", "disgust", "fear")


def made_facts(classes: Sequence[str] = CLASSES, **changes: Any) -> TrainedFacts:
    recall = tuple(None if index == 5 else 0.98 - 0.07 * index for index in range(len(classes)))
    facts: dict[str, Any] = {
        "classes": tuple(classes),
        "mean": (0.485, 0.456, 0.406),
        "std": (0.229, 0.224, 0.225),
        "size": 64,
        "frames": 8,
        "frames_per_segment": 1,
        "net": {"model": "agdtnet", "dropout": 0.1},
        "trained_on": "DFEW, fold 1",
        "epoch": 7,
        "epoch_selected_on": "validation",
        "uar": 0.812,
        "war": 0.834,
        "recall": recall,
    }
    return TrainedFacts(**(facts | changes))


@dataclass(frozen=True)
class MadeRows:
    """Rows of faces visible in the spans of `seen`, in seconds. Like the real rows, they can be iterated repeatedly."""

    seen: Mapping[int, Sequence[tuple[float, float]]]
    frames: int
    fps: float
    classes: int

    def __iter__(self) -> Iterator[Row]:
        for frame in range(self.frames):
            time = frame / self.fps
            faces = [face for face, spans in self.seen.items() if any(start <= time < end for start, end in spans)]
            for face in faces:
                yield Row(
                    frame,
                    face,
                    time,
                    0.99,
                    True,
                    (40.0 * face, 30.0, 64.0, 64.0),
                    POINTS,
                    self.probabilities(face, time),
                )
            if not faces:
                yield Row(frame, None, time, 0.0, False, None, None, None)

    def probabilities(self, face: int, time: float) -> tuple[float, ...]:
        scores = [math.exp(2.2 * math.sin(0.35 * time + 1.7 * face + 2.4 * index)) for index in range(self.classes)]
        return tuple(score / sum(scores) for score in scores)


def made_timeline(
    seen: Mapping[int, Sequence[tuple[float, float]]],
    *,
    duration: float = 20.0,
    fps: float = 24.0,
    video: Path = Path("clip.mp4"),
    thumbnails: Mapping[int, Sequence[tuple[float, Tensor]]] | None = None,
    problem: str | None = None,
    still: bool = False,
    **facts: Any,
) -> Timeline:
    stated = made_facts(**facts)
    rows = MadeRows(seen, round(duration * fps), fps, len(stated.classes))
    return Timeline(video, duration, fps, still, 640, 360, rows, stated, thumbnails or {}, problem)


def made_thumbnails(times: Sequence[float], size: int = 64) -> list[tuple[float, Tensor]]:
    shades = [(40 + 8 * index) % 256 for index in range(len(times))]
    pictures = (torch.full((3, size, size), shade, dtype=torch.uint8) for shade in shades)
    return list(zip(times, pictures, strict=True))
