"""A trained model prepared for inference: what only training needs is taken out."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from agdt_layers import checks
from agdt_layers.agdtnet import AGDTNet
from agdt_layers.model_copy import ModelCopy
from agdt_layers.untouched import is_untouched


def prepare_for_inference(model: nn.Module, example_input: Tensor | tuple[Any, ...] | None = None) -> nn.Module:
    """Return a faster copy of a trained model: batch norm folded, channels last, gradients off.

    In evaluation a batch norm is a scale and a shift per channel, which the convolution before it can take over. The
    copy computes the same up to rounding; it cannot be trained.

    Args:
        model: an :class:`AGDTNet`, or any module with convolutions; it is not changed.
        example_input: an input of the model, or a tuple of its inputs, to find out what runs after what; not needed
            for an AGDTNet.

    Returns:
        The copy, in eval mode, in the memory format channels_last.

    Raises:
        TypeError: no example input for a module other than an AGDTNet.
        ValueError: a model in which something other than its batch norm uses a convolution's output.

    Example:
        >>> from agdt_layers import build_agdtnet
        >>> net = build_agdtnet(num_frames=4).eval()
        >>> clips = torch.rand(1, 4, 3, 64, 64)
        >>> torch.allclose(prepare_for_inference(net)(clips), net(clips), atol=1e-5)
        True
    """
    name = "prepare_for_inference"
    checks.module(name, "model", model)
    if example_input is None:
        if not isinstance(model, AGDTNet):
            raise TypeError(
                f"prepare_for_inference expects an example_input for a {type(model).__name__}: a tensor that it takes."
            )
        like = next(model.parameters())
        example_input = torch.rand(1, 1, 3, 112, 112, device=like.device, dtype=like.dtype)
    checks.example(name, example_input)
    inputs = example_input if isinstance(example_input, tuple) else (example_input,)
    prepared = copy.deepcopy(model).eval().requires_grad_(False)
    for convolution, norm in _pairs(prepared, inputs):
        _fold(prepared, convolution, norm)
    prepared.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    _check(model, prepared, inputs)
    return prepared


def _check(model: nn.Module, prepared: nn.Module, inputs: tuple[Any, ...]) -> None:
    reference = copy.deepcopy(model).eval()
    with torch.no_grad():
        expected, got = reference(*inputs), prepared(*inputs)
    try:
        torch.testing.assert_close(got, expected, rtol=1e-2, atol=1e-2)
    except AssertionError:
        raise ValueError(
            f"prepare_for_inference cannot fold the batch norms of this {type(model).__name__}: something "
            "else uses what a convolution gives to its norm. Take the model as it is, model.eval()."
        ) from None


def _pairs(model: nn.Module, inputs: tuple[Any, ...]) -> list[tuple[str, str]]:
    """Name every convolution and the batch norm that takes its output, both as torch made them and run once."""
    twin = ModelCopy(model, inputs)
    given: dict[int, str] = {}
    calls: dict[str, int] = {}
    pairs: list[tuple[str, str]] = []
    kept: list[Tensor] = []

    def note(name: str, module: nn.Module, x: Tensor, output: Tensor) -> None:
        calls[name] = calls.get(name, 0) + 1
        if type(module) is nn.Conv2d:
            given[id(output)] = name
            # While it is kept alive, no other tensor can get its id.
            kept.append(output)
        elif id(x) in given:
            pairs.append((given[id(x)], name))

    names = {
        name: module
        for name, module in twin.model.named_modules()
        if is_untouched(module, nn.Conv2d, "weight") or is_untouched(module, nn.BatchNorm2d, "weight", "bias")
    }
    handles = [
        module.register_forward_hook(lambda module, args, output, name=name: note(name, module, args[0], output))
        for name, module in names.items()
        if not list(module.children())
    ]
    twin.run()
    for handle in handles:
        handle.remove()
    convolutions = [convolution for convolution, _ in pairs]
    return [
        (convolution, norm)
        for convolution, norm in pairs
        if calls[convolution] == calls[norm] == 1 == convolutions.count(convolution)
    ]


def _fold(model: nn.Module, convolution: str, norm: str) -> None:
    conv, bn = model.get_submodule(convolution), model.get_submodule(norm)
    if not isinstance(conv, nn.Conv2d) or not isinstance(bn, nn.BatchNorm2d):
        return
    if bn.running_mean is None or bn.running_var is None:
        return
    weight, bias = fuse_conv_bn_weights(
        conv.weight, conv.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias
    )
    conv.weight, conv.bias = nn.Parameter(weight, False), nn.Parameter(bias, False)
    parent, _, child = norm.rpartition(".")
    setattr(model.get_submodule(parent), child, nn.Identity())
