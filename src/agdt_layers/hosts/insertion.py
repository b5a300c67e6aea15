"""Insert attention after any submodule of a 2-D CNN, without changing the host's code or its state-dict keys.

The attention becomes a child, ``agdt_attention``, of the submodule that it follows, so it is copied, pickled, moved,
replicated and saved with the submodule. A forward hook calls the child, with two exceptions. Submodules that run all
their children in sequence (nn.Sequential, the stages of timm's RegNet) call the child themselves and need no hook. In
submodules that iterate over their children in another way (the dense blocks of DenseNet), the nearest descendant that
does not call the attention holds it. A trial run on a copy tells which case applies.

Maps (N, H, W, C), as in a Swin, are permuted for the attention and back.
"""

from __future__ import annotations

import operator
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from agdt_layers import checks
from agdt_layers.hosts.plan import (
    FURTHER_UP,
    HANDLE,
    OWN,
    Factory,
    InsertionPlan,
    Placement,
    chosen_axes,
    chosen_places,
    costs,
    create_layer,
    refuse_shared,
    warnings_of_replacement,
)
from agdt_layers.hosts.trial import ModelCopy
from agdt_layers.torch_compat import forget_compiled


def insert_attention(
    model: nn.Module,
    attention: Mapping[str, Factory] | Sequence[str],
    *,
    example_input: Tensor | tuple[Any, ...],
    num_frames: int | None = None,
    channels_last: bool | Mapping[str, bool] | None = None,
    dry_run: bool = False,
) -> InsertionPlan:
    """Insert attention after submodules of a model, in place.

    The host's state-dict keys do not change, so its pretrained file loads before and after. The new keys are
    ``<submodule>.agdt_attention.*``.

    Args:
        model: any module with feature maps, (N, C, H, W) or (N, H, W, C).
        attention: a dict from submodule names to attention classes, or to functions that create a layer from a number
            of channels; or a list of names, which uses :class:`AdaptiveGlobalAttention` everywhere. ``*`` and ``?``
            match within one part of a dotted name: ``layer3.*`` is every block of layer3. If several patterns match a
            submodule, the last one counts.
        example_input: an input of the model, or a tuple of its inputs; images are (..., C, H, W). A copy of the model
            runs on it and on larger inputs, on the meta device if possible. The model itself does not run.
        num_frames: T of folded clips (B*T, C, H, W), for AGA and every other layer that has an attribute
            ``num_frames``. Not needed inside :class:`FrameWise`.
        channels_last: whether the maps are (N, H, W, C), for all places or as a dict by name or pattern. Needed only if
            an error asks for it: if the model accepts a single image size, or pools to a fixed size.
        dry_run: if True, return the plan and change nothing.

    Returns:
        The plan; ``print`` it for a table of places, channels, map sizes, parameters and multiply-adds.

    Raises:
        ValueError, TypeError: a name that matches nothing; a submodule that has attention already, or does not output
            feature maps; a layer that does not keep the shape of a map. The model is then unchanged.

    Warns:
        UserWarning: attention after a single layer, such as a norm: tools that replace the layer drop the attention.
            ``plan.warnings`` contains the same sentences.

    Note:
        Compiled models are recompiled at their next call, so that they include the attention.

        A new AGA multiplies its input by about 1 + 1/16: its weights are a product of four sigmoids near 1/2.
        ``functools.partial(AdaptiveGlobalAttention, residual_scale=True)`` starts as the identity, bit for bit.

    Example:
        >>> from agdt_layers import ResNet18
        >>> host = ResNet18()
        >>> plan = insert_attention(host, ["layer2", "layer3"], example_input=torch.randn(1, 3, 112, 112))
        >>> [(place.name, place.channels, place.sizes, place.parameters) for place in plan.placements]
        [('layer2', 128, ((14, 14),), 18546), ('layer3', 256, ((7, 7),), 69746)]
    """
    checks.module("insert_attention", "model", model)
    if num_frames is not None:
        num_frames = checks.size("insert_attention", "num_frames", num_frames)
    dry_run = checks.flag("insert_attention", "dry_run", dry_run)
    checks.example("insert_attention", example_input)
    factories = chosen_places(model, attention)
    last = chosen_axes(channels_last, factories)
    # A dry run does not change torch's random state.
    with torch.random.fork_rng({p.device for p in model.parameters() if p.is_cuda}, enabled=dry_run):
        trial = ModelCopy(model, example_input if isinstance(example_input, tuple) else (example_input,))
        placements, layers = [], {}
        for name, factory in factories.items():
            output = trial.feature_map(name, last.get(name))
            layers[name] = create_layer(factory, model, name, output.channels, num_frames)
            cost, way = costs(layers[name], name, output), _way_to_call(trial, name)
            placements.append(Placement(name, output.channels, output.sizes, *cost, output.channels_last, *way))
    refuse_shared(model, layers)
    plan = InsertionPlan(tuple(placements), warnings_of_replacement(model, factories))
    if dry_run:
        return plan
    for warning in plan.warnings:
        warnings.warn(warning, stacklevel=2)
    for place in placements:
        _put_in(model.get_submodule(place.name), place, layers[place.name])
    forget_compiled()
    return plan


def remove_attention(model: nn.Module) -> None:
    """Remove all attention that :func:`insert_attention` inserted, which restores the host bit for bit.

    Args:
        model: the module that was passed to :func:`insert_attention`.

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
    checks.module("remove_attention", "model", model)
    inserted = [
        (module, child) for module in model.modules() for child in (OWN, FURTHER_UP) if child in module._modules
    ]
    if not inserted:
        raise ValueError(f"remove_attention found no attention from insert_attention in {type(model).__name__}.")
    for module in list(model.modules()):
        handle = module.__dict__.pop(HANDLE, None)
        if handle is not None:
            handle.remove()
    for module, child in inserted:
        delattr(module, child)
    forget_compiled()


class ChannelsLast(nn.Module):
    """Call a layer of maps (N, C, H, W) on maps (N, H, W, C)."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


class _Attend:
    """The forward hook. It looks up the attention on the module that it is called with, so it also works in copies."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __call__(self, module: nn.Module, args: tuple[Any, ...], output: Tensor) -> Any:
        try:
            attention: Any = module
            for name in self.path.split("."):  # older compilers cannot trace get_submodule
                attention = getattr(attention, name)
        except AttributeError:
            raise RuntimeError(
                f"The attention inserted after this {type(module).__name__} is missing, because a tool replaced the "
                "module. Run the tool before insert_attention."
            ) from None
        return attention(output)


def _way_to_call(trial: ModelCopy, name: str) -> tuple[str, bool]:
    """Return the path below a submodule at which to add the attention, and whether a hook must call it.

    A stand-in for the attention shows what calls it.
    """
    module = trial.model.get_submodule(name)
    for path, carrier in module.named_modules():
        if path and FURTHER_UP in carrier._modules:
            continue
        calls: list[tuple[Any, ...]] = []
        returned: list[object] = []
        stand_in = nn.Identity()
        stand_in.register_forward_pre_hook(lambda _module, args, calls=calls: calls.append(args))
        hook = module.register_forward_hook(lambda _module, _args, output, to=returned: to.append(output))
        carrier.add_module("stand_in", stand_in)
        try:
            trial.run()
        except Exception:
            continue  # a module that iterates over its children may fail with an additional child
        finally:
            hook.remove()
            del carrier._modules["stand_in"]
        if not calls:
            if path:
                carrier.add_module(FURTHER_UP, None)  # taken
            return (f"{path}.{FURTHER_UP}" if path else OWN), True
        attended = [args[0] for args in calls if len(args) == 1]
        if not path and len(attended) == len(returned) and all(map(operator.is_, attended, returned)):
            return OWN, False
    raise ValueError(f"No place for attention after {name!r}: it and its submodules all iterate over their children.")


def _put_in(module: nn.Module, place: Placement, layer: nn.Module) -> None:
    path, _, child = place.path.rpartition(".")
    layer = ChannelsLast(layer) if place.channels_last else layer
    module.get_submodule(path).add_module(child, layer.train(module.training))
    if place.hooked:
        # Pickled with the module, the handle reserves the id of its hook, so that no later hook gets the same id.
        setattr(module, HANDLE, module.register_forward_hook(_Attend(place.path)))
