"""torch.func: vmap, grad, jacrev and their compositions work on the layers."""

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest
import torch
from torch import Tensor
from torch.autograd.functional import jacobian
from torch.func import functional_call, grad, jacrev, stack_module_state, vmap

from agdt_layers import AdaptiveGlobalAttention
from helpers.agreement import randomised
from helpers.strategies import random_tensor
from helpers.subjects import LAYERS, Subject, proves


@proves("vmap and grad", *LAYERS)
@pytest.mark.parametrize("axis", [0, 1])
def test_vmap_equals_a_loop(subject: Subject, axis: int) -> None:
    layer = randomised(subject.build())
    x = random_tensor((4, *subject.sizes[0]), 0).movedim(0, axis)
    torch.testing.assert_close(vmap(layer, in_dims=axis)(x), torch.stack([layer(part) for part in x.unbind(axis)]))


@proves("vmap and grad", *LAYERS)
def test_grad_and_per_sample_gradients(subject: Subject) -> None:
    layer = randomised(subject.build())
    x = random_tensor((4, *subject.sizes[0]), 0)

    def energy(part: Tensor) -> Tensor:
        return layer(part).square().sum()

    expected = torch.stack([jacobian(energy, part) for part in x])
    torch.testing.assert_close(grad(energy)(x[0]), expected[0])
    torch.testing.assert_close(vmap(grad(energy))(x), expected)


def test_per_clip_gradients_of_the_parameters() -> None:
    layer = randomised(AdaptiveGlobalAttention(5))
    clips = random_tensor((4, 2, 5, 7, 3), 1)
    parameters = dict(layer.named_parameters())

    def energy(values: dict[str, Tensor], clip: Tensor) -> Tensor:
        return functional_call(layer, values, (clip[None],)).square().sum()

    each = vmap(grad(energy), in_dims=(None, 0))(parameters, clips)
    for number, clip in enumerate(clips):
        expected = torch.autograd.grad(energy(parameters, clip), list(parameters.values()))
        for (name, gradient), wanted in zip(each.items(), expected, strict=True):
            torch.testing.assert_close(gradient[number], wanted, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize("mode", [torch.no_grad, torch.enable_grad])
@pytest.mark.parametrize("mapped", ["spatial.conv.weight", "context.bias", "channel.fc.weight", None])
def test_vmap_over_stacked_parameters(mapped: str | None, mode: Callable[[], AbstractContextManager[None]]) -> None:
    layers = [randomised(AdaptiveGlobalAttention(5), seed) for seed in range(3)]
    parameters, _ = stack_module_state(layers)  # type: ignore[arg-type]
    clip = random_tensor((1, 2, 5, 7, 3), 1)
    dims = {name: 0 if mapped in (name, None) else None for name in parameters}
    values = {name: value if dims[name] == 0 else value[0] for name, value in parameters.items()}

    def run(weights: dict[str, Tensor]) -> Tensor:
        return functional_call(layers[0], weights, (clip,))

    with mode():
        each = vmap(run, in_dims=(dims,))(values)
    for number, result in enumerate(each):
        wanted = run({name: value if dims[name] is None else value[number] for name, value in values.items()})
        torch.testing.assert_close(result, wanted)


def test_jacobians_and_second_derivatives() -> None:
    layer = randomised(AdaptiveGlobalAttention(4))
    clip = random_tensor((1, 2, 4, 3, 2), 2)
    torch.testing.assert_close(jacrev(layer, chunk_size=1)(clip), jacobian(layer, clip))

    def steepness(x: Tensor) -> Tensor:
        return grad(lambda y: layer(y).square().sum())(x).square().sum()

    shift = 1e-6 * random_tensor(tuple(clip.shape), 3)
    change = steepness(clip + shift) - steepness(clip - shift)
    torch.testing.assert_close((grad(steepness)(clip) * shift).sum() * 2, change, rtol=1e-5, atol=0)
