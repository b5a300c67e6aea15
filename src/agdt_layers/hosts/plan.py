"""The plan of an insertion: resolve names to submodules, refuse unsuitable places, count costs, print the table."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from operator import attrgetter
from typing import TypeVar

import torch
from torch import Tensor, nn

from agdt_layers import checks
from agdt_layers.attention import AdaptiveGlobalAttention
from agdt_layers.hosts.trial import FeatureMap, ModelCopy, first_line, shape_of

# Names of the child that is the attention: of the submodule itself, or held for a submodule further up.
OWN, FURTHER_UP = "agdt_attention", "agdt_attention_further_up"
# The attribute of a hooked submodule that holds the handle of its hook.
HANDLE = "_agdt_handle"
# These handle only the parameters and code that they were created with. Compared by name, because importing them takes
# longer than importing the rest of this package.
_CLOSED_WRAPPERS = {"DistributedDataParallel", "FullyShardedDataParallel", "FSDPModule", "ScriptModule"}
Factory = Callable[[int], nn.Module]
Value = TypeVar("Value")


@dataclass(frozen=True)
class Placement:
    """Attention after one submodule.

    Attributes:
        name: of the submodule in the model.
        channels: C of its output.
        sizes: (H, W) of its output, for each time the example runs it.
        parameters: number of added parameters.
        multiply_adds: added multiply-adds per image or frame of convolutions and matrix products, without elementwise
            operations (half of what torch's FlopCounterMode counts).
        channels_last: whether the output is (N, H, W, C) and is permuted for the attention and back.
        path: path of the attention below the submodule. Its state-dict keys are ``<name>.<path>.*``, with channels
            last ``<name>.<path>.layer.*``.
        hooked: whether a forward hook calls the attention, because the submodule does not call it itself.
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
    """What :func:`insert_attention` does or did; ``print`` it for a table.

    Attributes:
        placements: one for each submodule, in the order of the given names.
        warnings: operations that would remove the attention again, one sentence each.
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


def chosen_places(model: nn.Module, attention: Mapping[str, Factory] | Sequence[str]) -> dict[str, Factory]:
    """Return the factory for every submodule that a name or pattern matches."""
    names = attention if isinstance(attention, (Mapping, Sequence)) else ()
    if isinstance(attention, str) or not names or not all(isinstance(name, str) for name in names):
        raise TypeError(
            "insert_attention expects attention to be a list of submodule names, or a dict from submodule names to "
            f"attention classes; got {checks.shown(attention)}."
        )
    if not isinstance(attention, Mapping):
        attention = dict.fromkeys(attention, AdaptiveGlobalAttention)
    for name, factory in attention.items():
        checks.layer_factory("insert_attention", f"attention[{name!r}]", factory)
    modules = {
        name: module
        for name, module in model.named_modules(remove_duplicate=False)
        if name and not {OWN, FURTHER_UP} & set(name.split("."))
    }
    chosen: dict[str, Factory] = {}
    first_names: dict[nn.Module, str] = {}
    for name, factory in _by_name(attention, modules, f"submodule of {type(model).__name__}").items():
        chosen[first_names.setdefault(modules[name], name)] = factory
    for name in chosen:
        _refuse_place(model, name)
    return chosen


def chosen_axes(channels_last: bool | Mapping[str, bool] | None, names: Collection[str]) -> dict[str, bool]:
    """Return the caller's channels_last for each place it is given for."""
    if channels_last is None:
        return {}
    if not isinstance(channels_last, Mapping):
        return dict.fromkeys(names, checks.flag("insert_attention", "channels_last", channels_last))
    flags = {key: checks.flag("insert_attention", f"channels_last[{key!r}]", on) for key, on in channels_last.items()}
    return _by_name(flags, names, "place for channels_last")


def _by_name(values: Mapping[str, Value], names: Collection[str], what: str) -> dict[str, Value]:
    """Map each name to the value of the last pattern that matches it; ``*`` and ``?`` match within one part."""
    chosen: dict[str, Value] = {}
    for pattern, value in values.items():
        parts = str(pattern).split(".")
        matching = [n for n in names if len(n.split(".")) == len(parts) and all(map(fnmatchcase, n.split("."), parts))]
        if not matching:
            near = difflib.get_close_matches(str(pattern), names, n=4, cutoff=0)
            raise ValueError(f"No {what} is named {pattern!r}. Closest names: {', '.join(near)}.")
        chosen.update(dict.fromkeys(matching, value))
    return chosen


def _around(model: nn.Module, name: str) -> Iterator[nn.Module]:
    """Yield a submodule and all modules that contain it, from the inside out."""
    while name:
        yield attrgetter(name)(model)  # a ScriptModule has no get_submodule
        name = name.rpartition(".")[0]
    yield model


def _refuse_place(model: nn.Module, name: str) -> None:
    """Refuse a submodule that has attention already, or that a wrapper closes to new layers."""
    module = next(_around(model, name))
    if OWN in module._modules or HANDLE in vars(module):
        raise ValueError(f"{name!r} has attention already. Call remove_attention(model) first.")
    if "_orig_mod" in module._modules:
        raise ValueError(f"{name!r} is a torch.compile wrapper. Name the module inside: '{name}._orig_mod'.")
    closed = {base.__name__ for each in _around(model, name) for base in type(each).__mro__} & _CLOSED_WRAPPERS
    if closed:
        raise ValueError(
            f"{name!r} is inside a {closed.pop()}, which accepts no new layers after it is created. Insert attention "
            "first, then wrap or compile the model."
        )


def warnings_of_replacement(model: nn.Module, names: Collection[str]) -> tuple[str, ...]:
    """Warn about single layers, which tools replace by class. Blocks are not replaced."""
    # Norms are replaced even if they have children: timm's contain their activation.
    norms = (nn.BatchNorm2d, nn.SyncBatchNorm, nn.GroupNorm, nn.LayerNorm)
    modules = {name: model.get_submodule(name) for name in names}
    single = [repr(name) for name, each in modules.items() if isinstance(each, norms) or not any(each.children())]
    if not single:
        return ()
    return (
        f"Attention after {', '.join(single)} is lost, though its keys may stay, if a tool replaces the layer, such as "
        "SyncBatchNorm conversion, conv-bn fusion or quantisation. Run the tool before insert_attention, or insert "
        "after the block that contains the layer.",
    )


def create_layer(factory: Factory, model: nn.Module, name: str, channels: int, num_frames: int | None) -> nn.Module:
    """Create a layer for a number of channels, on the device and in the dtype of the submodule."""
    like = _first_parameter(*_around(model, name))
    with _naming(name, f"be created for {channels} channels"):
        with torch.device(like.device):
            layer = factory(channels)
        if not isinstance(layer, nn.Module):
            raise TypeError(f"expected a torch.nn.Module, got {type(layer).__name__}")
        layer.to(device=like.device, dtype=like.dtype)
    for part in layer.modules() if num_frames is not None else ():
        if hasattr(part, "num_frames"):
            if part.num_frames not in (None, num_frames):
                raise ValueError(
                    f"The attention for {name!r} was created with num_frames={part.num_frames}, but insert_attention "
                    f"got num_frames={num_frames}. Omit one of them."
                )
            part.num_frames = num_frames  # type: ignore[assignment]
    return layer


def _first_parameter(*modules: nn.Module) -> Tensor:
    parameters = (p for module in modules for p in module.parameters() if p.is_floating_point())
    return next(parameters, torch.empty(0))


def costs(layer: nn.Module, name: str, output: FeatureMap) -> tuple[int, int]:
    """Return parameters and multiply-adds per image. Refuse a layer that does not keep the shape of the map."""
    # Imported here: with CUDA builds of torch it imports triton, which takes longer than the rest of this package.
    from torch.utils.flop_counter import FlopCounterMode

    # A layer for clips of T frames needs a multiple of T.
    frames = math.lcm(*(getattr(part, "num_frames", None) or 1 for part in layer.modules()))
    flops, like = [], _first_parameter(layer)
    sizes = list(output.sizes)
    if any(output.channels in size for size in sizes):
        # At such a size, a layer that acts on the last axis, such as nn.Linear, keeps the shape too.
        sizes.append((sizes[0][0] + 1, sizes[0][1] + 1))
    for size in sizes:
        x = torch.zeros(frames, output.channels, *size, device=like.device, dtype=like.dtype)
        with _naming(name, f"be called with a map (N, C, H, W) = {tuple(x.shape)}"):
            trial = ModelCopy(layer, (x,))
            with FlopCounterMode(display=False) as counter:
                shape = shape_of(trial.run())
        if shape != tuple(x.shape):
            raise ValueError(
                f"The attention for {name!r} turns {tuple(x.shape)} into {shape}; it must keep the shape of its input."
            )
        flops.append(counter.get_total_flops())
    parameters = sum(p.numel() for p in trial.model.parameters())
    return parameters, sum(flops[: len(output.sizes)]) // (2 * frames)


@contextmanager
def _naming(name: str, what: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        cause = error.__cause__ if isinstance(error.__cause__, Exception) else error
        raise ValueError(
            f"The attention for {name!r} cannot {what}: {type(cause).__name__}: {first_line(cause)}"
        ) from error


def refuse_shared(model: nn.Module, layers: Mapping[str, nn.Module]) -> None:
    """Refuse a layer that is shared, or shares parameters, with the model or with another new layer."""
    known: set[object] = {*model.modules(), *model.parameters()}
    for name, layer in layers.items():
        parts = {layer, *layer.parameters()}
        if parts & known:
            raise ValueError(
                f"The attention for {name!r} is shared, or shares parameters, with the model or with another place. "
                "Create a new layer at every call."
            )
        known |= parts
