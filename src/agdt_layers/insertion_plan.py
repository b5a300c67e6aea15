"""What an insertion will do, found by running a copy of the model: where, how many channels, at what cost."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from agdt_layers.channel_axis import NoFeatureMap
from agdt_layers.model_copy import ModelCopy
from agdt_layers.places import FURTHER_UP, OWN, Factory
from agdt_layers.replaced_modules import refuse_wrapper, warnings_of_replacement
from agdt_layers.torch_compat import uncompiled
from agdt_layers.trial_run import FeatureMap, feature_map, nearest_feature_maps

_Run = Callable[[], object]


@dataclass(frozen=True)
class Placement:
    """Attention after one submodule.

    Attributes:
        name: of the submodule in the model.
        channels: C of its output.
        sizes: (H, W) of its output, for every time the example runs it.
        parameters: added.
        multiply_adds: added an image or frame, by torch's FlopCounterMode (halved), which counts convolutions and
            matrix products and no elementwise work.
        channels_last: the output is (N, H, W, C); it is permuted for the attention, and back.
        path: of the attention below the submodule; its state-dict keys are ``<name>.<path>.*``, and with channels
            last ``<name>.<path>.layer.*``.
        hooked: a forward hook calls the attention, because the submodule does not by itself.
    """

    name: str
    channels: int
    sizes: tuple[tuple[int, int], ...]
    parameters: int
    multiply_adds: int
    channels_last: bool
    path: str
    hooked: bool


@dataclass(frozen=True)
class InsertionPlan:
    """What :func:`insert_attention` does or did; ``print`` it.

    Attributes:
        placements: one a place, in the model's order.
        warnings: what may take the attention away again, one sentence each.
    """

    placements: tuple[Placement, ...]
    warnings: tuple[str, ...] = ()

    def __str__(self) -> str:
        rows = [("after", "channels", "map", "parameters", "multiply-adds")]
        rows += [
            (
                place.name,
                str(place.channels),
                ", ".join(f"{height}x{width}" for height, width in dict.fromkeys(place.sizes)),
                f"{place.parameters:,}",
                f"{place.multiply_adds:,}",
            )
            for place in self.placements
        ]
        total = sum(place.parameters for place in self.placements), sum(p.multiply_adds for p in self.placements)
        rows.append(("total", "", "", f"{total[0]:,}", f"{total[1]:,}"))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join("  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows)


def plan_insertion(
    model: nn.Module, factories: Mapping[str, Factory], example_input: Tensor | tuple[Any, ...]
) -> InsertionPlan:
    """Find channels, sizes, cost and the way to call attention, for every name in factories."""
    for name in factories:
        refuse_wrapper(model, name)
    copy = ModelCopy(model, example_input if isinstance(example_input, tuple) else (example_input,))
    placements = []
    carriers: set[nn.Module] = set()
    for name, factory in factories.items():
        output = _feature_map_or_advice(copy, name)
        parameters, multiply_adds = _cost(name, factory, output)
        path, hooked = _way_to_call(copy.model.get_submodule(name), copy.run, carriers)
        channels_last = output.channel_axis == 3
        placements.append(
            Placement(name, output.channels, output.sizes, parameters, multiply_adds, channels_last, path, hooked)
        )
    return InsertionPlan(tuple(placements), warnings_of_replacement(copy, list(factories)))


def _feature_map_or_advice(copy: ModelCopy, name: str) -> FeatureMap:
    try:
        return feature_map(copy, name)
    except NoFeatureMap as reason:
        raise ValueError(f"{reason} {nearest_feature_maps(copy, name)}") from None


def _cost(name: str, factory: Factory, output: FeatureMap) -> tuple[int, int]:
    with torch.device("meta"):
        layer = factory(output.channels)
    if not isinstance(layer, nn.Module):
        raise TypeError(f"The attention for {name!r} made {type(layer).__name__}, expected a torch.nn.Module.")
    layer.eval()
    # Not above: with torch's CUDA builds it imports triton, which takes longer than the rest of this package.
    from torch.utils.flop_counter import FlopCounterMode

    # Uncompiled, because torch 2.6 ends the process where a compiler meets the counter.
    with torch.no_grad(), uncompiled(), FlopCounterMode(display=False) as counter:
        for height, width in output.sizes:
            x = torch.empty(1, output.channels, height, width, device="meta")
            shape = tuple(layer(x).shape)
            if shape != tuple(x.shape):
                raise ValueError(
                    f"The attention for {name!r} turns {tuple(x.shape)} into {shape}; it must keep the shape of a map."
                )
    return sum(p.numel() for p in layer.parameters()), counter.get_total_flops() // 2


class _Witness(nn.Module):
    """Stands where attention would, and notes who calls it with what. It gives back what it got."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, ...]] = []

    def forward(self, *args: Any) -> Any:
        self.calls.append(args)
        return args[0] if args else None


@contextmanager
def _witness_in(carrier: nn.Module) -> Iterator[_Witness]:
    witness = _Witness()
    carrier.add_module("witness", witness)
    try:
        yield witness
    finally:
        del carrier._modules["witness"]


def _way_to_call(module: nn.Module, run: _Run, carriers: set[nn.Module]) -> tuple[str, bool]:
    """Give the path below module at which attention can be, and whether a hook has to call it there.

    carriers are the modules that hold the attention of one further up; a new one is added.
    """
    returned: list[object] = []
    for path, carrier in module.named_modules():
        if path and (carrier in carriers or FURTHER_UP in carrier._modules):
            continue
        returned.clear()
        hook = module.register_forward_hook(lambda _m, _i, output: returned.append(output))
        with _witness_in(carrier) as witness, torch.no_grad():
            try:
                run()
            except Exception:
                # A module that walks over its children in its own way may break on one more; only the calls count.
                continue
            finally:
                hook.remove()
        if not witness.calls:
            if path:
                carriers.add(carrier)
            return (f"{path}.{FURTHER_UP}" if path else OWN), True
        attended = [args[0] for args in witness.calls if len(args) == 1]
        if path == "" and len(attended) == len(returned) and all(map(_same, attended, returned)):
            return OWN, False
    raise ValueError(f"{type(module).__name__} runs all its descendants by itself; no place for attention was found.")


def _same(given: object, returned: object) -> bool:
    return given is returned
