"""Forward-mode derivatives agree with reverse mode and with finite differences."""

import pytest
import torch
from torch.autograd import forward_ad
from torch.func import hessian, jacfwd, jacrev, jvp

from agdt_layers import AdaptiveGlobalAttention
from helpers.agreement import randomised
from helpers.strategies import random_tensor
from helpers.subjects import LAYERS, Subject, proves


@proves("jvp", *LAYERS)
def test_jvp_equals_gradient_times_direction(subject: Subject) -> None:
    layer = randomised(subject.build())
    x, direction = (random_tensor(subject.sizes[0], seed) for seed in (0, 1))
    output, forward = jvp(layer, (x,), (direction,))
    torch.testing.assert_close(output, layer(x))
    weighing = random_tensor(tuple(output.shape), 2)
    leaf = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(layer(leaf), leaf, weighing)
    torch.testing.assert_close((forward * weighing).sum(), (gradient * direction).sum())
    with forward_ad.dual_level():
        dual = layer(forward_ad.make_dual(x, direction))
        torch.testing.assert_close(forward_ad.unpack_dual(dual).tangent, forward)


def test_forward_and_reverse_mode_agree() -> None:
    layer, x = randomised(AdaptiveGlobalAttention(3)), random_tensor((1, 2, 3, 2, 2), 0)
    torch.testing.assert_close(jacfwd(layer)(x), jacrev(layer)(x))

    def energy(part: torch.Tensor) -> torch.Tensor:
        return layer(part).square().sum()

    torch.testing.assert_close(hessian(energy)(x), torch.autograd.functional.hessian(energy, x))


@pytest.mark.parametrize("name", ["channel.fc.weight", "spatial.conv.weight", "context.bias"])
def test_jvp_with_respect_to_a_parameter(name: str) -> None:
    layer, x = randomised(AdaptiveGlobalAttention(3)), random_tensor((1, 2, 3, 2, 2), 0)
    weight = layer.get_parameter(name).detach()

    def output(value: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(layer, {name: value}, (x,))

    direction = random_tensor(tuple(weight.shape), 1)
    forward = jvp(output, (weight,), (direction,))[1]
    step = 1e-6 * direction
    torch.testing.assert_close(forward, (output(weight + step) - output(weight - step)) / 2e-6, rtol=1e-5, atol=1e-7)
