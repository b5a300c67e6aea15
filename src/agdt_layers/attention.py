"""Adaptive channel attention (ACA), global convolutional attention (GCA), and their combination (AGA).

The paper's symbols and the names here: X is ``x``; l1, l2 and the gate w come from ``local``, ``fc`` and ``gate``;
z_att comes from ``spatial.conv``; Conv_{1xk} and Conv_{kx1} of the global context z_gc are ``context.horizontal`` and
``context.vertical``; GAP_t is the mean over the frames of a clip.

Each equation with parameters is a small module of :mod:`agdt_layers.kernels`. Layers use the parameters only by calling
that module, so pruning, weight norm, hooks, sharding and replacing the module all work.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx, nn

from agdt_layers import checks, functional
from agdt_layers.clips import ClipAxis, clip_settings, current_clip_axis
from agdt_layers.feature_maps import pool_windows
from agdt_layers.kernels import ChannelKernel, SpatialKernel, WindowKernel
from agdt_layers.torch_compat import call_in_own_dtype, full_precision, promoted
from agdt_layers.tracing import NotScriptable, one_fx_node


class AttentionWeights(NamedTuple):
    r"""The weights that an attention layer multiplies its input by, each in (0, 1).

    Attributes:
        channel: channel weights :math:`s_c = \sigma(f_{att})`, (N, C); None without channel attention.
        gate: the gate w between local and global channel statistics, (N, C); None without a gate.
        spatial: spatial weights :math:`s_{hw} = \sigma(z_{att})`, (N, H, W).
        context: context :math:`g = z_{gc} \cdot \mathrm{GAP}_t(z_{gc})`, (N, C).
    """

    channel: Tensor | None
    gate: Tensor | None
    spatial: Tensor
    context: Tensor


class ChannelWeights(nn.Module):
    """Channel weights sigmoid(f_att) and the gate w from f_avg and f_max, (N, C) each (eqs. 3-6)."""

    def __init__(self, channels: int, kernel_size: int | None, gate: bool, **factory: Any) -> None:
        super().__init__()
        self.channels = channels
        kernel_size = _local_kernel_size(channels) if kernel_size is None else kernel_size
        self.local = ChannelKernel(1, 1, kernel_size, **factory)
        self.fc = nn.Linear(channels, channels, **factory)
        self.gate = ChannelKernel(1, 2, kernel_size, bias=True, **factory) if gate else None

    def reset_parameters(self) -> None:
        """Re-initialise the parameters like torch's layers."""
        for part in self.children():
            part.reset_parameters()  # type: ignore[operator]

    def forward(self, average: Tensor, peak: Tensor) -> tuple[Tensor, Tensor | None]:
        means = functional.correlation_means(self.local(average[:, None]), call_in_own_dtype(self.fc, peak))
        return functional.gated_sum(means, None if self.gate is None else self.gate(means))

    def extra_repr(self) -> str:
        return f"{self.channels}, gate={self.gate is not None}"


def _local_kernel_size(channels: int) -> int:
    """Return ECA's kernel size, which grows with the logarithm of the channels."""
    return math.floor((math.log2(channels) + 1) / 2) | 1  # odd


class AdaptiveChannelAttention(NotScriptable, ChannelWeights):
    r"""Adaptive channel attention (ACA): channel weights from gated local and global statistics.

    .. math::
        X_c = X \cdot \sigma(w a + (1 - w) b), \quad a = \overline{\mathrm{rows}}(l_1 l_2^T), \quad
        b = \overline{\mathrm{rows}}(l_2 l_1^T)

    l1 is a convolution along the channel axis of the mean over H and W; l2 is a linear map of the maximum over H and W.

    Reference: Liu et al., "Dynamic Facial Expression Recognition of Learners via Adaptive Global Attention and
    Differential Temporal Transformer", 2026, eqs. 1-7.

    Args:
        channels: C, the number of channels.
        kernel_size: k of both convolutions along the channel axis, odd; by default ECA's
            t = floor((log2 C + 1) / 2), plus 1 if even: 3 at C = 64, 5 at 128 to 512.
        gate: False sets :math:`f_{att} = (a + b) / 2`, our reading of Table 2's row
            "without gated fusion strategy".
        device, dtype: of the parameters.

    Raises:
        ValueError, TypeError: an invalid setting or input; the message suggests a fix.

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
        name = type(self).__name__
        channels = checks.size(name, "channels", channels)
        if kernel_size is not None:
            kernel_size = checks.odd_kernel(name, "kernel_size", kernel_size)
        gate = checks.flag(name, "gate", gate)
        super().__init__(channels, kernel_size, gate, **checks.factory(name, device, dtype))

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """Rescale the channels of images or frames: (N, C, H, W) -> (N, C, H, W)."""
        if isinstance(x, fx.Proxy):
            return one_fx_node(self, x)
        checks.images(type(self).__name__, x, self.channels)
        checks.module_device(type(self).__name__, x, self)
        with full_precision(x):
            frames = promoted(x)
            weights, _ = super().forward(frames.mean(dim=(2, 3)), frames.amax(dim=(2, 3)))
            return (frames * weights[:, :, None, None]).to(x.dtype)


class SpatialAttention(nn.Module):
    """Rescale a map by all its weights: X, s_c and g -> M (N, C, H, W) and s_hw (N, 1, H, W) (eqs. 8-11, 13)."""

    def __init__(self, kernel_size: int, **factory: Any) -> None:
        super().__init__()
        self.conv = SpatialKernel(1, 2, kernel_size, kernel_size, **factory)

    def reset_parameters(self) -> None:
        self.conv.reset_parameters()

    def forward(self, x: Tensor, channel: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        return self.conv(x, channel, context)


class GlobalContext(nn.Module):
    """Global context z_gc of a map from its windowed means, (N, 2k, C) -> (N, C) (eq. 12)."""

    def __init__(self, channels: int, kernel_size: int, groups: int, **factory: Any) -> None:
        super().__init__()
        self.horizontal = WindowKernel(channels, channels // groups, 1, kernel_size, **factory)
        self.vertical = WindowKernel(channels, channels // groups, kernel_size, 1, **factory)
        self.bias = nn.Parameter(torch.zeros(channels, **factory))

    def reset_parameters(self) -> None:
        self.horizontal.reset_parameters()
        self.vertical.reset_parameters()
        nn.init.zeros_(self.bias)

    def forward(self, windows: Tensor) -> Tensor:
        horizontal, vertical = windows.chunk(2, dim=1)
        return torch.sigmoid(self.horizontal(horizontal) + self.vertical(vertical) + self.bias.to(windows.dtype))


class GlobalConvolutionalAttention(NotScriptable, nn.Module):
    r"""Global convolutional attention (GCA): spatial weights, and a context shared by the frames of a clip.

    .. math::
        M = X + X_c \cdot \sigma(z_{att}) \cdot z_{gc} \cdot \mathrm{GAP}_t(z_{gc}), \\
        z_{att} = \mathrm{Conv2d}([\overline{X_c}, \max X_c]), \quad
        z_{gc} = \sigma(\mathrm{GAP}(\mathrm{Conv}_{1 \times k}(X) + \mathrm{Conv}_{k \times 1}(X)))

    This layer alone has no channel attention, so Xc = X. :class:`AdaptiveGlobalAttention` applies adaptive channel
    attention first.

    Reference: Liu et al., 2026, eqs. 8-13. Eq. 12 declares T x C x 1 x 1 but prints no pooling; this layer pools before
    the sigmoid, the reading that adds least. Eq. 13 declares T x C x H x W; only a product with the map has that shape.

    Args:
        channels: C, the number of channels.
        num_frames: frames per clip, T, of folded input (B*T, C, H, W), unless passed to the call. Without either, a
            4-D input is a batch of images, each a clip of one frame.
        spatial_kernel_size: of the 2-D convolution, odd.
        context_kernel_size: k of the global convolution, odd.
        context_groups: groups of the global convolution; by default C (depthwise, which mixes no channels), 1 is dense.
        context_window: number of frames in the context's mean over time, ending with the current frame, as needed for a
            live camera; by default all frames of the clip, as in the paper. See :class:`AGDTStream`.
        residual_scale: if True, the term added to X is multiplied by a learnable scalar that starts at 0, so that the
            layer starts as the exact identity. Not in the paper.
        device, dtype: of the parameters.

    Raises:
        ValueError, TypeError: an invalid setting or input; the message suggests a fix.

    State dict:
        ``spatial.conv.weight`` (1, 2, s, s) with s the spatial kernel size, ``context.horizontal.weight``
        (C, C/groups, 1, k), ``context.vertical.weight`` (C, C/groups, k, 1), ``context.bias`` (C), and with
        ``residual_scale=True`` ``residual_scale`` (1).

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
        channels = checks.size(name, "channels", channels)
        if num_frames is not None:
            num_frames = checks.positive_integer(name, "num_frames", num_frames)
        spatial_kernel_size = checks.odd_kernel(name, "spatial_kernel_size", spatial_kernel_size)
        context_kernel_size = checks.odd_kernel(name, "context_kernel_size", context_kernel_size)
        if context_window is not None:
            context_window = checks.size(name, "context_window", context_window)
        context_groups = channels if context_groups is None else context_groups
        context_groups = checks.divides(name, "context_groups", context_groups, "channels", channels)
        residual_scale = checks.flag(name, "residual_scale", residual_scale)
        factory = checks.factory(name, device, dtype)
        self.channels = channels
        self.num_frames = num_frames
        self.context_kernel_size = context_kernel_size
        self.context_window = context_window
        self.channel: ChannelWeights | None
        self.register_module("channel", None)
        self.spatial = SpatialAttention(spatial_kernel_size, **factory)
        self.context = GlobalContext(channels, context_kernel_size, context_groups, **factory)
        # Shape (1,), because sharded training cannot split a scalar.
        self.residual_scale = nn.Parameter(torch.zeros(1, **factory)) if residual_scale else None

    def reset_parameters(self) -> None:
        """Re-initialise the parameters like torch's layers, with the context's bias and any residual scale at 0."""
        for part in self.children():
            part.reset_parameters()  # type: ignore[operator]
        if self.residual_scale is not None:
            nn.init.zeros_(self.residual_scale)

    def forward(self, x: Tensor, num_frames: int | None = None, mask: Tensor | None = None) -> Tensor:
        """Rescale a feature map.

        Args:
            x: clips (B, T, C, H, W), images (B, C, H, W), or folded frames (B*T, C, H, W) with num_frames passed here
                or to the constructor.
            num_frames: frames per clip, T, of folded input.
            mask: bool (B, T), True where a frame is real. Padded frames are returned unchanged and affect no other
                frame.

        Returns:
            A tensor with the shape, dtype and memory format of x.
        """
        if isinstance(x, fx.Proxy):
            given = num_frames is not None or mask is not None
            return one_fx_node(self, x, **({"num_frames": num_frames, "mask": mask} if given else clip_settings()))
        frames, axis = self._fold(x, num_frames, mask)
        out, _ = self._attend(frames, axis)
        if axis.mask is not None:
            out = torch.where(axis.mask.flatten()[:, None, None, None], out, frames)
        return out.view_as(x) if x.ndim == 5 else out

    def attention_weights(
        self, x: Tensor, *, num_frames: int | None = None, mask: Tensor | None = None
    ) -> AttentionWeights:
        """Return the weights that :meth:`forward` applies to the same input, in float32 or float64.

        Returns:
            :class:`AttentionWeights` of N = B*T frames, in the order of the input.
        """
        frames, axis = self._fold(x, num_frames, mask)
        return self._attend(frames, axis, keep=False)[1]

    def clip_length(self, x: Tensor, num_frames: int | None = None) -> int:
        """Return the number of frames per clip, T, that :meth:`forward` uses for the same input."""
        return self._fold(x, num_frames, None)[1].num_frames

    def _attend(self, frames: Tensor, axis: ClipAxis, *, keep: bool = True) -> tuple[Tensor, AttentionWeights]:
        with full_precision(frames):
            if axis.mask is not None:
                # Multiplying by 0 would keep NaN and inf of padded frames.
                frames = torch.where(axis.mask.flatten()[:, None, None, None], frames, 0)
            windows, peak = pool_windows(frames, self.context_kernel_size)
            # Unlike windows[:, k // 2], select() adds no slice to the graph in older versions of torch.
            average = windows.select(1, self.context_kernel_size // 2)
            channel, gate = (None, None) if self.channel is None else self.channel(average, peak)
            context = self._over_time(self.context(windows), axis, keep)
            scale = context if self.residual_scale is None else context * self.residual_scale.to(context.dtype)
            out, spatial = self.spatial(frames, torch.ones_like(scale) if channel is None else channel, scale)
        return out, AttentionWeights(channel, gate, spatial[:, 0], context)

    def _over_time(self, context: Tensor, axis: ClipAxis, keep: bool) -> Tensor:
        """Return g of every frame, with GAP_t over its clip or over the window that ends with the frame."""
        memory = axis.memory
        if memory is None:
            return functional.clip_context(context, axis.num_frames, axis.mask, self.context_window)
        past, real = memory.past(self)
        if keep:
            memory.keep(self, context.unflatten(0, (-1, axis.num_frames)))
        return functional.clip_context(context, axis.num_frames, real, memory.num_frames, past)

    def _fold(self, x: Tensor, num_frames: int | None, mask: Tensor | None) -> tuple[Tensor, ClipAxis]:
        name = type(self).__name__
        axis = current_clip_axis() if num_frames is None else None
        memory = None
        if axis is not None:
            checks.clip_axis(name, x, axis.total, axis.num_frames)
            num_frames, memory = axis.num_frames, axis.memory
            mask = axis.mask if mask is None else mask
        frames, num_frames = checks.fold(name, x, self.channels, self.num_frames, num_frames)
        checks.module_device(name, x, self)
        if mask is not None:
            checks.frame_mask(name, mask, frames.shape[0] // num_frames, num_frames, x.device)
            checks.real_frames(name, mask)
        return frames, ClipAxis(frames.shape[0], num_frames, mask, memory)

    def extra_repr(self) -> str:
        return f"{self.channels}, num_frames={self.num_frames}"


class AdaptiveGlobalAttention(GlobalConvolutionalAttention):
    r"""Adaptive global attention (AGA): adaptive channel attention followed by global convolutional attention.

    .. math:: M = X \cdot (1 + s_c \, s_{hw} \, g)

    All weights are in (0, 1): the channel weights :math:`s_c` (:class:`AdaptiveChannelAttention`), the spatial weights
    :math:`s_{hw}` and, per channel, the context :math:`g` (both :class:`GlobalConvolutionalAttention`). Hence M has the
    sign of X, and ``|X| <= |M| <= 2 |X|``. A ``residual_scale`` r multiplies the three weights; once trained, it can
    break both laws. Clips are independent; the frames of a clip share only the context's mean over time. The channel
    weights contain products of two statistics, so ``|X|`` above about 1e18 in float32 (1e150 in float64) gives NaN.

    Reference: Liu et al., "Dynamic Facial Expression Recognition of Learners via Adaptive Global Attention and
    Differential Temporal Transformer", 2026, eqs. 1-13.

    Args:
        channels: C, the number of channels.
        gate: see :class:`AdaptiveChannelAttention`.
        local_kernel_size: k along the channel axis, odd; by default ECA's: 3 at C = 64, 5 at 128 to 512.
        num_frames, spatial_kernel_size, context_kernel_size: see :class:`GlobalConvolutionalAttention`.
        context_groups, context_window, residual_scale, device, dtype: see :class:`GlobalConvolutionalAttention`.

    Raises:
        ValueError, TypeError: an invalid setting or input; the message suggests a fix.

    State dict:
        ``channel.local.weight`` (1, 1, k), ``channel.fc.weight`` (C, C), ``channel.fc.bias`` (C),
        ``channel.gate.weight`` (1, 2, k), ``channel.gate.bias`` (1), and the keys of
        :class:`GlobalConvolutionalAttention`.

    Example:
        >>> attention = AdaptiveGlobalAttention(64)
        >>> clips = torch.randn(2, 8, 64, 14, 14)
        >>> attention(clips).shape
        torch.Size([2, 8, 64, 14, 14])
        >>> folded = attention(clips.flatten(0, 1), num_frames=8)
        >>> torch.equal(folded, attention(clips).flatten(0, 1))
        True
    """

    def __init__(
        self,
        channels: int,
        *,
        num_frames: int | None = None,
        gate: bool = True,
        local_kernel_size: int | None = None,
        spatial_kernel_size: int = 7,
        context_kernel_size: int = 7,
        context_groups: int | None = None,
        context_window: int | None = None,
        residual_scale: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(
            channels,
            num_frames=num_frames,
            spatial_kernel_size=spatial_kernel_size,
            context_kernel_size=context_kernel_size,
            context_groups=context_groups,
            context_window=context_window,
            residual_scale=residual_scale,
            device=device,
            dtype=dtype,
        )
        name = type(self).__name__
        if local_kernel_size is not None:
            local_kernel_size = checks.odd_kernel(name, "local_kernel_size", local_kernel_size)
        gate = checks.flag(name, "gate", gate)
        self.channel = ChannelWeights(self.channels, local_kernel_size, gate, device=device, dtype=dtype)
