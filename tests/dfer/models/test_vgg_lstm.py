"""VGG + LSTM: torchvision's keys, so that its files load, and the LSTM's last output."""

import pytest
import torch

from agdt_layers import load_weights
from dfer.models.vgg_lstm import VGG, VGGLSTM

# Indices of the convolutions in torchvision's ``features``.
CONVOLUTIONS = {
    11: (0, 3, 6, 8, 11, 13, 16, 18),
    13: (0, 2, 5, 7, 10, 12, 15, 17, 20, 22),
    16: (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28),
}


@pytest.mark.parametrize("depth", CONVOLUTIONS)
def test_keys_match_torchvision(depth: int) -> None:
    with torch.device("meta"):
        state = VGG(depth).state_dict()
    names = [f"features.{index}" for index in CONVOLUTIONS[depth]] + ["classifier.0", "classifier.3"]
    assert list(state) == [f"{name}.{entry}" for name in names for entry in ("weight", "bias")]
    assert state["classifier.0.weight"].shape == (4096, 25088)


def test_vgg_file_loads_into_the_backbone() -> None:
    with torch.device("meta"):
        net = VGGLSTM(7, depth=11)
        keys = VGG(11).state_dict()
    # Expanded tensors of the right shapes: one number each in memory.
    state = {key: torch.zeros(()).expand(value.shape) for key, value in keys.items()}
    report = load_weights(
        net.to_empty(device="cpu"), state | {"classifier.6.weight": torch.zeros(()).expand(1000, 4096)}
    )
    assert (report.target, report.missing, report.unused) == ("backbone", (), ("classifier.6.weight",))


def test_frames_of_112_fit_the_first_linear_layer() -> None:
    with torch.device("meta"), torch.no_grad():
        backbone = VGG(11)
        maps = backbone.features(torch.empty(1, 3, 112, 112))
        assert maps.shape == (1, 512, 3, 3)
        assert backbone.avgpool(maps).shape == (1, 512, 7, 7)


class Mean(torch.nn.Module):
    """A small stand-in for VGG, which takes half a gigabyte."""

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        return frames.mean(dim=(1, 2, 3))[:, None].expand(-1, VGG.out_channels)


def test_classifier_uses_the_last_output() -> None:
    with torch.device("meta"):
        net = VGGLSTM(7, depth=11)
    net.backbone = Mean()
    net.to_empty(device="cpu")
    for p in net.parameters():
        torch.nn.init.normal_(p, std=0.05)
    clips = torch.randn(2, 5, 3, 32, 32)
    state = None
    for frame in clips.unbind(1):
        output, state = net.lstm(net.backbone(frame)[:, None], state)
    torch.testing.assert_close(net(clips), net.classifier(output[:, 0]))


def test_too_small_frame_is_refused() -> None:
    with torch.device("meta"), pytest.raises(ValueError, match="at least 32 x 32"):
        VGGLSTM(7, depth=11)(torch.empty(2, 5, 3, 31, 31))
