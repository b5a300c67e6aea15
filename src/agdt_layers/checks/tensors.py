"""What tensors may come in: images, clips, frame vectors, each in its dtype and on its device."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from agdt_layers.checks.settings import DTYPES, by_name, positive_integer, shown
from agdt_layers.torch_compat import is_autocast_enabled, is_inference, is_jit_tracing


def floating(layer: str, x: object) -> None:
    """Accept a dense tensor of real numbers."""
    if not isinstance(x, Tensor):
        raise TypeError(f"{layer} expects a torch.Tensor, got {type(x).__name__}.")
    _dense(layer, x)
    if x.dtype not in DTYPES:
        fix = "Convert it with x.float()."
        if x.is_complex():
            fix = "Take its .abs() or .real."
        elif x.dtype == torch.uint8:
            fix = "Convert it with x.float() / 255."
        raise TypeError(f"{layer} expects a real floating-point tensor, got {x.dtype}. {fix}")


def _dense(layer: str, x: Tensor) -> None:
    if x.is_quantized:
        raise TypeError(f"{layer} expects a dense tensor of numbers, got a quantised one. Take x.dequantize().")
    if x.is_nested:
        raise TypeError(
            f"{layer} expects a dense tensor, got a nested one. Take torch.nested.to_padded_tensor(x, 0) and a mask."
        )
    if x.layout != torch.strided:
        raise TypeError(f"{layer} expects a dense tensor, got {x.layout}. Take x.to_dense().")


def example(function: str, value: object) -> None:
    """Accept an input of a model, or a tuple of its inputs, of which the tensors are dense."""
    if not isinstance(value, (Tensor, tuple)):
        raise TypeError(
            f"{function} expects example_input to be an input of the model, a tensor, or a tuple of its inputs; "
            f"got {shown(value)}."
        )
    for x in value if isinstance(value, tuple) else (value,):
        if isinstance(x, Tensor):
            _dense(function, x)


def same_device(layer: str, x: Tensor, parameter: Tensor | None) -> None:
    """Accept x where its parameters are; and no tensor of inference mode where gradients are to be found."""
    if parameter is not None and parameter.requires_grad and torch.is_grad_enabled() and is_inference(x):
        raise ValueError(
            f"{layer} got a tensor that was made in inference mode, and has parameters that want gradients. "
            "Call it with torch.no_grad(), or on x.clone()."
        )
    if parameter is not None and x.device != parameter.device and not parameter.is_meta:
        raise ValueError(
            f"{layer} expects its input on {parameter.device}, where its parameters are; got {x.device}. "
            f'Make it there, or move it with x.to("{parameter.device}").'
        )


def module_device(layer: str, x: Tensor, module: nn.Module) -> None:
    """Accept x on the device of the module's first parameter."""
    for parameter in module.parameters():
        same_device(layer, x, parameter)
        break


def module_dtype(layer: str, x: Tensor, module: nn.Module) -> None:
    """Accept x in the dtype of the module's first parameter, as :func:`parameter_dtype` does."""
    for parameter in module.parameters():
        parameter_dtype(layer, x, parameter)
        break


def parameter_dtype(layer: str, x: Tensor, parameter: Tensor) -> None:
    """Accept x in the parameters' dtype; under autocast, which converts both, in any."""
    same_device(layer, x, parameter)
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
        fix = (
            "Is it (N, H, W, C)? Then x.permute(0, 3, 1, 2)."
            if x.shape[3] == channels
            else "The layer was made for another number of channels."
        )
        raise ValueError(
            f"{layer} expects (N, C, H, W); got {tuple(x.shape)}: axis 1 should be the {channels} channels. {fix}"
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
        num_frames = positive_integer(layer, "num_frames", num_frames)
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
    # By None and not by `or`: an older compiler specialises on the T whose truth it reads.
    frames = made_for if num_frames is None else num_frames
    frames = 1 if frames is None else frames
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
        fix = (
            "Is it (B, C, T)? Then x.transpose(1, 2)."
            if x.shape[1] == channels
            else "The layer was made for another number of channels."
        )
        raise ValueError(
            f"{layer} expects (B, T, C); got {tuple(x.shape)}: axis 2 should be the {channels} channels. {fix}"
        )
    _not_empty(layer, x, {"T": 1})


def stream_state(layer: str, state: Mapping[str, Tensor], channels: Mapping[str, int], num_frames: int) -> None:
    """Accept tensors (B, K, C) of these names and channels, K the same for all and below num_frames; or nothing."""
    by_name(layer, "state", state)
    if not state:
        return
    if sorted(map(str, state)) != sorted(channels):
        raise ValueError(
            f"{layer} expects the state of a stream of the same net, with {', '.join(channels)}; "
            f"got {', '.join(map(str, state))}."
        )
    for name, value in state.items():
        floating(layer, value)
        if value.is_meta:
            raise ValueError(f"{layer} got a state without numbers: its {name!r} is on the meta device.")
    lengths = {tuple(value.shape[:2]) for value in state.values()}
    if len(lengths) > 1 or any(value.ndim != 3 for value in state.values()):
        raise ValueError(f"{layer} expects tensors (B, K, C) of one B and one K; got {sorted(lengths)}.")
    for name, value in state.items():
        if value.shape[2] != channels[name]:
            raise ValueError(
                f"{layer} expects the state of a stream of the same net, with {name} (B, K, {channels[name]}); "
                f"got {tuple(value.shape)}."
            )
    if any(length >= num_frames for _, length in lengths):
        raise ValueError(
            f"{layer} keeps at most num_frames - 1 = {num_frames - 1} frames; got the state of a longer window. "
            "Make the stream with the num_frames of the stream that was saved."
        )
