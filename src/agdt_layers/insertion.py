"""Attention after any submodule of any 2-D CNN, without touching the host's code or its state-dict keys.

The attention becomes a child, ``agdt_attention``, of the submodule that it follows, so all that torch does to a
module it does to both: copy, pickle, move, replicate, save. A forward hook then calls the child. Some submodules
(nn.Sequential, the stages of timm's RegNet) run all their children one after the other; there the child is called
already and needs no hook. Others (the dense blocks of DenseNet) walk over their children in another way; there the
child goes to the nearest descendant that leaves it alone. Which of the three holds is found by trying it on a copy.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn

from agdt_layers.attention import AdaptiveGlobalAttention
from agdt_layers.global_attention import GlobalAttention
from agdt_layers.insertion_plan import FURTHER_UP, OWN, InsertionPlan, Placement, plan_insertion

_HANDLE = "_agdt_handle"
Factory = Callable[[int], nn.Module]


def insert_attention(
    model: nn.Module,
    attention: Mapping[str, Factory] | Sequence[str],
    *,
    example_input: Tensor | tuple[Any, ...],
    num_frames: int | None = None,
    dry_run: bool = False,
) -> InsertionPlan:
    """Put attention after submodules of a model, in place.

    The host's state-dict keys stay: its pretrained file loads before and after. The new keys are
    ``<submodule>.agdt_attention.*``.

    Args:
        model: any module with feature maps (N, C, H, W).
        attention: attention classes, or anything that makes a layer from a number of channels, by the name of the
            submodule that they follow; a list of names takes :class:`AdaptiveGlobalAttention` everywhere. ``*`` and
            ``?`` match within one part of a dotted name: ``layer3.*`` is every block of layer3.
        example_input: an input of the model, or a tuple of its inputs. The model is copied and run on it once or
            twice, on the meta device where it can be; the model itself is not run.
        num_frames: T of folded clips (B*T, C, H, W), for AGA. Not needed inside :class:`FrameWise`.
        dry_run: True only plans, and changes nothing.

    Returns:
        The plan; ``print`` it for a table of places, channels, map sizes, parameters and multiply-adds.

    Raises:
        ValueError, TypeError: a name that matches nothing, a submodule that has attention already or whose output
            is no (N, C, H, W), a layer that does not keep the shape of a map. The model is then unchanged.

    Note:
        Freshly made, AGA multiplies its input by about 1 + 1/16, for s_c * s_hw * g is a product of four sigmoids near
        0: measured on rectified normal maps, 10 draws each, 1.075, 1.062 and 1.057 on average at C = 64, 256 and
        1024 (nine in ten values between 1.02 and 1.12). ``functools.partial(AdaptiveGlobalAttention,
        residual_scale=True)`` starts as the identity, bit for bit.

    Example:
        >>> from agdt_layers import ResNet18
        >>> host = ResNet18()
        >>> plan = insert_attention(host, ["layer2", "layer3"], example_input=torch.randn(1, 3, 112, 112))
        >>> [(place.name, place.channels, place.sizes, place.parameters) for place in plan.placements]
        [('layer2', 128, ((14, 14),), 18546), ('layer3', 256, ((7, 7),), 69746)]
    """
    factories = _factories(model, attention)
    plan = plan_insertion(model, factories, example_input)
    if dry_run:
        return plan
    layers = [_make(factories[place.name], place, model, num_frames) for place in plan.placements]
    for place, layer in zip(plan.placements, layers, strict=True):
        module = model.get_submodule(place.name)
        carrier, _, child = place.path.rpartition(".")
        module.get_submodule(carrier).add_module(child, layer)
        if place.hooked:
            # The handle travels with the module: unpickled, it keeps the number of its hook from being given again.
            setattr(module, _HANDLE, module.register_forward_hook(_Attend(place.path)))
    return plan


def remove_attention(model: nn.Module) -> None:
    """Take out all that :func:`insert_attention` put in; the host is what it was, bit for bit.

    Args:
        model: the module that was given to :func:`insert_attention`.

    Raises:
        ValueError: nothing was inserted.

    Example:
        >>> from agdt_layers import ResNet18
        >>> host = ResNet18()
        >>> plan = insert_attention(host, ["layer2", "layer3"], example_input=torch.randn(1, 3, 112, 112))
        >>> remove_attention(host)
        >>> any("attention" in key for key in host.state_dict())
        False
    """
    inserted = [
        (module, child) for module in model.modules() for child in (OWN, FURTHER_UP) if child in module._modules
    ]
    if not inserted:
        raise ValueError(f"{type(model).__name__} has no attention by insert_attention; nothing to remove.")
    for module in list(model.modules()):
        handle = module.__dict__.pop(_HANDLE, None)
        if handle is not None:
            handle.remove()
    for module, child in inserted:
        delattr(module, child)


class _Attend:
    """The forward hook. It finds the attention from the module it is called with, which in a copy is the copy's."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __call__(self, module: nn.Module, args: tuple[Any, ...], output: Tensor) -> Any:
        return module.get_submodule(self.path)(output)


def _factories(model: nn.Module, attention: Mapping[str, Factory] | Sequence[str]) -> dict[str, Factory]:
    if isinstance(attention, str) or not isinstance(attention, (Mapping, Sequence)):
        raise TypeError(
            "insert_attention expects names of submodules as a list, or attention classes by name as a dict; "
            f"got {attention!r}. One name is [{attention!r}]."
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
            raise ValueError(
                f"No submodule of {type(model).__name__} is named {pattern!r}. {_nearest(pattern, modules)}"
            )
        for name in names:
            module = modules[name]
            if pattern_of.setdefault(module, pattern) != pattern:
                raise ValueError(
                    f"{name!r} is named twice, by {pattern_of[module]!r} and by {pattern!r}. Leave one out."
                )
            if OWN in module._modules or _HANDLE in module.__dict__:
                raise ValueError(f"{name!r} has attention already. Take it out first: remove_attention(model).")
            if any(modules[other] is module for other in chosen):
                continue
            chosen[name] = factory
    return chosen


def _matches(name: str, pattern: str) -> bool:
    parts, patterns = name.split("."), pattern.split(".")
    return len(parts) == len(patterns) and all(map(fnmatchcase, parts, patterns))


def _nearest(pattern: str, names: Mapping[str, nn.Module]) -> str:
    near = difflib.get_close_matches(pattern, names, n=4, cutoff=0.4) or [name for name in names if "." not in name][:4]
    return f"The nearest: {', '.join(near)}."


def _make(factory: Factory, place: Placement, model: nn.Module, num_frames: int | None) -> nn.Module:
    module = model.get_submodule(place.name)
    like = next((p for part in (module, model) for p in part.parameters() if p.is_floating_point()), torch.empty(0))
    with torch.device(like.device):
        layer = factory(place.channels).to(dtype=like.dtype)
    if isinstance(layer, GlobalAttention) and num_frames is not None:
        layer.num_frames = num_frames
    return layer.train(module.training)
