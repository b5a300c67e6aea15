"""The two passes of attention over a feature map: one pools it, the other rescales it.

Only these read all of (N, C, H, W); everything between them works on vectors. Their backward passes are written by hand
and save only the input, where autograd would save 3.4 maps of the input's size.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn.functional import conv2d
from torch.nn.grad import conv2d_weight

from agdt_layers.functional import reach
from agdt_layers.torch_compat import is_transformed, promoted, promoted_dtype

Pass = Callable[..., tuple[Any, ...]]


def pool_windows(x: Tensor, kernel_size: int) -> tuple[Tensor, Tensor]:
    """The windowed means of eq. 12 for every tap of a 1 x k and a k x 1 kernel, and f_max (eq. 2).

    Args:
        x: (N, C, H, W).
        kernel_size: k, odd.

    Returns:
        Sums over the positions that each tap reaches, divided by H * W, (N, 2k, C), horizontal taps first. Tap k // 2
        reaches every position, so it is the mean f_avg (eq. 1). And the maxima f_max, (N, C).
    """
    height, width = x.shape[2:]
    taps = reach(height, width, kernel_size, 1 / (height * width), x.new_empty((), dtype=promoted_dtype(x.dtype)))
    windows, peak = _apply(_pool, _pool_backward, x, taps.flatten(1))
    return windows, peak


def _pool(x: Tensor, taps: Tensor) -> tuple[Tensor, Tensor]:
    flat = promoted(x).flatten(2)
    return torch.bmm(taps.expand(x.shape[0], -1, -1), flat.transpose(1, 2)), flat.amax(dim=2)


def _pool_backward(
    x: Tensor, taps: Tensor, peak: Tensor, d_windows: Tensor | None, d_peak: Tensor | None
) -> tuple[Tensor | None, ...]:
    if d_windows is None:
        d_windows = peak.new_zeros(x.shape[0], len(taps), x.shape[1])
    d_peak = torch.zeros_like(peak) if d_peak is None else d_peak
    # Equal maxima share the gradient, as in torch.amax.
    top = promoted(x).clone().eq_(peak[..., None, None])
    d_x = top * (d_peak / top.sum(dim=(2, 3)))[..., None, None]
    d_x.flatten(2).baddbmm_(d_windows.transpose(1, 2), taps.expand(x.shape[0], -1, -1))
    return d_x.to(x.dtype), None


def rescale(x: Tensor, channel: Tensor, context: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    r"""Rescale the map by all weights and add the residual connection (eqs. 8-11, 13).

    .. math:: M = X \cdot (1 + s_c \, s_{hw} \, g), \quad
        s_{hw} = \sigma(\mathrm{Conv2d}([\overline{X_c}, \max X_c])), \quad X_c = X \cdot s_c

    Args:
        x: X, (N, C, H, W).
        channel: channel weights :math:`s_c`, (N, C).
        context: context :math:`g`, (N, C).
        weight: of the convolution, (1, 2, k, k), k odd.

    Returns:
        M, (N, C, H, W), and the spatial weights :math:`s_{hw}`, (N, 1, H, W).
    """
    out, position, _ = _apply(_rescale, _rescale_backward, x, channel, context, weight)
    return out, position


def _rescale(x: Tensor, channel: Tensor, context: Tensor, weight: Tensor) -> tuple[Tensor, ...]:
    frames, context = promoted(x), context[..., None, None]
    weighted = frames * channel[..., None, None]
    pooled = torch.cat([weighted.mean(dim=1, keepdim=True), weighted.amax(dim=1, keepdim=True)], dim=1)
    # One padding per axis, because older versions of torch.jit.trace lose a size used for both.
    padding = (weight.shape[2] // 2, weight.shape[3] // 2)
    position = torch.sigmoid(conv2d(pooled, weight, padding=padding))
    if is_transformed():
        return (frames + weighted * context * position).to(x.dtype), position, pooled
    # In place, because allocating a map costs more than the products.
    return torch.addcmul(frames, weighted.mul_(context), position, out=weighted).to(x.dtype), position, pooled


def _rescale_backward(
    x: Tensor,
    channel: Tensor,
    context: Tensor,
    weight: Tensor,
    position: Tensor,
    pooled: Tensor,
    d_out: Tensor | None,
    d_position: Tensor | None,
    d_pooled: Tensor | None,
) -> tuple[Tensor, ...]:
    frames = promoted(x)
    d_out = torch.zeros_like(frames) if d_out is None else promoted(d_out)
    scale = channel * context
    product = (frames * d_out).flatten(2)
    d_scale = torch.bmm(position.flatten(2), product.transpose(1, 2))[:, 0]
    by_position = torch.bmm(scale[:, None, :], product).view(position.shape)
    d_logit = (by_position if d_position is None else by_position + d_position) * position * (1 - position)
    d_weight = conv2d_weight(pooled, weight.shape, d_logit, padding=weight.shape[2] // 2)
    # A convolution with the flipped kernel is several times faster on a CPU than torch's own input gradient.
    by_pooled = conv2d(d_logit, weight.transpose(0, 1).flip(2, 3), padding=weight.shape[2] // 2)
    d_pooled = by_pooled if d_pooled is None else by_pooled + d_pooled
    top = (frames * channel[..., None, None]).eq_(pooled[:, 1:])
    d_mean, d_max = d_pooled[:, :1] / x.shape[1], d_pooled[:, 1:] / top.sum(dim=1, keepdim=True)
    d_weighted = torch.addcmul(d_mean, top, d_max)
    d_channel = torch.addcmul((d_weighted * frames).sum(dim=(2, 3)), d_scale, context)
    d_x = torch.addcmul(d_out, d_out * scale[..., None, None], position)
    d_x.addcmul_(d_weighted, channel[..., None, None])
    return d_x.to(x.dtype), d_channel, d_scale * channel, d_weight


def _apply(forward: Pass, backward: Pass, *inputs: Tensor) -> tuple[Any, ...]:
    """Apply a pass with its own backward, called with the inputs, all outputs but the first, and all output gradients.

    Compilers, torch.func and forward mode differentiate the operations of ``forward`` instead.
    """
    if not torch.is_grad_enabled() or is_transformed() or not any(tensor.requires_grad for tensor in inputs):
        return forward(*inputs)
    return _Joined.apply(forward, backward, *inputs)


class _Joined(Function):
    @staticmethod
    def forward(ctx: Any, forward: Pass, backward: Pass, *inputs: Tensor) -> tuple[Tensor, ...]:
        outputs = forward(*inputs)
        ctx.run_backward = backward
        ctx.set_materialize_grads(False)
        # Outputs instead of intermediates, so that the backward pass is differentiable. The first is a whole map.
        ctx.save_for_backward(*inputs, *outputs[1:])
        return outputs

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        return None, None, *ctx.run_backward(*ctx.saved_tensors, *gradients)
