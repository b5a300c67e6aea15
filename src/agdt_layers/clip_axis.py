"""How attention deep inside a 2-D CNN learns which of its N maps are the frames of one clip.

A CNN hands on maps (N, C, H, W) and nothing else, so the clip axis travels beside them: for the time of one call,
and in the thread of that call alone. ``threading.local`` and not ``contextvars``, because torch.compile traces the
former into one graph and stops at the latter.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, NamedTuple

from torch import Tensor


class ClipAxis(NamedTuple):
    """The clip axis of folded frames: B clips of T frames, and which frames are real."""

    batch: int
    num_frames: int
    mask: Tensor | None


class _Call(threading.local):
    axis: ClipAxis | None = None


_call = _Call()


def current_clip_axis() -> ClipAxis | None:
    """Give the clip axis of the call that is running in this thread; None outside."""
    return _call.axis


def call_with_clip_axis(model: Callable[[Tensor], Any], clips: Tensor, mask: Tensor | None) -> Any:
    """Fold clips (B, T, ...) into frames and call the model on them, with the clip axis known inside."""
    outer = _call.axis
    _call.axis = ClipAxis(clips.shape[0], clips.shape[1], mask)
    try:
        return model(clips.flatten(0, 1))
    finally:
        _call.axis = outer
