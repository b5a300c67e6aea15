"""Attention in a host whose maps are (N, H, W, C)."""

from __future__ import annotations

from torch import Tensor, nn


class ChannelsLast(nn.Module):
    """Call a layer of maps (N, C, H, W) on maps (N, H, W, C)."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
