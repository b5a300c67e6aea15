"""Fashion-MNIST in its four idx files, as Debian's package dataset-fashion-mnist holds them."""

import gzip
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dfer.errors import BadInput

CLASSES = 10


def read_part(folder: Path, part: str) -> tuple[Tensor, Tensor]:
    """Pictures (N, 1, 28, 28) in uint8 and labels (N,) of `part`, "train" or "t10k"."""
    pictures = _read(folder / f"{part}-images-idx3-ubyte.gz", 3)
    labels = _read(folder / f"{part}-labels-idx1-ubyte.gz", 1)
    if len(pictures) != len(labels) or pictures.shape[1:] != (28, 28):
        raise BadInput(f"{folder}: expected as many {part} labels as pictures of 28 x 28, "
                       f"got {len(labels)} labels and pictures {tuple(pictures.shape)}")  # fmt: skip
    if len(labels) and int(labels.max()) >= CLASSES:
        raise BadInput(f"{folder}: expected {part} labels from 0 to {CLASSES - 1}, got {int(labels.max())}")
    return pictures[:, None], labels.long()


def _read(path: Path, dimensions: int) -> Tensor:
    """One idx file: two zero bytes, the type (8 = uint8), the number of dimensions, each size, the values."""
    try:
        content = gzip.decompress(path.read_bytes())
        header = 4 + 4 * dimensions
        sizes = np.frombuffer(content[4:header], dtype=">i4").tolist()
        if content[:4] != bytes((0, 0, 8, dimensions)):
            raise ValueError
        values = np.frombuffer(content, dtype=np.uint8, offset=header).reshape(sizes)
    except FileNotFoundError:
        raise BadInput(f"{path} is missing; Debian's package dataset-fashion-mnist puts it into "
                       "/usr/share/datasets/fashion-mnist") from None  # fmt: skip
    except (OSError, EOFError, ValueError):
        raise BadInput(f"{path}: expected a gzipped idx file with {dimensions} dimensions; fetch it again") from None
    return torch.from_numpy(values.copy())
