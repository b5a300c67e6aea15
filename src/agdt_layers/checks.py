"""What may come in. The only place where an error about a shape, a mask or a setting is worded.

Every function names the layer, what was expected, what came and the likely mend. Settings are checked
when a layer is made, tensors when it is called.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, nn

from agdt_layers.torch_compat import has_values, is_autocast_enabled, is_jit_tracing


def positive_integer(layer: str, name: str, value: object) -> None:
    # While torch.jit traces, sizes are tensors; they hold for every size, and have nothing to be compared with.
    if is_jit_tracing():
        return
    if isinstance(value, bool) or not isinstance(value, (int, torch.SymInt)):
        raise TypeError(f"{layer} expects {name} to be an integer, got {value!r}.")
    if value < 1:
        raise ValueError(f"{layer} expects {name} to be at least 1, got {value}.")


def odd_kernel(layer: str, name: str, value: object) -> None:
    positive_integer(layer, name, value)
    if isinstance(value, int) and value % 2 == 0:
        raise ValueError(
            f"{layer} expects an odd {name}, so that the output is as long as the input; got {value}. "
            f"Take {value - 1} or {value + 1}."
        )


def divides(layer: str, name: str, value: int, of: str, total: int) -> None:
    positive_integer(layer, name, value)
    if total % value:
        near = ", ".join(str(n) for n in range(1, total + 1) if total % n == 0 and n <= 2 * value)
        raise ValueError(f"{layer} expects {name} to divide {of}={total}, got {value}. Possible: {near}.")


def one_of(layer: str, name: str, value: object, choices: Sequence[str]) -> None:
    if value not in choices:
        raise ValueError(f"{layer} expects {name} to be one of {', '.join(choices)}; got {value!r}.")


def probability(layer: str, name: str, value: float) -> None:
    if not 0.0 <= value < 1.0:
        raise ValueError(f"{layer} expects {name} in [0, 1), got {value}.")


def floating(layer: str, x: object) -> None:
    if not isinstance(x, Tensor):
        raise TypeError(f"{layer} expects a torch.Tensor, got {type(x).__name__}.")
    if not x.is_floating_point():
        raise TypeError(
            f"{layer} expects a real floating-point tensor, got {x.dtype}. "
            + ("Take its .abs() or .real." if x.is_complex() else "Convert it with x.float().")
        )


def module_dtype(layer: str, x: Tensor, module: nn.Module) -> None:
    """Accept x in the dtype of the module's first parameter, as :func:`parameter_dtype` does."""
    # torch 2.6 cannot compile next(module.parameters(), None).
    for parameter in module.parameters():
        parameter_dtype(layer, x, parameter)
        break


def parameter_dtype(layer: str, x: Tensor, parameter: Tensor) -> None:
    """Accept x in the parameters' dtype; under autocast, which converts both, in any."""
    if x.dtype != parameter.dtype and not is_autocast_enabled(x.device.type):
        raise TypeError(
            f"{layer} expects its parameters' dtype, {parameter.dtype}; got {x.dtype}. "
            f"Convert the input with x.to({parameter.dtype}) or the layer with .to({x.dtype})."
        )


def _not_empty(layer: str, x: Tensor, axes: dict[str, int]) -> None:
    for name, axis in axes.items():
        if x.shape[axis] == 0:
            raise ValueError(f"{layer} got {tuple(x.shape)}: axis {axis} ({name}) is empty; it must be at least 1.")


def images(layer: str, x: Tensor, channels: int) -> None:
    """Accept (N, C, H, W)."""
    floating(layer, x)
    if x.ndim != 4:
        raise ValueError(
            f"{layer} expects (N, C, H, W) with C = {channels}; got {x.ndim} axes, {tuple(x.shape)}."
            + (" Fold a clip first: x.flatten(0, 1)." if x.ndim == 5 else "")
        )
    if x.shape[1] != channels:
        mend = (
            "Is it (N, H, W, C)? Then x.permute(0, 3, 1, 2)."
            if x.shape[3] == channels
            else "The layer was made for another number of channels."
        )
        raise ValueError(
            f"{layer} expects (N, C, H, W); got {tuple(x.shape)}: axis 1 should be the {channels} channels. {mend}"
        )
    _not_empty(layer, x, {"H": 2, "W": 3})


def clips(layer: str, x: Tensor, channels: int | None) -> None:
    """Accept (B, T, C, H, W), of any C where channels is None."""
    floating(layer, x)
    if x.ndim != 5:
        known = "" if channels is None else f" with C = {channels}"
        raise ValueError(
            f"{layer} expects clips (B, T, C, H, W){known}; got {x.ndim} axes, {tuple(x.shape)}."
            + (" One clip is x.unsqueeze(0)." if x.ndim == 4 else "")
        )
    if channels is not None and x.shape[2] != channels:
        if x.shape[1] == channels:
            fix = "Is it (B, C, T, H, W)? Then x.transpose(1, 2)."
        elif x.shape[4] == channels:
            fix = "Is it (B, T, H, W, C)? Then x.permute(0, 1, 4, 2, 3)."
        else:
            fix = "The layer was made for another number of channels."
        raise ValueError(
            f"{layer} expects (B, T, C, H, W); got {tuple(x.shape)}: axis 2 should be the {channels} channels. {fix}"
        )
    _not_empty(layer, x, {"T": 1, "H": 3, "W": 4})


def fold(layer: str, x: Tensor, channels: int, made_for: int | None, num_frames: int | None) -> tuple[Tensor, int]:
    """Give the frames of clips, images or folded frames as (B*T, C, H, W), and T.

    ``num_frames`` is the call's, ``made_for`` the constructor's number of frames; the latter serves folded
    input only, because (B, T, C, H, W) says itself how long its clips are.
    """
    floating(layer, x)
    if num_frames is not None:
        positive_integer(layer, "num_frames", num_frames)
    if x.ndim == 5:
        clips(layer, x, channels)
        if num_frames is not None and num_frames != x.shape[1]:
            raise ValueError(
                f"{layer} got num_frames={num_frames} and {tuple(x.shape)}, whose axis 1 says T = {x.shape[1]}. "
                "Leave num_frames out for (B, T, C, H, W)."
            )
        return x.flatten(0, 1), x.shape[1]
    if x.ndim != 4:
        raise ValueError(
            f"{layer} expects (B, T, C, H, W), (B, C, H, W) or folded (B*T, C, H, W) with C = {channels}; "
            f"got {x.ndim} axes, {tuple(x.shape)}."
        )
    images(layer, x, channels)
    frames = num_frames or made_for or 1
    if not is_jit_tracing() and x.shape[0] % frames:
        raise ValueError(
            f"{layer} expects folded frames (B*T, C, H, W) with T = num_frames = {frames}; got {tuple(x.shape)}: "
            f"axis 0, {x.shape[0]}, is not a multiple of {frames}. Pass num_frames=1 for single images."
        )
    return x, frames


def clip_axis(layer: str, x: Tensor, total: int, num_frames: int) -> None:
    """Accept maps that still hold, on axis 0, the frames of the clips that were folded around the layer."""
    if isinstance(x, Tensor) and x.ndim == 4 and x.shape[0] != total:
        raise ValueError(
            f"{layer} expects the {total} frames of the clips, {num_frames} per clip, on axis 0; got {tuple(x.shape)}. "
            "Something between the clips and this layer cut or joined axis 0: place the layer before it."
        )


def sequence(layer: str, x: Tensor, channels: int) -> None:
    """Accept frame vectors (B, T, C)."""
    floating(layer, x)
    if x.ndim != 3:
        raise ValueError(
            f"{layer} expects frame vectors (B, T, C) with C = {channels}; got {x.ndim} axes, {tuple(x.shape)}."
            + (" One clip is x.unsqueeze(0)." if x.ndim == 2 else "")
        )
    if x.shape[2] != channels:
        mend = (
            "Is it (B, C, T)? Then x.transpose(1, 2)."
            if x.shape[1] == channels
            else "The layer was made for another number of channels."
        )
        raise ValueError(
            f"{layer} expects (B, T, C); got {tuple(x.shape)}: axis 2 should be the {channels} channels. {mend}"
        )
    _not_empty(layer, x, {"T": 1})


def frame_mask(layer: str, mask: Tensor | None, batch: int, num_frames: int) -> None:
    """Accept a boolean (B, T), True where a frame is real; its values are the matter of :func:`real_frames`."""
    if mask is None:
        return
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


def stream_state(layer: str, state: Mapping[str, Tensor], names: Sequence[str], num_frames: int) -> None:
    """Accept tensors (B, K, C) of these names, K the same for all and below num_frames."""
    if sorted(state) != sorted(names):
        raise ValueError(
            f"{layer} expects the state of a stream of the same net, with {', '.join(names)}; "
            f"got {', '.join(map(str, state)) or 'nothing'}."
        )
    lengths = {tuple(value.shape[:2]) for value in state.values()}
    if len(lengths) > 1 or any(value.ndim != 3 for value in state.values()):
        raise ValueError(f"{layer} expects tensors (B, K, C) of one B and one K; got {sorted(lengths)}.")
    if any(length >= num_frames for _, length in lengths):
        raise ValueError(
            f"{layer} keeps at most num_frames - 1 = {num_frames - 1} frames; got the state of a longer window. "
            "Make the stream with the num_frames of the stream that was saved."
        )
