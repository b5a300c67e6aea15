"""CBAM, one of the blocks that the paper's Table 2 compares AGA with."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from agdt_layers import checks
from agdt_layers.squeeze_excitation import bottleneck, reset_all
from agdt_layers.tracing import NotScriptable, one_fx_node


class CBAM(NotScriptable, nn.Module):
    r"""Convolutional block attention module: channel weights, then spatial weights.

    .. math::
        X_c = X \cdot \sigma(\mathrm{MLP}(\overline{X}) + \mathrm{MLP}(\max X)), \quad
        Y = X_c \cdot \sigma(\mathrm{BN}(\mathrm{Conv2d}([\overline{X_c}, \max X_c])))

    Reference: Woo et al., "CBAM: Convolutional Block Attention Module", 2018.

    Args:
        channels: C, the number of channels.
        reduction: the bottleneck has max(1, C // reduction) channels.
        kernel_size: of the spatial convolution, odd.
        device, dtype: of the parameters.

    Example:
        >>> CBAM(64)(torch.randn(2, 64, 7, 7)).shape
        torch.Size([2, 64, 7, 7])
    """

    def __init__(
        self,
        channels: int,
        *,
        reduction: int = 16,
        kernel_size: int = 7,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        kernel_size = checks.odd_kernel(name, "kernel_size", kernel_size)
        factory = checks.factory(name, device, dtype)
        self.channels = checks.size(name, "channels", channels)
        self.mlp = bottleneck(name, channels, reduction, **factory)
        self.spatial = nn.Sequential(
            nn.Conv2d(2, 1, kernel_size, padding=kernel_size // 2, bias=False, **factory),
            nn.BatchNorm2d(1, **factory),
        )

    def reset_parameters(self) -> None:
        """Re-initialise the parameters, each layer as torch does."""
        reset_all(self.mlp)
        reset_all(self.spatial)

    @one_fx_node
    def forward(self, x: Tensor) -> Tensor:
        """Weight channels and positions: (N, C, H, W) -> (N, C, H, W)."""
        checks.images(type(self).__name__, x, self.channels)
        checks.module_dtype(type(self).__name__, x, self)
        channel = torch.sigmoid(self.mlp(x.mean(dim=(2, 3))) + self.mlp(x.amax(dim=(2, 3))))
        x = x * channel[:, :, None, None]
        pooled = torch.stack([x.mean(dim=1), x.amax(dim=1)], dim=1)
        return x * torch.sigmoid(self.spatial(pooled))

    def extra_repr(self) -> str:
        return f"{self.channels}"
