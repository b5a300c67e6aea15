"""A trained model prepared for inference: what only training needs is taken out, and weights lie as they are read."""

from __future__ import annotations

import copy
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from agdt_layers import checks
from agdt_layers.agdtnet import AGDTNet
from agdt_layers.convolution_chains import Chain, find_chains
from agdt_layers.packed_layers import PackedConv2d, PackedLinear
from agdt_layers.untouched import is_untouched, reads_parameters

Model = TypeVar("Model", bound=nn.Module)


@torch.inference_mode(mode=False)
def prepare_for_inference(model: Model, example_input: Tensor | tuple[Any, ...] | None = None) -> Model:
    """Return a faster copy of a trained model: batch norm and ReLU folded, channels last, no gradients.

    In evaluation a batch norm is a scale and a shift per channel, which the convolution before it can take over. On a
    CPU in float32 that convolution also does the ReLU that follows. Its weight, and that of every large linear map, is
    kept in the order in which it is read, beside the parameter. The copy computes the same up to rounding; it cannot be
    trained. Prepare last: tools that ask for an nn.Linear by its exact type, such as dynamic quantisation, pass over a
    packed one.

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
    chains = find_chains(prepared, inputs)
    for chain in chains:
        if chain.norm is not None and chain.is_shared:
            raise _cannot_fold(model)
        _fold(prepared, chain)
    prepared.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    for chain in chains:
        _pack(prepared, chain)
    _pack_linear_maps(prepared)
    _check(model, prepared, inputs)
    return prepared


def _check(model: nn.Module, prepared: nn.Module, inputs: tuple[Any, ...]) -> None:
    reference = copy.deepcopy(model).eval()
    with torch.no_grad():
        expected, got = reference(*inputs), prepared(*inputs)
    try:
        torch.testing.assert_close(got, expected, rtol=1e-2, atol=1e-2)
    except AssertionError:
        raise _cannot_fold(model) from None


def _cannot_fold(model: nn.Module) -> ValueError:
    return ValueError(
        f"prepare_for_inference cannot fold the batch norms of this {type(model).__name__}: something "
        "else uses what a convolution gives to its norm. Take the model as it is, model.eval()."
    )


def _fold(model: nn.Module, chain: Chain) -> None:
    if chain.norm is None:
        return
    conv, bn = model.get_submodule(chain.convolution), model.get_submodule(chain.norm)
    assert isinstance(conv, nn.Conv2d)
    assert isinstance(bn, nn.BatchNorm2d)
    assert bn.running_mean is not None
    assert bn.running_var is not None
    weight, bias = fuse_conv_bn_weights(
        conv.weight, conv.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias
    )
    conv.weight, conv.bias = nn.Parameter(weight, False), nn.Parameter(bias, False)
    _replace(model, chain.norm, nn.Identity())


def _pack(model: nn.Module, chain: Chain) -> None:
    conv = model.get_submodule(chain.convolution)
    assert isinstance(conv, nn.Conv2d)
    _replace(model, chain.convolution, PackedConv2d.of(conv, relu=chain.relu is not None))
    if chain.relu is not None:
        _replace(model, chain.relu, nn.Identity())


def _pack_linear_maps(model: nn.Module) -> None:
    for name, module in list(model.named_modules()):
        # With fewer weights the call takes longer than the arithmetic.
        if (
            is_untouched(module, nn.Linear, "weight")
            and module.weight.numel() >= 2**16
            and not reads_parameters(model, name)
        ):
            _replace(model, name, PackedLinear.of(module))


def _replace(model: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    setattr(model.get_submodule(parent), child, module)
