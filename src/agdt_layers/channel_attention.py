"""Adaptive channel attention (ACA): the first half of adaptive global attention.

The paper's symbols and the names here: ``local`` makes l1, ``fc`` makes l2, and ``gate`` makes the gate w.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from agdt_layers import checks, functional
from agdt_layers.precision import called, full_precision, in_dtype, promoted
from agdt_layers.tracing import NotScriptable, one_fx_node
from agdt_layers.untouched import is_untouched, is_untouched_convolution


class AdaptiveChannelAttention(NotScriptable, nn.Module):
    r"""Adaptive channel attention (ACA): gated local and global channel statistics.

    .. math::
        X_c = X \cdot \sigma(w a + (1 - w) b), \quad a = \overline{\mathrm{rows}}(l_1 l_2^T), \quad
        b = \overline{\mathrm{rows}}(l_2 l_1^T)

    l1 is a convolution along the channels of the mean over H and W, l2 a linear map of the maximum over H and W.

    Reference: Liu et al., "Dynamic Facial Expression Recognition of Learners via Adaptive Global Attention and
    Differential Temporal Transformer", 2026, eqs. 1-7.

    Args:
        channels: C, the number of channels.
        kernel_size: k of both convolutions along the channel axis, odd; by default ECA's
            t = floor((log2 C + 1) / 2), made odd: 3 at C = 64, 5 at 128 to 512.
        gate: False gives f_att = (a + b) / 2 (the row "w/o gate" of the paper's Table 2).
        device, dtype: of the parameters.

    Raises:
        ValueError, TypeError: a setting or an input that does not fit; the message suggests a fix.

    State dict:
        ``local.weight`` (1, 1, k), ``fc.weight`` (C, C), ``fc.bias`` (C), ``gate.weight`` (1, 2, k), ``gate.bias`` (1).

    Example:
        >>> attention = AdaptiveChannelAttention(64)
        >>> attention(torch.randn(2, 64, 14, 14)).shape
        torch.Size([2, 64, 14, 14])
    """

    def __init__(
        self,
        channels: int,
        *,
        kernel_size: int | None = None,
        gate: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        channels = checks.size(name, "channels", channels)
        if kernel_size is None:
            kernel_size = _local_kernel_size(channels)
        kernel_size = checks.odd_kernel(name, "kernel_size", kernel_size)
        gate = checks.flag(name, "gate", gate)
        factory = checks.factory(name, device, dtype)
        self.channels = channels
        self.kernel_size = kernel_size
        self.local = nn.Conv1d(1, 1, kernel_size, padding=kernel_size // 2, bias=False, **factory)
        self.fc = nn.Linear(channels, channels, **factory)
        self.gate = nn.Conv1d(2, 1, kernel_size, padding=kernel_size // 2, **factory) if gate else None

    def reset_parameters(self) -> None:
        """Re-initialise the parameters, each layer as torch does."""
        self.local.reset_parameters()
        self.fc.reset_parameters()
        if self.gate is not None:
            self.gate.reset_parameters()

    @one_fx_node
    def forward(self, x: Tensor) -> Tensor:
        """Weight the channels of images or frames: (N, C, H, W) -> (N, C, H, W)."""
        checks.images(type(self).__name__, x, self.channels)
        checks.module_device(type(self).__name__, x, self)
        if x.shape[0] == 0:
            return x.clone()
        with full_precision(x):
            frames = promoted(x)
            weights, _ = self.weights(frames.mean(dim=(2, 3)), frames.amax(dim=(2, 3)))
            return (frames * weights[:, :, None, None]).to(x.dtype)

    def weights(self, average: Tensor, peak: Tensor, *, untouched: bool | None = None) -> tuple[Tensor, Tensor | None]:
        """Return sigmoid(f_att) and the gate w, (N, C) each, from a map's mean and maximum, (N, C) each.

        ``untouched`` is what :meth:`is_untouched` says, where the caller has asked already.
        """
        if self.is_untouched() if untouched is None else untouched:
            parameters = [self.local.weight, self.fc.weight, self.fc.bias]
            if self.gate is not None:
                parameters += [self.gate.weight, self.gate.bias]  # type: ignore[list-item]
            return functional.channel_weights(average, peak, *in_dtype(average.dtype, *parameters))
        rows = functional.row_means(called(self.local, average[:, None])[:, 0], called(self.fc, peak))
        return functional.mixed(rows, None if self.gate is None else called(self.gate, rows.transpose(0, 1))[:, 0])

    def is_untouched(self) -> bool:
        """Whether every submodule is as it was made, so that its parameters define its output."""
        return (
            is_untouched(self, AdaptiveChannelAttention)
            and is_untouched_convolution(self.local, nn.Conv1d, "weight")
            and is_untouched(self.fc, nn.Linear, "weight", "bias")
            and (self.gate is None or is_untouched_convolution(self.gate, nn.Conv1d, "weight", "bias"))
        )

    def extra_repr(self) -> str:
        return f"{self.channels}, kernel_size={self.kernel_size}, gate={self.gate is not None}"


def _local_kernel_size(channels: int) -> int:
    """ECA's rule: the kernel grows with the logarithm of the channels."""
    size = math.floor((math.log2(channels) + 1) / 2)
    return size if size % 2 else size + 1
