"""The networks of MTCNN against literal layers in float64, on the arrays of the package."""

import importlib.util
import os
import pickle
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch

from dfer.errors import BadInput
from dfer.video import mtcnn
from dfer.video.mtcnn import SHA256, ONet, PNet, RNet, load_nets, read_arrays


def original(name: str) -> list[np.ndarray]:
    spec = importlib.util.find_spec("mtcnn")
    assert spec is not None
    assert spec.submodule_search_locations
    arrays = joblib.load(Path(spec.submodule_search_locations[0]) / "assets" / "weights" / f"{name}.lz4")
    return [array.astype(np.float64) for array in arrays]


def conv(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """(H, W, in) with a kernel of (height, width, in, out)."""
    high, wide = x.shape[0] - kernel.shape[0] + 1, x.shape[1] - kernel.shape[1] + 1
    y = np.zeros((high, wide, kernel.shape[3]))
    for row in range(high):
        for column in range(wide):
            patch = x[row : row + kernel.shape[0], column : column + kernel.shape[1]]
            y[row, column] = np.tensordot(patch, kernel, 3) + bias
    return y


def prelu(x: np.ndarray, slope: np.ndarray) -> np.ndarray:
    return np.where(x > 0, x, slope.reshape(-1) * x)


def pool(x: np.ndarray, size: int, *, to_the_edge: bool) -> np.ndarray:
    """Max pooling of size x size with stride 2, with or without partial windows at the edge."""

    def windows(length: int) -> list[slice]:
        starts = range(0, length - (0 if to_the_edge else size - 1), 2)
        # A partial window must contain pixels that the previous one does not.
        return [slice(s, s + size) for s in starts if s == 0 or not to_the_edge or s - 2 + size < length]

    return np.array([[x[rows, columns].max((0, 1)) for columns in windows(x.shape[1])] for rows in windows(x.shape[0])])


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def flat(x: np.ndarray) -> np.ndarray:
    return np.concatenate([x[row, column] for column in range(x.shape[1]) for row in range(x.shape[0])])


def literal_pnet(x: np.ndarray, w: list[np.ndarray]) -> tuple[np.ndarray, ...]:
    x = pool(prelu(conv(x, w[0], w[1]), w[2]), 2, to_the_edge=True)
    x = prelu(conv(x, w[3], w[4]), w[5])
    x = prelu(conv(x, w[6], w[7]), w[8])
    return conv(x, w[9], w[10]), softmax(conv(x, w[11], w[12]))[..., 1]


def literal_rnet(x: np.ndarray, w: list[np.ndarray]) -> tuple[np.ndarray, ...]:
    x = pool(prelu(conv(x, w[0], w[1]), w[2]), 3, to_the_edge=True)
    x = pool(prelu(conv(x, w[3], w[4]), w[5]), 3, to_the_edge=False)
    x = flat(prelu(conv(x, w[6], w[7]), w[8]))
    x = prelu(x @ w[9] + w[10], w[11])
    return x @ w[12] + w[13], softmax(x @ w[14] + w[15])[1]


def literal_onet(x: np.ndarray, w: list[np.ndarray]) -> tuple[np.ndarray, ...]:
    x = pool(prelu(conv(x, w[0], w[1]), w[2]), 3, to_the_edge=True)
    x = pool(prelu(conv(x, w[3], w[4]), w[5]), 3, to_the_edge=False)
    x = pool(prelu(conv(x, w[6], w[7]), w[8]), 2, to_the_edge=True)
    x = flat(prelu(conv(x, w[9], w[10]), w[11]))
    x = prelu(x @ w[12] + w[13], w[14])
    points = x @ w[17] + w[18]
    return x @ w[15] + w[16], np.stack([points[:5], points[5:]], 1), softmax(x @ w[19] + w[20])[1]


@pytest.fixture(scope="module")
def nets() -> tuple[PNet, RNet, ONet]:
    return load_nets()


def test_pnet_matches_literal_layers(nets: tuple[PNet, RNet, ONet]) -> None:
    x = torch.randn(2, 3, 17, 23, dtype=torch.float64)  # odd after the first convolution: the pooling meets the edge
    offsets, face = nets[0].double()(x)
    assert face.shape == (2, 4, 7)
    for number in range(2):
        expected = literal_pnet(x[number].permute(1, 2, 0).numpy(), original("pnet"))
        np.testing.assert_allclose(offsets[number].permute(1, 2, 0), expected[0], rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(face[number], expected[1], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("which", "literal", "side"), [(1, literal_rnet, 24), (2, literal_onet, 48)])
def test_rnet_and_onet_match_literal_layers(nets, which, literal, side) -> None:
    x = torch.randn(2, 3, side, side, dtype=torch.float64)
    answers = nets[which].double()(x)
    for number in range(2):
        expected = literal(x[number].permute(1, 2, 0).numpy(), original(("pnet", "rnet", "onet")[which]))
        for answer, right in zip(answers, expected, strict=True):
            np.testing.assert_allclose(answer[number], right, rtol=1e-9, atol=1e-12)


def test_weights_are_frozen(nets: tuple[PNet, RNet, ONet]) -> None:
    assert not any(net.training or any(p.requires_grad for p in net.parameters()) for net in nets)


class MakesFolder:
    def __reduce__(self) -> tuple[object, tuple[str, int]]:
        return os.mkdir, (self.path, 0o700)

    def __init__(self, path: Path) -> None:
        self.path = str(path)


def test_weights_with_wrong_hash_are_not_unpickled(tmp_path: Path) -> None:
    (tmp_path / "pnet.lz4").write_bytes(pickle.dumps(MakesFolder(tmp_path / "was here")))
    with pytest.raises(BadInput, match=r"pnet\.lz4: sha256 [0-9a-f]{12}\.\.\., expected ea6b0c3e685e.*mtcnn==1\.0\.0"):
        read_arrays(tmp_path / "pnet.lz4", SHA256["pnet"])
    assert not (tmp_path / "was here").exists()
    pickle.loads((tmp_path / "pnet.lz4").read_bytes())
    assert (tmp_path / "was here").exists()  # unpickling would make the folder


def test_missing_weights_or_package_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadInput, match=r"pnet\.lz4: No such file.*pip install mtcnn"):
        read_arrays(tmp_path / "pnet.lz4", SHA256["pnet"])
    monkeypatch.setattr(mtcnn.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        BadInput, match="the package mtcnn, which holds MTCNN's weights, is not installed: pip install mtcnn"
    ):
        load_nets()
