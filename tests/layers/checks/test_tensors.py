"""Every error that a bad tensor can cause: it names the layer, what was expected and what came, and suggests a fix."""

from collections.abc import Callable
from copy import deepcopy

import pytest
import torch
from torch import nn

from agdt_layers import CBAM, AdaptiveChannelAttention, AGDTStream, SqueezeExcitation, TemporalMean, build_agdtnet
from helpers.misuse import NET, Misuse, assert_the_message_helps, attention, encoder, enhancer

zeros = torch.zeros

TENSORS: dict[str, Misuse] = {
    "attention: channels before frames": (
        lambda: attention()(zeros(2, 5, 3, 7, 11)),
        ValueError,
        ("AdaptiveGlobalAttention", "(2, 5, 3, 7, 11)", "5 channels", "(B, C, T, H, W)"),
    ),
    "attention: channels last": (
        lambda: attention()(zeros(2, 7, 11, 5)),
        ValueError,
        ("AdaptiveGlobalAttention", "(2, 7, 11, 5)", "5 channels"),
    ),
    "attention: other channels": (
        lambda: attention()(zeros(2, 3, 4, 7, 11)),
        ValueError,
        ("AdaptiveGlobalAttention", "(2, 3, 4, 7, 11)", "axis 2", "5 channels"),
    ),
    "attention: other channels, images": (
        lambda: attention()(zeros(2, 4, 7, 11)),
        ValueError,
        ("AdaptiveGlobalAttention", "(2, 4, 7, 11)", "axis 1", "5 channels"),
    ),
    "attention: a sequence": (
        lambda: attention()(zeros(2, 3, 5)),
        ValueError,
        ("AdaptiveGlobalAttention", "(B, T, C, H, W)", "(B, C, H, W)", "(2, 3, 5)"),
    ),
    "attention: six axes": (
        lambda: attention()(zeros(1, 2, 3, 5, 7, 11)),
        ValueError,
        ("AdaptiveGlobalAttention", "(1, 2, 3, 5, 7, 11)"),
    ),
    "attention: fold does not divide": (
        lambda: attention(num_frames=4)(zeros(6, 5, 7, 11)),
        ValueError,
        ("AdaptiveGlobalAttention", "6", "4", "num_frames"),
    ),
    "attention: fold at the call does not divide": (
        lambda: attention()(zeros(6, 5, 7, 11), num_frames=4),
        ValueError,
        ("AdaptiveGlobalAttention", "6", "4", "num_frames"),
    ),
    "attention: clips of another length than told": (
        lambda: attention()(zeros(2, 3, 5, 7, 11), num_frames=4),
        ValueError,
        ("AdaptiveGlobalAttention", "3", "4", "num_frames"),
    ),
    "attention: no frames told": (
        lambda: attention()(zeros(6, 5, 7, 11), num_frames=0),
        ValueError,
        ("AdaptiveGlobalAttention", "num_frames", "0"),
    ),
    "attention: integers": (
        lambda: attention()(zeros(2, 3, 5, 7, 11, dtype=torch.uint8)),
        TypeError,
        ("AdaptiveGlobalAttention", "torch.uint8", "float"),
    ),
    "attention: complex": (
        lambda: attention()(zeros(2, 3, 5, 7, 11, dtype=torch.complex64)),
        TypeError,
        ("AdaptiveGlobalAttention", "torch.complex64"),
    ),
    "attention: not a tensor": (
        lambda: attention()([[1.0]]),
        TypeError,
        ("AdaptiveGlobalAttention", "torch.Tensor", "list"),
    ),
    "attention: no time": (
        lambda: attention()(zeros(2, 0, 5, 7, 11)),
        ValueError,
        ("AdaptiveGlobalAttention", "T", "(2, 0, 5, 7, 11)"),
    ),
    "attention: no height": (
        lambda: attention()(zeros(2, 3, 5, 0, 11)),
        ValueError,
        ("AdaptiveGlobalAttention", "H", "(2, 3, 5, 0, 11)"),
    ),
    "attention: no width": (
        lambda: attention()(zeros(2, 5, 7, 0)),
        ValueError,
        ("AdaptiveGlobalAttention", "W", "(2, 5, 7, 0)"),
    ),
    "channel attention: a sequence": (
        lambda: AdaptiveChannelAttention(5)(zeros(2, 5, 7)),
        ValueError,
        ("AdaptiveChannelAttention", "(2, 5, 7)"),
    ),
    "channel attention: other channels": (
        lambda: AdaptiveChannelAttention(5)(zeros(2, 4, 7, 11)),
        ValueError,
        ("AdaptiveChannelAttention", "axis 1", "5 channels", "(2, 4, 7, 11)"),
    ),
    "squeeze-and-excitation: other channels": (
        lambda: SqueezeExcitation(16)(zeros(2, 4, 7, 11)),
        ValueError,
        ("SqueezeExcitation", "axis 1", "16 channels", "(2, 4, 7, 11)"),
    ),
    "cbam: other channels": (
        lambda: CBAM(16)(zeros(2, 4, 7, 11)),
        ValueError,
        ("CBAM", "axis 1", "16 channels", "(2, 4, 7, 11)"),
    ),
    "squeeze-and-excitation: another dtype than the weights": (
        lambda: SqueezeExcitation(16)(zeros(2, 16, 7, 11, dtype=torch.float64)),
        TypeError,
        ("SqueezeExcitation", "torch.float64", "torch.float32"),
    ),
    "cbam: another dtype than the weights": (
        lambda: CBAM(16)(zeros(2, 16, 7, 11, dtype=torch.float64)),
        TypeError,
        ("CBAM", "torch.float64", "torch.float32"),
    ),
    "enhancer: a clip": (
        lambda: enhancer()(zeros(2, 3, 5, 7, 11)),
        ValueError,
        ("DifferentialTemporalEnhancer", "(B, T, C)", "(2, 3, 5, 7, 11)"),
    ),
    "enhancer: channels before frames": (
        lambda: enhancer()(zeros(2, 5, 3)),
        ValueError,
        ("DifferentialTemporalEnhancer", "axis 2", "5 channels", "(2, 5, 3)", "(B, C, T)"),
    ),
    "enhancer: no time": (
        lambda: enhancer()(zeros(2, 0, 5)),
        ValueError,
        ("DifferentialTemporalEnhancer", "T", "(2, 0, 5)"),
    ),
    "enhancer: integers": (
        lambda: enhancer()(zeros(2, 3, 5, dtype=torch.int64)),
        TypeError,
        ("DifferentialTemporalEnhancer", "torch.int64", "float"),
    ),
    "encoder: too many frames": (
        lambda: encoder()(zeros(2, 5, 6)),
        ValueError,
        ("DTFormer", "T = 5", "max_frames=4", "max_frames=5"),
    ),
    "encoder: other channels": (
        lambda: encoder()(zeros(2, 3, 5)),
        ValueError,
        ("DTFormer", "axis 2", "6 channels", "(2, 3, 5)"),
    ),
    "encoder: another dtype than the weights": (
        lambda: encoder()(zeros(2, 3, 6, dtype=torch.float64)),
        TypeError,
        ("DTFormer", "torch.float64", "torch.float32"),
    ),
    "encoder: no time": (lambda: encoder()(zeros(2, 0, 6)), ValueError, ("DTFormer", "T", "(2, 0, 6)")),
    "mean: a clip": (
        lambda: TemporalMean()(zeros(2, 3, 6, 5, 5)),
        ValueError,
        ("TemporalMean", "(B, T, C)", "(2, 3, 6, 5, 5)"),
    ),
    "network: channels before frames": (
        lambda: NET(zeros(2, 3, 2, 32, 32)),
        ValueError,
        ("AGDTNet", "(2, 3, 2, 32, 32)", "axis 2", "3", "(B, C, T, H, W)"),
    ),
    "network: images": (
        lambda: NET(zeros(2, 3, 32, 32)),
        ValueError,
        ("AGDTNet", "(B, T, C, H, W)", "C = 3", "(2, 3, 32, 32)"),
    ),
    "network: bytes": (
        lambda: NET(zeros(2, 2, 3, 32, 32, dtype=torch.uint8)),
        TypeError,
        ("AGDTNet", "torch.uint8", "float"),
    ),
    "network: another dtype than the weights": (
        lambda: NET(zeros(2, 2, 3, 32, 32, dtype=torch.float64)),
        TypeError,
        ("AGDTNet", "torch.float64", "torch.float32"),
    ),
    "network: no height": (
        lambda: NET(zeros(2, 2, 3, 0, 32)),
        ValueError,
        ("AGDTNet", "H", "(2, 2, 3, 0, 32)"),
    ),
}


@pytest.mark.parametrize(("misuse", "error", "fragments"), TENSORS.values(), ids=TENSORS)
def test_the_message_helps(misuse: Callable[[], object], error: type[Exception], fragments: tuple[str, ...]) -> None:
    assert_the_message_helps(misuse, error, fragments)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_a_net_is_made_in_the_dtype_of_its_backbone_and_streams_in_it(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.ReLU())
    exact = build_agdtnet(3, backbone=deepcopy(backbone), num_frames=4).eval()
    net = build_agdtnet(3, backbone=backbone.to(dtype), num_frames=4).eval()
    assert {p.dtype for p in net.parameters()} == {dtype}
    net.load_state_dict(exact.state_dict())
    clips = torch.rand(2, 3, 3, 8, 12)
    tolerance = {"rtol": 0.05, "atol": 0.05} if dtype != torch.float64 else {"rtol": 1e-4, "atol": 1e-5}
    with torch.no_grad():
        assert net(clips.to(dtype)).dtype == dtype
        torch.testing.assert_close(net(clips.to(dtype)).float(), exact(clips), **tolerance)
    scores = AGDTStream(net, num_frames=4).push(clips.to(dtype))
    assert scores.dtype == dtype
    torch.testing.assert_close(scores.float(), AGDTStream(exact, num_frames=4).push(clips), **tolerance)
    with pytest.raises(TypeError, match=f"AGDTStream expects its parameters' dtype, {dtype}; got torch.float32"):
        AGDTStream(net, num_frames=4).push(clips)
