"""What masks may be: their form at every call, their values at the outermost."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor

from agdt_layers.torch_compat import has_values


def frame_mask(layer: str, mask: Tensor | None, batch: int, num_frames: int, device: torch.device) -> None:
    """Accept a boolean (B, T), True where a frame is real; its values are the matter of :func:`real_frames`."""
    if mask is None:
        return
    if isinstance(mask, Tensor) and mask.layout != torch.strided:
        raise TypeError(f"{layer} expects a dense mask, got {mask.layout}. Take mask.to_dense().")
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool:
        came = mask.dtype if isinstance(mask, Tensor) else type(mask).__name__
        raise TypeError(
            f"{layer} expects mask to be a bool tensor (B, T), True where a frame is real; got {came}. "
            "Convert it with mask.bool()."
        )
    if mask.ndim != 2 or mask.shape[0] != batch or mask.shape[1] != num_frames:
        raise ValueError(
            f"{layer} expects mask (B, T) = ({batch}, {num_frames}), True where a frame is real; "
            f"got {tuple(mask.shape)}."
        )
    if mask.device != device:
        raise ValueError(
            f"{layer} expects mask on {device}, where its input is; got {mask.device}. "
            f'Make it there, or move it with mask.to("{device}").'
        )


class _Checked(threading.local):
    """The mask whose values the outermost call has checked."""

    def __init__(self) -> None:
        self.mask: Tensor | None = None


_checked = _Checked()


@contextmanager
def _known(mask: Tensor) -> Iterator[None]:
    outer, _checked.mask = _checked.mask, mask
    try:
        yield
    finally:
        _checked.mask = outer


def real_frames(layer: str, mask: Tensor | None) -> AbstractContextManager[None]:
    """Accept a mask with at least one real frame per clip, and give a context in which it is not checked again.

    No other check reads values: a GPU must finish all its work before it can tell them.
    """
    if mask is None or not has_values(mask) or mask is _checked.mask:
        return nullcontext()
    some = mask.any(dim=1)
    if not some.all():
        row = int(some.logical_not().nonzero()[0])
        raise ValueError(
            f"{layer} got a mask whose row {row} is all False: clip {row} has no real frame. "
            "Drop that clip, or is the mask inverted? True means real."
        )
    return _known(mask)
