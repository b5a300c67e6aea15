"""Global convolutional attention (GCA): the second half of adaptive global attention, as a layer of its own."""

from __future__ import annotations

from typing import final

import torch

from agdt_layers.global_attention import GlobalAttention


@final
class GlobalConvolutionalAttention(GlobalAttention):
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
        ``context.vertical.weight`` (C, C/groups, k, 1), ``context.bias`` (C); ``residual_scale`` (1) if asked for.

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
        super().__init__(
            channels,
            adaptive=False,
            num_frames=num_frames,
            spatial_kernel_size=spatial_kernel_size,
            context_kernel_size=context_kernel_size,
            context_groups=context_groups,
            context_window=context_window,
            residual_scale=residual_scale,
            device=device,
            dtype=dtype,
        )
