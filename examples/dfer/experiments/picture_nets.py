"""A small ResNet for grey pictures of 28 x 28, with one attention layer in every block."""

import math
from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from agdt_layers import (
    CBAM,
    AdaptiveChannelAttention,
    AdaptiveGlobalAttention,
    GlobalConvolutionalAttention,
    SqueezeExcitation,
)


class EfficientChannelAttention(nn.Module):
    r"""X times the sigmoid of a convolution of GAP(X) along the channels, zero padded and without a bias.

    Reference: Wang et al., "ECA-Net: Efficient Channel Attention for Deep Convolutional Neural Networks", 2020. The
    kernel is that of the reference: the odd number at or above (log2(C) + 1) / 2.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        size = int((math.log2(channels) + 1) / 2)
        size += 1 - size % 2
        self.conv = nn.Conv1d(1, 1, size, padding=size // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        weights = self.conv(x.mean(dim=(2, 3))[:, None])
        return x * torch.sigmoid(weights)[:, 0, :, None, None]


WIDTHS = (16, 32, 64)
# A plain net that costs at least as many parameters and multiply-adds as the one with AGA.
WIDER = (16, 34, 68)
ATTENTIONS: Mapping[str, Callable[[int], nn.Module]] = {
    "none": nn.Identity,
    "wider": nn.Identity,
    "SE": lambda channels: SqueezeExcitation(channels, reduction=4),
    "ECA": EfficientChannelAttention,
    "CBAM": lambda channels: CBAM(channels, reduction=4),
    "ACA": AdaptiveChannelAttention,
    "GCA": GlobalConvolutionalAttention,
    "AGA": AdaptiveGlobalAttention,
    "AGA, identity start": partial(AdaptiveGlobalAttention, residual_scale=True),
    "AGA without gate": partial(AdaptiveGlobalAttention, gate=False),
}


class Block(nn.Module):
    """Two 3 x 3 convolutions; the attention acts before the shortcut is added, as in SE-ResNet."""

    def __init__(self, channels_in: int, channels: int, stride: int, attention: Callable[[int], nn.Module]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        self.attention = attention(channels)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels_in != channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels_in, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        inner = self.norm2(self.conv2(relu(self.norm1(self.conv1(x)))))
        return relu(self.attention(inner) + self.shortcut(x))


def picture_net(row: str, classes: int) -> nn.Module:
    """One of ATTENTIONS by name: (N, 1, 28, 28) to scores (N, classes)."""
    attention, widths = ATTENTIONS[row], WIDER if row == "wider" else WIDTHS
    first, second, third = widths
    return nn.Sequential(
        nn.Conv2d(1, first, 3, 2, 1, bias=False),
        nn.BatchNorm2d(first),
        nn.ReLU(),
        Block(first, first, 1, attention),
        Block(first, second, 2, attention),
        Block(second, third, 2, attention),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(third, classes),
    )
