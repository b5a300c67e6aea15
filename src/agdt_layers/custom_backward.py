"""Functions of frames with a hand-written backward.

By hand for two reasons. Autograd would keep every full-size intermediate; here only what the backward needs is kept.
And the backward can process the frames in groups, so that its intermediates stay in the processor's cache: on a large
map a new tensor costs more than the arithmetic done on it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from agdt_layers.torch_compat import is_transformed

# In elements, 32 MiB in float32: for larger tensors a CPU's allocator asks the operating system for memory every time,
# which costs more than the arithmetic done in it.
_LARGE = 2**23
# Elements per group of such a map, 4 MiB: smaller groups need more calls, larger ones leave the cache.
_GROUP = 2**20

Pass = Callable[..., tuple[Any, ...]]


def apply_with_backward(
    forward: Pass, backward: Pass, num_kept: int, frames: tuple[Tensor, ...], shared: tuple[Tensor, ...] = ()
) -> tuple[Any, ...]:
    """Apply a function with its own backward to tensors with leading axis N and to tensors shared by all frames.

    ``forward`` takes both and returns a tuple of tensors with leading axis N. ``backward`` takes the frames, the last
    ``num_kept`` of the outputs, the gradients of all outputs (None for one that was not used) and the shared tensors;
    it returns the gradients of the frames and of the shared tensors, None for a constant.

    Compilers, torch.func and forward mode differentiate ``forward`` itself, operation by operation.
    """
    tensors = frames + shared
    derived = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)
    if not derived or is_transformed():
        return forward(*tensors)
    return _WithBackward.apply(forward, backward, num_kept, len(frames), *tensors)


class _WithBackward(Function):
    @staticmethod
    def forward(
        ctx: Any, forward: Pass, backward: Pass, num_kept: int, of_frames: int, *tensors: Tensor
    ) -> tuple[Tensor, ...]:
        outputs = forward(*tensors)
        ctx.derivative, ctx.num_shared = backward, len(tensors) - of_frames
        ctx.set_materialize_grads(False)
        # Outputs and not intermediates are kept, so that the backward can itself be differentiated.
        ctx.save_for_backward(*tensors[of_frames:], *tensors[:of_frames], *outputs[len(outputs) - num_kept :])
        return outputs

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        # Read once: under activation checkpointing they can be read only once.
        saved = ctx.saved_tensors
        shared, frames = saved[: ctx.num_shared], saved[ctx.num_shared :]
        return None, None, None, None, *_in_groups(ctx.derivative, frames, gradients, shared)


def _in_groups(
    backward: Pass, frames: tuple[Tensor, ...], gradients: tuple[Tensor | None, ...], shared: tuple[Tensor, ...]
) -> tuple[Tensor | None, ...]:
    """Run the backward on groups of frames: concatenate the gradients of frames, add up those of shared tensors."""
    x = frames[0]
    number = x.shape[0]
    if x.device.type != "cpu" or x.numel() <= _LARGE:
        return backward(*frames, *gradients, *shared)
    per_group = max(1, _GROUP * number // x.numel())
    whole: list[Any] = []
    for start in range(0, number, per_group):
        group = slice(start, start + per_group)
        of_group = [None if tensor is None else tensor[group] for tensor in frames + gradients]
        parts = backward(*of_group, *shared)
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
