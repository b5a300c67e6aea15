"""I3D: TensorFlow's padding, and a mean that is the published pooling at the published size."""

import pytest
import torch
from torch import nn
from torch.nn.functional import avg_pool3d, max_pool3d

from dfer.models.i3d import I3D, MaxPool, Triple, pad_same


@pytest.mark.parametrize("n", range(1, 17))
@pytest.mark.parametrize(("kernel", "stride"), [(7, 2), (3, 2), (2, 2), (1, 2), (3, 1), (3, 3)])
def test_padding_centres_windows_that_cover_the_input(n: int, kernel: int, stride: int) -> None:
    # The literal rule: ceil(n / stride) windows; what they need beyond n is added, the odd one behind.
    windows = len(range(0, n, stride))
    needed = max(range(0, windows * stride, stride)) + kernel
    total = max(needed - n, 0)
    x = torch.arange(1.0, n + 1).view(1, 1, 1, 1, n)
    expected = [0.0] * (total // 2) + list(range(1, n + 1)) + [0.0] * (total - total // 2)
    assert pad_same(x, (1, 1, kernel), (1, 1, stride)).flatten().tolist() == expected


def test_padding_is_computed_per_axis() -> None:
    assert pad_same(torch.empty(1, 1, 4, 7, 10), (1, 3, 7), (1, 2, 2)).shape == (1, 1, 4, 9, 15)


@pytest.mark.parametrize(("kernel", "stride"), [((1, 3, 3), (1, 2, 2)), ((3, 3, 3), (2, 2, 2)), ((2, 2, 2), (2, 2, 2))])
@pytest.mark.parametrize("shape", [(5, 7, 7), (4, 14, 14), (3, 6, 9)])
def test_max_pooling_pads_with_zeros(kernel: Triple, stride: Triple, shape: tuple[int, ...]) -> None:
    x = torch.randint(0, 9, (2, 3, *shape)).float()
    padded = pad_same(x + 1, kernel, stride)
    excluded = torch.where(padded == 0, -torch.inf, padded - 1)
    assert torch.equal(MaxPool(kernel, stride)(x), max_pool3d(excluded, kernel, stride))


def test_last_map_at_the_published_size_is_one_pooling_window() -> None:
    with torch.device("meta"), torch.no_grad():
        net = I3D(7)
        maps = net.features(net.stem(pad_same(torch.empty(1, 3, 16, 224, 224), (7, 7, 7), (2, 2, 2))))
        assert maps.shape == (1, 1024, 2, 7, 7)
        assert avg_pool3d(maps, (2, 7, 7), 1).shape == (1, 1024, 1, 1, 1)


def test_maps_shrink_as_published() -> None:
    shapes = []
    with torch.device("meta"), torch.no_grad():
        net = I3D(7)
        for layer in (net.stem, *net.features):
            layer.register_forward_hook(lambda _, __, y: shapes.append(tuple(y.shape[1:])))
        net(torch.empty(1, 64, 3, 224, 224))
    assert shapes[0] == (64, 32, 112, 112)
    assert shapes[3] == (192, 32, 56, 56)
    assert shapes[4:7] == [(192, 32, 28, 28), (256, 32, 28, 28), (480, 32, 28, 28)]
    assert shapes[7:9] == [(480, 16, 14, 14), (512, 16, 14, 14)]
    assert shapes[-2:] == [(832, 8, 7, 7), (1024, 8, 7, 7)]


def test_any_length_and_size_is_accepted() -> None:
    with torch.device("meta"), torch.no_grad():
        net = I3D(7)
        for num_frames, height, width in ((1, 1, 1), (7, 33, 48), (40, 112, 112)):
            assert net(torch.empty(2, num_frames, 3, height, width)).shape == (2, 7)


def test_batch_norm_as_published() -> None:
    with torch.device("meta"):
        norms = [m for m in I3D(7).modules() if isinstance(m, nn.BatchNorm3d)]
    assert len(norms) == 57
    assert {(norm.eps, norm.momentum) for norm in norms} == {(1e-3, 0.01)}
