"""The three networks of MTCNN with the original weights of the `mtcnn` package.

K. Zhang, Z. Zhang, Z. Li, Y. Qiao: Joint Face Detection and Alignment Using Multitask Cascaded Convolutional Networks,
IEEE Signal Processing Letters 23(10), 2016. The package is located but not imported, since it needs TensorFlow.

The input is (N, 3, H, W), RGB, scaled to (value - 127.5) / 128. Boxes come as offsets (left, top, right, bottom) in
units of the window's side; points as (x, y) in the window, 0 to 1, in the order of `faces.Faces`.
"""

import hashlib
import importlib.util
import io
from pathlib import Path

import joblib  # type: ignore[import-untyped]
import numpy as np
import torch
from torch import Tensor, nn

from dfer.errors import BadInput


class PNet(nn.Module):
    """Proposals: classifies 12 x 12 windows two pixels apart, as one convolution over the whole map."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            nn.Conv2d(3, 10, 3),
            nn.PReLU(10),
            nn.MaxPool2d(2, 2, ceil_mode=True),
            nn.Conv2d(10, 16, 3),
            nn.PReLU(16),
            nn.Conv2d(16, 32, 3),
            nn.PReLU(32),
        )
        self.box = nn.Conv2d(32, 4, 1)
        self.face = nn.Conv2d(32, 2, 1)

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 3, H, W) -> offsets (N, 4, h, w) and the probability of a face (N, h, w)."""
        x = self.trunk(maps)
        return self.box(x), self.face(x).softmax(1)[:, 1]


class RNet(nn.Module):
    """Refinement of 24 x 24 windows."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            nn.Conv2d(3, 28, 3),
            nn.PReLU(28),
            nn.MaxPool2d(3, 2, ceil_mode=True),
            nn.Conv2d(28, 48, 3),
            nn.PReLU(48),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(48, 64, 2),
            nn.PReLU(64),
        )
        self.dense = nn.Sequential(nn.Linear(576, 128), nn.PReLU(128))
        self.box = nn.Linear(128, 4)
        self.face = nn.Linear(128, 2)

    def forward(self, windows: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 3, 24, 24) -> offsets (N, 4) and the probability of a face (N,)."""
        x = self.dense(_column_by_column(self.trunk(windows)))
        return self.box(x), self.face(x).softmax(1)[:, 1]


class ONet(nn.Module):
    """Output for 48 x 48 windows: box, five points, probability."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            nn.Conv2d(3, 32, 3),
            nn.PReLU(32),
            nn.MaxPool2d(3, 2, ceil_mode=True),
            nn.Conv2d(32, 64, 3),
            nn.PReLU(64),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(64, 64, 3),
            nn.PReLU(64),
            nn.MaxPool2d(2, 2, ceil_mode=True),
            nn.Conv2d(64, 128, 2),
            nn.PReLU(128),
        )
        self.dense = nn.Sequential(nn.Linear(1152, 256), nn.PReLU(256))
        self.box = nn.Linear(256, 4)
        self.points = nn.Linear(256, 10)
        self.face = nn.Linear(256, 2)

    def forward(self, windows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(N, 3, 48, 48) -> offsets (N, 4), points (N, 5, 2) and the probability of a face (N,)."""
        x = self.dense(_column_by_column(self.trunk(windows)))
        # The net returns all x first, then all y.
        points = self.points(x).unflatten(1, (2, 5)).transpose(1, 2)
        return self.box(x), points, self.face(x).softmax(1)[:, 1]


def _column_by_column(x: Tensor) -> Tensor:
    # The networks were trained on maps stored by column, with the channels last.
    return x.transpose(1, 3).flatten(1)


# The files are pickles, so only the exact files of mtcnn 1.0.0 are opened.
SHA256 = {
    "pnet": "ea6b0c3e685ebee3165326ad6484acc95f2ef78f1c94fbf40a55704fa989f7b5",
    "rnet": "cb00e6460f3c98b0bfafaba3c0a0ded4bdf6e62cee7174d969e8670d7e757fee",
    "onet": "94f6ea2f4cf985275ee958cdd762d17b6009348a4fb9d8c6be39ba73ffd22ca3",
}


def load_nets() -> tuple[PNet, RNet, ONet]:
    """The three nets with the weights of the installed `mtcnn` package, in evaluation mode, without gradients."""
    pnet, rnet, onet = PNet(), RNet(), ONet()
    folder = _weights_folder()
    for name, net in (("pnet", pnet), ("rnet", rnet), ("onet", onet)):
        _copy_weights(net, read_arrays(folder / f"{name}.lz4", SHA256[name]))
        net.eval().requires_grad_(False)
    return pnet, rnet, onet


def _weights_folder() -> Path:
    spec = importlib.util.find_spec("mtcnn")
    if spec is None or not spec.submodule_search_locations:
        raise BadInput("the package mtcnn, which holds MTCNN's weights, is not installed: pip install mtcnn==1.0.0")
    return Path(spec.submodule_search_locations[0]) / "assets" / "weights"


def read_arrays(path: Path, sha256: str) -> list[np.ndarray]:
    """Read the arrays of one weight file; it is unpickled only if its hash matches."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}; run pip install mtcnn==1.0.0") from error
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise BadInput(
            f"{path}: sha256 {found[:12]}..., expected {sha256[:12]}... (mtcnn 1.0.0); run pip install mtcnn==1.0.0"
        )
    return joblib.load(io.BytesIO(content))


def _copy_weights(net: nn.Module, arrays: list[np.ndarray]) -> None:
    # The package stores convolutions as (height, width, in, out), dense layers as (in, out), slopes as (1, 1, C).
    for parameter, array in zip(net.parameters(), arrays, strict=True):
        values = torch.from_numpy(array)
        values = (
            values.permute(3, 2, 0, 1) if values.ndim == 4 else values.t() if values.ndim == 2 else values.flatten()
        )
        with torch.no_grad():
            parameter.copy_(values)
