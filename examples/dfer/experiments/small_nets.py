"""The nets of compare_attentions.py: one small CNN with any attention, one small series net with any encoder."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from agdt_layers import CBAM, AdaptiveGlobalAttention, DTFormer, SqueezeExcitation, TemporalMean, insert_attention
from dfer.experiments.eca import EfficientChannelAttention

ATTENTIONS: Mapping[str, Callable[[int], nn.Module] | None] = {
    "none": None,
    "SE": SqueezeExcitation,
    "ECA": EfficientChannelAttention,
    "CBAM": CBAM,
    "AGA": AdaptiveGlobalAttention,
}
ENCODERS = ("mean", "MLP + mean", "TFormer", "DTFormer", "torch encoder")
CHANNELS, DEPTH, HEADS, MLP, WIDE = 64, 2, 4, 128, 534


def small_cnn(attention: str, classes: int) -> nn.Module:
    """Three stages of 32, 64 and 128 channels for pictures (N, 1, 8, 8), with attention after the first two."""
    net = nn.Sequential(_stage(1, 32, 1), _stage(32, 64, 2), _stage(64, 128, 2), _Head(128, classes))
    layer = ATTENTIONS[attention]
    if layer is not None:
        insert_attention(net, {"0": layer, "1": layer}, example_input=torch.zeros(1, 1, 8, 8))
    return net


class SeriesNet(nn.Module):
    """Series (B, T, features) and mask (B, T) to scores: a map of each frame, an encoder over time, a classifier."""

    def __init__(self, encoder: str, features: int, classes: int, max_frames: int) -> None:
        super().__init__()
        self.frame = nn.Sequential(nn.Linear(features, CHANNELS), nn.GELU())
        self.encoder: nn.Module
        if encoder == "mean":
            self.encoder = TemporalMean()
        elif encoder == "MLP + mean":
            self.encoder = MLPMean()
        elif encoder == "torch encoder":
            self.encoder = TorchEncoder(max_frames)
        else:
            self.encoder = DTFormer(
                CHANNELS, depth=DEPTH, heads=HEADS, mlp_channels=MLP, max_frames=max_frames, dropout=0.1,
                differential=encoder == "DTFormer",
            )  # fmt: skip
        self.classifier = nn.Linear(CHANNELS, classes)

    def forward(self, series: Tensor, mask: Tensor) -> Tensor:
        return self.classifier(self.encoder(self.frame(series), mask=mask))


class MLPMean(nn.Module):
    """A perceptron on each frame, as large as TFormer within a hundredth, and the mean over time."""

    def __init__(self) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(CHANNELS, WIDE), nn.GELU(), nn.Linear(WIDE, CHANNELS))
        self.mean = TemporalMean()

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return self.mean(x + self.mlp(x), mask=mask)


class TorchEncoder(nn.Module):
    """nn.TransformerEncoder of DTFormer's size, with positions and a class token as DTFormer has them."""

    def __init__(self, max_frames: int) -> None:
        super().__init__()
        self.token = nn.Parameter(0.02 * torch.randn(1, 1, CHANNELS))
        self.position = nn.Parameter(0.02 * torch.randn(1, max_frames + 1, CHANNELS))
        layer = nn.TransformerEncoderLayer(
            CHANNELS, HEADS, MLP, dropout=0.1, activation="gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, DEPTH, enable_nested_tensor=False)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        tokens = torch.cat([self.token.expand(len(x), -1, -1), x], dim=1) + self.position[:, : x.shape[1] + 1]
        padded = torch.cat([mask.new_zeros(len(x), 1), ~mask], dim=1)
        return self.layers(tokens, src_key_padding_mask=padded)[:, 0]


class _Head(nn.Module):
    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.classifier = nn.Linear(channels, classes)

    def forward(self, maps: Tensor) -> Tensor:
        return self.classifier(maps.mean(dim=(2, 3)))


def _stage(channels_in: int, channels: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
        nn.Conv2d(channels, channels, 3, 1, 1, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
    )
