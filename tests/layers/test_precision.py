"""Half precision and autocast against float64, with a tolerance derived from the unit roundoff.

With u = eps / 2, the unit roundoff of a dtype, one rounded operation has a relative error of at most u.
"""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import reference
from agdt_layers import (
    CBAM,
    AdaptiveChannelAttention,
    AdaptiveGlobalAttention,
    DifferentialTemporalEnhancer,
    DTFormer,
    SqueezeExcitation,
)
from helpers.strategies import random_tensor

HALVES = [torch.float16, torch.bfloat16]


def in_float64(layer: torch.nn.Module) -> dict[str, Tensor]:
    """Return the layer's rounded weights in float64, so that only errors of the arithmetic remain."""
    return {name: value.double() for name, value in layer.state_dict().items()}


def assert_rounded_once(result: Tensor, exact: Tensor) -> None:
    """Check for a relative error of u, from rounding the result once, plus one percent for the float32 arithmetic.

    Below the smallest normal number rounding errors are absolute, so magnitudes are clamped there.
    """
    kind = torch.finfo(result.dtype)
    size = exact.abs().clamp(min=kind.smallest_normal)
    assert ((result.double() - exact).abs() <= 1.01 * kind.eps / 2 * size).all()


def assert_float32(result: Tensor, exact: Tensor) -> None:
    """Check for a relative error of 4 eps per element. Three products, a sum and four sigmoids, each of which passes on
    a quarter of its argument's error, have an error of u each: 8u = 4 eps.
    """
    assert result.dtype == torch.float32
    assert ((result.double() - exact).abs() <= 4 * torch.finfo(torch.float32).eps * exact.abs()).all()


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("channels", [8, 64])
def test_attention_in_half_precision_rounds_only_its_result(dtype: torch.dtype, channels: int) -> None:
    layer = AdaptiveGlobalAttention(channels).to(dtype)
    x = random_tensor((2, 3, channels, 7, 5), 0, dtype)
    assert_rounded_once(layer(x), reference.adaptive_global_attention(x.double(), in_float64(layer)))


@pytest.mark.parametrize("dtype", HALVES)
def test_channel_attention_in_half_precision_rounds_only_its_result(dtype: torch.dtype) -> None:
    layer = AdaptiveChannelAttention(64).to(dtype)
    x = random_tensor((3, 64, 7, 5), 0, dtype)
    assert_rounded_once(layer(x), reference.channel_attention(x.double(), in_float64(layer)))


@pytest.mark.parametrize("dtype", [None, *HALVES])
def test_attention_in_float32_is_not_rounded_by_autocast(dtype: torch.dtype | None) -> None:
    layer = AdaptiveGlobalAttention(64)
    x = random_tensor((2, 3, 64, 7, 5), 0, torch.float32)
    with torch.autocast(torch.get_default_device().type, dtype=dtype or torch.bfloat16, enabled=dtype is not None):
        enhanced = layer(x)
    assert_float32(enhanced, reference.adaptive_global_attention(x.double(), in_float64(layer)))


@pytest.mark.parametrize("dtype", HALVES)
def test_attention_under_autocast_accepts_half_precision_features(dtype: torch.dtype) -> None:
    """After a convolution under autocast, features are in half precision while the weights are in float32."""
    layer = AdaptiveGlobalAttention(8)
    x = random_tensor((2, 3, 8, 7, 5), 0, dtype)
    with torch.autocast(torch.get_default_device().type, dtype=dtype):
        enhanced = layer(x)
    assert enhanced.dtype == dtype
    assert_rounded_once(enhanced, reference.adaptive_global_attention(x.double(), in_float64(layer)))


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("dtype", HALVES)
def test_large_features_stay_finite(dtype: torch.dtype, autocast: bool) -> None:
    """At 1e4 the correlation l1 l2^T is near 1e8, beyond float16's 65504, so statistics must not be in float16."""
    layer = AdaptiveGlobalAttention(64)
    x = 1e4 * random_tensor((2, 3, 64, 7, 5), 2, torch.float32).clamp(-3, 3)
    if not autocast:
        layer, x = layer.to(dtype), x.to(dtype)
    x.requires_grad_()
    with torch.autocast(torch.get_default_device().type, dtype=dtype, enabled=autocast):
        enhanced = layer(x)
    assert enhanced.isfinite().all()
    assert (enhanced.abs() >= x.abs()).all()
    assert (enhanced.abs() <= 2 * x.abs()).all()
    for gradient in torch.autograd.grad(enhanced.float().mean(), [x, *layer.parameters()]):
        assert gradient.isfinite().all()


@pytest.mark.parametrize("dtype", HALVES)
def test_enhancer_in_half_precision_rounds_only_its_result(dtype: torch.dtype) -> None:
    layer = DifferentialTemporalEnhancer(16).to(dtype)
    x = random_tensor((2, 7, 16), 3, dtype)
    assert_rounded_once(layer(x), reference.differential_enhancement(x.double(), in_float64(layer)))


def test_enhancer_stays_finite_in_float16() -> None:
    x = 1e4 * random_tensor((2, 7, 16), 4, torch.float32).clamp(-3, 3)
    assert DifferentialTemporalEnhancer(16).half()(x.half()).isfinite().all()


@pytest.mark.parametrize("dtype", HALVES)
def test_dtformer_in_half_precision(dtype: torch.dtype) -> None:
    """The tolerance is 4 eps of the vector's largest entry. Each of the 2 * depth = 4 residual sums rounds by u
    and adds a branch, no larger than the residual stream, with an error of about u: 4 * (1 + 1)u = 4 eps. Dot
    products accumulate in float32 and count as one operation.
    """
    layer = DTFormer(32, depth=2, heads=4, mlp_channels=64).eval().to(dtype)
    x = random_tensor((2, 7, 32), 5, dtype)
    exact = reference.dtformer(x.double(), in_float64(layer), heads=4)
    vectors = layer(x)
    assert vectors.dtype == dtype
    assert (vectors.double() - exact).abs().max() <= 4 * torch.finfo(dtype).eps * exact.abs().max()


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("make", [CBAM, SqueezeExcitation])
def test_cbam_and_se_preserve_half_precision(make: Callable[[int], torch.nn.Module], dtype: torch.dtype) -> None:
    x = random_tensor((2, 32, 3, 5), 0, dtype)
    assert make(32).to(dtype)(x).dtype == dtype
