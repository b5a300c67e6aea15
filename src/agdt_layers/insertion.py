"""Attention after any submodule of any 2-D CNN, without touching the host's code or its state-dict keys.

The attention becomes a child, ``agdt_attention``, of the submodule that it follows, so all that torch does to a
module it does to both: copy, pickle, move, replicate, save. A forward hook then calls the child. Some submodules
(nn.Sequential, the stages of timm's RegNet) run all their children one after the other; there the child is called
already and needs no hook. Others (the dense blocks of DenseNet) walk over their children in another way; there the
child goes to the nearest descendant that leaves it alone. Which of the three holds is found by trying it on a copy.

Maps (N, H, W, C), as Swin has them, are permuted for the attention and back.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from agdt_layers import checks
from agdt_layers.attention import GlobalConvolutionalAttention
from agdt_layers.channels_last import ChannelsLast
from agdt_layers.insertion_plan import InsertionPlan, Placement, plan_insertion
from agdt_layers.places import FURTHER_UP, HANDLE, OWN, Factory, chosen_places
from agdt_layers.torch_compat import forget_compiled


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
        model: any module with feature maps, (N, C, H, W) or (N, H, W, C).
        attention: attention classes, or anything that makes a layer from a number of channels, by the name of the
            submodule that they follow; a list of names takes :class:`AdaptiveGlobalAttention` everywhere. ``*`` and
            ``?`` match within one part of a dotted name: ``layer3.*`` is every block of layer3.
        example_input: an input of the model, or a tuple of its inputs. A copy of the model is run on it and on larger
            ones, on the meta device where it can be; the model itself is not run.
        num_frames: T of folded clips (B*T, C, H, W), for AGA. Not needed inside :class:`FrameWise`.
        dry_run: True only plans, and changes nothing.

    Returns:
        The plan; ``print`` it for a table of places, channels, map sizes, parameters and multiply-adds.

    Raises:
        ValueError, TypeError: a name that matches nothing, a submodule that has attention already or that gives no
            feature map, a layer that does not keep the shape of a map. The model is then unchanged.

    Warns:
        UserWarning: attention after a single layer, such as a norm: tools that replace the layer drop the attention.
            ``plan.warnings`` has the same.

    Note:
        What torch.compile compiled before is compiled again at its next call, so that it sees the attention.

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
    checks.module("insert_attention", "model", model)
    if num_frames is not None:
        num_frames = checks.size("insert_attention", "num_frames", num_frames)
    dry_run = checks.flag("insert_attention", "dry_run", dry_run)
    checks.example("insert_attention", example_input)
    factories = chosen_places(model, attention)
    plan = plan_insertion(model, factories, example_input)
    if dry_run:
        return plan
    layers = [_make(factories[place.name], place, model, num_frames) for place in plan.placements]
    for warning in plan.warnings:
        warnings.warn(warning, stacklevel=2)
    with ExitStack() as undo:
        for place, layer in zip(plan.placements, layers, strict=True):
            _put_in(model, place, layer, undo)
        undo.pop_all()
    forget_compiled()
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
    checks.module("remove_attention", "model", model)
    inserted = [
        (module, child) for module in model.modules() for child in (OWN, FURTHER_UP) if child in module._modules
    ]
    if not inserted:
        raise ValueError(f"{type(model).__name__} has no attention by insert_attention; nothing to remove.")
    for module in list(model.modules()):
        handle = module.__dict__.pop(HANDLE, None)
        if handle is not None:
            handle.remove()
    for module, child in inserted:
        delattr(module, child)
    forget_compiled()


class _Attend:
    """The forward hook. It finds the attention from the module it is called with, which in a copy is the copy's."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __call__(self, module: nn.Module, args: tuple[Any, ...], output: Tensor) -> Any:
        try:
            attention: Any = module
            for name in self.path.split("."):  # not get_submodule, which an older compiler cannot follow
                attention = getattr(attention, name)
        except AttributeError:
            raise RuntimeError(
                f"The {type(module).__name__} where attention was inserted does not hold it: a tool has "
                "replaced the module. Use the tool first and insert_attention afterwards."
            ) from None
        return attention(output)


def _make(factory: Factory, place: Placement, model: nn.Module, num_frames: int | None) -> nn.Module:
    like = _nearest_parameter(model, place.name)
    with torch.device(like.device):
        layer = factory(place.channels).to(dtype=like.dtype)
    if isinstance(layer, GlobalConvolutionalAttention) and num_frames is not None:
        layer.num_frames = num_frames
    if place.channels_last:
        layer = ChannelsLast(layer)
    return layer.train(model.get_submodule(place.name).training)


def _nearest_parameter(model: nn.Module, name: str) -> Tensor:
    parts = name.split(".")
    for number in range(len(parts), -1, -1):
        for parameter in model.get_submodule(".".join(parts[:number])).parameters():
            if parameter.is_floating_point():
                return parameter
    return torch.empty(0)


def _put_in(model: nn.Module, place: Placement, layer: nn.Module, undo: ExitStack) -> None:
    module = model.get_submodule(place.name)
    path, _, child = place.path.rpartition(".")
    carrier = module.get_submodule(path)
    carrier.add_module(child, layer)
    undo.callback(delattr, carrier, child)
    if place.hooked:
        handle = module.register_forward_hook(_Attend(place.path))
        undo.callback(handle.remove)
        # The handle travels with the module: unpickled, it keeps the number of its hook from being given again.
        setattr(module, HANDLE, handle)
        undo.callback(delattr, module, HANDLE)
