"""Small synthetic timelines."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dfer.data.augmentation import MEAN, STD
from dfer.training.trained_file import TrainedFacts
from dfer.video.timeline import Row, Timeline

CLASSES = ("happy", "sad", "neutral")


def facts(**changes: Any) -> TrainedFacts:
    given = {
        "classes": CLASSES, "mean": MEAN, "std": STD, "size": 32, "frames": 4, "frames_per_segment": 1,
        "net": {"model": "agdtnet", "attention": "aga", "temporal": "dtformer", "dropout": 0.0},
        "trained_on": "rendered faces (expressions)", "epoch": 3, "epoch_selected_on": "validation",
        "uar": 0.5, "war": 0.6, "recall": (0.5, None, 0.25),
    }  # fmt: skip
    return TrainedFacts(**{**given, **changes})


def row(frame: int, face: int | None, label: str = "happy", rate: float = 25.0, **changes: Any) -> Row:
    """Return the row of a face with one expression, or two ("uncertain"); face=None is a frame without a face."""
    odds = {"happy": (0.8, 0.1, 0.1), "sad": (0.1, 0.8, 0.1), "neutral": (0.1, 0.1, 0.8), "uncertain": (0.4, 0.4, 0.2)}
    if face is None:
        return Row(frame, None, frame / rate, 0.0, False, None, None, None)
    given = {
        "confidence": 0.99, "success": True, "box": (10.0 * face, 8.0, 20.0, 24.0), "probabilities": odds[label],
        "points": tuple((10.0 * face + x, 8.0 + y) for x, y in ((5, 8), (15, 8.5), (10, 13), (6, 18.25), (14, 18))),
    }  # fmt: skip
    return Row(frame, face, frame / rate, **{**given, **changes})


def timeline(video: Path, rows: Sequence[Row], **changes: Any) -> Timeline:
    given = {
        "duration": (rows[-1].frame + 1) / 25 if rows else 0.0, "fps": 25.0, "still": False, "width": 64, "height": 48,
        "facts": facts(), "thumbnails": {}, "problem": None,
    }  # fmt: skip
    return Timeline(video=video, rows=rows, **{**given, **changes})
