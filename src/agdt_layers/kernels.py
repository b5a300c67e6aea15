"""Modules that hold the parameters of a convolution and apply it in its cheapest exact form.

They are not nn.Conv2d modules, because their input is already pooled, so tools that select layers by class skip them.
Weights are cast to the dtype of the input, which the layers promote to float32: products of two statistics overflow
float16, and a sigmoid rounded to bfloat16 is too coarse for the next product.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import conv1d

from agdt_layers import functional
from agdt_layers.feature_maps import rescale


class Kernel(nn.Module):
    """Holds a convolution's weight and bias, initialised like torch's convolutions."""

    bias: Tensor | None

    def __init__(self, *shape: int, bias: bool = False, **factory: Any) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(shape, **factory))
        self.register_parameter("bias", nn.Parameter(torch.empty(shape[0], **factory)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            bound = 1 / math.sqrt(self.weight[0].numel())
            nn.init.uniform_(self.bias, -bound, bound)

    def cast(self, dtype: torch.dtype) -> tuple[Tensor, Tensor | None]:
        """Return weight and bias in the dtype of the input."""
        return self.weight.to(dtype), None if self.bias is None else self.bias.to(dtype)

    def extra_repr(self) -> str:
        return f"{tuple(self.weight.shape)}, bias={self.bias is not None}"


class ChannelKernel(Kernel):
    """Convolution along the channel axis: I vectors per frame, (N, I, C) -> (N, C); weight (1, I, k)."""

    def forward(self, x: Tensor) -> Tensor:
        return functional.convolve_channels(x, *self.cast(x.dtype))


class SpatialKernel(Kernel):
    """The 2-D convolution of eq. 10, applied inside the pass that rescales the map; weight (1, 2, k, k).

    X (N, C, H, W), s_c and g (N, C) -> M (N, C, H, W) and s_hw (N, 1, H, W).
    """

    def forward(self, x: Tensor, channel: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        return rescale(x, channel, context, self.weight.to(context.dtype))


class WindowKernel(Kernel):
    """A pooled convolution of eq. 12: windowed means (N, k, C) -> (N, C); weight (C, C/groups, 1, k) or (.., k, 1)."""

    def forward(self, windows: Tensor) -> Tensor:
        return functional.convolve_windows(windows, self.weight.to(windows.dtype))


class PooledKernel(Kernel):
    """A pooled depthwise convolution of a map: (N, C, H, W) -> (N, C); weight (C, 1, k, k), bias (C)."""

    def forward(self, x: Tensor) -> Tensor:
        return functional.frame_vectors(x, *self.cast(x.dtype))


class TemporalKernel(Kernel):
    """The depthwise convolution over time of eq. 19: (B, T + k - 1, C) -> (B, T, C); weight (C, 1, k), bias (C)."""

    def forward(self, x: Tensor) -> Tensor:
        return conv1d(x.transpose(1, 2), *self.cast(x.dtype), groups=len(self.weight)).transpose(1, 2)
