"""Series of vectors, (T, C) each with a label, from one .npz file or a folder of .npy files."""

import csv
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dfer.data.folders import Checked
from dfer.data.parts import RunData, split_by_label
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
    """Read `vectors` (sum of T, C), `lengths` (N,), `labels` (N,), `names` and, if present, `subjects`, `parts` (N,).

    A folder has one (T, C) .npy file per series, and series.csv with the columns file, label and, if needed, subject
    and part.

    Raises:
        BadInput: the file cannot be read, lacks an array, or its arrays do not fit one another.
    """
    held = _of_folder(file) if file.is_dir() else _of_file(file)
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


def _of_file(file: Path) -> dict[str, NDArray[Any]]:
    try:
        with np.load(file, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, AttributeError, EOFError, zipfile.BadZipFile) as error:
        raise BadInput(f"{file}: cannot be read as a .npz of series ({error}); write it with numpy.savez") from None


def _of_folder(folder: Path) -> dict[str, NDArray[Any]]:
    table = folder / "series.csv"
    try:
        with table.open(newline="", encoding="utf-8-sig") as text:
            rows = list(csv.DictReader(text))
        files, labels = ([row[name].strip() for row in rows] for name in ("file", "label"))
    except (OSError, UnicodeDecodeError, KeyError, AttributeError, csv.Error):
        files = []
    if not files:
        raise BadInput(f"{table}: expected a table of series with the columns file and label")
    if len(set(files)) < len(files):
        raise BadInput(f"{table}: {next(name for name in files if files.count(name) > 1)} is listed twice")
    vectors: list[NDArray[Any]] = []
    for name in files:
        try:
            vectors.append(np.load(folder / name, allow_pickle=False))
        except (OSError, ValueError, EOFError) as error:
            raise BadInput(f"{folder / name}: cannot be read as a .npy file ({error})") from None
        if vectors[-1].ndim != 2 or vectors[-1].shape[1] != vectors[0].shape[1]:
            channels = vectors[0].shape[1] if vectors[0].ndim == 2 else "channels"
            raise BadInput(f"{folder / name}: expected vectors (frames, {channels}), got {vectors[-1].shape}")
    names = sorted(set(labels))
    held = {
        "vectors": np.concatenate(vectors),
        "lengths": np.array([len(each) for each in vectors], dtype=np.int64),
        "labels": np.array([names.index(label) for label in labels], dtype=np.int64),
        "names": np.array(names),
    }
    given = {name: [row.get(name[:-1]) for row in rows] for name in ("subjects", "parts")}
    return held | {name: np.array(values) for name, values in given.items() if values and None not in values}


@dataclass(frozen=True)
class Span:
    """Frames `first` to `last`, exclusive, of a series."""

    series: int
    first: int
    last: int


class SeriesClips:
    """Standardised series as (length, C) float32; shorter series are padded with NaN.

    With `shuffled` the frames of a series are in a random order, drawn again each time it is trained on.
    """

    def __init__(
        self, series: Series, spans: Sequence[Span], length: int, scale: tuple[Tensor, Tensor], *, shuffled: bool
    ) -> None:
        self.series, self.spans, self.length, self.scale, self.shuffled = series, spans, length, scale, shuffled
        self.labels = [int(series.labels[span.series]) for span in spans]

    def frames(self, index: int, generator: torch.Generator | None) -> Tensor:
        mean, std = self.scale
        vectors = (self._vectors(index) - mean) / std
        if self.shuffled:
            vectors = vectors[torch.randperm(len(vectors), generator=generator or torch.Generator().manual_seed(index))]
        padded = vectors.new_full((self.length, vectors.shape[1]), torch.nan)
        padded[: len(vectors)] = vectors
        return padded

    def content(self, index: int) -> bytes:
        return self._vectors(index).numpy().tobytes()

    def stamp(self, index: int) -> bytes:
        return b""

    def check(self, index: int) -> Checked:
        return Checked(len(self._vectors(index)), [], self.content(index))

    def name(self, index: int) -> str:
        span = self.spans[index]
        return f"series {span.series}, frames {span.first} to {span.last - 1}"

    def _vectors(self, index: int) -> Tensor:
        span = self.spans[index]
        return torch.from_numpy(self.series[span.series][span.first : span.last].copy())


def series_data(
    file: Path, *, frames: int, windows: bool, shuffled: bool, fold: int, select_on: str, seed: int
) -> RunData:
    """Split series into the parts of a run: those that the file names, or one person against all others.

    Each channel is standardised with its mean and standard deviation over all frames outside the test part.

    Args:
        file: see read_series.
        frames: the most frames that a net sees, T.
        windows: cut longer series into non-overlapping windows of T frames and drop the rest; otherwise use only the
            first T frames.
        shuffled: see SeriesClips.
        fold: number, from 1, of the person to test on, in a file without parts.
        select_on: "validation" holds out a tenth of the training series if the file has no validation part.
        seed: of that tenth.

    Raises:
        BadInput: the file cannot be read, or has neither parts nor subjects, or too few.
    """
    series = read_series(file)
    parts = _parts(file, series, fold)
    training, test, choosing = (np.flatnonzero(parts == part).tolist() for part in ("training", "test", "validation"))
    if select_on != "validation":
        choosing = test
    elif not choosing:
        subjects = None if series.subjects is None else [series.subjects[i] for i in training]
        kept, held = split_by_label(series.labels[training].tolist(), seed, subjects)
        training, choosing = [training[i] for i in kept], [training[i] for i in held]
    for part, found in (("training", training), ("validation", choosing), ("test", test)):
        if not found:
            raise BadInput(f"{file}: no series are left for the {part} part; give more, or name parts in the file")
    spans = {index: _spans(index, len(series[index]), frames, windows) for index in range(len(series))}
    # With the series that choose the epoch, so that the scale depends only on the file and the fold.
    others = np.flatnonzero(parts != "test").tolist()
    seen = torch.from_numpy(np.concatenate([series[i][s.first : s.last] for i in others for s in spans[i]]))
    std, mean = torch.std_mean(seen.double(), dim=0, correction=0)
    scale = (mean.float(), torch.where(std > 0, std, 1.0).float())

    def clips(part: Sequence[int]) -> SeriesClips:
        return SeriesClips(series, [span for i in part for span in spans[i]], frames, scale, shuffled=shuffled)

    cut = [i for i in range(len(series)) if sum(s.last - s.first for s in spans[i]) < len(series[i])]
    remarks = []
    if cut:
        kind = "the frames after their last whole window" if windows else f"all frames after the first {frames}"
        remarks.append(f"{file}: {len(cut)} of {len(series)} series lose {kind}, series {cut[0]} first")
    return RunData(
        series.names,
        clips(training),
        clips(choosing),
        clips(test),
        augmented=False,
        remarks=tuple(remarks),
        mean=tuple(scale[0].tolist()),
        std=tuple(scale[1].tolist()),
    )


def people_left_out(series: Series) -> int:
    """The number of folds that leave one person out; 0 if the file names the parts."""
    return 0 if series.parts is not None else len(set(series.subjects or ()))


def _parts(file: Path, series: Series, fold: int) -> NDArray[np.str_]:
    if series.parts is not None:
        if other := set(series.parts) - {"training", "validation", "test"}:
            raise BadInput(f"{file}: parts: expected training, validation or test, got {min(other)!r}")
        if fold != 1:
            raise BadInput(f"--fold {fold}: {file} names its parts; leave it out")
        return np.array(series.parts)
    people = sorted(set(series.subjects or ()))
    if len(people) < 2:
        raise BadInput(
            f"{file}: expected the array parts, or subjects with two people or more; got the people {people}"
        )
    if not 1 <= fold <= len(people):
        raise BadInput(f"--fold {fold}: {file} has {len(people)} subjects; expected 1 to {len(people)}")
    return np.where(np.array(series.subjects) == people[fold - 1], "test", "training")


def _spans(index: int, length: int, frames: int, windows: bool) -> list[Span]:
    if not windows or length < frames:
        return [Span(index, 0, min(length, frames))]
    return [Span(index, first, first + frames) for first in range(0, length - frames + 1, frames)]
