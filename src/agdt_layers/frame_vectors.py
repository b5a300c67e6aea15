"""One vector per frame from its feature map: a convolution for local context, then global average pooling."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from agdt_layers import functional
from agdt_layers.precision import called, full_precision, promoted
from agdt_layers.tracing import NotScriptable, one_fx_node
from agdt_layers.untouched import is_untouched_convolution


class FrameVectors(NotScriptable, nn.Module):
    """One vector per frame: GAP of a depthwise 3 x 3 convolution, (N, C, H, W) -> (N, C) (section 3.1)."""

    def __init__(self, channels: int, **factory: Any) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, **factory)

    def reset_parameters(self) -> None:
        self.conv.reset_parameters()

    @one_fx_node
    def forward(self, x: Tensor) -> Tensor:
        with full_precision(x):
            maps = promoted(x)
            if not self.is_untouched():
                return called(self.conv, maps).mean(dim=(2, 3)).to(x.dtype)
            weight, bias = self.conv.weight.to(maps.dtype), self.conv.bias.to(maps.dtype)  # type: ignore[union-attr]
            return functional.frame_vectors(maps, weight, bias).to(x.dtype)

    def is_untouched(self) -> bool:
        return is_untouched_convolution(self.conv, nn.Conv2d, "weight", "bias")
