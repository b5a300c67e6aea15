"""A trial run: a copy of the model is run on the example, which shows the feature map that each submodule outputs.

Where possible, the copy holds no values and runs on the meta device, at no cost. It is also run on images of twice the
height and of twice the width: rows scale with the height, columns with the width, channels with neither. That tells
(N, C, H, W) from (N, H, W, C). A shape at one size does not: the first maps of a Swin at 384 x 384 are (1, 96, 96, 96).
Where a run fails, because the model takes one size only, the submodules before the failure have shown their shapes.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from agdt_layers.torch_compat import uncompiled

# The shape of a tensor; of anything else the name of its type.
Shape = tuple[int, ...] | str
# The outputs of each submodule, one for each of its calls, in the order in which the first calls ended.
Calls = Mapping[str, list[Shape]]
_Inputs = tuple[Any, ...]
_Map = tuple[int, ...]
# For maps without and with channels last, the axes of the rows and of the columns.
_SPATIAL_AXES = {False: (2, 3), True: (1, 2)}
# The axes of images, (..., C, H, W), that are doubled in the further runs.
_DOUBLED = {"height": (-2,), "width": (-1,), "height and width": (-2, -1), "channels": (-3,)}


class FeatureMap(NamedTuple):
    """The output of a submodule: C, whether C is the last axis, and (H, W) of every call."""

    channels: int
    channels_last: bool
    sizes: tuple[tuple[int, int], ...]


class NoFeatureMap(ValueError):
    """Why attention cannot follow a submodule."""


class ModelCopy:
    """A copy of a model and the outputs of its submodules on an example; on the meta device where it runs there."""

    def __init__(self, model: nn.Module, inputs: _Inputs) -> None:
        self.name = type(model).__name__
        if any(map(is_lazy, itertools.chain(model.parameters(), model.buffers()))):
            raise ValueError(f"{self.name} has parameters that have no shape yet. Call it once before.")
        try:
            self.model, self.inputs = _without_values(model), _mapped(inputs, lambda x: x.to("meta"))
            self.calls, error = _calls(self.model, self.inputs)
        except Exception as reason:
            error = reason
        if error is not None:
            # A tensor that is no buffer, a value that steers the forward pass or a quantised weight has no counterpart
            # on the meta device.
            self.model, self.inputs = copy.deepcopy(model).eval(), inputs
            self.calls, error = _calls(self.model, self.inputs)
        if error is not None:
            shapes = ", ".join(str(shape_of(value)) for value in inputs)
            raise ValueError(
                f"{self.name} cannot be run on the example input {shapes}: {type(error).__name__}: {first_line(error)}"
            ) from error
        self._grown: dict[str, Calls] = {}
        self._first_names = {module: name for name, module in self.model.named_modules()}

    def run(self) -> Any:
        return _run(self.model, self.inputs)

    def feature_map(self, name: str, channels_last: bool | None = None) -> FeatureMap:
        """Describe the output of a submodule; the caller may say whether the channels are on the last axis.

        Raises:
            NoFeatureMap: attention cannot follow the submodule.
            ValueError: the axis of the channels is unknown, or is not the one that the caller says.
        """
        maps, possible = self._maps(name)
        if channels_last is not None:
            if channels_last not in possible:
                raise ValueError(
                    f"insert_attention got channels_last={channels_last} for {name!r}, but trial runs at other sizes "
                    f"show that its output, {maps[0]}, has the channels on axis {1 if channels_last else 3}."
                )
            possible = {channels_last}
        if len(possible) > 1:
            raise ValueError(
                f"The output of {name!r} is {maps[0]}; trial runs at other sizes do not tell whether axis 1 or axis 3 "
                f"holds the channels. Pass channels_last={{{name!r}: False}} for axis 1, True for axis 3."
            )
        (last,) = possible
        channels = sorted({shape[3 if last else 1] for shape in maps})
        if len(channels) > 1:
            raise NoFeatureMap(
                f"{name!r} runs {len(maps)} times, with {channels} channels; one attention layer takes one number."
            )
        rows, columns = _SPATIAL_AXES[last]
        return FeatureMap(channels[0], last, tuple((shape[rows], shape[columns]) for shape in maps))

    def nearest_feature_maps(self, name: str) -> str:
        """Say which submodules output feature maps: those around it and inside it first, blocks before layers."""
        run = [other for other, outputs in self.calls.items() if outputs and other]
        here = run.index(name) if name in run else len(run)

        def distance(other: str) -> tuple[bool, bool, int]:
            related = other.startswith(f"{name}.") or name.startswith(f"{other}.")
            layer = not any(self.model.get_submodule(other).children())
            return not related, layer, abs(run.index(other) - here)

        near = list(itertools.islice(filter(self._is_feature_map, sorted(run, key=distance)), 4))
        if not near:
            return f"No submodule of {self.name} gives one."
        return f"The nearest that do: {', '.join(map(repr, near))}."

    def enclosing_block(self, name: str) -> str | None:
        """Name the nearest submodule around this one that outputs a feature map too."""
        while "." in name:
            name = name.rpartition(".")[0]
            if self._is_feature_map(name):
                return name
        return None

    def _is_feature_map(self, name: str) -> bool:
        try:
            self._maps(name)
        except NoFeatureMap:
            return False
        return True

    def _maps(self, name: str) -> tuple[list[_Map], set[bool]]:
        """Return the shapes of all outputs, and the values of channels_last that agree with those at other sizes."""
        first_name = self._first_names[self.model.get_submodule(name)]
        outputs = self.calls[first_name]
        if not outputs and any(self.calls[other] for other in self.calls if other.startswith(f"{name}.")):
            raise NoFeatureMap(
                f"{name!r} itself is not run, only its parts: it only holds them, or the model is a graph of torch.fx "
                "or uses activation checkpointing. Insert attention before tracing or checkpointing, or after a part."
            )
        if not outputs:
            raise NoFeatureMap(f"The example input does not run {name!r}, so it gives no feature map.")
        maps: list[_Map] = []
        possible = {False, True}
        for number, shape in enumerate(outputs):
            if isinstance(shape, str) or len(shape) != 4:
                tokens = ", tokens without rows and columns" if not isinstance(shape, str) and len(shape) == 3 else ""
                raise NoFeatureMap(
                    f"The output of {name!r} is {shape}{tokens}; attention follows a feature map, (N, C, H, W) or "
                    "(N, H, W, C)."
                )
            maps.append(shape)
            possible &= _possible_axes(name, shape, self._shapes_at_other_sizes(first_name, number))
        if not possible:
            raise NoFeatureMap(f"{name!r} runs {len(maps)} times, with its channels on different axes.")
        return maps, possible

    def _shapes_at_other_sizes(self, first_name: str, number: int) -> dict[str, Shape]:
        """Return the shapes at twice the height and twice the width, or at twice both; empty if these are not known."""

        def shapes(doubled: str) -> list[Shape]:
            if doubled not in self._grown:
                self._grown[doubled] = self._calls_at(_DOUBLED[doubled])
            found = self._grown[doubled][first_name]
            return found if len(found) == len(self.calls[first_name]) else []

        # A model that takes any number of channels could have been given (N, H, W, C).
        for sides in () if shapes("channels") else (("height", "width"), ("height and width",)):
            if all(map(shapes, sides)):
                return {side: shapes(side)[number] for side in sides}
        return {}

    def _calls_at(self, axes: tuple[int, ...]) -> Calls:
        sizes: list[tuple[int, int]] = []

        def grow(x: Tensor) -> Tensor:
            if x.ndim < 4:
                return x
            x = x.repeat([2 if axis - x.ndim in axes else 1 for axis in range(x.ndim)])
            sizes.append((x.shape[-2], x.shape[-1]))
            return x

        inputs = _mapped(self.inputs, grow)
        calls, error = _calls(self.model, inputs)
        if error is not None and sizes and hasattr(self.model, "set_input_size"):
            settable, error = _calls(copy.deepcopy(self.model), inputs, sizes[0])
            calls = calls if error is not None else settable
        return calls


def _possible_axes(name: str, shape: _Map, grown: Mapping[str, Shape]) -> set[bool]:
    moved = {
        sides: {axis for axis in range(4) if len(other) != 4 or shape[axis] != other[axis]}
        for sides, other in grown.items()
    }
    if any(0 in axes for axes in moved.values()):
        raise NoFeatureMap(
            f"The output of {name!r}, {shape}, grows on axis 0 with the image: these are windows or regions, and "
            "attention follows maps of whole images."
        )
    possible = set()
    for last, (rows, columns) in _SPATIAL_AXES.items():
        may_move = {"height": {rows}, "width": {columns}, "height and width": {rows, columns}}
        if all(axes <= may_move[sides] for sides, axes in moved.items()):
            possible.add(last)
    if not possible:
        others = " and ".join(f"{other} at twice the {sides}" for sides, other in grown.items())
        raise NoFeatureMap(
            f"The output of {name!r} is {shape}, and {others}: not a feature map, (N, C, H, W) or (N, H, W, C), "
            "whose rows scale with the height of the image and columns with its width."
        )
    return possible


def shape_of(value: Any) -> Shape:
    return tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__


def first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def copied(inputs: _Inputs) -> _Inputs:
    """Copy inputs for a model that may write to them."""
    copies: _Inputs = _mapped(inputs, lambda x: x.detach().clone())
    return copies


def _mapped(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Copy an input with each tensor changed, also those in lists, tuples and dicts."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, dict):
        mapped = copy.copy(value)
        mapped.update((key, _mapped(each, change)) for key, each in value.items())
        return mapped
    if isinstance(value, (list, tuple)):
        parts = [_mapped(each, change) for each in value]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    return copy.deepcopy(value)


def _without_values(model: nn.Module) -> nn.Module:
    on_meta: dict[int, Any] = {}
    for tensor in itertools.chain(model.parameters(), model.buffers()):
        meta = torch.empty_like(tensor, device="meta")
        on_meta[id(tensor)] = nn.Parameter(meta, False) if isinstance(tensor, nn.Parameter) else meta
    return copy.deepcopy(model, on_meta).eval()


def _run(model: nn.Module, inputs: _Inputs) -> Any:
    with torch.no_grad(), uncompiled():
        return model(*copied(inputs))


def _calls(
    model: nn.Module, inputs: _Inputs, img_size: tuple[int, int] | None = None
) -> tuple[Calls, Exception | None]:
    """Run the model; return what its submodules gave, also before an error, and the error."""
    calls: dict[str, list[Shape]] = {}
    hooks = [
        module.register_forward_hook(
            lambda _module, _args, output, name=name: calls.setdefault(name, []).append(shape_of(output))
        )
        for name, module in model.named_modules()
        if not isinstance(module, torch.jit.ScriptModule)  # which takes no such hooks
    ]
    try:
        if img_size is not None:
            # With this method, timm's models that are made for one size take another.
            model.set_input_size(img_size=img_size)  # type: ignore[operator]
        _run(model, inputs)
    except Exception as error:
        return calls, error
    finally:
        for hook in hooks:
            hook.remove()
        for name, _ in model.named_modules():
            calls.setdefault(name, [])
    return calls, None


def output_channels(model: nn.Module) -> int:
    """Return C of a model that turns images (N, 3, H, W) into feature maps (N, C, h, w)."""
    like = next((p for p in model.parameters() if p.is_floating_point()), torch.empty(0))
    trial = ModelCopy(model, (like.new_zeros(1, 3, 224, 224),))
    shape = trial.calls[""][0]
    if isinstance(shape, str) or len(shape) != 4:
        raise ValueError(f"The output of {trial.name!r} is {shape}; expected a feature map, (N, C, H, W).")
    return shape[1]
