"""Series of vectors from one .npz file: the frames of all series behind each other, and a label for each series."""

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dfer.errors import BadInput


@dataclass(frozen=True)
class Series:
    """Vectors (sum of T, C) float32; series i is rows `starts[i]` to `starts[i + 1]`."""

    vectors: NDArray[np.float32]
    starts: NDArray[np.int64]
    labels: NDArray[np.int64]
    names: tuple[str, ...]
    subjects: tuple[str, ...] | None = None
    parts: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> NDArray[np.float32]:
        return self.vectors[self.starts[index] : self.starts[index + 1]]


def read_series(file: Path) -> Series:
    """Read `vectors` (sum of T, C), `lengths` (N,), `labels` (N,), `names` and, if there, `subjects`, `parts` (N,).

    Raises:
        BadInput: the file cannot be read, lacks an array, or its arrays do not fit one another.
    """
    try:
        with np.load(file, allow_pickle=False) as arrays:
            held = {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, AttributeError, EOFError, zipfile.BadZipFile) as error:
        raise BadInput(f"{file}: cannot be read as a .npz of series ({error}); write it by numpy.savez") from None
    if missing := {"vectors", "lengths", "labels", "names"} - held.keys():
        raise BadInput(
            f"{file}: expected the arrays vectors, lengths, labels, names; {', '.join(sorted(missing))} missing"
        )
    vectors, lengths, labels = held["vectors"], held["lengths"], held["labels"]
    if vectors.ndim != 2 or vectors.dtype.kind not in "fiu" or not np.isfinite(vectors).all():
        raise BadInput(
            f"{file}: vectors: expected finite numbers (frames, channels), got {vectors.dtype} {vectors.shape}"
        )
    for name, values in (("lengths", lengths), ("labels", labels)):
        if values.ndim != 1 or values.dtype.kind not in "iu":
            raise BadInput(f"{file}: {name}: expected whole numbers (series,), got {values.dtype} {values.shape}")
    for name in ("labels", "subjects", "parts"):
        if name in held and held[name].shape != lengths.shape:
            raise BadInput(f"{file}: {name}: expected one for each of {len(lengths)} series, got {held[name].shape}")
    if not len(lengths) or lengths.min() < 1 or lengths.sum() != len(vectors):
        raise BadInput(f"{file}: lengths: expected numbers from 1 with the sum {len(vectors)}, the rows of vectors")
    if labels.min() < 0 or labels.max() >= held["names"].size:
        raise BadInput(f"{file}: labels: expected 0 to {held['names'].size - 1}, got {labels.min()} to {labels.max()}")
    subjects, parts = (tuple(map(str, held[name])) if name in held else None for name in ("subjects", "parts"))
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    names = tuple(map(str, held["names"].ravel()))
    return Series(vectors.astype(np.float32), starts, labels.astype(np.int64), names, subjects, parts)
