"""What later takes attention away again: tools that put another module in the place of the one it follows."""

from __future__ import annotations

import torch
from torch import nn

from agdt_layers.model_copy import ModelCopy
from agdt_layers.trial_run import enclosing_block

# Norms are replaced whatever they hold: timm's carry their activation.
_NORMS = (nn.BatchNorm2d, nn.SyncBatchNorm, nn.GroupNorm, nn.LayerNorm)
_EVERY = (nn.Module, object)
# By name, because importing them takes longer than the rest of this package.
_SHARE_GRADIENTS = {"DistributedDataParallel", "FullyShardedDataParallel", "FSDPModule"}


def warnings_of_replacement(model: ModelCopy, names: list[str]) -> tuple[str, ...]:
    """Warn of single layers, which tools find by their class and replace; blocks stay what they are."""
    modules = {name: model.model.get_submodule(name) for name in names}
    single = {name: module for name, module in modules.items() if _is_single_layer(module)}
    if not single:
        return ()
    name, module = next(iter(single.items()))
    others = f" (and {len(single) - 1} more)" if len(single) > 1 else ""
    block = enclosing_block(model, name)
    return (
        f"Attention after {name!r}{others} is lost, though its keys may stay, when a tool replaces this "
        f"{type(module).__name__}, as SyncBatchNorm conversion, conv-bn fusion and quantisation do: use the tool "
        f"first and insert_attention afterwards{'' if block is None else f', or insert after {block!r}'}.",
    )


def _is_single_layer(module: nn.Module) -> bool:
    if any(module.children()):
        return isinstance(module, _NORMS)
    return any(base.__module__.startswith("torch.nn.modules.") for base in type(module).__mro__ if base not in _EVERY)


def refuse_wrapper(model: nn.Module, name: str) -> None:
    """Refuse places in models that would not take a new layer in."""
    for around, module in model.named_modules(remove_duplicate=False):
        if around and not f"{name}.".startswith(f"{around}."):
            continue
        if around == name and "_orig_mod" in module._modules:
            raise ValueError(
                f"{name!r} is the wrapper that torch.compile put around a module. Name the module: '{name}._orig_mod'."
            )
        classes = {base.__name__ for base in type(module).__mro__} & _SHARE_GRADIENTS
        if classes:
            raise ValueError(
                f"{name!r} is in a {classes.pop()}, which handles only the parameters that it found when it was made. "
                "Insert attention first, then wrap the model."
            )
        if isinstance(module, torch.jit.ScriptModule):
            raise ValueError(
                f"{name!r} is in a {type(module).__name__}, compiled by torch.jit, to which no layer can be added. "
                "Insert attention into the model before torch.jit compiles it."
            )
