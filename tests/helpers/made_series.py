"""A file of series for tests: three classes that differ in their direction over time."""

from pathlib import Path
from typing import Any

import numpy as np


def write_series(path: Path, *, people: int = 4, **more: Any) -> Path:
    """Three series of each person, of 5 to 12 frames and 3 channels."""
    draw = np.random.default_rng(0)
    labels = np.tile([0, 1, 2], people)
    lengths = draw.integers(5, 13, len(labels))
    slopes = [np.linspace(-1, 1, length)[:, None] * (1 - label) for label, length in zip(labels, lengths, strict=True)]
    vectors = np.concatenate([slope + 0.1 * draw.normal(size=(len(slope), 3)) + [0, 5, -5] for slope in slopes])
    arrays = {"subjects": np.array([f"p{index // 3}" for index in range(len(labels))]), **more}
    np.savez(
        path,
        vectors=vectors.astype(np.float32),
        lengths=lengths,
        labels=labels,
        names=np.array(["up", "flat", "down"]),
        **{name: array for name, array in arrays.items() if array is not None},
    )
    return path
