"""Averaging over time, the simplest summary of a clip: the baseline that a temporal encoder has to beat."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from agdt_layers import checks
from agdt_layers.tracing import NotScriptable, one_fx_node


class TemporalMean(NotScriptable, nn.Module):
    """Plain averaging over the real frames of a clip: (B, T, C) -> (B, C).

    Example:
        >>> TemporalMean()(torch.tensor([[[1.0], [3.0]]]))
        tensor([[2.]])
    """

    @one_fx_node
    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Average x (B, T, C) over the frames where mask (B, T) is True, by default over all."""
        checks.floating(type(self).__name__, x)
        checks.sequence(type(self).__name__, x, x.shape[-1] if x.ndim else 0)
        checks.frame_mask(type(self).__name__, mask, x.shape[0], x.shape[1], x.device)
        checks.real_frames(type(self).__name__, mask)
        if mask is None:
            return x.mean(dim=1)
        real = torch.where(mask[:, :, None], x, 0)
        return real.sum(dim=1) / mask.sum(dim=1, keepdim=True).to(x.dtype)
