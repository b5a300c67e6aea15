"""Every error that bad input can cause: it names the layer, what was expected and what came, and suggests a fix."""

import pickle
import re
from collections.abc import Callable
from copy import deepcopy

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from agdt_layers import (
    CBAM,
    AdaptiveChannelAttention,
    AdaptiveGlobalAttention,
    AGDTStream,
    DifferentialTemporalEnhancer,
    DTFormer,
    FrameWise,
    GlobalConvolutionalAttention,
    SqueezeExcitation,
    TemporalMean,
    build_agdtnet,
)

zeros = torch.zeros


def attention(**options) -> AdaptiveGlobalAttention:
    return AdaptiveGlobalAttention(5, **options)


def enhancer(**options) -> DifferentialTemporalEnhancer:
    return DifferentialTemporalEnhancer(5, **options)


def encoder(**options) -> DTFormer:
    return DTFormer(6, **({"depth": 1, "heads": 3, "mlp_channels": 7, "max_frames": 4} | options))


NET = build_agdtnet(3, num_frames=2, attention="none", temporal="mean").eval()


def mask(*rows: str) -> torch.Tensor:
    """A mask as a picture: one string per clip, "#" for a real frame and "." for a padded one."""
    return torch.tensor([[frame == "#" for frame in row] for row in rows])


# name: (what a user does wrong, the error, what the message must contain)
CONFIGURATIONS: dict[str, tuple[Callable[[], object], type[Exception], tuple[str, ...]]] = {
    "attention: no channels": (
        lambda: AdaptiveGlobalAttention(0),
        ValueError,
        ("AdaptiveGlobalAttention", "channels", "0"),
    ),
    "attention: channels not a number": (
        lambda: AdaptiveGlobalAttention("64"),
        TypeError,
        ("AdaptiveGlobalAttention", "channels", "'64'"),
    ),
    "attention: fractional channels": (
        lambda: AdaptiveGlobalAttention(64.0),
        TypeError,
        ("AdaptiveGlobalAttention", "channels", "64.0"),
    ),
    "attention: no frames": (
        lambda: attention(num_frames=0),
        ValueError,
        ("AdaptiveGlobalAttention", "num_frames", "0"),
    ),
    "attention: even local kernel": (
        lambda: attention(local_kernel_size=4),
        ValueError,
        ("local_kernel_size", "odd", "4"),
    ),
    "attention: even spatial kernel": (
        lambda: attention(spatial_kernel_size=6),
        ValueError,
        ("AdaptiveGlobalAttention", "spatial_kernel_size", "odd", "6"),
    ),
    "attention: even context kernel": (
        lambda: attention(context_kernel_size=2),
        ValueError,
        ("AdaptiveGlobalAttention", "context_kernel_size", "odd", "2"),
    ),
    "attention: negative kernel": (
        lambda: attention(context_kernel_size=-7),
        ValueError,
        ("AdaptiveGlobalAttention", "context_kernel_size", "-7"),
    ),
    "attention: groups": (
        lambda: attention(context_groups=3),
        ValueError,
        ("AdaptiveGlobalAttention", "context_groups", "3", "5"),
    ),
    "attention: no groups": (
        lambda: attention(context_groups=0),
        ValueError,
        ("AdaptiveGlobalAttention", "context_groups", "0"),
    ),
    "channel attention: even kernel": (
        lambda: AdaptiveChannelAttention(5, kernel_size=4),
        ValueError,
        ("AdaptiveChannelAttention", "kernel_size", "odd", "4"),
    ),
    "convolutional attention: even kernel": (
        lambda: GlobalConvolutionalAttention(5, spatial_kernel_size=4),
        ValueError,
        ("GlobalConvolutionalAttention", "spatial_kernel_size", "odd", "4"),
    ),
    "enhancer: no step": (
        lambda: enhancer(step=0),
        ValueError,
        ("DifferentialTemporalEnhancer", "step", "0"),
    ),
    "enhancer: even kernel": (
        lambda: enhancer(kernel_size=2),
        ValueError,
        ("DifferentialTemporalEnhancer", "kernel_size", "odd", "2"),
    ),
    "enhancer: boundary": (
        lambda: enhancer(boundary="reflect"),
        ValueError,
        ("DifferentialTemporalEnhancer", "boundary", "zero", "wrap", "reflect"),
    ),
    "encoder: heads": (lambda: encoder(heads=4), ValueError, ("DTFormer", "heads", "4", "6")),
    "encoder: no depth": (lambda: encoder(depth=0), ValueError, ("DTFormer", "depth", "0")),
    "encoder: no frames": (lambda: encoder(max_frames=0), ValueError, ("DTFormer", "max_frames", "0")),
    "encoder: dropout": (lambda: encoder(dropout=1.5), ValueError, ("DTFormer", "dropout", "1.5")),
    "encoder: boundary": (lambda: encoder(boundary="same"), ValueError, ("boundary", "zero", "wrap", "same")),
    "network: attention": (
        lambda: build_agdtnet(attention="eca"),
        ValueError,
        ("attention", "eca", "aga", "aga-without-gate", "cbam", "se", "none"),
    ),
    "network: temporal": (
        lambda: build_agdtnet(temporal="lstm"),
        ValueError,
        ("temporal", "lstm", "dtformer", "tformer", "mean"),
    ),
    "network: no classes": (lambda: build_agdtnet(0), ValueError, ("num_classes", "0")),
    "network: no frames": (
        lambda: build_agdtnet(num_frames=0),
        ValueError,
        ("build_agdtnet", "num_frames", "0"),
    ),
    "squeeze-and-excitation: no channels": (
        lambda: SqueezeExcitation(0),
        ValueError,
        ("SqueezeExcitation", "channels", "0"),
    ),
    "cbam: no channels": (lambda: CBAM(0), ValueError, ("CBAM", "channels", "0")),
}

TENSORS: dict[str, tuple[Callable[[], object], type[Exception], tuple[str, ...]]] = {
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
    "attention: mask of another length": (
        lambda: attention()(zeros(2, 3, 5, 7, 11), mask=mask("##", "##")),
        ValueError,
        ("AdaptiveGlobalAttention", "mask", "(2, 3)", "(2, 2)"),
    ),
    "attention: mask without the batch": (
        lambda: attention()(zeros(2, 3, 5, 7, 11), mask=mask("###")[0]),
        ValueError,
        ("AdaptiveGlobalAttention", "mask", "(2, 3)", "(3,)"),
    ),
    "attention: mask that would broadcast": (
        lambda: attention()(zeros(2, 3, 5, 7, 11), mask=mask("###")),
        ValueError,
        ("AdaptiveGlobalAttention", "mask", "(2, 3)", "(1, 3)"),
    ),
    "attention: mask of numbers": (
        lambda: attention()(zeros(2, 3, 5, 7, 11), mask=torch.ones(2, 3)),
        TypeError,
        ("AdaptiveGlobalAttention", "mask", "bool", "torch.float32"),
    ),
    "attention: a clip without real frames": (
        lambda: attention()(zeros(2, 3, 5, 7, 11), mask=mask("##.", "...")),
        ValueError,
        ("AdaptiveGlobalAttention", "mask", "clip 1", "real"),
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
    "enhancer: mask": (
        lambda: enhancer()(zeros(2, 3, 5), mask=mask("###")),
        ValueError,
        ("DifferentialTemporalEnhancer", "mask", "(2, 3)", "(1, 3)"),
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
    "encoder: a clip without real frames": (
        lambda: encoder()(zeros(2, 3, 6), mask=mask("...", "###")),
        ValueError,
        ("DTFormer", "mask", "clip 0", "real"),
    ),
    "mean: mask of numbers": (
        lambda: TemporalMean()(zeros(2, 3, 6), mask=torch.ones(2, 3)),
        TypeError,
        ("TemporalMean", "mask", "bool", "torch.float32"),
    ),
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
    "network: mask": (
        lambda: NET(zeros(2, 2, 3, 32, 32), mask=mask("###", "###")),
        ValueError,
        ("AGDTNet", "mask", "(2, 2)", "(2, 3)"),
    ),
    "network: a clip without real frames": (
        lambda: NET(zeros(2, 2, 3, 32, 32), mask=mask("##", "..")),
        ValueError,
        ("AGDTNet", "mask", "clip 1", "real"),
    ),
}


@pytest.mark.parametrize(
    ("misuse", "error", "fragments"), (CONFIGURATIONS | TENSORS).values(), ids=CONFIGURATIONS | TENSORS
)
def test_the_message_helps(misuse: Callable[[], object], error: type[Exception], fragments: tuple[str, ...]) -> None:
    with pytest.raises(error) as caught:
        misuse()
    message = str(caught.value)
    missing = [f for f in fragments if not re.search(rf"(?<!\w){re.escape(f)}(?!\w)|^{re.escape(f)}", message)]
    assert not missing, f"{missing} not in: {message}"
    assert len(message) < 320, "one or two lines"
    assert not re.search(r"[{}]", message), "a placeholder was never filled in"


def test_integers_of_numpy_are_kept_as_plain_ones() -> None:
    net = build_agdtnet(np.int64(7), num_frames=np.int32(2), attention="none", temporal="mean")
    assert type(net.num_classes) is int
    former = DTFormer(np.int64(6), depth=np.int64(1), heads=np.uint8(3), max_frames=np.int16(4))
    assert (type(former.channels), type(former.max_frames)) == (int, int)
    made = attention(num_frames=np.int64(3), context_window=np.int64(2), context_groups=np.int64(1))
    assert (type(made.num_frames), type(made.context_window), type(made.channels)) == (int, int, int)
    assert pickle.loads(pickle.dumps(made.state_dict())).keys() == made.state_dict().keys()


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


class Reads(TorchDispatchMode):
    """Notes every operation that tells Python the value of a tensor; on a GPU each waits for all work before it."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        if name in ("_local_scalar_dense", "nonzero", "item", "is_nonzero", "equal", "masked_select", "unique_dim"):
            self.operations.append(name)
        return func(*args, **(kwargs or {}))


READING = {
    "AGDTNet": (lambda: build_agdtnet(3, num_frames=3, causal=True).eval(), zeros(2, 3, 3, 32, 32)),
    "FrameWise": (lambda: FrameWise(nn.Sequential(attention(), attention())), zeros(2, 3, 5, 7, 11)),
    "AdaptiveGlobalAttention": (attention, zeros(2, 3, 5, 7, 11)),
    "DTFormer": (encoder, zeros(2, 3, 6)),
    "DifferentialTemporalEnhancer": (enhancer, zeros(2, 3, 5)),
    "TemporalMean": (TemporalMean, zeros(2, 3, 5)),
}


@pytest.mark.parametrize(("make", "x"), READING.values(), ids=READING)
def test_a_masks_values_are_read_once_and_no_others(make: Callable[[], nn.Module], x: torch.Tensor) -> None:
    module = make()
    with Reads() as reads:
        module(x)
    assert reads.operations == []
    with Reads() as reads:
        module(x, mask=mask("###", "##."))
    assert len(reads.operations) == 1
