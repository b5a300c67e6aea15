"""Compare a layer with the literal transcription: its output and every gradient."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn

from agdt_layers import ResNet18
from helpers.strategies import random_tensor

Layer = TypeVar("Layer", bound=nn.Module)


def randomised(layer: Layer, seed: int = 0, *, scale: float = 0.5) -> Layer:
    """Return the layer in float64 with random parameters and running statistics, so that no zero hides an error."""
    layer = layer.double()
    for number, (_, parameter) in enumerate(sorted(layer.named_parameters())):
        with torch.no_grad():
            parameter.copy_(scale * random_tensor(tuple(parameter.shape), 7919 * (seed + 1) + number))
    for module in layer.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.copy_(scale * random_tensor((module.num_features,), seed))
            module.running_var.copy_(0.5 + random_tensor((module.num_features,), seed + 1).square())
    return layer


def settled(seed: int = 0) -> ResNet18:
    """Return a float64 ResNet18 in eval mode with non-trivial running statistics."""
    torch.manual_seed(seed)
    network = ResNet18().double()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, 0, 0.1)
    return network.eval()


def gradients(output: Tensor, leaves: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the gradient of a fixed random projection of the output for every leaf. An unused leaf is an error."""
    cotangent = random_tensor(tuple(output.shape), 104729, output.dtype)
    return dict(zip(leaves, torch.autograd.grad(output, list(leaves.values()), cotangent), strict=True))


def assert_agrees(fast: Tensor, literal: Tensor, leaves: Mapping[str, Tensor], tolerance: float = 1e-10) -> None:
    """Check that the two outputs agree, and their gradients with respect to every leaf."""
    torch.testing.assert_close(fast, literal, rtol=tolerance, atol=tolerance)
    expected = gradients(literal, leaves)
    for name, gradient in gradients(fast, leaves).items():
        torch.testing.assert_close(
            gradient,
            expected[name],
            rtol=tolerance,
            atol=tolerance,
            msg=lambda text, name=name: f"gradient of {name}: {text}",
        )


def leaves_of(layer: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """Return the input and every parameter by name."""
    return {"x": x.requires_grad_(), **dict(layer.named_parameters())}


def assert_clips_are_independent(function, clips: Tensor) -> None:
    """Check that the Jacobian's blocks between different clips are exactly zero."""
    jacobian = torch.autograd.functional.jacobian(function, clips)
    outputs = jacobian.shape[: jacobian.ndim - clips.ndim]
    blocks = jacobian.reshape(outputs[0], -1, len(clips), clips[0].numel()).abs().amax(dim=(1, 3))
    foreign = ~torch.eye(len(clips), dtype=torch.bool)
    assert (blocks[foreign] == 0).all(), "a clip affects another clip"
    assert (blocks[~foreign] > 0).all(), "an output does not depend on its own clip"
