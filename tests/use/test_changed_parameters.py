"""Pruning, norms, adapters, quantisation and hooks act on attention and encoder as on any other module."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune, spectral_norm, weight_norm

from agdt_layers import build_agdtnet, untouched
from helpers.agreement import randomised
from helpers.strategies import random_tensor
from helpers.subjects import SUBJECTS, Subject, proves

# What is read past its module, in one or another of the classes.
PARTS = (nn.Linear, nn.Conv1d, nn.Conv2d)


def parts(layer: nn.Module) -> list[nn.Module]:
    return [module for module in layer.modules() if type(module) in PARTS]


class Adapted(nn.Module):
    """A low-rank adapter around a Linear: what it computes is not in the Linear's weight."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.linear = linear
        self.down = nn.Parameter(random_tensor((2, linear.in_features), 1))
        self.up = nn.Parameter(random_tensor((linear.out_features, 2), 2))

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x) + x @ self.down.T @ self.up.T


CHANGES: dict[str, Callable[[nn.Module], object]] = {
    "prune": lambda module: prune.l1_unstructured(module, "weight", amount=0.5),
    "weight norm (hook)": weight_norm,
    "weight norm": parametrizations.weight_norm,
    "spectral norm (hook)": spectral_norm,
    "spectral norm": lambda module: parametrizations.spectral_norm(module, n_power_iterations=1),
}
LAYERS = ("AdaptiveGlobalAttention", "GlobalConvolutionalAttention", "DifferentialTemporalEnhancer", "DTFormer")


def output_and_gradients(layer: nn.Module, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    layer.zero_grad()
    output = layer(x)
    output.square().sum().backward()
    return output.detach(), {name: p.grad for name, p in layer.named_parameters() if p.grad is not None}


@pytest.mark.parametrize(
    ("name", "change"),
    [
        pytest.param(name, change, id=f"{name} {way}", marks=pytest.mark.proves(name, way.removesuffix(" (hook)")))
        for name in LAYERS
        for way, change in CHANGES.items()
    ],
)
def test_changed_weights_are_the_ones_that_count(name: str, change: Callable[[nn.Module], object]) -> None:
    layer, x = randomised(SUBJECTS[name].build()), random_tensor(SUBJECTS[name].sizes[0], 0)
    for module in parts(layer):
        change(module)
    layer.eval()
    for _ in range(2):
        # The second step fails where a weight was read that the first step's backward pass has used up.
        output, gradients = output_and_gradients(layer, x)
    learnt = [
        key for key in gradients if key.endswith(("weight_orig", "weight_v", "original0", "original1", "original"))
    ]
    assert len(learnt) >= len(parts(layer)), sorted(gradients)
    # The same numbers with plain weights, equal to the effective ones.
    plain = randomised(SUBJECTS[name].build()).eval()
    for changed, module in zip(parts(layer) or _parametrized(layer), parts(plain), strict=True):
        with torch.no_grad():
            module.weight.copy_(changed.weight)
    for key, parameter in layer.named_parameters():
        if key in dict(plain.named_parameters()):
            assert torch.equal(plain.get_parameter(key), parameter), key
    torch.testing.assert_close(plain(x), output)
    # Without gradients the weight is not stale either.
    with torch.no_grad():
        for key, parameter in layer.named_parameters():
            if key in learnt:
                parameter.add_(0.5)
        assert not torch.allclose(layer(x), output)


def _parametrized(layer: nn.Module) -> list[nn.Module]:
    return [module for module in layer.modules() if hasattr(module, "parametrizations")]


@pytest.mark.parametrize(
    ("name", "place"),
    [
        pytest.param(name, place, id=name, marks=pytest.mark.proves(name, "adapters"))
        for name, place in (("AdaptiveGlobalAttention", "channel.fc"), ("DTFormer", "layers.1.query_key_value"))
    ],
)
def test_an_adapter_takes_part_and_learns(name: str, place: str) -> None:
    layer, x = randomised(SUBJECTS[name].build()), random_tensor(SUBJECTS[name].sizes[0], 0)
    expected = copy.deepcopy(layer)
    parent, _, child = place.rpartition(".")
    adapter = Adapted(layer.get_submodule(place))
    setattr(layer.get_submodule(parent), child, adapter)
    with torch.no_grad():
        expected.get_submodule(place).weight.add_(adapter.up @ adapter.down)
    torch.testing.assert_close(layer(x), expected(x))
    layer(x).square().sum().backward()
    assert adapter.up.grad.norm() > 0
    assert adapter.down.grad.norm() > 0


@proves("dynamic quantisation", "AdaptiveGlobalAttention", "DTFormer", "AGDTNet")
@torch.no_grad()
@pytest.mark.filterwarnings("ignore")
def test_quantised_linears_score_nearly_alike(subject: Subject) -> None:
    torch.manual_seed(0)
    layer, x = subject.build().eval(), subject.inputs()[0]
    quantised = torch.ao.quantization.quantize_dynamic(layer, {nn.Linear})
    assert not any(type(module) is nn.Linear for module in quantised.modules())
    error = (quantised(x) - layer(x)).norm() / layer(x).norm()
    assert 0 < error < 0.05


@pytest.mark.parametrize("name", LAYERS)
def test_hooks_of_every_part_are_called(name: str) -> None:
    layer, x = randomised(SUBJECTS[name].build()).eval(), random_tensor(SUBJECTS[name].sizes[0], 0)
    expected, called = layer(x), []
    places = [place for place, module in layer.named_modules() if place and not list(module.children())]
    for place in places:
        layer.get_submodule(place).register_forward_hook(lambda module, args, out, place=place: called.append(place))
    torch.testing.assert_close(layer(x), expected)
    assert set(called) == set(places)


@pytest.mark.parametrize("name", LAYERS)
def test_a_hook_can_change_what_a_part_gives(name: str) -> None:
    layer, x = randomised(SUBJECTS[name].build()).eval(), random_tensor(SUBJECTS[name].sizes[0], 0)
    expected = layer(x)
    for module in parts(layer):
        handle = module.register_forward_hook(lambda module, args, output: output + 1)
        assert not torch.allclose(layer(x), expected), module
        handle.remove()
    assert torch.equal(layer(x), expected)


def test_both_ways_give_the_same() -> None:
    for name in LAYERS:
        layer, x = randomised(SUBJECTS[name].build()).eval(), random_tensor(SUBJECTS[name].sizes[0], 0)
        fast = output_and_gradients(layer, x)
        hook = [module.register_forward_pre_hook(lambda module, args: None) for module in parts(layer)]
        plain = output_and_gradients(layer, x)
        torch.testing.assert_close(plain, fast)
        assert len(hook) == len(parts(layer))
        assert not any(untouched.is_untouched(module, type(module), "weight") for module in parts(layer))


def test_a_half_net_with_hooks_keeps_its_dtype() -> None:
    net = build_agdtnet(3, num_frames=2, dtype=torch.bfloat16).eval()
    x = random_tensor((1, 2, 3, 32, 32), 0, torch.bfloat16)
    expected = net(x)
    for module in parts(net):
        module.register_forward_pre_hook(lambda module, args: None)
    assert net(x).dtype == torch.bfloat16
    torch.testing.assert_close(net(x), expected, rtol=0.05, atol=0.02)


def dilated(module: nn.Module) -> None:
    module.dilation = tuple(2 for _ in module.kernel_size)
    module.padding = tuple(2 * half for half in module.padding)


SETTINGS: dict[str, Callable[[nn.Module], object]] = {
    "circular": lambda module: setattr(module, "padding_mode", "circular"),
    "reflect": lambda module: setattr(module, "padding_mode", "reflect"),
    "same": lambda module: setattr(module, "padding", "same"),
    "dilated": dilated,
}


@pytest.mark.parametrize("change", SETTINGS.values(), ids=SETTINGS.keys())
@pytest.mark.parametrize("name", [*LAYERS, "AGDTNet"])
def test_settings_that_are_changed_from_outside_count(name: str, change: Callable[[nn.Module], object]) -> None:
    layer, x = randomised(SUBJECTS[name].build()).eval(), random_tensor(SUBJECTS[name].sizes[0], 0)
    for module in layer.modules():
        if isinstance(module, (nn.Conv1d, nn.Conv2d)) and set(module.stride) == {1}:
            change(module)
    output = layer(x)
    # With a hook on every part the layer takes the way of its equations, part by part.
    for module in parts(layer):
        module.register_forward_hook(lambda *_: None)
    torch.testing.assert_close(output, layer(x))
