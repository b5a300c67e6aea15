"""The passes over a feature map: it is summed up, and attended to."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import conv2d

from agdt_layers import AdaptiveGlobalAttention, custom_backward
from agdt_layers.feature_maps import attend, pool_channels, pool_windows
from helpers.agreement import assert_agrees, gradients, leaves_of
from helpers.strategies import LAYOUTS, laid_out, random_tensor


def test_windows_leave_out_what_zero_padding_cuts_off() -> None:
    x = random_tensor((2, 3, 4, 5), 0)
    windows, peak = pool_windows(x, 3)
    columns, rows = x.sum(dim=2), x.sum(dim=3)
    expected = [columns[..., :-1], columns, columns[..., 1:], rows[..., :-1], rows, rows[..., 1:]]
    torch.testing.assert_close(windows, torch.stack([window.sum(dim=-1) / 20 for window in expected], dim=1))
    assert torch.equal(peak, x.flatten(2).max(dim=2).values)


def test_channels_are_pooled_after_they_are_weighed() -> None:
    x, channel = random_tensor((2, 5, 3, 7), 0), random_tensor((2, 5), 1)
    weighted = x * channel[:, :, None, None]
    expected = torch.stack([weighted.sum(dim=1) / 5, weighted.max(dim=1).values], dim=1)
    torch.testing.assert_close(pool_channels(x, channel), expected)


def literal(x: Tensor, channel: Tensor, context: Tensor, weight: Tensor) -> Tensor:
    x_c = x * channel[:, :, None, None]
    z_att = conv2d(torch.stack([x_c.mean(dim=1), x_c.amax(dim=1)], dim=1), weight, padding=weight.shape[2] // 2)
    return x + x_c * torch.sigmoid(z_att) * context[:, :, None, None]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("channels", [5, 16])
@pytest.mark.parametrize("large", [0, 2**23])
def test_attending_is_the_printed_products_and_the_residual(
    large: int, channels: int, layout: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(custom_backward, "_LARGE", large)
    monkeypatch.setattr(custom_backward, "_GROUP", 2 * channels * 3 * 7)
    leaves = {
        "x": laid_out(random_tensor((5, channels, 3, 7), 0), layout),
        "channel": random_tensor((5, channels), 1),
        "context": random_tensor((5, channels), 2),
        "weight": random_tensor((1, 2, 3, 3), 3),
    }
    for leaf in leaves.values():
        leaf.requires_grad_()
    assert_agrees(attend(*leaves.values()), literal(*leaves.values()), leaves)


def test_second_derivatives_of_attending() -> None:
    shapes = ((2, 3, 2, 4), (2, 3), (2, 3), (1, 2, 3, 3))
    inputs = tuple(random_tensor(shape, number).requires_grad_() for number, shape in enumerate(shapes))
    assert torch.autograd.gradgradcheck(attend, inputs)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("channels", [1, 2, 5])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_groups_of_frames_derive_what_all_frames_derive_at_once(
    channels: int, dtype: torch.dtype, layout: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = AdaptiveGlobalAttention(channels, dtype=dtype)
    x = laid_out(random_tensor((2, 3, channels, 7, 11), 0, dtype), layout)
    leaves = leaves_of(layer, x)
    expected = layer(x)
    wanted = gradients(expected, leaves)
    monkeypatch.setattr(custom_backward, "_LARGE", 0)
    monkeypatch.setattr(custom_backward, "_GROUP", 4 * x[0, 0].numel())
    tolerance = 8 * torch.finfo(dtype).eps
    for name, gradient in gradients(layer(x), leaves).items():
        assert gradient.dtype == dtype
        torch.testing.assert_close(gradient, wanted[name], rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("channels", [1, 2, 8])
def test_statistics_are_float32(channels: int) -> None:
    x = random_tensor((6, channels, 7, 11), 0, torch.bfloat16)
    assert {part.dtype for part in pool_windows(x, 7)} == {torch.float32}
    ones = torch.ones(6, channels)
    assert pool_channels(x, ones).dtype == torch.float32
    assert attend(x, ones, ones, torch.ones(1, 2, 3, 3)).dtype == torch.bfloat16


def test_equal_maxima_share_the_gradient() -> None:
    x = torch.ones(1, 1, 2, 2, dtype=torch.float64, requires_grad=True)
    pool_windows(x, 1)[1].sum().backward()
    assert torch.equal(x.grad, torch.full_like(x, 0.25))
