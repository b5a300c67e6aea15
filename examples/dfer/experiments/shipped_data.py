"""Two small sets of real data that packages carry as files, read without importing the packages.

Digits: 1,797 handwritten digits of 8 x 8 pixels, of scikit-learn (E. Alpaydin and C. Kaynak, "Optical Recognition of
Handwritten Digits", UCI, 1998). Japanese vowels: 640 utterances of nine speakers, 12 coefficients for each of 7 to 29
frames, of aeon (M. Kudo, J. Toyama, M. Shimbo, "Multidimensional curve classification using passing-through regions",
1999).
"""

import gzip
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from dfer.errors import BadInput


@dataclass(frozen=True)
class Examples:
    """`inputs` (N, ...) float, `labels` (N,) from 0, and for series `mask` (N, T), True where a frame is real."""

    inputs: Tensor
    labels: Tensor
    mask: Tensor | None = None

    def take(self, index: Tensor) -> "Examples":
        return Examples(self.inputs[index], self.labels[index], None if self.mask is None else self.mask[index])


def read_digits() -> Examples:
    """Pictures (1797, 1, 8, 8) with mean 0 and standard deviation 1 over all."""
    path = _file_of("sklearn", "datasets/data/digits.csv.gz", "pip install scikit-learn")
    with gzip.open(path, "rt") as file:
        table = torch.from_numpy(np.loadtxt(file, delimiter=",", dtype=np.float32))
    pictures = table[:, :-1].reshape(-1, 1, 8, 8)
    return Examples((pictures - pictures.mean()) / pictures.std(), table[:, -1].long())


def read_japanese_vowels() -> tuple[Examples, Examples]:
    """Training and test series (N, T, 12), padded with zeros; coefficients scaled by the training frames."""
    parts = []
    for part in ("TRAIN", "TEST"):
        path = _file_of("aeon", f"datasets/data/JapaneseVowels/JapaneseVowels_{part}.ts", "pip install --no-deps aeon")
        parts.append(read_series(path))
    real = parts[0].inputs[parts[0].mask]
    mean, std = real.mean(dim=0), real.std(dim=0)
    training, test = (
        Examples(torch.where(part.mask[..., None], (part.inputs - mean) / std, 0), part.labels, part.mask)  # type: ignore[index]
        for part in parts
    )
    return training, test


def read_series(path: Path) -> Examples:
    """A file of the .ts format: a line a series, dimensions between colons, the label last."""
    classes: list[str] = []
    series, labels = [], []
    for line in path.read_text().splitlines():
        if line.lower().startswith("@classlabel"):
            classes = line.split()[2:]
        elif line and not line.startswith(("#", "@", "%")):
            *dimensions, label = line.split(":")
            frames = [[float(value) for value in dimension.split(",")] for dimension in dimensions]
            series.append(torch.tensor(frames).T)
            labels.append(classes.index(label))
    lengths = torch.tensor([len(frames) for frames in series])
    inputs = pad_sequence(series, batch_first=True)
    return Examples(inputs, torch.tensor(labels), torch.arange(inputs.shape[1]) < lengths[:, None])


def _file_of(package: str, inside: str, command: str) -> Path:
    spec = find_spec(package)
    for folder in (spec and spec.submodule_search_locations) or ():
        if (Path(folder) / inside).is_file():
            return Path(folder) / inside
    raise BadInput(f"{inside} of the package {package} is not installed; get it by: {command}")
