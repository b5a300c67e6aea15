"""The two passes over a feature map that attention needs: one sums it up, the other rescales it.

Only they touch all of (N, C, H, W); everything between them works on vectors. Each is written as a pair, a forward and
a backward function: see :mod:`agdt_layers.custom_backward`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from agdt_layers import device_forms
from agdt_layers.custom_backward import apply_with_backward
from agdt_layers.functional import reach, spatial_weights
from agdt_layers.precision import promoted, promoted_dtype
from agdt_layers.toeplitz_convolution import convolve, weight_gradient
from agdt_layers.torch_compat import convolution_gradients, is_transformed, sigmoid_gradient


def pool_windows(x: Tensor, kernel_size: int) -> tuple[Tensor, Tensor]:
    """The windowed means of eq. 12 for every tap of a 1 x k and a k x 1 kernel, and f_avg and f_max (eqs. 1-2).

    Args:
        x: (N, C, H, W).
        kernel_size: k, odd.

    Returns:
        Sums over the positions that a tap reaches, divided by H * W, (N, 2k, C), the horizontal taps first; tap k // 2
        reaches every position, so it is the mean f_avg. The maxima f_max, (N, C).
    """
    height, width = x.shape[2:]
    taps = reach(height, width, kernel_size, 1 / (height * width), x.new_empty((), dtype=promoted_dtype(x.dtype)))
    windows, peak = apply_with_backward(_windows, _windows_derivative, 1, (x,), (taps.flatten(1),))
    return windows, peak


def _windows(x: Tensor, taps: Tensor) -> tuple[Tensor, Tensor]:
    flat = promoted(x).flatten(2)
    return torch.bmm(taps.expand(x.shape[0], -1, -1), flat.transpose(1, 2)), flat.amax(dim=2)


def _windows_derivative(
    x: Tensor, peak: Tensor, d_windows: Tensor | None, d_peak: Tensor | None, taps: Tensor
) -> tuple[Tensor | None, ...]:
    if d_windows is None:
        d_windows = x.new_zeros(x.shape[0], len(taps), x.shape[1], dtype=taps.dtype)
    if d_peak is None:
        d_peak = torch.zeros_like(peak)
    top = _where_equal(promoted(x), peak[..., None, None])
    d_x = top * (d_peak / top.sum(dim=(2, 3)))[..., None, None]
    d_x.flatten(2).baddbmm_(d_windows.transpose(1, 2), taps.expand(x.shape[0], -1, -1))
    return d_x.to(x.dtype), None


def _where_equal(x: Tensor, peak: Tensor) -> Tensor:
    """Mark where x equals its peak."""
    # On a CPU, making a bool tensor and converting it in the next product takes much longer.
    return x == peak if device_forms.prefers_few_launches(x) else x.clone().eq_(peak)


def pool_channels(x: Tensor, channel: Tensor) -> Tensor:
    """Mean and maximum over the channels of Xc = x * channel (eqs. 8-9).

    Args:
        x: (N, C, H, W).
        channel: channel weights, (N, C).

    Returns:
        (N, 2, H, W), the mean first.
    """
    weighted = promoted(x) * channel[..., None, None]
    return _pooled(weighted, op_by_op=weighted.requires_grad or is_transformed())


def _pooled(x: Tensor, *, op_by_op: bool) -> Tensor:
    """Mean and maximum over the channels; `op_by_op` where each operation is differentiated by itself."""
    if op_by_op:
        return torch.stack([x.mean(dim=1), x.amax(dim=1)], dim=1)
    if device_forms.prefers_few_launches(x):
        pooled = x.new_empty(x.shape[0], 2, *x.shape[2:])
        torch.mean(x, dim=1, out=pooled[:, 0])
        torch.amax(x, dim=1, out=pooled[:, 1])
        return pooled
    peaks = x
    # A CPU vectorises only along rows of whole vectors; eight maps together always have such rows.
    if x.is_contiguous() and x.shape[1] % 8 == 0:
        peaks = x.view(x.shape[0], -1, 8, *x.shape[2:]).amax(dim=1)
    return torch.stack([x.mean(dim=1), peaks.amax(dim=1)], dim=1)


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
    op_by_op = is_transformed()
    pooled = _pooled(weighted, op_by_op=op_by_op)
    position = spatial_weights(pooled, weight)
    # In place, because a new full-size tensor costs more than the products. Whatever differentiates these operations
    # one by one needs the weighted map unchanged.
    if op_by_op:
        return (frames + weighted * context[..., None, None] * position).to(x.dtype), pooled, position
    weighted.mul_(context[..., None, None])
    return torch.addcmul(frames, weighted, position, out=weighted).to(x.dtype), pooled, position


def _attended_derivative(
    x: Tensor,
    channel: Tensor,
    context: Tensor,
    pooled: Tensor,
    position: Tensor,
    d_out: Tensor | None,
    d_pooled: Tensor | None,
    d_position: Tensor | None,
    weight: Tensor,
) -> tuple[Tensor, ...]:
    frames = promoted(x)
    d_out = torch.zeros_like(frames) if d_out is None else promoted(d_out)
    scale, channels = channel * context, x.shape[1]
    product = (frames * d_out).flatten(2)
    d_scale = torch.bmm(position.flatten(2), product.transpose(1, 2))[:, 0]
    by_position = torch.bmm(scale[:, None, :], product).view(position.shape)
    d_logit = sigmoid_gradient(by_position if d_position is None else by_position + d_position, position)
    d_averaged, d_weight = _convolution_gradients(pooled, weight, d_logit)
    d_pooled = d_averaged if d_pooled is None else d_averaged + d_pooled
    top = (frames * channel[..., None, None]).eq_(pooled[:, 1:])
    d_weighted = torch.addcmul(d_pooled[:, :1] / channels, top, d_pooled[:, 1:] / top.sum(dim=1, keepdim=True))
    d_channel = torch.addcmul((d_weighted * frames).sum(dim=(2, 3)), d_scale, context)
    d_x = torch.addcmul(d_out, d_out * scale[..., None, None], position)
    d_x.addcmul_(d_weighted, channel[..., None, None])
    return d_x.to(x.dtype), d_channel, d_scale * channel, d_weight


def _convolution_gradients(pooled: Tensor, weight: Tensor, d_logit: Tensor) -> tuple[Tensor, Tensor]:
    """Return the gradients of the pooled map and of the weight."""
    if device_forms.prefers_few_launches(pooled):
        return convolution_gradients(pooled, weight, d_logit)
    by_position = convolve(d_logit, weight.transpose(0, 1).flip(2, 3))
    return by_position, weight_gradient(pooled, d_logit, *weight.shape[2:])
