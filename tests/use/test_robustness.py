"""Empty batches, full backward hooks and very large values, for every layer and the network."""

import pytest
import torch
from torch import nn

from agdt_layers import (
    CBAM,
    AdaptiveGlobalAttention,
    FrameWise,
    ResNet18,
    SqueezeExcitation,
    TemporalMean,
    build_agdtnet,
    insert_attention,
)
from helpers.agreement import randomised
from helpers.hosts import host
from helpers.strategies import random_tensor
from helpers.subjects import SUBJECTS

BUILD = {name: (subject.build, subject.sizes[0]) for name, subject in SUBJECTS.items()} | {
    "CBAM": (lambda: CBAM(5), (2, 5, 7, 11)),
    "SqueezeExcitation": (lambda: SqueezeExcitation(5), (2, 5, 7, 11)),
    "ResNet18": (ResNet18, (2, 3, 32, 64)),
    "AGDTNet, mean": (lambda: build_agdtnet(3, temporal="mean"), (2, 4, 3, 32, 64)),
}


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", BUILD)
def test_empty_batch_gives_every_parameter_a_zero_gradient(name: str, training: bool) -> None:
    build, size = BUILD[name]
    layer = build().train(training)
    statistics = {key: value.clone() for key, value in layer.named_buffers()}
    out = layer(torch.zeros(0, *size[1:], requires_grad=True))
    assert out.shape[0] == 0
    out.sum().backward()
    for key, parameter in layer.named_parameters():
        assert parameter.grad is not None, key
        assert (parameter.grad == 0).all(), key
    for key, value in layer.named_buffers():
        assert torch.equal(value, statistics[key]) or key.endswith("num_batches_tracked"), key


def test_empty_batch_through_inserted_attention() -> None:
    model = host()
    insert_attention(model, ["sequential", "own"], example_input=torch.zeros(2, 3, 16, 24))
    net = FrameWise(nn.Sequential(model.sequential, model.own))
    net(torch.zeros(0, 3, 3, 16, 24)).sum().backward()
    assert all(parameter.grad is not None for parameter in net.parameters())


@pytest.mark.parametrize("name", BUILD)
def test_full_backward_hooks_on_every_module_change_nothing(name: str) -> None:
    build, size = BUILD[name]
    x = random_tensor(size, 0, torch.float32)
    layer = build()
    with torch.no_grad():
        expected = layer.eval()(x)
    called: list[nn.Module] = []
    for module in layer.modules():
        module.register_full_backward_hook(lambda module, d_inputs, d_outputs: called.append(module))
    out = layer(x.requires_grad_())
    out.sum().backward()
    torch.testing.assert_close(out.detach(), expected)
    assert len(called) > 0


@pytest.mark.parametrize("size", [1e10, 1e17])
def test_attention_is_exact_for_very_large_values(size: float) -> None:
    layer = randomised(AdaptiveGlobalAttention(8)).float()
    x = (random_tensor((2, 3, 8, 5, 7), 0, torch.float32) * size).requires_grad_()
    out = layer(x)
    assert out.isfinite().all()
    assert (out.abs() >= x.abs()).all()
    exact = layer.double()(x.double())
    torch.testing.assert_close(out.double() / size, exact / size, rtol=1e-5, atol=1e-5)
    layer.float()


def test_masked_mean_of_a_long_clip_in_float16_does_not_overflow() -> None:
    x = torch.full((1, 300, 2), 400.0, dtype=torch.float16)
    mask = torch.arange(300)[None] < 250
    assert TemporalMean()(x, mask=mask).tolist() == [[400.0, 400.0]]
