"""C3D: the published map of 1 x 4 x 4, and a first linear layer that fits every other clip too."""

import pytest
import torch
from torch import nn

from dfer.models.c3d import C3D


def features(num_frames: int, size: int) -> tuple[int, ...]:
    with torch.device("meta"), torch.no_grad():
        net = C3D(7, num_frames=num_frames, size=size)
        return tuple(net.features(torch.empty(1, 3, num_frames, size, size)).shape)


def test_published_clip_size_gives_8192_features() -> None:
    assert features(16, 112) == (1, 512, 1, 4, 4)


@pytest.mark.parametrize("num_frames", [1, 4, 16, 17, 40])
@pytest.mark.parametrize("size", [16, 33, 48, 65, 97, 112, 128])
def test_first_linear_layer_fits_every_clip_size(num_frames: int, size: int) -> None:
    with torch.device("meta"), torch.no_grad():
        net = C3D(7, num_frames=num_frames, size=size)
        assert net(torch.empty(2, num_frames, 3, size, size)).shape == (2, 7)


def test_no_pooling_rounds_at_the_published_size() -> None:
    with torch.device("meta"), torch.no_grad():
        net = C3D(7)
        for module in net.modules():
            if isinstance(module, nn.MaxPool3d):
                module.ceil_mode = False
        assert net.features(torch.empty(1, 3, 16, 112, 112)).shape == (1, 512, 1, 4, 4)


def test_eight_convolutions_and_three_linear_layers_as_published() -> None:
    with torch.device("meta"):
        modules = list(C3D(7).modules())
    widths = [m.out_channels for m in modules if isinstance(m, nn.Conv3d)]
    assert widths == [64, 128, 256, 256, 512, 512, 512, 512]
    assert all(m.kernel_size == (3, 3, 3) for m in modules if isinstance(m, nn.Conv3d))
    assert [m.out_features for m in modules if isinstance(m, nn.Linear)] == [4096, 4096, 7]


def test_other_length_is_refused() -> None:
    with torch.device("meta"), pytest.raises(ValueError, match=r"C3D expects clips \(B, 16, 3, 112, 112\)"):
        C3D(7)(torch.empty(2, 8, 3, 112, 112))
