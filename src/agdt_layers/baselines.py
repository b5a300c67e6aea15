"""The baselines of the paper's Table 2: SE, CBAM, and the mean over time."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx, nn

from agdt_layers import checks
from agdt_layers.torch_compat import promoted
from agdt_layers.tracing import NotScriptable, one_fx_node


class SqueezeExcitation(NotScriptable, nn.Module):
    r"""Squeeze-and-excitation: :math:`X \cdot \sigma(W_2 \, \mathrm{ReLU}(W_1 \, \mathrm{GAP}(X)))`.

    Reference: Hu et al., "Squeeze-and-Excitation Networks", 2018.

    Args:
        channels: C, the number of channels.
        reduction: the bottleneck has max(1, C // reduction) channels.
        device, dtype: of the parameters.

    Example:
        >>> SqueezeExcitation(64)(torch.randn(2, 64, 7, 7)).shape
        torch.Size([2, 64, 7, 7])
    """

    def __init__(
        self,
        channels: int,
        *,
        reduction: int = 16,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        self.channels = checks.size(name, "channels", channels)
        self.mlp = _bottleneck(name, channels, reduction, **checks.factory(name, device, dtype))

    def reset_parameters(self) -> None:
        """Re-initialise the parameters like torch's layers."""
        _reset_all(self.mlp)

    def forward(self, x: Tensor) -> Tensor:
        """Rescale the channels: (N, C, H, W) -> (N, C, H, W)."""
        if isinstance(x, fx.Proxy):
            return one_fx_node(self, x)
        checks.images(type(self).__name__, x, self.channels)
        checks.module_dtype(type(self).__name__, x, self)
        return x * torch.sigmoid(self.mlp(x.mean(dim=(2, 3))))[:, :, None, None]

    def extra_repr(self) -> str:
        return f"{self.channels}"


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
        self.mlp = _bottleneck(name, channels, reduction, **factory)
        self.spatial = nn.Sequential(
            nn.Conv2d(2, 1, kernel_size, padding=kernel_size // 2, bias=False, **factory), nn.BatchNorm2d(1, **factory)
        )

    def reset_parameters(self) -> None:
        """Re-initialise the parameters like torch's layers."""
        _reset_all(self.mlp)
        _reset_all(self.spatial)

    def forward(self, x: Tensor) -> Tensor:
        """Rescale channels, then positions: (N, C, H, W) -> (N, C, H, W)."""
        if isinstance(x, fx.Proxy):
            return one_fx_node(self, x)
        checks.images(type(self).__name__, x, self.channels)
        checks.module_dtype(type(self).__name__, x, self)
        channel = torch.sigmoid(self.mlp(x.mean(dim=(2, 3))) + self.mlp(x.amax(dim=(2, 3))))
        x = x * channel[:, :, None, None]
        pooled = torch.cat([x.mean(dim=1, keepdim=True), x.amax(dim=1, keepdim=True)], dim=1)
        return x * torch.sigmoid(self.spatial(pooled))

    def extra_repr(self) -> str:
        return f"{self.channels}"


class TemporalMean(NotScriptable, nn.Module):
    """The mean over the real frames of a clip: (B, T, C) -> (B, C).

    Example:
        >>> TemporalMean()(torch.tensor([[[1.0], [3.0]]]))
        tensor([[2.]])
    """

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Average x (B, T, C) over the frames where mask (B, T) is True, by default over all."""
        if isinstance(x, fx.Proxy):
            return one_fx_node(self, x, mask=mask)
        checks.floating(type(self).__name__, x)
        checks.sequence(type(self).__name__, x, x.shape[-1] if x.ndim else 0)
        checks.frame_mask(type(self).__name__, mask, x.shape[0], x.shape[1], x.device)
        checks.real_frames(type(self).__name__, mask)
        if mask is None:
            return x.mean(dim=1)
        # In float32, because the sum over a long clip overflows float16.
        real = promoted(torch.where(mask[:, :, None], x, 0))
        return (real.sum(dim=1) / mask.sum(dim=1, keepdim=True)).to(x.dtype)


def _bottleneck(name: str, channels: int, reduction: int, **factory: Any) -> nn.Sequential:
    channels = checks.size(name, "channels", channels)
    reduction = checks.size(name, "reduction", reduction)
    hidden = max(1, channels // reduction)
    return nn.Sequential(nn.Linear(channels, hidden, **factory), nn.ReLU(), nn.Linear(hidden, channels, **factory))


def _reset_all(part: nn.Sequential) -> None:
    for layer in part:
        if hasattr(layer, "reset_parameters"):
            layer.reset_parameters()  # type: ignore[operator]
