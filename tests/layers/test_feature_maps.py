"""The two passes over a feature map: one pools it, the other rescales it."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import conv2d

from agdt_layers.feature_maps import pool_windows, rescale
from helpers.agreement import assert_agrees
from helpers.strategies import LAYOUTS, laid_out, random_tensor


def test_windowed_sums_exclude_positions_that_a_tap_does_not_reach() -> None:
    x = random_tensor((2, 3, 4, 5), 0)
    windows, peak = pool_windows(x, 3)
    columns, rows = x.sum(dim=2), x.sum(dim=3)
    expected = [columns[..., :-1], columns, columns[..., 1:], rows[..., :-1], rows, rows[..., 1:]]
    torch.testing.assert_close(windows, torch.stack([window.sum(dim=-1) / 20 for window in expected], dim=1))
    assert torch.equal(peak, x.flatten(2).max(dim=2).values)


def literal(x: Tensor, channel: Tensor, context: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    x_c = x * channel[:, :, None, None]
    z_att = conv2d(torch.stack([x_c.mean(dim=1), x_c.amax(dim=1)], dim=1), weight, padding=weight.shape[2] // 2)
    s_hw = torch.sigmoid(z_att)
    return x + x_c * s_hw * context[:, :, None, None], s_hw


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("channels", [5, 16])
def test_rescaling_agrees_with_the_equations(channels: int, layout: str) -> None:
    leaves = {
        "x": laid_out(random_tensor((5, channels, 3, 7), 0), layout),
        "channel": random_tensor((5, channels), 1),
        "context": random_tensor((5, channels), 2),
        "weight": random_tensor((1, 2, 3, 3), 3),
    }
    for leaf in leaves.values():
        leaf.requires_grad_()
    got, expected = rescale(*leaves.values()), literal(*leaves.values())
    assert_agrees(got[0], expected[0], leaves)
    # Gradients through both outputs: the map and the spatial weights.
    got, expected = rescale(*leaves.values()), literal(*leaves.values())
    assert_agrees(got[0].sum() * got[1], expected[0].sum() * expected[1], leaves)


def test_rescaling_is_twice_differentiable() -> None:
    shapes = ((2, 3, 2, 4), (2, 3), (2, 3), (1, 2, 3, 3))
    inputs = tuple(random_tensor(shape, number).requires_grad_() for number, shape in enumerate(shapes))
    assert torch.autograd.gradgradcheck(rescale, inputs)


@pytest.mark.parametrize("channels", [1, 2, 8])
def test_statistics_of_half_precision_maps_are_float32(channels: int) -> None:
    x = random_tensor((6, channels, 7, 11), 0, torch.bfloat16)
    assert {part.dtype for part in pool_windows(x, 7)} == {torch.float32}
    ones = torch.ones(6, channels)
    out, position = rescale(x, ones, ones, torch.ones(1, 2, 3, 3))
    assert (out.dtype, position.dtype) == (torch.bfloat16, torch.float32)


def test_equal_maxima_share_the_gradient() -> None:
    x = torch.ones(1, 1, 2, 2, dtype=torch.float64, requires_grad=True)
    pool_windows(x, 1)[1].sum().backward()
    assert torch.equal(x.grad, torch.full_like(x, 0.25))
