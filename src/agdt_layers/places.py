"""Which submodules the names and patterns mean, and how attention that is there already is marked."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase

from torch import nn

from agdt_layers.attention import AdaptiveGlobalAttention

# The name of the child that is the attention: after its own parent, or after a submodule further up.
OWN, FURTHER_UP = "agdt_attention", "agdt_attention_further_up"
# The attribute of a hooked submodule that holds the handle of its hook.
HANDLE = "_agdt_handle"
Factory = Callable[[int], nn.Module]


def chosen_places(model: nn.Module, attention: Mapping[str, Factory] | Sequence[str]) -> dict[str, Factory]:
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
            raise ValueError(
                f"No submodule of {type(model).__name__} is named {pattern!r}. {_nearest(pattern, modules)}"
            )
        for name in names:
            module = modules[name]
            if pattern_of.setdefault(module, pattern) != pattern:
                raise ValueError(
                    f"{name!r} is named twice, by {pattern_of[module]!r} and by {pattern!r}. Leave one out."
                )
            if OWN in module._modules or HANDLE in module.__dict__:
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
