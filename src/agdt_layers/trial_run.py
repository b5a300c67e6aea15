"""What each submodule outputs, from a run of a copy of the model: a feature map, or why not, and which others do."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import fx, nn

from agdt_layers.channel_axis import NoFeatureMap, channel_axis
from agdt_layers.model_copy import ModelCopy


class FeatureMap(NamedTuple):
    """The output of a submodule: C, the axis of C, and (H, W) of every call."""

    channels: int
    channel_axis: int
    sizes: tuple[tuple[int, int], ...]


def output_channels(model: nn.Module) -> int:
    """Give C of a model that turns images (N, 3, H, W) into feature maps (N, C, h, w)."""
    like = next((p for p in model.parameters() if p.is_floating_point()), torch.empty(0))
    copy = ModelCopy(model, (torch.zeros(1, 3, 224, 224, device=like.device, dtype=like.dtype),))
    output = feature_map(copy, "")
    if output.channel_axis != 1:
        raise ValueError(
            f"{copy.name} gives {copy.calls_of('')[0].output}, (N, H, W, C); expected (N, C, H, W). "
            "End it with x.permute(0, 3, 1, 2)."
        )
    return output.channels


def feature_map(model: ModelCopy, name: str) -> FeatureMap:
    """Describe the output of a submodule; :class:`NoFeatureMap` says why attention cannot follow it."""
    shapes = [call.output for call in model.calls_of(name)]
    if not shapes:
        raise NoFeatureMap(_why_not_run(model, name))
    maps = []
    for number, shape in enumerate(shapes):
        if isinstance(shape, str) or len(shape) != 4:
            tokens = "" if isinstance(shape, str) or len(shape) != 3 else ", tokens without rows and columns"
            raise NoFeatureMap(
                f"The output of {name or model.name!r} is {shape}{tokens}; attention follows a feature map, "
                "(N, C, H, W) or (N, H, W, C)."
            )
        axis = channel_axis(model, name, number, shape)
        maps.append((shape[axis], axis, shape[2:] if axis == 1 else shape[1:3]))
    counts = sorted({(channels, axis) for channels, axis, _ in maps})
    if len(counts) > 1:
        raise NoFeatureMap(
            f"{name!r} runs {len(maps)} times with {[channels for channels, _ in counts]} channels; one attention "
            "layer has one number of channels, on one axis."
        )
    ((channels, axis),) = counts
    return FeatureMap(channels, axis, tuple((height, width) for _, _, (height, width) in maps))


def nearest_feature_maps(model: ModelCopy, name: str) -> str:
    """Say which submodules output feature maps: those around it and inside it first, blocks before layers."""
    order = [other for other, calls in model.calls.items() if calls and other]
    here = order.index(name) if name in order else len(order)

    def distance(other: str) -> tuple[bool, bool, int, int]:
        relative = other.startswith(f"{name}.") or name.startswith(f"{other}.")
        layer = not any(model.model.get_submodule(other).children())
        depth = other.count(".")
        return not relative, layer, abs(depth - name.count(".")) if relative else depth, abs(order.index(other) - here)

    near = []
    for other in sorted(order, key=distance):
        try:
            feature_map(model, other)
        except NoFeatureMap:
            continue
        near.append(other)
        if len(near) == 4:
            break
    if not near:
        return f"No submodule of {model.name} gives one."
    return f"The nearest that do: {', '.join(map(repr, near))}."


def enclosing_block(model: ModelCopy, name: str) -> str | None:
    """Name the nearest submodule around this one that outputs a feature map too."""
    while "." in name:
        name = name.rpartition(".")[0]
        try:
            feature_map(model, name)
        except NoFeatureMap:
            continue
        return name
    return None


def _why_not_run(model: ModelCopy, name: str) -> str:
    module = model.model.get_submodule(name)
    if not any(calls and other.startswith(f"{name}.") for other, calls in model.calls.items()):
        return f"The example input does not run {name!r}, which would have to give a feature map."
    if any(isinstance(around, fx.GraphModule) for around in _around(model.model, name)):
        return (
            f"{name!r} itself is not run, only its parts are: the model is a graph of torch.fx. Insert attention "
            "before the model is traced, or after a part."
        )
    if type(module).forward is nn.Module.forward:
        return f"{name!r} is not run, only its parts are: {type(module).__name__} only holds them."
    return (
        f"{name!r} itself is not run, only its parts are, as with activation checkpointing. Insert attention first "
        "and turn checkpointing on afterwards, or insert it after a part."
    )


def _around(model: nn.Module, name: str) -> list[nn.Module]:
    parts = name.split(".")
    return [model.get_submodule(".".join(parts[:number])) for number in range(len(parts) + 1)]
