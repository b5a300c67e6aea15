"""Squeeze-and-excitation (SE), one of the blocks that the paper's Table 2 compares AGA with."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from agdt_layers import checks
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
        self.mlp = bottleneck(name, channels, reduction, **checks.factory(name, device, dtype))

    def reset_parameters(self) -> None:
        """Re-initialise the parameters as torch does."""
        reset_all(self.mlp)

    @one_fx_node
    def forward(self, x: Tensor) -> Tensor:
        """Weight the channels: (N, C, H, W) -> (N, C, H, W)."""
        checks.images(type(self).__name__, x, self.channels)
        checks.module_dtype(type(self).__name__, x, self)
        return x * torch.sigmoid(self.mlp(x.mean(dim=(2, 3))))[:, :, None, None]

    def extra_repr(self) -> str:
        return f"{self.channels}"


def bottleneck(name: str, channels: int, reduction: int, **factory: Any) -> nn.Sequential:
    channels = checks.size(name, "channels", channels)
    reduction = checks.size(name, "reduction", reduction)
    hidden = max(1, channels // reduction)
    return nn.Sequential(nn.Linear(channels, hidden, **factory), nn.ReLU(), nn.Linear(hidden, channels, **factory))


def reset_all(part: nn.Sequential) -> None:
    for layer in part:
        if hasattr(layer, "reset_parameters"):
            layer.reset_parameters()  # type: ignore[operator]
