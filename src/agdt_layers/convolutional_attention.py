"""Global convolutional attention (GCA): the second half of adaptive global attention, and what both have in common.

The paper's symbols and the names here: X is ``x``; z_att is ``spatial.conv``; Conv_{1xk} and Conv_{kx1} of the global
context z_gc are ``context.horizontal`` and ``context.vertical``; GAP_t is the mean over the frames of a clip.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from agdt_layers import checks, functional
from agdt_layers.clip_axis import current_clip_axis
from agdt_layers.feature_maps import attend, pool_channels, pool_windows
from agdt_layers.precision import full_precision, in_dtype


class AttentionWeights(NamedTuple):
    """The weights by which an attention block rescales its input, each in (0, 1).

    Attributes:
        channel: s_c = sigmoid(f_att), (N, C); None where there is no channel attention.
        gate: the gate w between local and global channel statistics, (N, C); None without a gate.
        spatial: s_hw = sigmoid(z_att), (N, H, W).
        context: g = z_gc * GAP_t(z_gc), (N, C).
    """

    channel: Tensor | None
    gate: Tensor | None
    spatial: Tensor
    context: Tensor


class _SpatialAttention(nn.Module):
    """Parameters of s_hw (eqs. 8-10)."""

    def __init__(self, kernel_size: int, device: torch.device | str | None, dtype: torch.dtype | None) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, kernel_size, padding=kernel_size // 2, bias=False, device=device, dtype=dtype)

    def reset_parameters(self) -> None:
        self.conv.reset_parameters()


class _GlobalContext(nn.Module):
    """Parameters of z_gc (eqs. 11-12)."""

    def __init__(
        self,
        channels: int,
        kernel_size: int,
        groups: int,
        device: torch.device | str | None,
        dtype: torch.dtype | None,
    ) -> None:
        super().__init__()
        half = kernel_size // 2
        self.horizontal = nn.Conv2d(
            channels,
            channels,
            (1, kernel_size),
            padding=(0, half),
            groups=groups,
            bias=False,
            device=device,
            dtype=dtype,
        )
        self.vertical = nn.Conv2d(
            channels,
            channels,
            (kernel_size, 1),
            padding=(half, 0),
            groups=groups,
            bias=False,
            device=device,
            dtype=dtype,
        )
        self.bias = nn.Parameter(torch.empty(channels, device=device, dtype=dtype))
        nn.init.zeros_(self.bias)

    def reset_parameters(self) -> None:
        self.horizontal.reset_parameters()
        self.vertical.reset_parameters()
        nn.init.zeros_(self.bias)

    def weights(self, windows: Tensor) -> Tensor:
        parameters = in_dtype(windows.dtype, self.horizontal.weight, self.vertical.weight, self.bias)
        return functional.context_weights(windows, *parameters)


class GlobalConvolutionalAttention(nn.Module):
    r"""Global convolutional attention (GCA): spatial weights and a context that the frames of a clip share.

    .. math::
        M = X + X_c \cdot \sigma(z_{att}) \cdot z_{gc} \cdot \mathrm{GAP}_t(z_{gc}), \\
        z_{att} = \mathrm{Conv2d}([\overline{X_c}, \max X_c]), \quad
        z_{gc} = \sigma(\mathrm{GAP}(\mathrm{Conv}_{1 \times k}(X) + \mathrm{Conv}_{k \times 1}(X)))

    Alone, this layer has no channel attention and takes Xc = X; :class:`AdaptiveGlobalAttention` puts adaptive
    channel attention in front.

    Reference: Liu et al., 2026, eqs. 8-13. Eq. 12 declares T x C x 1 x 1 but prints no pooling: it is pooled before
    the sigmoid, the reading that adds least. Eq. 13 declares T x C x H x W: only a product with the map has that
    shape.

    Args:
        channels: C, the number of channels.
        num_frames: T of folded input (B*T, C, H, W); the call may give it instead.
        spatial_kernel_size: of the 2-D convolution, odd.
        context_kernel_size: k of the global convolution, odd.
        context_groups: groups of the global convolution; by default C (depthwise), 1 is dense.
        context_window: GAP_t of a frame is the mean over this many frames, itself the last, as a camera has them; by
            default over all frames of the clip, as in the paper. See :class:`AGDTStream`.
        residual_scale: True multiplies what is added to X by a learnable scalar that starts at 0: the layer is the
            identity at first, bit for bit, and trains from there. The paper has none.
        device, dtype: of the parameters.

    Raises:
        ValueError, TypeError: a setting or an input that does not fit; the message names the mend.

    State dict:
        ``spatial.conv.weight`` (1, 2, 7, 7), ``context.horizontal.weight`` (C, C/groups, 1, k),
        ``context.vertical.weight`` (C, C/groups, k, 1), ``context.bias`` (C); ``residual_scale`` () if asked for.

    Example:
        >>> attention = GlobalConvolutionalAttention(64)
        >>> attention(torch.randn(2, 8, 64, 14, 14)).shape
        torch.Size([2, 8, 64, 14, 14])
    """

    def __init__(
        self,
        channels: int,
        *,
        num_frames: int | None = None,
        spatial_kernel_size: int = 7,
        context_kernel_size: int = 7,
        context_groups: int | None = None,
        context_window: int | None = None,
        residual_scale: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        checks.positive_integer(name, "channels", channels)
        if num_frames is not None:
            checks.positive_integer(name, "num_frames", num_frames)
        checks.odd_kernel(name, "spatial_kernel_size", spatial_kernel_size)
        checks.odd_kernel(name, "context_kernel_size", context_kernel_size)
        if context_window is not None:
            checks.positive_integer(name, "context_window", context_window)
        context_groups = channels if context_groups is None else context_groups
        checks.divides(name, "context_groups", context_groups, "channels", channels)
        self.channels = channels
        self.num_frames = num_frames
        self.context_kernel_size = context_kernel_size
        self.context_window = context_window
        self.spatial = _SpatialAttention(spatial_kernel_size, device, dtype)
        self.context = _GlobalContext(channels, context_kernel_size, context_groups, device, dtype)
        self.residual_scale = nn.Parameter(torch.zeros((), device=device, dtype=dtype)) if residual_scale else None

    def reset_parameters(self) -> None:
        """Draw all parameters anew, each as its torch layer does; the context's bias starts at 0."""
        for part in self.children():
            part.reset_parameters()  # type: ignore[operator]
        if self.residual_scale is not None:
            nn.init.zeros_(self.residual_scale)

    def forward(self, x: Tensor, *, num_frames: int | None = None, mask: Tensor | None = None) -> Tensor:
        """Rescale a feature map.

        Args:
            x: clips (B, T, C, H, W), images (B, C, H, W), or folded frames (B*T, C, H, W) with num_frames given
                here or at construction.
            num_frames: T of folded input.
            mask: bool (B, T), True where a frame is real. A padded frame comes out as it went in and influences
                nothing.

        Returns:
            x's shape, dtype and memory format.
        """
        frames, num_frames, mask = self._frames(x, num_frames, mask)
        if frames.shape[0] == 0:
            return x.clone()
        with full_precision(x):
            real = _without_padding(frames, mask)
            channel, _, context = self._vectors(real)
            out = self._attend(real, channel, functional.clip_context(context, num_frames, mask, self.context_window))
        if mask is not None:
            out = torch.where(mask.flatten()[:, None, None, None], out, frames)
        return out.view_as(x) if x.ndim == 5 else out

    def attention_weights(
        self, x: Tensor, *, num_frames: int | None = None, mask: Tensor | None = None
    ) -> AttentionWeights:
        """Give the weights that :meth:`forward` applies to the same input, in float32 or float64.

        Returns:
            :class:`AttentionWeights`, N = B*T frames in the order of the input.
        """
        frames, num_frames, mask = self._frames(x, num_frames, mask)
        with full_precision(x):
            frames = _without_padding(frames, mask)
            channel, gate, context = self._vectors(frames)
            pooled = pool_channels(frames, torch.ones_like(context) if channel is None else channel)
            spatial = functional.spatial_weights(pooled, *in_dtype(pooled.dtype, self.spatial.conv.weight))[:, 0]
            context = functional.clip_context(context, num_frames, mask, self.context_window)
            return AttentionWeights(channel, gate, spatial, context)

    def step(self, x: Tensor, past: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Rescale the newest frame of a stream.

        Args:
            x: (B, C, H, W), one frame of every stream.
            past: what earlier calls gave as second result, for the frames that GAP_t goes over; may be empty.

        Returns:
            x's shape, dtype and memory format; and z_gc of this frame, (B, C).
        """
        checks.images(type(self).__name__, x, self.channels)
        with full_precision(x):
            channel, _, context = self._vectors(x)
            return self._attend(x, channel, functional.stream_context(context, past)), context

    def clip_length(self, x: Tensor, num_frames: int | None = None) -> int:
        """Give T, the number of frames a clip, that :meth:`forward` takes for the same input."""
        return self._frames(x, num_frames, None)[1]

    def _frames(self, x: Tensor, num_frames: int | None, mask: Tensor | None) -> tuple[Tensor, int, Tensor | None]:
        name = type(self).__name__
        axis = current_clip_axis() if num_frames is None else None
        if axis is not None:
            checks.clip_axis(name, x, axis.batch, axis.num_frames)
            num_frames = axis.num_frames
            mask = axis.mask if mask is None else mask
        frames, num_frames = checks.fold(name, x, self.channels, self.num_frames, num_frames)
        checks.frame_mask(name, mask, frames.shape[0] // num_frames, num_frames)
        return frames, num_frames, mask

    def _channel_weights(self, average: Tensor, peak: Tensor) -> tuple[Tensor | None, Tensor | None]:
        return None, None

    def _vectors(self, frames: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor]:
        """Give s_c, the gate w and z_gc, (N, C) each: all that attention knows of a frame, before clips come in."""
        windows, peak = pool_windows(frames, self.context_kernel_size)
        channel, gate = self._channel_weights(windows[:, self.context_kernel_size // 2], peak)
        return channel, gate, self.context.weights(windows)

    def _attend(self, frames: Tensor, channel: Tensor | None, context: Tensor) -> Tensor:
        if self.residual_scale is not None:
            context = context * self.residual_scale.to(context.dtype)
        channel = torch.ones_like(context) if channel is None else channel
        return attend(frames, channel, context, *in_dtype(context.dtype, self.spatial.conv.weight))

    def extra_repr(self) -> str:
        return f"{self.channels}, num_frames={self.num_frames}"


def _without_padding(frames: Tensor, mask: Tensor | None) -> Tensor:
    # A product with 0 would let NaN and inf of padded frames through.
    return frames if mask is None else torch.where(mask.flatten()[:, None, None, None], frames, 0)
