"""What AGA and GCA share: a map is rescaled by channel, by position, and by a context common to the clip.

The paper's symbols and the names here: X is ``x``; ``spatial.conv`` makes z_att; Conv_{1xk} and Conv_{kx1} of the
global context z_gc are ``context.horizontal`` and ``context.vertical``; GAP_t is the mean over the frames of a clip.

There are two ways to the same result. The fast one reads the parameters of the submodules and is taken while these
are as they were made. The plain one calls the submodules, one equation after the other.
"""

from __future__ import annotations

from abc import ABC
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from agdt_layers import checks, functional
from agdt_layers.channel_attention import AdaptiveChannelAttention
from agdt_layers.clip_axis import ClipAxis, current_clip_axis
from agdt_layers.feature_maps import attend, pool_channels, pool_windows
from agdt_layers.precision import called, full_precision, in_dtype, promoted
from agdt_layers.tracing import NotScriptable, one_fx_node
from agdt_layers.untouched import is_untouched, is_untouched_convolution


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


class SpatialAttention(nn.Module):
    """Spatial weights sigmoid(z_att) from z_avg and z_max, (N, 2, H, W) -> (N, 1, H, W) (eqs. 10-11)."""

    def __init__(self, kernel_size: int, **factory: Any) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, kernel_size, padding=kernel_size // 2, bias=False, **factory)

    def reset_parameters(self) -> None:
        self.conv.reset_parameters()

    def forward(self, pooled: Tensor) -> Tensor:
        return torch.sigmoid(called(self.conv, pooled))

    def is_untouched(self) -> bool:
        return is_untouched(self, SpatialAttention) and is_untouched_convolution(self.conv, nn.Conv2d, "weight")


class GlobalContext(nn.Module):
    """Global context z_gc of a map, (N, C, H, W) -> (N, C) (eq. 12)."""

    def __init__(self, channels: int, kernel_size: int, groups: int, **factory: Any) -> None:
        super().__init__()
        half = kernel_size // 2
        settings = {"groups": groups, "bias": False, **factory}
        self.horizontal = nn.Conv2d(channels, channels, (1, kernel_size), padding=(0, half), **settings)
        self.vertical = nn.Conv2d(channels, channels, (kernel_size, 1), padding=(half, 0), **settings)
        self.bias = nn.Parameter(torch.empty(channels, **factory))
        nn.init.zeros_(self.bias)

    def reset_parameters(self) -> None:
        self.horizontal.reset_parameters()
        self.vertical.reset_parameters()
        nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        pooled = (called(self.horizontal, x) + called(self.vertical, x)).mean(dim=(2, 3))
        return torch.sigmoid(pooled + self.bias.to(x.dtype))

    def of_windows(self, windows: Tensor) -> Tensor:
        """The same from the windowed means, (N, 2k, C), without running over the map."""
        parameters = in_dtype(windows.dtype, self.horizontal.weight, self.vertical.weight, self.bias)
        return functional.context_weights(windows, *parameters)

    def is_untouched(self) -> bool:
        convolutions = (self.horizontal, self.vertical)
        return is_untouched(self, GlobalContext, "bias") and all(
            is_untouched_convolution(part, nn.Conv2d, "weight") for part in convolutions
        )


class GlobalAttention(NotScriptable, nn.Module, ABC):
    """Abstract: what :class:`AdaptiveGlobalAttention` and :class:`GlobalConvolutionalAttention` share."""

    def __init__(
        self,
        channels: int,
        *,
        adaptive: bool,
        gate: bool = True,
        local_kernel_size: int | None = None,
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
        if local_kernel_size is not None:
            local_kernel_size = checks.odd_kernel(name, "local_kernel_size", local_kernel_size)
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
        self.channel = None
        if adaptive:
            self.channel = AdaptiveChannelAttention(channels, kernel_size=local_kernel_size, gate=gate, **factory)
        self.spatial = SpatialAttention(spatial_kernel_size, **factory)
        self.context = GlobalContext(channels, context_kernel_size, context_groups, **factory)
        # Shape (1,) and not (): sharded training cannot split a scalar.
        self.residual_scale = nn.Parameter(torch.zeros(1, **factory)) if residual_scale else None

    def reset_parameters(self) -> None:
        """Re-initialise the parameters, each layer as torch does; the context's bias and any residual scale are 0."""
        for part in self.children():
            part.reset_parameters()  # type: ignore[operator]
        if self.residual_scale is not None:
            nn.init.zeros_(self.residual_scale)

    @one_fx_node
    def forward(self, x: Tensor, num_frames: int | None = None, mask: Tensor | None = None) -> Tensor:
        """Rescale a feature map.

        Args:
            x: clips (B, T, C, H, W), images (B, C, H, W), or folded frames (B*T, C, H, W) with num_frames given
                here or at construction.
            num_frames: frames per clip, T, of folded input.
            mask: bool (B, T), True where a frame is real. A padded frame comes out unchanged and affects no
                other frame.

        Returns:
            x's shape, dtype and memory format.
        """
        frames, axis = self._frames(x, num_frames, mask)
        if frames.shape[0] == 0:
            return x.clone()
        mask = axis.mask
        with full_precision(x):
            real = _without_padding(frames, mask)
            if self._is_untouched():
                out = self._rescaled(real, axis)
            else:
                out = self._rescaled_plainly(promoted(real), axis).to(x.dtype)
        if mask is not None:
            out = torch.where(mask.flatten()[:, None, None, None], out, frames)
        return out.view_as(x) if x.ndim == 5 else out

    def attention_weights(
        self, x: Tensor, *, num_frames: int | None = None, mask: Tensor | None = None
    ) -> AttentionWeights:
        """Return the weights that :meth:`forward` applies to the same input, in float32 or float64.

        Returns:
            :class:`AttentionWeights`, N = B*T frames in the order of the input.
        """
        frames, axis = self._frames(x, num_frames, mask)
        with full_precision(x):
            frames = _without_padding(frames, axis.mask)
            channel, gate, context = self._vectors(frames, untouched=self._is_untouched())
            pooled = pool_channels(frames, torch.ones_like(context) if channel is None else channel)
            spatial = self.spatial(pooled)[:, 0]
            return AttentionWeights(channel, gate, spatial, self._over_time(context, axis, keep=False))

    def clip_length(self, x: Tensor, num_frames: int | None = None) -> int:
        """Return the number of frames per clip, T, that :meth:`forward` uses for the same input."""
        return self._frames(x, num_frames, None)[1].num_frames

    def _frames(self, x: Tensor, num_frames: int | None, mask: Tensor | None) -> tuple[Tensor, ClipAxis]:
        name = type(self).__name__
        axis = current_clip_axis(self) if num_frames is None else None
        memory = None
        if axis is not None:
            checks.clip_axis(name, x, axis.total, axis.num_frames)
            num_frames, memory = axis.num_frames, axis.memory
            mask = axis.mask if mask is None else mask
        frames, num_frames = checks.fold(name, x, self.channels, self.num_frames, num_frames)
        checks.same_device(name, x, self.context.bias)
        checks.frame_mask(name, mask, frames.shape[0] // num_frames, num_frames, x.device)
        checks.real_frames(name, mask)
        return frames, ClipAxis(frames.shape[0], num_frames, mask, memory)

    def _rescaled(self, frames: Tensor, axis: ClipAxis) -> Tensor:
        channel, _, context = self._vectors(frames, untouched=True)
        context = self._scaled(self._over_time(context, axis))
        channel = torch.ones_like(context) if channel is None else channel
        return attend(frames, channel, context, *in_dtype(context.dtype, self.spatial.conv.weight))

    def _rescaled_plainly(self, x: Tensor, axis: ClipAxis) -> Tensor:
        x_c = x if self.channel is None else self.channel(x)
        s_hw = self.spatial(torch.stack([x_c.mean(dim=1), x_c.amax(dim=1)], dim=1))
        context = self._scaled(self._over_time(self.context(x), axis))
        return x + x_c * s_hw * context[:, :, None, None]

    def _vectors(self, frames: Tensor, *, untouched: bool) -> tuple[Tensor | None, Tensor | None, Tensor]:
        """Return s_c, the gate w and z_gc, (N, C) each: what depends on a frame alone and not on its clip."""
        windows, peak = pool_windows(frames, self.context_kernel_size)
        channel, gate = None, None
        if self.channel is not None:
            # Not windows[:, k // 2]: an older autograd derives a slice of everything too, by one more launch.
            mean = windows.select(1, self.context_kernel_size // 2)
            channel, gate = self.channel.weights(mean, peak, untouched=untouched)
        context = self.context.of_windows(windows) if untouched else self.context(promoted(frames))
        return channel, gate, context

    def _over_time(self, context: Tensor, axis: ClipAxis, *, keep: bool = True) -> Tensor:
        """Return g of every frame, averaged over its clip or over the window that ends with it."""
        memory = axis.memory
        if memory is None:
            return functional.clip_context(context, axis.num_frames, axis.mask, self.context_window)
        past = memory.past(self)
        if keep:
            memory.keep(self, context.unflatten(0, (-1, axis.num_frames)))
        return functional.clip_context(context, axis.num_frames, None, memory.num_frames, past)

    def _scaled(self, context: Tensor) -> Tensor:
        return context if self.residual_scale is None else context * self.residual_scale.to(context.dtype)

    def _is_untouched(self) -> bool:
        channel = self.channel
        return (
            self.spatial.is_untouched() and self.context.is_untouched() and (channel is None or channel.is_untouched())
        )

    def extra_repr(self) -> str:
        return f"{self.channels}, num_frames={self.num_frames}"


def _without_padding(frames: Tensor, mask: Tensor | None) -> Tensor:
    # A product with 0 would let NaN and inf of padded frames through.
    return frames if mask is None else torch.where(mask.flatten()[:, None, None, None], frames, 0)
