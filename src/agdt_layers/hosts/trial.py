"""Trial runs: run a copy of the model on an example to find which feature map each submodule outputs.

If possible, the copy has no values and runs on the meta device, at no cost. It also runs on images of twice the
height and of twice the width: rows grow with the height, columns with the width, channels with neither. That
distinguishes (N, C, H, W) from (N, H, W, C). The shape at one size does not: the first maps of a Swin at 384 x 384 are
(1, 96, 96, 96). If the model fails at another size, the shapes from before the failure still count.
"""

from __future__ import annotations

import copy
import itertools
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from agdt_layers.torch_compat import uncompiled

# The shape of a tensor, or the name of any other type.
Shape = tuple[int, ...] | str
# The output shapes of each submodule, one per call, in the order in which the first calls returned.
Calls = defaultdict[str, list[Shape]]
_Inputs = tuple[Any, ...]
# The axes of channels, rows and columns, by channels_last.
_AXES = {False: (1, 2, 3), True: (3, 1, 2)}
# The axis of images (..., C, H, W) that each additional run doubles.
_DOUBLED = {"channels": -3, "height": -2, "width": -1}


class FeatureMap(NamedTuple):
    """The output of a submodule: C, whether C is the last axis, and (H, W) for each call."""

    channels: int
    channels_last: bool
    sizes: tuple[tuple[int, int], ...]


class ModelCopy:
    """A copy of a model in eval mode, and the output shapes of its submodules on an example."""

    def __init__(self, model: nn.Module, inputs: _Inputs) -> None:
        try:
            self._start(_without_values(model), _mapped(inputs, lambda x: x.to("meta")))
        except Exception:  # a tensor that is not a buffer, control flow by values, quantised or lazy weights
            try:
                self._start(copy.deepcopy(model), inputs)
            except Exception as error:
                shapes = ", ".join(str(shape_of(value)) for value in inputs)
                raise ValueError(
                    f"{type(model).__name__} failed on the example input {shapes}: {type(error).__name__}: "
                    f"{first_line(error)}"
                ) from error
        self._first_names = {module: name for name, module in self.model.named_modules()}

    def _start(self, model: nn.Module, inputs: _Inputs) -> None:
        self.model, self._inputs = model.eval(), inputs
        self._calls: Calls = defaultdict(list)
        _record(self.model, inputs, self._calls)

    def run(self) -> Any:
        return _run(self.model, self._inputs)

    def feature_map(self, name: str, channels_last: bool | None = None) -> FeatureMap:
        """Describe the output of a submodule. ``channels_last`` is the caller's answer, if given.

        Raises:
            ValueError: the output is not a feature map, or its channel axis is unknown or contradicts the caller.
        """
        possible = self._feature_maps(name)
        chosen = [each for each in possible if channels_last in (None, each.channels_last)]
        if len(chosen) == 1:
            return chosen[0]
        shapes, grown = self._shapes(name)
        if not shapes:
            reason = (
                f"{name!r} is never called itself: it is a container, or the model is a torch.fx graph or uses "
                "activation checkpointing. Insert attention before tracing or checkpointing, or after a part of it. "
                f"{self._nearest_feature_maps(name)}"
            )
        elif not possible:
            others = (f", and {_listed(each)} at twice the {side}" for side, each in grown.items() if each != shapes)
            reason = (
                f"The output of {name!r} is {_listed(shapes)}{''.join(others)}; expected a feature map, (N, C, H, W) "
                "or (N, H, W, C), with a fixed C, H that grows only with the image's height, and W that grows only "
                f"with its width. {self._nearest_feature_maps(name)}"
            )
        elif chosen:
            reason = (
                f"The output of {name!r} is {shapes[0]}, and trial runs at other sizes do not show whether axis 1 or 3 "
                f"is the channels. Pass channels_last={{{name!r}: False}} for axis 1, True for axis 3."
            )
        else:
            reason = (
                f"insert_attention got channels_last={channels_last} for {name!r}, but trial runs at other sizes show "
                f"that axis {1 if channels_last else 3} of its output, {shapes[0]}, is the channels."
            )
        raise ValueError(reason)

    def _feature_maps(self, name: str) -> list[FeatureMap]:
        """Return the possible readings of the output: one, both layouts if the runs are ambiguous, or none."""
        shapes, grown = self._shapes(name)
        maps = [shape for shape in shapes if not isinstance(shape, str) and len(shape) == 4]
        if not maps or len(maps) < len(shapes):
            return []
        possible = []
        for last, (channel, row, column) in _AXES.items():
            moving = {"height": row, "width": column}
            fits = all(_same_but_for(moving[side], maps, others) for side, others in grown.items())
            if fits and len({shape[channel] for shape in maps}) == 1:
                sizes = tuple((shape[row], shape[column]) for shape in maps)
                possible.append(FeatureMap(maps[0][channel], last, sizes))
        return possible

    def _shapes(self, name: str) -> tuple[list[Shape], dict[str, list[Shape]]]:
        """Return the shapes of all outputs, and those at twice the height and width, or {} if these are unknown."""
        first_name = self._first_names[self.model.get_submodule(name)]
        shapes = self._calls[first_name]
        grown = {side: calls[first_name] for side, calls in self._grown.items()}
        # A model that accepts any number of channels may have an (N, H, W, C) example, whose axis -2 is the width.
        any_channels = len(grown.pop("channels")) == len(shapes)
        known = not any_channels and all(len(others) == len(shapes) for others in grown.values())
        return shapes, grown if known else {}

    @cached_property
    def _grown(self) -> dict[str, Calls]:
        return {side: self._calls_at_twice(axis) for side, axis in _DOUBLED.items()}

    def _calls_at_twice(self, axis: int) -> Calls:
        sizes: list[torch.Size] = []

        def double(x: Tensor) -> Tensor:
            if x.ndim < 4:
                return x
            x = torch.cat([x, x], axis)
            sizes.append(x.shape[-2:])
            return x

        inputs, model = _mapped(self._inputs, double), self.model
        calls: Calls = defaultdict(list)
        with suppress(Exception):  # the model may accept a single size
            if sizes and hasattr(model, "set_input_size"):  # timm's models with a fixed size
                model = copy.deepcopy(model)
                model.set_input_size(img_size=tuple(sizes[0]))  # type: ignore[operator]
            _record(model, inputs, calls)
        return calls

    def _nearest_feature_maps(self, name: str) -> str:
        """Name submodules that output feature maps: containing or contained ones first, blocks before layers."""
        run = [other for other, shapes in self._calls.items() if shapes and other]
        here = run.index(name) if name in run else len(run)

        def distance(other: str) -> tuple[bool, bool, int]:
            related = other.startswith(f"{name}.") or name.startswith(f"{other}.")
            layer = not any(self.model.get_submodule(other).children())
            return not related, layer, abs(run.index(other) - here)

        near = itertools.islice(filter(self._feature_maps, sorted(run, key=distance)), 4)
        return f"Nearest feature maps: {', '.join(map(repr, near)) or 'none'}."


def shape_of(value: Any) -> Shape:
    return tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__


def first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _listed(shapes: Sequence[Shape]) -> str:
    return " and ".join(map(str, dict.fromkeys(shapes)))


def _same_but_for(axis: int, maps: Sequence[tuple[int, ...]], others: list[Shape]) -> bool:
    return all(
        not isinstance(other, str) and shape[:axis] + shape[axis + 1 :] == other[:axis] + other[axis + 1 :]
        for shape, other in zip(maps, others, strict=True)
    )


def _mapped(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Copy an input and apply ``change`` to each tensor, including those in lists, tuples and dicts."""
    return tree_map(lambda leaf: change(leaf) if isinstance(leaf, Tensor) else copy.deepcopy(leaf), value)


def _without_values(model: nn.Module) -> nn.Module:
    on_meta: dict[int, Any] = {}
    for tensor in itertools.chain(model.parameters(), model.buffers()):
        meta = torch.empty_like(tensor, device="meta")
        on_meta[id(tensor)] = nn.Parameter(meta, False) if isinstance(tensor, nn.Parameter) else meta
    return copy.deepcopy(model, on_meta)


def _run(model: nn.Module, inputs: _Inputs) -> Any:
    with torch.no_grad(), uncompiled():
        return model(*_mapped(inputs, lambda x: x.detach().clone()))  # the model may modify its inputs


def _record(model: nn.Module, inputs: _Inputs, calls: Calls) -> None:
    """Run the model and add the output shapes of its submodules to ``calls``, up to an error if it raises."""
    hooks = [
        module.register_forward_hook(lambda _module, _args, output, name=name: calls[name].append(shape_of(output)))
        for name, module in model.named_modules()
        if not isinstance(module, torch.jit.ScriptModule)  # supports no such hooks
    ]
    try:
        _run(model, inputs)
    finally:
        for hook in hooks:
            hook.remove()
