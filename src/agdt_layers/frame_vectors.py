"""One vector per frame from its last feature map (section 3.1 of the specification: local context, then pooling)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from agdt_layers import functional
from agdt_layers.precision import full_precision, promoted


class FrameVectors(nn.Module):
    """One vector a frame: GAP of a depthwise 3 x 3 convolution, (N, C, H, W) -> (N, C) (section "Frame vectors")."""

    def __init__(self, channels: int, device: torch.device | str | None, dtype: torch.dtype | None) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, device=device, dtype=dtype)

    def reset_parameters(self) -> None:
        self.conv.reset_parameters()

    def forward(self, x: Tensor) -> Tensor:
        with full_precision(x):
            maps = promoted(x)
            weight, bias = self.conv.weight.to(maps.dtype), self.conv.bias.to(maps.dtype)  # type: ignore[union-attr]
            return functional.frame_vectors(maps, weight, bias).to(x.dtype)
