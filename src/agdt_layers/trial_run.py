"""A model run on a copy, at no cost where that is possible: what shapes come out, and of how many channels."""

from __future__ import annotations

import copy
import itertools
from typing import Any

import torch
from torch import Tensor, nn


def abstract_twin(model: nn.Module, inputs: tuple[Any, ...]) -> tuple[nn.Module, tuple[Any, ...]]:
    """Give a copy of the model that can be run at no cost, on the meta device, or else where the model is."""
    without_values: dict[int, Any] = {}
    for tensor in itertools.chain(model.parameters(), model.buffers()):
        meta = torch.empty_like(tensor, device="meta")
        without_values[id(tensor)] = nn.Parameter(meta, False) if isinstance(tensor, nn.Parameter) else meta
    twin = copy.deepcopy(model, without_values).eval()
    abstract = tuple(value.to("meta") if isinstance(value, Tensor) else value for value in inputs)
    try:
        with torch.no_grad():
            twin(*abstract)
    except Exception:
        # Tensors that are no buffers, or values that steer the forward pass, do not exist on the meta device.
        return copy.deepcopy(model).eval(), inputs
    return twin, abstract


def output_channels(model: nn.Module) -> int:
    """Give C of a model that turns images (N, 3, H, W) into feature maps (N, C, h, w)."""
    like = next((p for p in model.parameters() if p.is_floating_point()), torch.empty(0))
    twin, inputs = abstract_twin(model, (torch.zeros(1, 3, 224, 224, device=like.device, dtype=like.dtype),))
    with torch.no_grad():
        output = twin(*inputs)
    check_maps(type(model).__name__, [output], inputs)
    return output.shape[1]


def check_maps(name: str, maps: list[Any], inputs: tuple[Any, ...]) -> None:
    if not maps:
        raise ValueError(f"The example input does not run {name!r}. Name a submodule that the model calls.")
    for output in maps:
        if not isinstance(output, Tensor) or output.ndim != 4:
            came = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
            raise ValueError(
                f"The output of {name!r} is {came}; attention follows a feature map (N, C, H, W). "
                "Name a submodule that gives one."
            )
        if _channels_are_last(output, inputs):
            raise ValueError(
                f"The output of {name!r}, {tuple(output.shape)}, has its channels last, (N, H, W, C), and attention "
                "follows (N, C, H, W). Name a submodule that gives the latter."
            )
    counts = sorted({output.shape[1] for output in maps})
    if len(counts) > 1:
        raise ValueError(
            f"{name!r} runs {len(maps)} times with {counts} channels; one attention layer has one number of channels. "
            "Name a submodule that always gives the same."
        )


def _channels_are_last(output: Tensor, inputs: tuple[Any, ...]) -> bool:
    image = next((value for value in inputs if isinstance(value, Tensor) and value.ndim >= 4), None)
    if image is None:
        return False
    height, width = image.shape[-2:]

    def keeps_proportions(rows: int, columns: int) -> bool:
        # One row or column more or less is what rounding at a stride may do.
        return abs(rows * width - columns * height) <= height + width

    return keeps_proportions(*output.shape[1:3]) and not keeps_proportions(*output.shape[2:4])
