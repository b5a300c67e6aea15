"""A model run on a copy, at no cost where that is possible: what its submodules are given and what comes out.

The copy is also run on images of twice the height and of twice the width, which tells the axes of a map apart.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Mapping
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from agdt_layers.torch_compat import uncompiled

# Of a tensor its shape, of anything else the name of its type.
Shape = tuple[int, ...] | str
_Inputs = tuple[Any, ...]


class Call(NamedTuple):
    """One call of a submodule: a tensor like the map that it was given, None if it was not given one, and what came."""

    given: Tensor | None
    output: Shape


Calls = Mapping[str, list[Call]]


class ModelCopy:
    """A copy of a model that can be run at no cost, on the meta device, or else where the model is."""

    def __init__(self, model: nn.Module, inputs: _Inputs) -> None:
        self.name = type(model).__name__
        if any(map(is_lazy, itertools.chain(model.parameters(), model.buffers()))):
            raise ValueError(f"{self.name} has parameters that have no shape yet. Call it once before.")
        # What every submodule was given and gave, in the order in which their first calls ended.
        self.calls: Calls
        try:
            self.model, self.inputs = _without_values(model), tuple(_on_meta(value) for value in inputs)
            self.calls = _calls(self.model, self.inputs)
        except Exception:
            # Tensors that are no buffers, values that steer the forward pass, and quantised weights do not exist on the
            # meta device.
            self.model, self.inputs = copy.deepcopy(model).eval(), inputs
            try:
                self.calls = _calls(self.model, self.inputs)
            except Exception as error:
                shapes = ", ".join(str(shape_of(value)) for value in inputs)
                reason = str(error).partition("\n")[0]
                raise ValueError(
                    f"{self.name} cannot be run on the example input {shapes}: {type(error).__name__}: {reason}"
                ) from error
        self._names = {module: name for name, module in self.model.named_modules()}

    def run(self) -> Any:
        return _run(self.model, self.inputs)

    def calls_of(self, name: str) -> list[Call]:
        return self.calls[self._first_name(name)]

    def grown_calls_of(self, name: str) -> Mapping[str, list[Call]]:
        return {axes: calls[self._first_name(name)] for axes, calls in self.grown.items()}

    def _first_name(self, name: str) -> str:
        return self._names[self.model.get_submodule(name)]

    @cached_property
    def grown(self) -> Mapping[str, Calls]:
        """The calls at twice the height, "H", and at twice the width, "W"; or, if the model takes neither, at twice
        both, "HW"; empty if it takes one size alone, or no images.
        """
        if any(_is_image(value) for value in self.inputs):
            for growths in ({"H": (2, 1), "W": (1, 2)}, {"HW": (2, 2)}):
                for settable in (False, True):
                    try:
                        return {axes: self._calls_at(*growth, settable) for axes, growth in growths.items()}
                    except Exception:
                        # A model may refuse a size; the next one may work.
                        continue
        return {}

    def _calls_at(self, taller: int, wider: int, settable: bool) -> Calls:
        inputs = tuple(_grown(value, {-2: taller, -1: wider}) if _is_image(value) else value for value in self.inputs)
        model = self.model
        if settable:
            # Through this method, timm's models that are made for one size take another.
            model = copy.deepcopy(model)
            height, width = next(value.shape[-2:] for value in inputs if _is_image(value))
            model.set_input_size(img_size=(height, width))  # type: ignore[operator]
        calls = _calls(model, inputs)
        if {name: len(each) for name, each in calls.items()} != {n: len(each) for n, each in self.calls.items()}:
            raise ValueError("Another size runs other submodules.")
        return calls

    def shapes_alone(self, name: str, number: int, rows: int, columns: int) -> Mapping[str, Shape]:
        """Run a submodule alone on its map of the given call, at twice its rows, "H", and at twice its columns, "W"."""
        given = self.calls_of(name)[number].given
        if given is None:
            return {}
        module = self.model.get_submodule(name)
        try:
            return {
                axes: shape_of(_run(module, (_grown(given, {axis: 2}),)))
                for axes, axis in (("H", rows), ("W", columns))
            }
        except Exception:
            return {}


def shape_of(value: Any) -> Shape:
    return tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__


def _without_values(model: nn.Module) -> nn.Module:
    on_meta: dict[int, Any] = {}
    for tensor in itertools.chain(model.parameters(), model.buffers()):
        meta = torch.empty_like(tensor, device="meta")
        on_meta[id(tensor)] = nn.Parameter(meta, False) if isinstance(tensor, nn.Parameter) else meta
    return copy.deepcopy(model, on_meta).eval()


def _on_meta(value: Any) -> Any:
    return value.to("meta") if isinstance(value, Tensor) else value


def _is_image(value: Any) -> bool:
    return isinstance(value, Tensor) and value.ndim >= 4


def _grown(x: Tensor, factors: Mapping[int, int]) -> Tensor:
    repeats = [1] * x.ndim
    for axis, factor in factors.items():
        repeats[axis] = factor
    return x.repeat(repeats)


def copied(inputs: _Inputs) -> _Inputs:
    """Copy inputs for a model that may write to them."""
    return tuple(value.detach().clone() if isinstance(value, Tensor) else copy.deepcopy(value) for value in inputs)


def _run(module: nn.Module, inputs: _Inputs) -> Any:
    with torch.no_grad(), uncompiled():
        return module(*copied(inputs))


def _calls(model: nn.Module, inputs: _Inputs) -> Calls:
    calls: dict[str, list[Call]] = {}

    def record(name: str, args: _Inputs, output: Any) -> None:
        given = args[0] if len(args) == 1 and isinstance(args[0], Tensor) and args[0].ndim == 4 else None
        # Shape, dtype and device of the map without its memory.
        like = None if given is None else given.new_zeros(()).expand(given.shape)
        calls.setdefault(name, []).append(Call(like, shape_of(output)))

    hooks = [
        module.register_forward_hook(lambda _module, args, output, name=name: record(name, args, output))
        for name, module in model.named_modules()
        if not isinstance(module, torch.jit.ScriptModule)  # which takes no such hooks
    ]
    try:
        _run(model, inputs)
    finally:
        for hook in hooks:
            hook.remove()
    for name, _ in model.named_modules():
        calls.setdefault(name, [])
    return calls
