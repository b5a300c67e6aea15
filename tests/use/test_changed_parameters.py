"""Pruning, weight norm, adapters, quantisation, hooks and replaced parts take effect in every layer."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune, spectral_norm, weight_norm

from agdt_layers import AdaptiveGlobalAttention
from agdt_layers.kernels import Kernel
from helpers.agreement import randomised
from helpers.strategies import random_tensor
from helpers.subjects import SUBJECTS, Subject, proves


def parts(layer: nn.Module) -> list[nn.Module]:
    return [module for module in layer.modules() if isinstance(module, (nn.Linear, Kernel))]


class Adapted(nn.Module):
    """A low-rank adapter around a Linear, whose weight does not include it."""

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
def test_pruned_and_normalised_weights_take_effect_and_train(name: str, change: Callable[[nn.Module], object]) -> None:
    layer, x = randomised(SUBJECTS[name].build()), random_tensor(SUBJECTS[name].sizes[0], 0)
    for module in parts(layer):
        change(module)
    layer.eval()
    for _ in range(2):
        # The second step fails if a cached weight's graph was freed by the first backward pass.
        output, gradients = output_and_gradients(layer, x)
    learned = [
        key for key in gradients if key.endswith(("weight_orig", "weight_v", "original0", "original1", "original"))
    ]
    assert len(learned) >= len(parts(layer)), sorted(gradients)
    # Plain layers with the effective weights give the same output.
    plain = randomised(SUBJECTS[name].build()).eval()
    for changed, module in zip(parts(layer), parts(plain), strict=True):
        with torch.no_grad():
            module.weight.copy_(changed.weight)
    for key, parameter in layer.named_parameters():
        if key in dict(plain.named_parameters()):
            assert torch.equal(plain.get_parameter(key), parameter), key
    torch.testing.assert_close(plain(x), output)
    # Under no_grad, the effective weight is recomputed too.
    with torch.no_grad():
        for key, parameter in layer.named_parameters():
            if key in learned:
                parameter.add_(0.5)
        assert not torch.allclose(layer(x), output)


@pytest.mark.parametrize(
    ("name", "place"),
    [
        pytest.param(name, place, id=name, marks=pytest.mark.proves(name, "adapters"))
        for name, place in (("AdaptiveGlobalAttention", "channel.fc"), ("DTFormer", "layers.1.query_key_value"))
    ],
)
def test_adapter_affects_the_output_and_gets_gradients(name: str, place: str) -> None:
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
def test_dynamic_quantisation_changes_the_output_slightly(subject: Subject) -> None:
    torch.manual_seed(0)
    layer, x = subject.build().eval(), subject.inputs()[0]
    quantised = torch.ao.quantization.quantize_dynamic(layer, {nn.Linear})
    assert not any(type(module) is nn.Linear for module in quantised.modules())
    error = (quantised(x) - layer(x)).norm() / layer(x).norm()
    assert 0 < error < 0.05


@pytest.mark.parametrize("name", LAYERS)
def test_hooks_on_every_part_are_called(name: str) -> None:
    layer, x = randomised(SUBJECTS[name].build()).eval(), random_tensor(SUBJECTS[name].sizes[0], 0)
    expected, called = layer(x), []
    # A ModuleList is iterated over, not called.
    places = [place for place, module in layer.named_modules() if place and not isinstance(module, nn.ModuleList)]
    for place in places:
        layer.get_submodule(place).register_forward_hook(lambda module, args, out, place=place: called.append(place))
    assert torch.equal(layer(x), expected)
    assert set(called) == set(places)


@pytest.mark.parametrize("name", LAYERS)
def test_hook_on_any_part_can_change_the_output(name: str) -> None:
    def changed(x: Tensor) -> Tensor:
        return x * torch.linspace(1, 2, x.shape[-1])

    def change(module: nn.Module, args: object, output: Tensor | tuple[Tensor, ...]) -> Tensor | tuple[Tensor, ...]:
        return changed(output) if isinstance(output, Tensor) else (changed(output[0]), *output[1:])

    layer, x = randomised(SUBJECTS[name].build()).eval(), random_tensor(SUBJECTS[name].sizes[0], 0)
    expected = layer(x)
    for place, module in layer.named_modules():
        if place and not isinstance(module, nn.ModuleList):
            handle = module.register_forward_hook(change)
            assert not torch.allclose(layer(x), expected), place
            handle.remove()
    assert torch.equal(layer(x), expected)


class Halved(nn.Module):
    """Replaces a part: calls it and halves its first output."""

    def __init__(self, inside: nn.Module) -> None:
        super().__init__()
        self.inside = inside

    def forward(self, *args: Tensor) -> Tensor | tuple[Tensor, ...]:
        output = self.inside(*args)
        return output / 2 if isinstance(output, Tensor) else (output[0] / 2, *output[1:])


@pytest.mark.parametrize(
    "place",
    [
        "channel",
        "channel.local",
        "channel.fc",
        "channel.gate",
        "spatial",
        "spatial.conv",
        "context",
        "context.horizontal",
        "context.vertical",
    ],
)
def test_any_part_of_attention_can_be_replaced(place: str) -> None:
    layer, x = randomised(AdaptiveGlobalAttention(5)), random_tensor((2, 3, 5, 7, 11), 0)
    expected = layer(x)
    parent, _, child = place.rpartition(".")
    setattr(layer.get_submodule(parent), child, Halved(layer.get_submodule(place)))
    halved = layer(x)
    assert not torch.allclose(halved, expected)
    hooked = randomised(AdaptiveGlobalAttention(5))
    part = hooked.get_submodule(place)
    part.register_forward_hook(lambda module, args, out: out / 2 if isinstance(out, Tensor) else (out[0] / 2, *out[1:]))
    assert torch.equal(hooked(x), halved)
