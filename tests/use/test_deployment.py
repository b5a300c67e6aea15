"""Deployment: safetensors files, half precision, autocast and the channels-last memory format."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_model, save_model

from helpers.agreement import gradients
from helpers.strategies import laid_out
from helpers.subjects import Subject, proves

# Layers that disable autocast.
FULL_PRECISION = (
    "AdaptiveGlobalAttention",
    "AdaptiveChannelAttention",
    "GlobalConvolutionalAttention",
    "DifferentialTemporalEnhancer",
)
MAPS = ("AdaptiveGlobalAttention", "AdaptiveChannelAttention", "GlobalConvolutionalAttention")


@proves("safetensors")
@torch.no_grad()
def test_safetensors_round_trip(subject: Subject, tmp_path: Path) -> None:
    saved, loaded = subject.build(), subject.build()
    for parameter in loaded.parameters():
        parameter.fill_(float("nan"))
    save_model(saved, str(tmp_path / "layer.safetensors"))
    assert load_model(loaded, tmp_path / "layer.safetensors") == (set(), [])
    x = subject.inputs()[0]
    assert torch.equal(loaded(x), saved(x))


@proves("autocast")
def test_gradients_under_autocast(subject: Subject) -> None:
    layer = subject.build()
    x = subject.inputs()[0]
    leaves = {"x": x.requires_grad_(), **{n: p for n, p in layer.named_parameters() if p.requires_grad}}
    with torch.autocast("cpu", torch.bfloat16):
        out = layer(x)
    expected = layer(x)
    wanted, found = gradients(expected, leaves), gradients(out.float(), leaves)
    assert all(gradient.dtype == torch.float32 for gradient in found.values())
    if type(layer).__name__ in FULL_PRECISION:
        assert torch.equal(out, expected)
        assert all(torch.equal(found[name], wanted[name]) for name in found)
        return
    # bfloat16 has 8 bits of precision and errors of many layers add up, so gradients are compared as one vector.
    assert (out - expected).norm() < 0.02 * expected.norm()
    error, size = (
        torch.cat([part[name].flatten() for name in found])
        for part in ({name: found[name] - wanted[name] for name in found}, wanted)
    )
    assert error.norm() < 0.1 * size.norm()


@proves("half precision")
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@torch.no_grad()
def test_half_precision_layer_stays_near_float32(subject: Subject, dtype: torch.dtype) -> None:
    layer = subject.build()
    x = subject.inputs()[0]
    expected = layer(x)
    out = layer.to(dtype)(x.to(dtype))
    assert out.dtype == dtype
    assert (out.float() - expected).norm() < 0.02 * expected.norm()


@proves("channels_last", *MAPS)
@torch.no_grad()
def test_channels_last_format_is_preserved(subject: Subject) -> None:
    layer = subject.build().to(memory_format=torch.channels_last)
    for values in subject.inputs():
        x = laid_out(values, "channels_last")
        out = layer(x)
        # For (B, T, C, H, W), the format applies to each frame.
        frames = out.flatten(0, -4)
        assert frames.is_contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(out, layer(values))


@proves("channels_last", "AGDTNet", "FrameWise")
@torch.no_grad()
def test_channels_last_network_gives_the_same_output(subject: Subject) -> None:
    layer = subject.build()
    x = subject.inputs()[0]
    expected = layer(x)
    out = layer.to(memory_format=torch.channels_last)(laid_out(x, "channels_last"))
    torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-5)
