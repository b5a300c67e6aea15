"""What an insertion will do, found by running a copy of the model: where, how many channels, at what cost."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from agdt_layers.trial_run import abstract_twin, check_maps

# The name of the child that is the attention: after its own parent, or after a submodule further up.
OWN, FURTHER_UP = "agdt_attention", "agdt_attention_further_up"
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
        path: of the attention below the submodule; its state-dict keys are ``<name>.<path>.*``.
        hooked: a forward hook calls the attention, because the submodule does not by itself.
    """

    name: str
    channels: int
    sizes: tuple[tuple[int, int], ...]
    parameters: int
    multiply_adds: int
    path: str
    hooked: bool


@dataclass(frozen=True)
class InsertionPlan:
    """What :func:`insert_attention` does or did; ``print`` it.

    Attributes:
        placements: one a place, in the model's order.
    """

    placements: tuple[Placement, ...]

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
    model: nn.Module, factories: Mapping[str, Callable[[int], nn.Module]], example_input: Tensor | tuple[Any, ...]
) -> InsertionPlan:
    """Find channels, sizes, cost and the way to call attention, for every name in factories."""
    inputs = example_input if isinstance(example_input, tuple) else (example_input,)
    twin, inputs = abstract_twin(model, inputs)
    outputs = _outputs(twin, list(factories), lambda: twin(*inputs))
    placements = []
    carriers: set[nn.Module] = set()
    for name, factory in factories.items():
        maps = outputs[name]
        check_maps(name, maps, inputs)
        channels = maps[0].shape[1]
        sizes = tuple((m.shape[2], m.shape[3]) for m in maps)
        parameters, multiply_adds = _cost(name, factory, channels, sizes)
        path, hooked = _way_to_call(twin.get_submodule(name), lambda: twin(*inputs), carriers)
        placements.append(Placement(name, channels, sizes, parameters, multiply_adds, path, hooked))
    return InsertionPlan(tuple(placements))


def _outputs(model: nn.Module, names: list[str], run: _Run) -> dict[str, list[Any]]:
    outputs: dict[str, list[Any]] = {name: [] for name in names}
    hooks = [
        model.get_submodule(name).register_forward_hook(lambda _m, _i, output, name=name: outputs[name].append(output))
        for name in names
    ]
    with torch.no_grad():
        run()
    for hook in hooks:
        hook.remove()
    return outputs


def _cost(
    name: str, factory: Callable[[int], nn.Module], channels: int, sizes: tuple[tuple[int, int], ...]
) -> tuple[int, int]:
    with torch.device("meta"):
        layer = factory(channels)
    if not isinstance(layer, nn.Module):
        raise TypeError(f"The attention for {name!r} made {type(layer).__name__}, expected a torch.nn.Module.")
    layer.eval()
    # Not above: with torch's CUDA builds it imports triton, which takes longer than the rest of this package.
    from torch.utils.flop_counter import FlopCounterMode

    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        for height, width in sizes:
            x = torch.empty(1, channels, height, width, device="meta")
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
