"""The passes over a feature map: windowed sums, extremes, and the one rescaling."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from agdt_layers import AdaptiveGlobalAttention, feature_maps
from agdt_layers.feature_maps import pool_channels, pool_windows, reach, rescale
from agreement import gradients, leaves_of
from strategies import LAYOUTS, laid_out, random_tensor


@given(st.integers(1, 12), st.sampled_from((1, 3, 7, 9)))
def test_reach_says_which_positions_a_tap_touches(size: int, kernel_size: int) -> None:
    expected = torch.zeros(kernel_size, size)
    for tap in range(kernel_size):
        for output in range(size):
            position = output + tap - kernel_size // 2
            if 0 <= position < size:
                expected[tap, position] = 1
    assert torch.equal(reach(size, kernel_size, torch.ones(())), expected)


def test_windows_leave_out_what_zero_padding_cuts_off() -> None:
    x = random_tensor((2, 3, 4, 5), 0)
    sums, peak = pool_windows(x, 3)
    columns, rows = x.sum(dim=2), x.sum(dim=3)
    expected = [columns[..., :-1], columns, columns[..., 1:], rows[..., :-1], rows, rows[..., 1:]]
    torch.testing.assert_close(sums, torch.stack([window.sum(dim=-1) for window in expected], dim=1))
    assert torch.equal(peak, x.flatten(2).max(dim=2).values)


def test_channels_are_pooled_after_they_are_weighed() -> None:
    x, channel = random_tensor((2, 5, 3, 7), 0), random_tensor((2, 5), 1)
    weighted = x * channel[:, :, None, None]
    expected = torch.stack([weighted.sum(dim=1) / 5, weighted.max(dim=1).values], dim=1)
    torch.testing.assert_close(pool_channels(x, channel), expected)


def test_rescaling_is_the_printed_product_and_residual() -> None:
    x, channel, position = (
        random_tensor((2, 5, 3, 7), 0),
        random_tensor((2, 5), 1),
        random_tensor((2, 1, 3, 7), 2),
    )
    torch.testing.assert_close(rescale(x, channel, position), x + x * channel[:, :, None, None] * position)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("channels", [1, 2, 5])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_groups_of_frames_give_what_all_frames_give_at_once(
    channels: int, dtype: torch.dtype, layout: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = AdaptiveGlobalAttention(channels, dtype=dtype)
    x = laid_out(random_tensor((2, 3, channels, 7, 11), 0, dtype), layout)
    leaves = leaves_of(layer, x)
    expected = layer(x)
    wanted = gradients(expected, leaves)
    monkeypatch.setattr(feature_maps, "_GROUP", 4 * x[0, 0].numel())
    enhanced = layer(x)
    assert enhanced.stride() == expected.stride()
    tolerance = 8 * torch.finfo(dtype).eps
    torch.testing.assert_close(enhanced, expected, rtol=tolerance, atol=0)
    for name, gradient in gradients(enhanced, leaves).items():
        assert gradient.dtype == dtype
        torch.testing.assert_close(gradient, wanted[name], rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_groups_of_frames_keep_float32_statistics(channels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    x = random_tensor((6, channels, 7, 11), 0, torch.bfloat16)
    monkeypatch.setattr(feature_maps, "_GROUP", x[0].numel())
    assert {part.dtype for part in pool_windows(x, 7)} == {torch.float32}
    assert pool_channels(x, torch.ones(6, channels)).dtype == torch.float32
    assert rescale(x, torch.ones(6, channels), torch.ones(6, 1, 7, 11)).dtype == torch.bfloat16


def test_equal_maxima_share_the_gradient() -> None:
    x = torch.ones(1, 1, 2, 2, dtype=torch.float64, requires_grad=True)
    pool_windows(x, 1)[1].sum().backward()
    assert torch.equal(x.grad, torch.full_like(x, 0.25))
