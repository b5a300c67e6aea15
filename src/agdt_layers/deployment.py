"""A trained model prepared for inference: what only training needs is taken out, and weights lie as they are read."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from agdt_layers import checks
from agdt_layers.agdtnet import AGDTNet
from agdt_layers.convolution_chains import Chain, find_chains
from agdt_layers.hosts.trial import copied
from agdt_layers.packed_layers import PackedConv2d, PackedLinear
from agdt_layers.untouched import is_untouched, reads_parameters

Model = TypeVar("Model", bound=nn.Module)


@torch.inference_mode(mode=False)
@torch.no_grad()
def prepare_for_inference(model: Model, example_input: Tensor | tuple[Any, ...] | None = None) -> Model:
    """Return a faster copy of a trained model: batch norm and ReLU folded, channels last, no gradients.

    In evaluation a batch norm is a scale and a shift per channel, which the convolution before it can take over. On a
    CPU in float32 that convolution also does the ReLU that follows. Its weight, and that of every large linear map, is
    kept in the order in which it is read, beside the parameter. The copy computes the same up to rounding; it is not
    for training, and what is written to its weights through numpy goes unseen. Prepare last: tools that ask for an
    nn.Linear by its exact type, such as dynamic quantisation, pass over a packed one.

    Args:
        model: an :class:`AGDTNet`, or any module with convolutions; it is not changed.
        example_input: an input of the model, or a tuple of its inputs, to find out what runs after what; not needed
            for an AGDTNet.

    Returns:
        The copy, in eval mode, in the memory format channels_last.

    Raises:
        TypeError: no example input for a module other than an AGDTNet, or a module that torch.jit has compiled.
        ValueError: a model on the meta device, one in which something other than its batch norm uses a convolution's
            output, or one that would give other results for another reason.

    Example:
        >>> from agdt_layers import build_agdtnet
        >>> net = build_agdtnet(num_frames=4).eval()
        >>> clips = torch.rand(1, 4, 3, 64, 64)
        >>> torch.allclose(prepare_for_inference(net)(clips), net(clips), atol=1e-5)
        True
    """
    name = "prepare_for_inference"
    checks.module(name, "model", model)
    if isinstance(model, torch.jit.ScriptModule):
        raise TypeError(f"{name} cannot change what torch.jit has compiled. Prepare the model first, then compile it.")
    if any(parameter.is_meta for parameter in model.parameters()):
        raise ValueError(
            f"{name} got a model on the meta device, of class {type(model).__name__}. Load its weights first."
        )
    # What torch draws next stays the same.
    with torch.random.fork_rng({parameter.device for parameter in model.parameters() if parameter.is_cuda}):
        if example_input is None:
            if not isinstance(model, AGDTNet):
                raise TypeError(
                    f"prepare_for_inference expects an example_input for a {type(model).__name__}: a tensor that it "
                    "takes."
                )
            like = next(model.parameters())
            example_input = torch.rand(1, 1, 3, 112, 112, device=like.device, dtype=like.dtype)
        checks.example(name, example_input)
        return _prepared(model, example_input if isinstance(example_input, tuple) else (example_input,))


def _prepared(model: Model, inputs: tuple[Any, ...]) -> Model:
    chains = find_chains(model, inputs)
    prepared = copy.deepcopy(model).eval().requires_grad_(False)
    for chain in chains:
        if chain.norm is not None and chain.is_shared:
            raise ValueError(
                f"prepare_for_inference cannot fold the batch norms of this {type(model).__name__}: something "
                "else uses what a convolution gives to its norm. Take the model as it is, model.eval()."
            )
        _fold(prepared, chain)
    for parameter in prepared.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    for chain in chains:
        _pack(prepared, chain)
    _pack_linear_maps(prepared)
    _check(model, prepared, inputs)
    return prepared


def _check(model: nn.Module, prepared: nn.Module, inputs: tuple[Any, ...]) -> None:
    expected = _results(model, inputs)
    try:
        for ours, theirs in zip(_results(prepared, inputs), expected, strict=True):
            _compare(ours, theirs)
    except Exception:
        raise ValueError(
            f"prepare_for_inference would give other results than this {type(model).__name__}: the model draws "
            "random numbers, or uses a convolution or a norm otherwise than by calling it. Take the model as it is, "
            "model.eval()."
        ) from None


def _results(model: nn.Module, inputs: tuple[Any, ...]) -> list[Tensor]:
    """Run a copy, because a run may change a model's buffers."""
    return _tensors(copy.deepcopy(model).eval()(*copied(inputs)))


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, Mapping):
        value = list(value.values())
    elif is_dataclass(value):
        value = [getattr(value, field.name) for field in fields(value)]
    if not isinstance(value, (list, tuple)):
        return []
    return [tensor for each in value for tensor in _tensors(each)]


def _compare(ours: Tensor, theirs: Tensor) -> None:
    """Raise where more than rounding lies between two results."""
    tolerance, scale = 0.0, 0.0
    if theirs.numel() > 0 and (theirs.is_floating_point() or theirs.is_complex()):
        tolerance = max(1e-2, 16 * torch.finfo(theirs.dtype).eps)
        scale = float(theirs.abs().nan_to_num(0, 0, 0).max())
    torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance * scale, equal_nan=True)


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
    """Put a module in the place of another, under each of its names."""
    other = model.get_submodule(name)
    for parent in list(model.modules()):
        for child in [child for child, each in parent._modules.items() if each is other]:
            setattr(parent, child, module)
