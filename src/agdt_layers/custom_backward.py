"""A function of frames with its derivative written by hand.

Written by hand for two reasons. Autograd would keep every full-size intermediate; here it keeps what the derivative
needs. And a derivative can go group by group of frames, so that its intermediates stay in the processor's cache: on a
large map a fresh tensor costs more than the arithmetic done on it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

# In elements, 32 MiB in float32: a CPU's allocator fetches memory for larger tensors from the operating system every
# time, which costs more than all that is done in it.
_LARGE = 2**23
# The groups in which such maps are derived, 4 MiB: smaller groups pay more calls, larger ones leave the cache.
_GROUP = 2**20

Pass = Callable[..., tuple[Any, ...]]


def apply_with_backward(
    value: Pass, derivative: Pass, kept: int, frames: tuple[Tensor, ...], shared: tuple[Tensor, ...] = ()
) -> tuple[Any, ...]:
    """Apply a function to tensors with N in front and to tensors that all frames share, and know its derivative.

    ``value`` takes both and gives a tuple of tensors with N in front. ``derivative`` takes the frames, the last
    ``kept`` of the values, the gradients of the values and what is shared, and gives the gradients of the frames and
    of what is shared, None for a constant.
    """
    tensors = frames + shared
    # A compiler derives and fuses the passes itself, and a loop over groups would tie its graph to one N.
    if torch.compiler.is_compiling():
        return value(*tensors)
    differentiated = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)
    # Asked as Function.apply asks it: torch has no public name for the question.
    if differentiated or torch._C._are_functorch_transforms_active():
        return _WithBackward.apply(value, derivative, kept, len(frames), *tensors)
    return value(*tensors)


class _WithBackward(Function):
    @staticmethod
    def forward(value: Pass, derivative: Pass, kept: int, of_frames: int, *tensors: Tensor) -> tuple[Tensor, ...]:
        return value(*tensors)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], values: tuple[Tensor, ...]) -> None:
        _, ctx.derivative, kept, of_frames, *tensors = inputs
        ctx.shared = len(tensors) - of_frames
        ctx.save_for_backward(*tensors[of_frames:], *tensors[:of_frames], *values[len(values) - kept :])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        # Asked once: activation checkpointing gives them out only once.
        saved = ctx.saved_tensors
        shared, frames = saved[: ctx.shared], saved[ctx.shared :]
        return None, None, None, None, *_in_groups(ctx.derivative, frames + gradients, shared)

    @staticmethod
    def vmap(
        info: Any,
        in_dims: tuple[int | None, ...],
        value: Pass,
        derivative: Pass,
        kept: int,
        of_frames: int,
        *tensors: Tensor,
    ) -> Any:
        dims = in_dims[4:]
        batched = [
            tensor.expand(info.batch_size, *tensor.shape) if dim is None else tensor.movedim(dim, 0)
            for tensor, dim in zip(tensors, dims, strict=True)
        ]
        if any(dim is not None for dim in dims[of_frames:]):
            samples = [
                _WithBackward.apply(value, derivative, kept, of_frames, *each) for each in zip(*batched, strict=True)
            ]
            values = tuple(torch.stack(parts) for parts in zip(*samples, strict=True))
        else:
            # Frames do not see each other here, so the mapped axis becomes a part of N.
            folded = (tensor.flatten(0, 1) for tensor in batched[:of_frames])
            values = _WithBackward.apply(value, derivative, kept, of_frames, *folded, *tensors[of_frames:])
            values = tuple(v.unflatten(0, (info.batch_size, -1)) for v in values)
        return values, (0,) * len(values)


def _in_groups(derivative: Pass, frames: tuple[Tensor, ...], shared: tuple[Tensor, ...]) -> tuple[Tensor | None, ...]:
    """Derive group by group of frames: put together what has N in front, add up the gradients of what is shared."""
    x = frames[0]
    number = x.shape[0]
    if x.device.type != "cpu" or x.numel() <= _LARGE:
        return derivative(*frames, *shared)
    per_group = max(1, _GROUP * number // x.numel())
    whole: list[Any] = []
    for start in range(0, number, per_group):
        group = slice(start, start + per_group)
        parts = derivative(*(tensor[group] for tensor in frames), *shared)
        of_frames = len(parts) - len(shared)
        if start == 0:
            whole = [*(_room_for(part, x) for part in parts[:of_frames]), *parts[of_frames:]]
        for index, part in enumerate(parts):
            if index < of_frames:
                whole[index][group] = part
            elif start and part is not None:
                whole[index] = whole[index] + part
    return tuple(whole)


def _room_for(part: Tensor, x: Tensor) -> Tensor:
    if part.shape[1:] == x.shape[1:]:
        return torch.empty_like(x, dtype=part.dtype)
    return part.new_empty(x.shape[0], *part.shape[1:])
