"""The three passes over a feature map that attention needs: two reductions and one rescaling.

They are the only operations of the block that touch all of (N, C, H, W); everything between them works on
vectors and on one (H, W) map a frame. Each is written as a pair, a value and its derivative, for two reasons.
Autograd would keep every full-size intermediate; here it keeps x alone. And a pair can go group by group of
frames, so that its intermediates stay in the processor's cache: on a large map a fresh tensor costs more than
the arithmetic done on it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from agdt_layers.precision import raised, raised_dtype

# Elements in a group of frames, 4 MiB in float32: smaller groups pay more calls, larger ones leave the cache.
_GROUP = 2**20

Pass = Callable[..., tuple[Any, ...]]


def reach(size: int, kernel_size: int, like: Tensor) -> Tensor:
    """Say which of ``size`` positions every tap of a zero-padded kernel reaches: (kernel_size, size), 1 or 0.

    >>> reach(4, 3, torch.ones(()))
    tensor([[1., 1., 1., 0.],
            [1., 1., 1., 1.],
            [0., 1., 1., 1.]])
    """
    margin = kernel_size // 2
    ones = torch.ones(kernel_size, size, dtype=raised_dtype(like.dtype), device=like.device)
    return ones.triu_(-margin).tril_(size - 1 - margin)


def pool_windows(x: Tensor, kernel_size: int) -> tuple[Tensor, Tensor]:
    """Sum x over the positions that every tap of a 1 x k and of a k x 1 kernel reaches, and take its maximum.

    Args:
        x: (N, C, H, W).
        kernel_size: k, odd.

    Returns:
        Sums (N, 2k, C), the horizontal taps first; tap k // 2 is the plain sum over H and W. Maxima (N, C).
    """
    height, width = x.shape[2:]
    horizontal = reach(width, kernel_size, x).unsqueeze(1).expand(-1, height, -1)
    vertical = reach(height, kernel_size, x).unsqueeze(2).expand(-1, -1, width)
    taps = torch.cat([horizontal, vertical]).flatten(1)
    sums, peak = _paired(_windows, _windows_derivative, True, x, taps.expand(x.shape[0], -1, -1))
    return sums, peak


def _windows(x: Tensor, taps: Tensor) -> tuple[Tensor, Tensor]:
    flat = raised(x).flatten(2)
    return torch.bmm(taps, flat.transpose(1, 2)), flat.amax(dim=2)


def _windows_derivative(
    x: Tensor, taps: Tensor, _: Tensor, peak: Tensor, d_sums: Tensor, d_peak: Tensor
) -> tuple[Any, ...]:
    # Compared in place: a comparison that makes a bool tensor and converts it takes ten times as long on a CPU.
    top = raised(x).clone().eq_(peak[:, :, None, None])
    share = d_peak / top.sum(dim=(2, 3))
    d_x = top * share[:, :, None, None]
    d_x.flatten(2).baddbmm_(d_sums.transpose(1, 2), taps)
    return d_x.to(x.dtype), None


def pool_channels(x: Tensor, channel: Tensor) -> Tensor:
    """Mean and maximum over the channels of x * channel (eqs. 8-9).

    Args:
        x: (N, C, H, W).
        channel: channel weights, (N, C).

    Returns:
        (N, 2, H, W), the mean first.
    """
    (pooled,) = _paired(_channels, _channels_derivative, True, x, channel)
    return pooled


def _channels(x: Tensor, channel: Tensor) -> tuple[Tensor]:
    weighted = raised(x) * channel[:, :, None, None]
    return (torch.stack([weighted.mean(dim=1), _peak(weighted)], dim=1),)


def _peak(x: Tensor) -> Tensor:
    """Maximum over the channels."""
    # torch runs in vectors only along rows of whole vectors, which eight small maps together always are.
    if not torch.compiler.is_compiling() and x.is_contiguous() and x.shape[1] % 8 == 0:
        x = x.unflatten(1, (-1, 8)).amax(dim=1)
    return x.amax(dim=1)


def _channels_derivative(x: Tensor, channel: Tensor, pooled: Tensor, d_pooled: Tensor) -> tuple[Tensor, Tensor]:
    frames, channel = raised(x), channel[:, :, None, None]
    top = (frames * channel).eq_(pooled[:, 1:])
    share = d_pooled[:, 1:] / top.sum(dim=1, keepdim=True)
    d_weighted = (top * share).add_(d_pooled[:, :1] / x.shape[1])
    return (d_weighted * channel).to(x.dtype), (d_weighted * frames).sum(dim=(2, 3))


def rescale(x: Tensor, channel: Tensor, position: Tensor) -> Tensor:
    """M = x * (1 + channel * position): the product of all weights and the residual connection (eqs. 7, 11, 13).

    Args:
        x: (N, C, H, W).
        channel: (N, C).
        position: (N, 1, H, W).

    Returns:
        (N, C, H, W).
    """
    (out,) = _paired(_rescaled, _rescaled_derivative, False, x, channel, position)
    return out


def _rescaled(x: Tensor, channel: Tensor, position: Tensor) -> tuple[Tensor]:
    frames = raised(x)
    # In place, because a fresh full-size tensor costs more than the two products.
    return ((frames * channel[:, :, None, None]).mul_(position).add_(frames).to(x.dtype),)


def _rescaled_derivative(x: Tensor, channel: Tensor, position: Tensor, d_out: Tensor) -> tuple[Tensor, ...]:
    d_out = raised(d_out)
    d_gate = (raised(x) * d_out).flatten(2)
    d_channel = (position.flatten(2) @ d_gate.transpose(1, 2))[:, 0]
    d_position = (channel[:, None, :] @ d_gate).view(position.shape)
    d_x = (d_out * channel[:, :, None, None]).mul_(position).add_(d_out)
    return d_x.to(x.dtype), d_channel, d_position


def _paired(value: Pass, derivative: Pass, keep_values: bool, *tensors: Tensor) -> tuple[Any, ...]:
    # A compiler derives and fuses the passes itself, and a loop over groups would tie its graph to one N.
    if torch.compiler.is_compiling():
        return value(*tensors)
    differentiated = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)
    # Asked as Function.apply asks it: torch has no public name for the question.
    if differentiated or torch._C._are_functorch_transforms_active():
        return _Paired.apply(value, derivative, keep_values, *tensors)
    return _in_groups(value, tensors)


class _Paired(Function):
    """A value and its derivative, applied to groups of frames.

    ``value`` takes tensors with N in front and gives a tuple of such; ``derivative`` takes the same tensors, then the
    values if they are kept, then the gradients of the values, and gives the gradients of the tensors.
    """

    @staticmethod
    def forward(value: Pass, derivative: Pass, keep_values: bool, *tensors: Tensor) -> tuple[Tensor, ...]:
        return _in_groups(value, tensors)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], values: tuple[Tensor, ...]) -> None:
        _, ctx.derivative, keep_values, *tensors = inputs
        ctx.save_for_backward(*tensors, *(values if keep_values else ()))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        return None, None, None, *_in_groups(ctx.derivative, (*ctx.saved_tensors, *gradients))

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[int | None, ...], value: Pass, derivative: Pass, keep_values: bool, *tensors: Tensor
    ) -> Any:
        # Frames do not see each other here, so the mapped axis becomes a part of N.
        batched = (
            tensor.expand(info.batch_size, *tensor.shape) if dim is None else tensor.movedim(dim, 0)
            for tensor, dim in zip(tensors, in_dims[3:], strict=True)
        )
        values = _Paired.apply(value, derivative, keep_values, *(tensor.flatten(0, 1) for tensor in batched))
        return tuple(v.unflatten(0, (info.batch_size, -1)) for v in values), (0,) * len(values)


def _in_groups(function: Pass, tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Apply a function of frames to groups of frames that fit the cache, and put the results together."""
    x = tensors[0]
    frames = x.shape[0]
    per_group = max(1, _GROUP // x[0].numel())
    if per_group >= frames:
        return function(*tensors)
    results: list[Tensor | None] = []
    for start in range(0, frames, per_group):
        group = slice(start, start + per_group)
        parts = function(*(tensor[group] for tensor in tensors))
        if not results:
            results = [None if part is None else _room_for(part, x) for part in parts]
        for result, part in zip(results, parts, strict=True):
            if result is not None:
                result[group] = part
    return tuple(results)  # type: ignore[arg-type]


def _room_for(part: Tensor, x: Tensor) -> Tensor:
    if part.shape[1:] == x.shape[1:]:
        return torch.empty_like(x, dtype=part.dtype)
    return part.new_empty(x.shape[0], *part.shape[1:])
