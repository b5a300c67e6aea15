"""Checks of settings, tensors and masks, with their error messages.

Every message names the layer, what it expected and what it got, and suggests a fix. Layers check settings in
``__init__`` and tensors in ``forward``.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from numbers import Integral, Real
from typing import Any

import torch
from torch import Tensor, nn

from agdt_layers.torch_compat import has_values, is_autocast_enabled, is_inference, is_jit_tracing

DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


def positive_integer(layer: str, name: str, value: Any, at_most: int | None = None) -> int:
    """Return an integer of any type as an int. Sizes of traced tensors are returned unchanged."""
    # torch.jit traces sizes as tensors without a fixed value, so there is nothing to compare.
    if is_jit_tracing() and isinstance(value, Tensor):
        return value  # type: ignore[return-value]
    if isinstance(value, bool) or not isinstance(value, (Integral, torch.SymInt)):
        raise TypeError(f"{layer} expects {name} to be an integer, got {shown(value)}.")
    number: Any = value if isinstance(value, (int, torch.SymInt)) else int(value)
    if number < 1:
        raise ValueError(f"{layer} expects {name} to be at least 1, got {shown(value)}.")
    if at_most is not None and number > at_most:
        raise ValueError(f"{layer} expects {name} to be at most {at_most:,}, got {shown(value)}.")
    return number


# For the number of parameters, layers or iterations. The limit is far beyond any model: a larger number is a typing
# error that would exhaust memory or never finish.
size = partial(positive_integer, at_most=2**16)


def odd_kernel(layer: str, name: str, value: Any) -> int:
    number = positive_integer(layer, name, value, at_most=1023)
    if number % 2 == 0:
        raise ValueError(
            f"{layer} expects an odd {name}, so that the output is as long as the input; got {number}. "
            f"Use {number - 1} or {number + 1}."
        )
    return number


def divides(layer: str, name: str, value: Any, of: str, total: int) -> int:
    number = positive_integer(layer, name, value)
    if total % number:
        near = ", ".join(str(n) for n in range(1, min(total, 2 * number) + 1) if total % n == 0)
        raise ValueError(f"{layer} expects {name} to divide {of}={total}, got {shown(value)}. Possible: {near}.")
    return number


def one_of(layer: str, name: str, value: object, choices: Sequence[str]) -> None:
    if not isinstance(value, str) or value not in choices:
        kind = ValueError if isinstance(value, str) else TypeError
        raise kind(f"{layer} expects {name} to be one of {', '.join(choices)}; got {shown(value)}.")


def flag(layer: str, name: str, value: Any) -> bool:
    of_numpy = type(value).__module__ == "numpy" and type(value).__name__ in ("bool", "bool_")
    if not isinstance(value, bool) and not of_numpy:
        raise TypeError(f"{layer} expects {name} to be True or False, got {shown(value)}.")
    return bool(value)


def probability(layer: str, name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{layer} expects {name} to be a number in [0, 1), got {shown(value)}.")
    if not 0.0 <= float(value) < 1.0:
        raise ValueError(f"{layer} expects {name} in [0, 1), got {shown(value)}.")
    return float(value)


def module(function: str, name: str, value: object) -> None:
    if not isinstance(value, nn.Module):
        fix = f" Create one: {value.__name__}(...)." if isinstance(value, type) and issubclass(value, nn.Module) else ""
        raise TypeError(f"{function} expects {name} to be a torch.nn.Module, got {shown(value)}.{fix}")


def layer_factory(function: str, name: str, value: object) -> None:
    """Accept a callable that creates layers, but not a layer, which is callable too."""
    if isinstance(value, nn.Module) or not callable(value):
        raise TypeError(
            f"{function} expects {name} to be a layer class or a function of the number of channels, got "
            f"{shown(value)}. Pass the class, or a functools.partial of it."
        )


def by_name(layer: str, name: str, value: object) -> None:
    if not isinstance(value, Mapping):
        raise TypeError(f"{layer} expects {name} to be a dict with names as keys, got {shown(value)}.")


def factory(layer: str, device: Any, dtype: Any) -> dict[str, Any]:
    """Return device and dtype as keyword arguments of torch's layers."""
    if dtype is not None and not (isinstance(dtype, torch.dtype) and dtype in DTYPES):
        names = ", ".join(map(str, DTYPES))
        raise TypeError(f"{layer} expects dtype to be one of {names}; got {shown(dtype)}.")
    known = isinstance(device, (str, int, torch.device)) and not isinstance(device, bool)
    try:
        torch.empty(0, device=device if known else None)
    except Exception:  # the type depends on the device and on the build of torch
        raise ValueError(f'{layer} expects device to be available here, such as "cpu"; got {shown(device)}.') from None
    if not known and device is not None:
        raise TypeError(f'{layer} expects device to be a torch.device or a string such as "cpu"; got {shown(device)}.')
    return {"device": device, "dtype": dtype}


def shown(value: object) -> str:
    """Return the repr of a value for a message, or the name of its type if the repr is long."""
    shown = repr(value)
    return shown if len(shown) <= 60 and "\n" not in shown and " at 0x" not in shown else type(value).__name__


def floating(layer: str, x: object) -> None:
    """Accept a dense tensor of real numbers."""
    if not isinstance(x, Tensor):
        raise TypeError(f"{layer} expects a torch.Tensor, got {type(x).__name__}.")
    dense(layer, x)
    if x.dtype not in DTYPES:
        fix = "Convert it with x.float()."
        if x.is_complex():
            fix = "Use x.abs() or x.real."
        elif x.dtype == torch.uint8:
            fix = "Convert it with x.float() / 255."
        raise TypeError(f"{layer} expects a real floating-point tensor, got {x.dtype}. {fix}")


def dense(layer: str, x: Tensor, name: str = "x") -> None:
    if x.is_quantized:
        raise TypeError(f"{layer} expects {name} to be a dense tensor, got a quantised one. Use {name}.dequantize().")
    if x.is_nested:
        raise TypeError(
            f"{layer} expects {name} to be a dense tensor, got a nested one. Use "
            f"torch.nested.to_padded_tensor({name}, 0)" + (" and a mask." if name == "x" else ".")
        )
    if x.layout != torch.strided:
        raise TypeError(f"{layer} expects {name} to be a dense tensor, got {x.layout}. Use {name}.to_dense().")


def example(function: str, value: object) -> None:
    """Accept a tensor or a tuple of model inputs whose tensors are dense."""
    if not isinstance(value, (Tensor, tuple)):
        raise TypeError(
            f"{function} expects example_input to be a tensor or a tuple of the model's inputs, got {shown(value)}."
        )
    for x in value if isinstance(value, tuple) else (value,):
        if isinstance(x, Tensor):
            dense(function, x)


def module_device(layer: str, x: Tensor, module: nn.Module) -> None:
    """Accept x on the device of the module's first parameter, and inference tensors only if no gradient is needed."""
    for parameter in module.parameters():  # older compilers cannot trace next()
        if parameter.requires_grad and torch.is_grad_enabled() and is_inference(x):
            raise ValueError(
                f"{layer} got a tensor created in inference mode, but its parameters require gradients. "
                "Call it under torch.no_grad(), or pass x.clone()."
            )
        if x.device != parameter.device and not parameter.is_meta:
            raise ValueError(
                f"{layer} expects its input on {parameter.device}, where its parameters are; got {x.device}. "
                f'Move it with x.to("{parameter.device}").'
            )
        break


def module_dtype(layer: str, x: Tensor, module: nn.Module) -> None:
    """Accept x in the dtype of the module's first parameter, or in any dtype under autocast, which converts both."""
    module_device(layer, x, module)
    for parameter in module.parameters():
        if x.dtype != parameter.dtype and not is_autocast_enabled(x.device.type):
            raise TypeError(
                f"{layer} expects its parameters' dtype, {parameter.dtype}; got {x.dtype}. "
                f"Convert the input with x.to({parameter.dtype}) or the layer with .to({x.dtype})."
            )
        break


def _axes(
    layer: str, x: Tensor, axes: str, channels: int | None, one_clip: dict[int, str], swapped: dict[int, str]
) -> None:
    """Accept a tensor with these axes and this number of channels, or any number if it is None.

    If the number of axes is wrong, ``one_clip`` suggests a fix by the number of axes. If the channels are on another
    axis, ``swapped`` suggests a fix by that axis.
    """
    floating(layer, x)
    listed = f"({', '.join(axes)})"
    if x.ndim != len(axes):
        kind = {"NCHW": "", "BTCHW": "clips ", "BTC": "frame vectors "}[axes]
        known = "" if channels is None else f" with C = {channels}"
        raise ValueError(
            f"{layer} expects {kind}{listed}{known}; got {x.ndim} axes, {tuple(x.shape)}.{one_clip.get(x.ndim, '')}"
        )
    axis = axes.index("C")
    if channels is not None and x.shape[axis] != channels:
        fixes = [fix for other, fix in swapped.items() if x.shape[other] == channels]
        fix = (*fixes, "The layer was created for a different number of channels.")[0]
        raise ValueError(
            f"{layer} expects {listed}; got {tuple(x.shape)}: axis {axis} should be the {channels} channels. {fix}"
        )
    for axis, name in enumerate(axes):
        if name in "THW" and x.shape[axis] == 0:
            raise ValueError(f"{layer} got {tuple(x.shape)}: axis {axis} ({name}) must not be empty.")


def images(layer: str, x: Tensor, channels: int) -> None:
    """Accept (N, C, H, W)."""
    one_clip = {5: " Fold a clip first: x.flatten(0, 1)."}
    _axes(layer, x, "NCHW", channels, one_clip, {3: "Is it (N, H, W, C)? Then x.permute(0, 3, 1, 2)."})


def clips(layer: str, x: Tensor, channels: int | None) -> None:
    """Accept (B, T, C, H, W); if channels is None, with any C."""
    swapped = {
        1: "Is it (B, C, T, H, W)? Then x.transpose(1, 2).",
        4: "Is it (B, T, H, W, C)? Then x.permute(0, 1, 4, 2, 3).",
    }
    _axes(layer, x, "BTCHW", channels, {4: " One clip is x.unsqueeze(0)."}, swapped)


def sequence(layer: str, x: Tensor, channels: int) -> None:
    """Accept frame vectors (B, T, C)."""
    one_clip = {2: " One clip is x.unsqueeze(0)."}
    _axes(layer, x, "BTC", channels, one_clip, {1: "Is it (B, C, T)? Then x.transpose(1, 2)."})


def fold(layer: str, x: Tensor, channels: int, made_for: int | None, num_frames: int | None) -> tuple[Tensor, int]:
    """Return the frames of clips, images or folded frames as (B*T, C, H, W), and T.

    ``num_frames`` is the argument of the call, ``made_for`` that of the constructor, which applies to folded input
    only: the shape (B, T, C, H, W) already contains T.
    """
    if num_frames is not None:
        num_frames = positive_integer(layer, "num_frames", num_frames)
    if isinstance(x, Tensor) and x.ndim == 5:
        clips(layer, x, channels)
        if num_frames is not None and num_frames != x.shape[1]:
            raise ValueError(
                f"{layer} got num_frames={num_frames}, but axis 1 of {tuple(x.shape)} means T = {x.shape[1]}. "
                "Omit num_frames for (B, T, C, H, W)."
            )
        return x.flatten(0, 1), x.shape[1]
    if isinstance(x, Tensor) and x.ndim != 4:
        floating(layer, x)
        raise ValueError(
            f"{layer} expects (B, T, C, H, W), (B, C, H, W) or folded (B*T, C, H, W) with C = {channels}; "
            f"got {x.ndim} axes, {tuple(x.shape)}."
        )
    images(layer, x, channels)
    # Not `num_frames or made_for`: older compilers specialise on a T whose truth value is read.
    frames = made_for if num_frames is None else num_frames
    return x, 1 if frames is None else folded(layer, x, frames)


def folded(layer: str, x: Tensor, num_frames: int) -> int:
    """Accept folded frames (B*T, C, H, W) of T = num_frames."""
    if not is_jit_tracing() and x.shape[0] % num_frames:
        raise ValueError(
            f"{layer} expects folded frames (B*T, C, H, W) with T = num_frames = {num_frames}; got {tuple(x.shape)}: "
            f"axis 0, {x.shape[0]}, is not a multiple of {num_frames}. Pass num_frames=1 for single images."
        )
    return num_frames


def clip_axis(layer: str, x: Tensor, total: int, num_frames: int) -> None:
    """Accept maps whose axis 0 still holds all frames of the clips that were folded outside the layer."""
    if isinstance(x, Tensor) and x.ndim == 4 and x.shape[0] != total:
        raise ValueError(
            f"{layer} expects the {total} frames of the clips, {num_frames} per clip, on axis 0; got {tuple(x.shape)}. "
            "The model changed the size of axis 0 before this layer: place the layer earlier."
        )


def stream_state(layer: str, state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Accept tensors with the expected names and shapes, apart from the first axis, B."""
    if sorted(map(str, state)) != sorted(expected):
        raise ValueError(
            f"{layer} expects the state of a stream of the same net with the keys {', '.join(expected)}; "
            f"got {', '.join(map(str, state))}."
        )
    batches = set()
    for name, like in expected.items():
        value = state[name]
        if not isinstance(value, Tensor) or value.is_floating_point() != like.is_floating_point() or value.is_meta:
            kind = "floating-point" if like.is_floating_point() else "integer"
            raise TypeError(f"{layer} expects {name!r} to be a {kind} tensor with values, got {shown(value)}.")
        if value.ndim != like.ndim or value.shape[1:] != like.shape[1:]:
            wanted = ", ".join(["B", *map(str, like.shape[1:])])
            raise ValueError(
                f"{layer} expects the state of a stream of the same net and num_frames, with {name!r} ({wanted}); "
                f"got {tuple(value.shape)}."
            )
        batches.add(value.shape[0])
    if len(batches) > 1:
        raise ValueError(f"{layer} expects the same number of streams, B, in every tensor; got {sorted(batches)}.")


def frame_mask(layer: str, mask: Tensor | None, batch: int, num_frames: int, device: torch.device) -> None:
    """Accept a boolean (B, T), True where a frame is real. :func:`real_frames` checks its values."""
    if mask is None:
        return
    if isinstance(mask, Tensor):
        dense(layer, mask, "mask")
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
            f'Move it with mask.to("{device}").'
        )


def no_mask(layer: str, mask: object) -> None:
    """Refuse a mask for images that do not form clips."""
    if mask is not None:
        raise ValueError(f"{layer} got a mask but not num_frames, the frames per clip. Pass num_frames=mask.shape[1].")


class _Checked(threading.local):
    """The mask whose values the outermost call has already checked."""

    def __init__(self) -> None:
        self.mask: Tensor | None = None


_checked = _Checked()


@contextmanager
def known(mask: Tensor) -> Iterator[None]:
    """Skip further checks of this mask, each of whose rows is known to have a True frame."""
    outer, _checked.mask = _checked.mask, mask
    try:
        yield
    finally:
        _checked.mask = outer


def real_frames(layer: str, mask: Tensor | None) -> AbstractContextManager[None]:
    """Check that a mask has a True frame in each clip. Return a context in which it is not checked again.

    An inverted mask raises only if it leaves a clip without a True frame. This is the only check that reads values,
    because reading them synchronises the CPU with the GPU.
    """
    if mask is None or not has_values(mask) or mask is _checked.mask:
        return nullcontext()
    some = mask.any(dim=1)
    if not some.all():
        row = int(some.logical_not().nonzero()[0])
        raise ValueError(
            f"{layer} got a mask whose row {row} is all False: clip {row} has no real frame. "
            "Drop the clip, or invert the mask if True marks padding."
        )
    return known(mask)
