"""Differential temporal enhancement (DTE): the change between frames, added to the frame vectors.

The paper's symbols and the names here: alpha_f and alpha_b are ``alpha_forward`` and ``alpha_backward``, the shift s is
``step``, the depthwise convolution of eq. 19 is ``conv``.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from agdt_layers import checks, functional
from agdt_layers.precision import called, full_precision, promoted
from agdt_layers.tracing import NotScriptable, one_fx_node
from agdt_layers.untouched import is_untouched_convolution


class DifferentialTemporalEnhancer(NotScriptable, nn.Module):
    r"""Differential temporal enhancement (DTE): add the gated change between frames to each frame vector.

    .. math::
        \Delta_f[t] = x[t + s] - x[t], \quad \Delta_b[t] = x[t] - x[t - s], \quad
        d = \alpha_f \Delta_f + \alpha_b \Delta_b, \\
        y = x + \sigma(\mathrm{Conv1d}(d)) \cdot d

    A clip of identical frames passes unchanged, and a vector added to every frame is added to the output. Both
    alphas start at 0.5, where d is the central difference.

    Reference: Liu et al., "Dynamic Facial Expression Recognition of Learners via Adaptive Global Attention and
    Differential Temporal Transformer", 2026, eqs. 14-21. The paper's Roll(X, +s) means the frame s later, as its
    text says; torch.roll's sign is the opposite. The printed ranges leave out the wrapped frames, so differences that
    reach beyond the clip are zero by default; the paper's text argues for the cyclic roll, ``boundary="wrap"``.

    Args:
        channels: C, the number of channels.
        step: s, in frames.
        kernel_size: of the depthwise convolution over time, odd.
        boundary: "zero", or "wrap", which treats the clip as a cycle in the differences and in the convolution, so
            that the layer commutes with cyclic shifts of time.
        device, dtype: of the parameters.

    Raises:
        ValueError, TypeError: a setting or an input that does not fit; the message suggests a fix.

    State dict:
        ``alpha_forward`` (1), ``alpha_backward`` (1), ``conv.weight`` (C, 1, 3), ``conv.bias`` (C).

    Example:
        >>> enhancer = DifferentialTemporalEnhancer(512)
        >>> still = torch.ones(2, 16, 512)
        >>> torch.equal(enhancer(still), still)
        True
    """

    def __init__(
        self,
        channels: int,
        *,
        step: int = 1,
        kernel_size: int = 3,
        boundary: str = "zero",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        channels = checks.size(name, "channels", channels)
        step = checks.size(name, "step", step)
        kernel_size = checks.odd_kernel(name, "kernel_size", kernel_size)
        checks.one_of(name, "boundary", boundary, ("zero", "wrap"))
        self.channels = channels
        self.step = step
        self.boundary = boundary
        factory = checks.factory(name, device, dtype)
        # Shape (1,) and not (): sharded training cannot split a scalar.
        self.alpha_forward = nn.Parameter(torch.empty(1, **factory))
        self.alpha_backward = nn.Parameter(torch.empty(1, **factory))
        self.conv = nn.Conv1d(channels, channels, kernel_size, padding=kernel_size // 2, groups=channels, **factory)
        self._reset_alphas()

    def reset_parameters(self) -> None:
        """Set both alphas to 0.5 and re-initialise the convolution as torch does."""
        self._reset_alphas()
        self.conv.reset_parameters()

    def _reset_alphas(self) -> None:
        nn.init.constant_(self.alpha_forward, 0.5)
        nn.init.constant_(self.alpha_backward, 0.5)

    @one_fx_node
    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Enhance frame vectors.

        Args:
            x: (B, T, C).
            mask: bool (B, T), True where a frame is real; a difference that touches a padded frame is zero.

        Returns:
            (B, T, C), in x's dtype.
        """
        self._check(x, mask)
        if x.shape[0] == 0:
            return x.clone()
        with full_precision(x):
            difference, gate = self._gated(x, mask)
            return torch.addcmul(promoted(x), gate, difference).to(x.dtype)

    def gate(self, x: Tensor, *, mask: Tensor | None = None) -> Tensor:
        """Return the gate G = sigmoid(Conv1d(d)) that :meth:`forward` applies to the same input, (B, T, C)."""
        self._check(x, mask)
        with full_precision(x):
            return self._gated(x, mask)[1]

    def _check(self, x: Tensor, mask: Tensor | None) -> None:
        checks.sequence(type(self).__name__, x, self.channels)
        checks.same_device(type(self).__name__, x, self.alpha_forward)
        checks.frame_mask(type(self).__name__, mask, x.shape[0], x.shape[1], x.device)
        checks.real_frames(type(self).__name__, mask)

    def _gated(self, x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        x = promoted(x)
        if mask is not None:
            x = torch.where(mask[:, :, None], x, 0)
        forward, backward = self.alpha_forward.to(x.dtype), self.alpha_backward.to(x.dtype)
        difference = functional.temporal_difference(x, forward, backward, self.step, self.boundary, mask)
        if not is_untouched_convolution(self.conv, nn.Conv1d, "weight", "bias"):
            return difference, torch.sigmoid(self._smoothed(difference, mask))
        weight, bias = self.conv.weight.to(x.dtype), self.conv.bias.to(x.dtype)  # type: ignore[union-attr]
        return difference, functional.temporal_gate(difference, weight, bias, self.boundary, mask)

    def _smoothed(self, difference: Tensor, mask: Tensor | None) -> Tensor:
        """Call the convolution, which pads with zeros itself; wrapped frames are put between the clip and its zeros."""
        if self.boundary == "zero":
            return called(self.conv, difference.transpose(1, 2)).transpose(1, 2)
        margin = self.conv.kernel_size[0] // 2
        around = functional.wrapped(difference, margin, mask)
        return called(self.conv, around.transpose(1, 2)).transpose(1, 2)[:, margin : margin + difference.shape[1]]

    def extra_repr(self) -> str:
        return f"{self.channels}, step={self.step}, boundary={self.boundary!r}"
