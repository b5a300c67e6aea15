"""Both models called ResNet18 + LSTM: one head, two backbones."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from dfer.models.resnet18_lstm import ResNet18LSTM
from dfer.models.resnet18_lstm_dfew import Bottleneck, DFEWResNet18LSTM

BOTH = [ResNet18LSTM, DFEWResNet18LSTM]


@pytest.mark.parametrize(("model", "channels"), [(ResNet18LSTM, 512), (DFEWResNet18LSTM, 2048)])
def test_last_map_is_the_published_4_x_4_window(model: type[nn.Module], channels: int) -> None:
    with torch.device("meta"), torch.no_grad():
        assert model(7).backbone(torch.empty(1, 3, 112, 112)).shape == (1, channels, 4, 4)


@pytest.mark.parametrize("model", BOTH)
def test_three_lstm_layers_and_all_outputs_are_classified(model: type[nn.Module]) -> None:
    torch.manual_seed(0)
    net = model(3, num_frames=5).eval()
    assert (net.lstm.num_layers, net.lstm.hidden_size, net.lstm.bidirectional) == (3, 256, False)
    clips = torch.randn(2, 5, 3, 33, 33)
    with torch.no_grad():
        literal = net.classifier.bias.expand(2, -1)
        state = None
        for t, frame in enumerate(clips.unbind(1)):
            vector = net.backbone(frame).flatten(2).mean(dim=2)
            output, state = net.lstm(vector[:, None], state)
            literal = literal + output[:, 0] @ net.classifier.weight[:, 256 * t : 256 * (t + 1)].T
        torch.testing.assert_close(net(clips), literal, rtol=1e-4, atol=1e-5)


def test_dfews_stages_are_two_bottleneck_blocks_each() -> None:
    with torch.device("meta"):
        blocks = [m for m in DFEWResNet18LSTM(7).backbone if isinstance(m, Bottleneck)]
    assert [block.residual[0].out_channels for block in blocks] == [64, 64, 128, 128, 256, 256, 512, 512]
    assert [block.residual[0].stride[0] for block in blocks] == [1, 1, 2, 1, 2, 1, 2, 1]
    assert [isinstance(block.shortcut, nn.Identity) for block in blocks] == [False, True] * 4


def test_bottleneck_matches_its_formula() -> None:
    block = Bottleneck(8, 3, 2).double().eval()
    state = block.state_dict()
    for name, value in state.items():
        if value.is_floating_point():
            value.uniform_(0.5, 1.5) if "running_var" in name else value.normal_()

    def convolved(x: Tensor, name: str, norm: str, stride: int = 1, padding: int = 0) -> Tensor:
        y = conv2d(x, state[f"{name}.weight"], stride=stride, padding=padding)
        mean, variance, weight, bias = (
            state[f"{norm}.{entry}"][:, None, None] for entry in ("running_mean", "running_var", "weight", "bias")
        )
        return (y - mean) / (variance + 1e-5).sqrt() * weight + bias

    x = torch.randn(2, 8, 7, 5, dtype=torch.float64)
    y = convolved(x, "residual.0", "residual.1", stride=2).clamp(min=0)
    y = convolved(y, "residual.3", "residual.4", padding=1).clamp(min=0)
    y = convolved(y, "residual.6", "residual.7")
    shortcut = convolved(x, "shortcut.0", "shortcut.1", stride=2)
    torch.testing.assert_close(block(x), (y + shortcut).clamp(min=0))


@pytest.mark.parametrize("model", BOTH)
def test_other_length_is_refused(model: type[nn.Module]) -> None:
    with torch.device("meta"), pytest.raises(ValueError, match=rf"{model.__name__} expects clips \(B, 16, 3, H, W\)"):
        model(7)(torch.empty(2, 8, 3, 112, 112))
