"""Adaptive global attention (AGA): adaptive channel attention and global convolutional attention as one layer."""

from __future__ import annotations

from typing import final

import torch

from agdt_layers.global_attention import GlobalAttention


@final
class AdaptiveGlobalAttention(GlobalAttention):
    r"""Adaptive global attention (AGA): adaptive channel attention, then global convolutional attention.

    .. math:: M = X \cdot (1 + s_c \, s_{hw} \, g)

    with s_c in (0, 1) per frame and channel (:class:`AdaptiveChannelAttention`), s_hw in (0, 1) per frame and position,
    and g in (0, 1) per frame and channel (:class:`GlobalConvolutionalAttention`). So M keeps the sign of X, and
    ``|X| <= |M| <= 2 |X|``. Clips do not see each other; the frames of a clip share only the mean GAP_t.

    Reference: Liu et al., "Dynamic Facial Expression Recognition of Learners via Adaptive Global Attention and
    Differential Temporal Transformer", 2026, eqs. 1-13.

    Args:
        channels: C, the number of channels.
        num_frames: T of folded input (B*T, C, H, W); the call may give it instead. Without either, a 4-D input is
            a batch of images, each a clip of one frame.
        gate: False is the paper's row "w/o gate".
        local_kernel_size: k along the channel axis, odd; by default ECA's: 3 at C = 64, 5 at 128 to 512.
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
        ``channel.local.weight`` (1, 1, k), ``channel.fc.weight`` (C, C), ``channel.fc.bias`` (C),
        ``channel.gate.weight`` (1, 2, k), ``channel.gate.bias`` (1), ``spatial.conv.weight`` (1, 2, 7, 7),
        ``context.horizontal.weight`` (C, C/groups, 1, k), ``context.vertical.weight`` (C, C/groups, k, 1),
        ``context.bias`` (C); ``residual_scale`` (1) if asked for.

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
            adaptive=True,
            gate=gate,
            local_kernel_size=local_kernel_size,
            num_frames=num_frames,
            spatial_kernel_size=spatial_kernel_size,
            context_kernel_size=context_kernel_size,
            context_groups=context_groups,
            context_window=context_window,
            residual_scale=residual_scale,
            device=device,
            dtype=dtype,
        )
