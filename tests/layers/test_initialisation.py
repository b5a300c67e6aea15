"""Initial weights follow the documented rule after construction and after a reset, in the given device and dtype."""

import math
import re
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn

import agdt_layers
from agdt_layers import (
    CBAM,
    AdaptiveChannelAttention,
    AdaptiveGlobalAttention,
    DifferentialTemporalEnhancer,
    DTFormer,
    GlobalConvolutionalAttention,
    ResNet18,
    SqueezeExcitation,
    build_agdtnet,
)

BUILD: dict[str, Callable[..., nn.Module]] = {
    "AdaptiveChannelAttention": partial(AdaptiveChannelAttention, 64),
    "GlobalConvolutionalAttention": partial(GlobalConvolutionalAttention, 64, residual_scale=True),
    "AdaptiveGlobalAttention": partial(AdaptiveGlobalAttention, 64, residual_scale=True),
    "CBAM": partial(CBAM, 64),
    "SqueezeExcitation": partial(SqueezeExcitation, 64),
    "DifferentialTemporalEnhancer": partial(DifferentialTemporalEnhancer, 64),
    "DTFormer": partial(DTFormer, 64, depth=2, heads=4, mlp_channels=96),
    "ResNet18": ResNet18,
    "AGDTNet": partial(build_agdtnet, 5),
}
# Parameters that are not initialised like those of a torch layer.
CONSTANT = {"alpha_forward": 0.5, "alpha_backward": 0.5, "context.bias": 0.0, "residual_scale": 0.0}
NORMAL = {"class_token": 0.02, "position": 0.02}


def expected_draw(layer: nn.Module, name: str) -> tuple[str, float]:
    """Return the expected distribution: ("constant", value), ("uniform", bound) or ("normal", standard deviation)."""
    for ending, value in CONSTANT.items():
        if name == ending or name.endswith(f".{ending}"):
            return "constant", value
    owner_name, _, entry = name.rpartition(".")
    if entry in NORMAL:
        return "normal", NORMAL[entry]
    owner = layer.get_submodule(owner_name)
    if isinstance(owner, nn.BatchNorm2d | nn.LayerNorm):
        return "constant", float(entry == "weight")
    fan_in, fan_out = nn.init._calculate_fan_in_and_fan_out(owner.weight)
    if re.search(r"\blayers\.\d", name):  # in the temporal encoder
        return ("uniform", math.sqrt(6 / (fan_in + fan_out))) if entry == "weight" else ("constant", 0.0)
    in_backbone = isinstance(layer, ResNet18) or name.startswith("backbone.")
    if in_backbone and ".attention." not in name:
        return "normal", math.sqrt(2 / fan_out)
    return "uniform", 1 / math.sqrt(fan_in)


def assert_drawn(parameter: Tensor, draw: tuple[str, float], name: str) -> None:
    kind, size = draw
    if kind == "constant":
        assert (parameter == size).all(), name
        return
    if kind == "uniform":
        assert parameter.abs().max() <= size, name
    if parameter.numel() >= 64:
        # Within four standard errors, those of a normal distribution, which are the larger.
        deviation = size if kind == "normal" else size / math.sqrt(3)
        assert abs(parameter.std().item() / deviation - 1) < 4 / math.sqrt(2 * parameter.numel()), name
        assert abs(parameter.mean().item()) < 4 * deviation / math.sqrt(parameter.numel()), name


def test_every_public_class_with_reset_parameters_is_tested() -> None:
    with_reset = {name for name in agdt_layers.__all__ if hasattr(getattr(agdt_layers, name), "reset_parameters")}
    assert with_reset <= set(BUILD)


@pytest.mark.parametrize("name", BUILD)
def test_new_layer_follows_the_documented_initialisation(name: str) -> None:
    layer = BUILD[name]()
    for parameter_name, parameter in layer.named_parameters():
        assert_drawn(parameter, expected_draw(layer, parameter_name), parameter_name)


@pytest.mark.parametrize("name", BUILD)
def test_reset_parameters_follows_the_documented_initialisation(name: str) -> None:
    layer, fresh = BUILD[name](), BUILD[name]()
    with torch.no_grad():
        for tensor in (*layer.parameters(), *layer.buffers()):
            tensor.fill_(7)
    layer.reset_parameters()
    first = {parameter_name: parameter.clone() for parameter_name, parameter in layer.named_parameters()}
    layer.reset_parameters()
    for parameter_name, parameter in layer.named_parameters():
        draw = expected_draw(layer, parameter_name)
        assert_drawn(parameter, draw, parameter_name)
        assert torch.equal(parameter, first[parameter_name]) == (draw[0] == "constant"), parameter_name
    for buffer_name, buffer in fresh.named_buffers():
        assert torch.equal(layer.get_buffer(buffer_name), buffer), buffer_name


@pytest.mark.parametrize("name", BUILD)
def test_device_and_dtype_reach_every_parameter_and_float_buffer(name: str) -> None:
    layer = BUILD[name](device="meta", dtype=torch.float64)
    tensors = [*layer.parameters(), *(buffer for buffer in layer.buffers() if buffer.is_floating_point())]
    assert {(tensor.device.type, tensor.dtype) for tensor in tensors} == {("meta", torch.float64)}
