"""How attention deep inside a 2-D CNN learns which of its N maps are the frames of one clip.

A CNN hands on maps (N, C, H, W) and nothing else, so the clip axis travels beside them: for the time of one call, in
the thread of that call. ``threading.local`` and not ``contextvars``, because torch.compile traces the former into one
graph and stops at the latter.

Activation checkpointing runs a part of the model once more in the backward pass, after the call. So what the call
returned remembers its clip axis: where its gradient enters the graph, the axis is brought back.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from agdt_layers.torch_compat import at_end_of_backward, is_transformed


class Memory(Protocol):
    """What a stream remembers of earlier frames for the layers that look back over num_frames frames."""

    num_frames: int

    def past(self, layer: nn.Module) -> Tensor | None:
        """Give what is remembered for the layer, (B, K, C), the oldest first; None before the first frame."""

    def keep(self, layer: nn.Module, newest: Tensor) -> None:
        """Remember the layer's newest frames, (B, n, C), for the calls that follow."""


class ClipAxis(NamedTuple):
    """The clip axis of folded frames: N = B*T of them, T in a clip, and which are real.

    A stream's frames are the newest n of longer clips; its memory has the earlier ones.
    """

    total: int
    num_frames: int
    mask: Tensor | None
    memory: Memory | None = None


class _Call(threading.local):
    def __init__(self) -> None:
        self.axis: ClipAxis | None = None
        self.recalled: _Recalled | None = None


_call = _Call()


def current_clip_axis(layer: nn.Module) -> ClipAxis | None:
    """Give the clip axis of the call of which the layer's call is a part; None outside of one."""
    if _call.axis is not None:
        return _call.axis
    recalled = None if _call.recalled is None else _call.recalled.latest()
    return recalled.axis if recalled is not None and recalled.is_of(layer) else None


def call_with_clip_axis(owner: nn.Module, run: Callable[[Tensor], Any], frames: Tensor, axis: ClipAxis) -> Any:
    """Run the owner, or a part of it, on folded frames, with the clip axis known inside, then and when derived."""
    outer = _call.axis
    if outer is not None and outer.total == axis.total:
        axis = axis._replace(memory=outer.memory)
    _call.axis = axis
    try:
        output = run(frames)
    finally:
        _call.axis = outer
    if torch.is_grad_enabled() and not is_transformed():
        _recall_when_derived(output, owner, axis)
    return output


class _Recalled:
    """The clip axis of a call that is being derived; ends with the backward pass that recalled it."""

    def __init__(self, axis: ClipAxis, owner: nn.Module, outer: _Recalled | None) -> None:
        self.axis, self.owner, self.ended = axis, owner, False
        self.outer = None if outer is None else outer.latest()

    def latest(self) -> _Recalled | None:
        """Give this one, or the one before it of an outer backward pass that still runs."""
        return (None if self.outer is None else self.outer.latest()) if self.ended else self

    def is_of(self, layer: nn.Module) -> bool:
        # Another model, of images say, may be derived in the same pass.
        return any(module is layer for module in self.owner.modules())

    def end(self) -> None:
        self.ended = True


def _recall_when_derived(output: Any, owner: nn.Module, axis: ClipAxis) -> None:
    if isinstance(output, Tensor) and output.grad_fn is not None:

        def recall(_gradients: Any) -> None:
            _call.recalled = _Recalled(axis, owner, _call.recalled)
            at_end_of_backward(_call.recalled.end)

        output.grad_fn.register_prehook(recall)
    elif isinstance(output, Mapping):
        _recall_when_derived(tuple(output.values()), owner, axis)
    elif isinstance(output, (tuple, list)):
        for value in output:
            _recall_when_derived(value, owner, axis)
