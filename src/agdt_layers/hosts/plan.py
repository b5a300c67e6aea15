"""The plan of an insertion: which submodules the names mean, which cannot or should not be followed, and the table."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn

from agdt_layers import checks
from agdt_layers.attention import AdaptiveGlobalAttention
from agdt_layers.hosts.trial import FeatureMap, ModelCopy, first_line, shape_of

# The name of the child that is the attention: after its own parent, or after a submodule further up.
OWN, FURTHER_UP = "agdt_attention", "agdt_attention_further_up"
# The attribute of a hooked submodule that holds the handle of its hook.
HANDLE = "_agdt_handle"
# They handle only the parameters, or the code, that they found when they were made. By name, because importing them
# takes longer than the rest of this package.
_CLOSED_WRAPPERS = {"DistributedDataParallel", "FullyShardedDataParallel", "FSDPModule", "ScriptModule"}
Factory = Callable[[int], nn.Module]


@dataclass(frozen=True)
class Placement:
    """Attention after one submodule.

    Attributes:
        name: of the submodule in the model.
        channels: C of its output.
        sizes: (H, W) of its output, for every time the example runs it.
        parameters: number of parameters added.
        multiply_adds: added per image or frame, counted by torch's FlopCounterMode (halved): convolutions and matrix
            products, no elementwise work.
        channels_last: the output is (N, H, W, C); it is permuted for the attention, and back.
        path: of the attention below the submodule; its state-dict keys are ``<name>.<path>.*``, and with channels
            last ``<name>.<path>.layer.*``.
        hooked: a forward hook calls the attention, because the submodule does not call it itself.
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
        warnings: what may remove the attention again, one sentence each.
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
    """Return the factory of every submodule that a name or pattern means."""
    if isinstance(attention, str) or not isinstance(attention, (Mapping, Sequence)):
        raise TypeError(
            "insert_attention expects names of submodules as a list, or attention classes by name as a dict; "
            f"got {attention!r}. One name is [{attention!r}]."
        )
    if not attention or not all(isinstance(name, str) for name in attention):
        raise ValueError(
            f"insert_attention expects at least one name of a submodule, each a string; got {attention!r}."
        )
    if not isinstance(attention, Mapping):
        attention = dict.fromkeys(attention, AdaptiveGlobalAttention)
    modules = {
        name: module
        for name, module in model.named_modules(remove_duplicate=False)
        if name and not {OWN, FURTHER_UP} & set(name.split("."))
    }
    chosen: dict[str, Factory] = {}
    pattern_of: dict[nn.Module, str] = {}
    for pattern, factory in attention.items():
        if isinstance(factory, nn.Module) or not callable(factory):
            raise TypeError(
                f"insert_attention expects a class or another maker of layers for {pattern!r}, got "
                f"{type(factory).__name__}: every place needs a layer of its own. Give the class, or a "
                "functools.partial of it."
            )
        names = [name for name in modules if _matches(name, pattern)]
        if not names:
            near = difflib.get_close_matches(pattern, modules, n=4, cutoff=0.4)
            near = near or [name for name in modules if "." not in name][:4]
            raise ValueError(
                f"No submodule of {type(model).__name__} is named {pattern!r}. The nearest: {', '.join(near)}."
            )
        for name in names:
            module = modules[name]
            if module in pattern_of and pattern_of[module] != pattern:
                raise ValueError(
                    f"{name!r} is named twice, by {pattern_of[module]!r} and by {pattern!r}. Leave one out."
                )
            if OWN in module._modules or HANDLE in module.__dict__:
                raise ValueError(f"{name!r} has attention already. Take it out first: remove_attention(model).")
            if module not in pattern_of:
                _refuse_wrapper(model, name)
                pattern_of[module], chosen[name] = pattern, factory
    return chosen


def chosen_axes(channels_last: bool | Mapping[str, bool] | None, names: Collection[str]) -> dict[str, bool]:
    """Return what the caller says about channels last, by the names of the places."""
    if channels_last is None:
        return {}
    if not isinstance(channels_last, Mapping):
        return dict.fromkeys(names, checks.flag("insert_attention", "channels_last", channels_last))
    chosen: dict[str, bool] = {}
    for pattern, value in channels_last.items():
        value = checks.flag("insert_attention", f"channels_last[{pattern!r}]", value)
        matching = [name for name in names if _matches(name, str(pattern))]
        if not matching:
            raise ValueError(
                f"insert_attention got channels_last for {pattern!r}, which is none of the places {', '.join(names)}."
            )
        chosen.update(dict.fromkeys(matching, value))
    return chosen


def _matches(name: str, pattern: str) -> bool:
    parts, patterns = name.split("."), pattern.split(".")
    return len(parts) == len(patterns) and all(map(fnmatchcase, parts, patterns))


def _refuse_wrapper(model: nn.Module, name: str) -> None:
    """Refuse a submodule in, or that is, a wrapper which would not take a new layer in."""
    for around, module in model.named_modules(remove_duplicate=False):
        if around and not f"{name}.".startswith(f"{around}."):
            continue
        if around == name and "_orig_mod" in module._modules:
            raise ValueError(
                f"{name!r} is the wrapper that torch.compile put around a module. Name the module: '{name}._orig_mod'."
            )
        wrappers = {base.__name__ for base in type(module).__mro__} & _CLOSED_WRAPPERS
        if wrappers:
            raise ValueError(
                f"{name!r} is in a {wrappers.pop()}, which takes no new layers once it is made. Insert attention into "
                "the model first, then wrap or compile it."
            )


def warnings_of_replacement(copy: ModelCopy, names: Collection[str]) -> tuple[str, ...]:
    """Warn of single layers, which tools find by their class and replace; blocks stay what they are."""
    single = [name for name in names if _is_single_layer(copy.model.get_submodule(name))]
    if not single:
        return ()
    name, block = single[0], copy.enclosing_block(single[0])
    others = f" (and {len(single) - 1} more)" if len(single) > 1 else ""
    layer = type(copy.model.get_submodule(name)).__name__
    return (
        f"Attention after {name!r}{others} is lost, though its keys may stay, when a tool replaces this {layer}, as "
        "SyncBatchNorm conversion, conv-bn fusion and quantisation do. Use the tool first and insert_attention "
        f"afterwards{'' if block is None else f', or insert after {block!r}'}.",
    )


def _is_single_layer(module: nn.Module) -> bool:
    if any(module.children()):
        # Norms are replaced whatever they hold: timm's hold their activation.
        return isinstance(module, (nn.BatchNorm2d, nn.SyncBatchNorm, nn.GroupNorm, nn.LayerNorm))
    bases = set(type(module).__mro__) - {nn.Module}
    return any(base.__module__.startswith("torch.nn.modules.") for base in bases)


def made(factory: Factory, name: str, channels: int, like: Tensor, num_frames: int | None) -> nn.Module:
    """Make a layer for a number of channels, where ``like`` is and in its dtype."""
    with _naming(name, f"be made for {channels} channels"), torch.device(like.device):
        layer = factory(channels)
    if not isinstance(layer, nn.Module):
        raise TypeError(f"The attention for {name!r} made {type(layer).__name__}, expected a torch.nn.Module.")
    with _naming(name, f"be moved to {like.device}"):
        layer.to(device=like.device, dtype=like.dtype)
    for part in layer.modules() if num_frames is not None else ():
        if hasattr(part, "num_frames"):
            if part.num_frames not in (None, num_frames):
                raise ValueError(
                    f"The attention for {name!r} is made with num_frames={part.num_frames}, and insert_attention got "
                    f"num_frames={num_frames}. Leave one out."
                )
            part.num_frames = num_frames  # type: ignore[assignment]
    return layer


def nearest_parameter(model: nn.Module, name: str) -> Tensor:
    parts = name.split(".")
    for number in range(len(parts), -1, -1):
        for parameter in model.get_submodule(".".join(parts[:number])).parameters():
            if parameter.is_floating_point():
                return parameter
    return torch.empty(0)


def multiply_adds(layer: nn.Module, name: str, output: FeatureMap, like: Tensor) -> int:
    """Count the multiply-adds of an image or frame, and check that the layer keeps the shape of the map."""
    # Not above: with torch's CUDA builds it imports triton, which takes longer than the rest of this package.
    from torch.utils.flop_counter import FlopCounterMode

    # A layer made for clips of T frames takes that many.
    frames = math.lcm(*(getattr(part, "num_frames", None) or 1 for part in layer.modules()))
    flops = []
    sizes = list(output.sizes)
    if any(output.channels in size for size in sizes):
        # A layer on the last axis, such as nn.Linear, keeps this shape too.
        sizes.append((sizes[0][0] + 1, sizes[0][1] + 1))
    for size in sizes:
        x = like.new_zeros(frames, output.channels, *size)
        with _naming(name, f"be called with a map (N, C, H, W) = {tuple(x.shape)}"):
            trial = ModelCopy(layer, (x,))
            with FlopCounterMode(display=False) as counter:
                shape = shape_of(trial.run())
        if shape != tuple(x.shape):
            raise ValueError(
                f"The attention for {name!r} turns {tuple(x.shape)} into {shape}; it must keep the shape of a map."
            )
        flops.append(counter.get_total_flops())
    return sum(flops[: len(output.sizes)]) // (2 * frames)


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
    owner: dict[object, str] = dict.fromkeys((*model.modules(), *model.parameters()), "a part of the model")
    for name, layer in layers.items():
        for part in (layer, *layer.parameters()):
            if part in owner:
                raise ValueError(
                    f"The attention for {name!r} is, or shares parameters with, {owner[part]}. Every place needs a "
                    "layer of its own: make a new one at every call."
                )
            owner[part] = f"that for {name!r}"
