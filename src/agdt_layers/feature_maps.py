"""The two passes over a feature map that attention needs: it is summed up, and then attended to.

They are the only operations of the block that touch all of (N, C, H, W); what is between them works on vectors. Each
is written as a pair, a value and its derivative: see :mod:`agdt_layers.custom_backward`.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from agdt_layers.custom_backward import apply_with_backward
from agdt_layers.functional import reach, spatial_weights
from agdt_layers.precision import promoted, promoted_dtype
from agdt_layers.toeplitz_convolution import convolve, weight_gradient


def pool_windows(x: Tensor, kernel_size: int) -> tuple[Tensor, Tensor]:
    """What every tap of a 1 x k and of a k x 1 kernel reaches of x, on average over H and W; and the maximum of x.

    Args:
        x: (N, C, H, W).
        kernel_size: k, odd.

    Returns:
        Sums over the positions that a tap reaches, divided by H * W, (N, 2k, C), the horizontal taps first; tap k // 2
        reaches all, so that it is the mean. Maxima, (N, C).
    """
    size = (x.shape[2], x.shape[3], kernel_size, promoted_dtype(x.dtype))
    taps = _remembered_taps(*size) if _is_plain(x) else _taps(*size, x.device)
    windows, peak = apply_with_backward(_windows, _windows_derivative, 1, (x,), (taps,))
    return windows, peak


def _taps(height: int, width: int, kernel_size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Say which positions every tap reaches, as weights of a mean: (2k, H * W), each 1 / (H * W) or 0."""
    horizontal = reach(width, kernel_size, dtype, device).unsqueeze(1).expand(-1, height, -1)
    vertical = reach(height, kernel_size, dtype, device).unsqueeze(2).expand(-1, -1, width)
    return torch.cat([horizontal, vertical]).flatten(1) / (height * width)


@lru_cache(maxsize=64)
def _remembered_taps(height: int, width: int, kernel_size: int, dtype: torch.dtype) -> Tensor:
    # Made under inference mode, it could not serve a backward pass later.
    with torch.inference_mode(False):
        return _taps(height, width, kernel_size, dtype, torch.device("cpu"))


def _is_plain(x: Tensor) -> bool:
    """Say whether a constant made for x can serve later calls: it belongs to no GPU stream, tracer or transform."""
    return (
        type(x) is Tensor
        and x.device.type == "cpu"
        and not torch.compiler.is_compiling()
        and not torch._C._are_functorch_transforms_active()
        and not torch._C._len_torch_dispatch_stack()
    )


def _windows(x: Tensor, taps: Tensor) -> tuple[Tensor, Tensor]:
    flat = promoted(x).flatten(2)
    return torch.bmm(taps.expand(x.shape[0], -1, -1), flat.transpose(1, 2)), flat.amax(dim=2)


def _windows_derivative(
    x: Tensor, peak: Tensor, d_sums: Tensor, d_peak: Tensor, taps: Tensor
) -> tuple[Tensor | None, ...]:
    # Compared in place: a comparison that makes a bool tensor and converts it takes ten times as long on a CPU.
    top = promoted(x).clone().eq_(peak[..., None, None])
    share = d_peak / top.sum(dim=(2, 3))
    d_x = top.mul_(share[..., None, None])
    d_x.flatten(2).baddbmm_(d_sums.transpose(1, 2), taps.expand(x.shape[0], -1, -1))
    return d_x.to(x.dtype), None


def pool_channels(x: Tensor, channel: Tensor) -> Tensor:
    """Mean and maximum over the channels of Xc = x * channel (eqs. 8-9).

    Args:
        x: (N, C, H, W).
        channel: channel weights, (N, C).

    Returns:
        (N, 2, H, W), the mean first.
    """
    return _pooled(promoted(x) * channel[..., None, None])


def _pooled(x: Tensor) -> Tensor:
    return torch.stack([x.mean(dim=1), _peak(x)], dim=1)


def _peak(x: Tensor) -> Tensor:
    """Maximum over the channels."""
    # torch runs in vectors only along rows of whole vectors, which eight small maps together always are.
    if not torch.compiler.is_compiling() and x.is_contiguous() and x.shape[1] % 8 == 0:
        x = x.view(x.shape[0], -1, 8, *x.shape[2:]).amax(dim=1)
    return x.amax(dim=1)


def attend(x: Tensor, channel: Tensor, context: Tensor, weight: Tensor) -> Tensor:
    r"""Rescale the map by all weights, and add the residual connection (eqs. 7-11, 13).

    .. math:: M = X \cdot (1 + s_c \, s_{hw} \, g), \quad
        s_{hw} = \sigma(\mathrm{Conv2d}([\overline{X_c}, \max X_c])), \quad X_c = X \cdot s_c

    Args:
        x: (N, C, H, W).
        channel: s_c, (N, C).
        context: g, (N, C).
        weight: of the convolution, (1, 2, k, k).

    Returns:
        (N, C, H, W).
    """
    out, *_ = apply_with_backward(_attended, _attended_derivative, 2, (x, channel, context), (weight,))
    return out


def _attended(x: Tensor, channel: Tensor, context: Tensor, weight: Tensor) -> tuple[Tensor, ...]:
    frames = promoted(x)
    weighted = frames * channel[..., None, None]
    pooled = _pooled(weighted)
    position = spatial_weights(pooled, weight)
    # In place, because a fresh full-size tensor costs more than the products. A compiler makes no copy of its own
    # accord, and needs what it differentiates.
    out = weighted.clone() if torch.compiler.is_compiling() else weighted
    out.mul_(context[..., None, None]).mul_(position).add_(frames)
    return out.to(x.dtype), pooled, position


def _attended_derivative(
    x: Tensor,
    channel: Tensor,
    context: Tensor,
    pooled: Tensor,
    position: Tensor,
    d_out: Tensor,
    d_pooled: Tensor,
    d_position: Tensor,
    weight: Tensor,
) -> tuple[Tensor, ...]:
    frames, d_out = promoted(x), promoted(d_out)
    scale, channels = channel * context, x.shape[1]
    product = (frames * d_out).flatten(2)
    d_scale = (position.flatten(2) @ product.transpose(1, 2))[:, 0]
    d_position = d_position + (scale[:, None, :] @ product).view(position.shape)
    d_logit = d_position * position * (1 - position)
    d_weight = weight_gradient(pooled, d_logit, *weight.shape[2:])
    d_pooled = d_pooled + convolve(d_logit, weight.transpose(0, 1).flip(2, 3))
    top = (frames * channel[..., None, None]).eq_(pooled[:, 1:])
    d_weighted = torch.addcmul(d_pooled[:, :1] / channels, top, d_pooled[:, 1:] / top.sum(dim=1, keepdim=True))
    d_channel = d_scale * context + (d_weighted * frames).sum(dim=(2, 3))
    d_x = (d_out * scale[..., None, None]).mul_(position).add_(d_out)
    d_x.addcmul_(d_weighted, channel[..., None, None])
    return d_x.to(x.dtype), d_channel, d_scale * channel, d_weight
