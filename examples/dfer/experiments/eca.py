"""Efficient channel attention (ECA), for comparison."""

import math

import torch
from torch import Tensor, nn


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
