"""Clips through a 2-D CNN: FrameWise, and the clip axis that the attention inside a CNN needs.

A CNN passes only maps (N, C, H, W) from layer to layer, so the number of frames per clip is stored outside the CNN, in
the thread of the call and for its duration. It is stored in ``threading.local`` because torch.compile breaks the graph
at ``contextvars``.

Activation checkpointing runs a part of the model again in the backward pass, after the call. It first unpacks its saved
inputs, so hooks on saved tensors restore the clip axis at that moment.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, MutableMapping
from dataclasses import fields, is_dataclass
from functools import partial
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.autograd import graph

from agdt_layers import checks
from agdt_layers.torch_compat import (
    NO_BACKWARD,
    at_end_of_backward,
    current_backward,
    is_transformed,
    saved_tensors_hooks,
    sequence_number,
)
from agdt_layers.tracing import NotScriptable, refuse_fx


class Memory(Protocol):
    """The state that a stream keeps for layers that average over the last num_frames frames."""

    num_frames: int

    def past(self, layer: nn.Module) -> tuple[Tensor, Tensor]:
        """Return z_gc of the last frames, (B, K, C), and a mask of these and the newest frames, (B, K + n)."""

    def keep(self, layer: nn.Module, newest: Tensor) -> None:
        """Store the layer's newest frames, (B, n, C), for later steps."""


class ClipAxis(NamedTuple):
    """The clip axis of folded frames: N = B*T frames in total, T per clip, and the mask (B, T).

    In a stream the frames are the newest n of longer clips, and the memory holds the state of the earlier ones.
    """

    total: int
    num_frames: int
    mask: Tensor | None
    memory: Memory | None = None


class _Span:
    """The clip axis of one call, and the range of autograd nodes that the call created."""

    def __init__(self, axis: ClipAxis) -> None:
        self.axis = axis
        self.first = self.last = sequence_number()

    def end(self) -> None:
        self.last = sequence_number()


class _Recalled:
    """The call whose gradients a backward pass is computing, if that call has a clip axis."""

    def __init__(self, task: int) -> None:
        self.task = task
        self.span: _Span | None = None
        self.is_inside = False

    def end(self) -> None:
        self.span = None


class _Call(threading.local):
    def __init__(self) -> None:
        self.axis: ClipAxis | None = None
        self.recalled: _Recalled | None = None


_call = _Call()


def current_clip_axis() -> ClipAxis | None:
    """Return the clip axis of the current call, or of the call that a backward pass is recomputing."""
    if _call.axis is not None or torch.compiler.is_compiling():
        return _call.axis
    recalled = _call.recalled
    if recalled is None or recalled.span is None:
        return None
    task, node = current_backward()
    if task == recalled.task:
        recalled.is_inside = recalled.span.first <= node < recalled.span.last
    # A backward pass with another id is nested in that of the call, as in a reentrant checkpoint.
    return recalled.span.axis if recalled.is_inside and task != NO_BACKWARD else None


def clip_settings() -> dict[str, Any]:
    """Return the clip axis as keyword arguments for an attention layer."""
    axis = current_clip_axis()
    return {} if axis is None else {"num_frames": axis.num_frames, "mask": axis.mask}


def call_with_clip_axis(run: Callable[[Tensor], Any], frames: Tensor, axis: ClipAxis) -> Any:
    """Run a model on folded frames, with the clip axis set during forward and backward."""
    outer = _call.axis
    if outer is not None and outer.total == axis.total:
        # torch 2.6 cannot compile _replace().
        axis = ClipAxis(axis.total, axis.num_frames, axis.mask, outer.memory)
    _call.axis = axis
    try:
        if not torch.is_grad_enabled() or is_transformed():
            return run(frames)
        span = _Span(axis)
        with _recalling(span):
            output = run(frames)
        span.end()
        return output
    finally:
        _call.axis = outer


def call_on_clips(name: str, model: nn.Module, clips: Tensor, mask: Tensor | None) -> Any:
    """Run an image model on the frames of clips (B, T, C, H, W), with padding set to 0 and the clip axis set."""
    if len(getattr(model, "device_ids", None) or ()) > 1:
        refuse_data_parallel(name, model)
    if mask is not None:
        clips = torch.where(mask[:, :, None, None, None], clips, 0)
    frames = clips.flatten(0, 1)
    return call_with_clip_axis(model, frames, ClipAxis(frames.shape[0], clips.shape[1], mask))


def refuse_data_parallel(name: str, model: nn.Module) -> None:
    """Refuse nn.DataParallel, whose threads would not see the clip axis."""
    if any(isinstance(module, nn.DataParallel) for module in model.modules()):
        raise ValueError(
            f"{name} got a model that contains nn.DataParallel, which would split clips. "
            f"Wrap the other way round: nn.DataParallel({name}(...))."
        )


def _recalling(span: _Span) -> graph.saved_tensors_hooks:
    """Restore the clip axis whenever autograd unpacks a tensor that was saved in this context."""
    outer = saved_tensors_hooks()

    def pack(x: Tensor) -> Any:
        return (x, x._version) if outer is None else outer[0](x)

    def unpack(packed: Any) -> Tensor:
        if outer is None:
            x, version = packed
            # With hooks set, autograd does not check the version itself.
            if x._version != version:
                raise RuntimeError(
                    f"A tensor {tuple(x.shape)} needed for gradient computation was modified by an in-place "
                    f"operation: it is at version {x._version}, expected {version}."
                )
        else:
            x = outer[1](packed)
        _recall(span)
        return x

    return graph.saved_tensors_hooks(pack, unpack)


def _recall(span: _Span) -> None:
    task, _ = current_backward()
    if task == NO_BACKWARD:
        return
    recalled = _call.recalled
    if recalled is None or recalled.task != task:
        recalled = _call.recalled = _Recalled(task)
        at_end_of_backward(recalled.end)
    recalled.span = span


class FrameWise(NotScriptable, nn.Module):
    """Run an image model on every frame of a clip; attention layers inside know which frames form a clip.

    Every AGA inside gets T and the mask from the current call. Nothing is stored between calls, and threads do not
    affect each other.

    Args:
        model: takes images (N, C, H, W). The state-dict keys are the model's, prefixed with ``model.``.

    Raises:
        TypeError, ValueError: the model is not a module, or contains nn.DataParallel, whose threads would not see T;
            invalid clips or an invalid mask.

    Note:
        Activation checkpointing works inside, reentrant or not: T is restored when a part is recomputed.

    Example:
        >>> from agdt_layers import ResNet18
        >>> encoder = FrameWise(ResNet18())
        >>> encoder(torch.randn(2, 4, 3, 64, 64)).shape
        torch.Size([2, 4, 512, 2, 2])
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        checks.module("FrameWise", "model", model)
        refuse_data_parallel("FrameWise", model)
        self.model = model

    def forward(self, clips: Tensor, mask: Tensor | None = None) -> Any:
        """Run the model on every frame.

        Args:
            clips: (B, T, C, H, W).
            mask: bool (B, T), True where a frame is real. Attention layers inside use it too.

        Returns:
            The model's output with every tensor (B*T, ...) unfolded to (B, T, ...), also inside tuples, lists, dicts
            and dataclasses, which keep their type. Other objects are returned unchanged.
        """
        name = type(self).__name__
        refuse_fx(name, clips, "Trace the model inside, FrameWise(fx.symbolic_trace(model)), or use torch.export.")
        checks.clips(name, clips, None)
        checks.module_device(name, clips, self.model)
        # A model with mixed dtypes converts its input itself.
        if not any(p.dtype == clips.dtype for p in self.model.parameters()):
            checks.module_dtype(name, clips, self.model)
        batch, num_frames = clips.shape[:2]
        checks.frame_mask(name, mask, batch, num_frames, clips.device)
        with checks.real_frames(name, mask):
            return _unfold(self._run(clips, mask), batch, num_frames)

    def _run(self, clips: Tensor, mask: Tensor | None) -> Any:
        name = type(self).__name__
        if torch.compiler.is_compiling():
            return call_on_clips(name, self.model, clips, mask)
        try:
            return call_on_clips(name, self.model, clips, mask)
        except (RuntimeError, ValueError) as error:
            # Most models begin with a convolution, which shows the expected channels. Replace torch's RuntimeError, and
            # also a ValueError if axes are swapped, because it describes folded frames instead of these clips.
            first = next((m for m in self.model.modules() if isinstance(m, nn.Conv2d)), None)
            turned = first is not None and first.in_channels in (clips.shape[1], clips.shape[4])
            if first is not None and (turned or isinstance(error, RuntimeError)):
                checks.clips(name, clips, first.in_channels)
            raise


def _unfold(output: Any, batch: int, num_frames: int) -> Any:
    """Unfold every tensor in a model's output. Containers are copied, so they keep their class and other contents."""
    unfolded = partial(_unfold, batch=batch, num_frames=num_frames)
    if isinstance(output, Tensor):
        if output.is_nested or output.layout != torch.strided:
            checks.dense("FrameWise", output, "output")
        if output.ndim == 0 or output.shape[0] != batch * num_frames:
            raise ValueError(
                f"FrameWise expects model outputs with the B*T = {batch * num_frames} frames on axis 0; "
                f"got {tuple(output.shape)}."
            )
        return output.unflatten(0, (batch, num_frames))
    if isinstance(output, MutableMapping):
        mapping = copy.copy(output)
        for key, value in output.items():
            mapping[key] = unfolded(value)
        return mapping
    if isinstance(output, list):
        items = copy.copy(output)
        items[:] = map(unfolded, output)
        return items
    if isinstance(output, tuple):
        parts = tuple(map(unfolded, output))
        kind = type(output)
        if kind.__module__ == "torch.return_types":
            return kind(parts)
        made = tuple.__new__(kind, parts)
        if hasattr(output, "__dict__"):
            vars(made).update(vars(output))
        return made
    if is_dataclass(output) and not isinstance(output, type):
        record = copy.copy(output)
        for field in fields(output):
            # object.__setattr__ also works if it is frozen. A field without a value stays unset.
            if hasattr(output, field.name):
                object.__setattr__(record, field.name, unfolded(getattr(output, field.name)))
        return record
    return output
