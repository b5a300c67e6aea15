"""Every error that a bad setting can cause: it names the layer, what was expected and what came."""

import pickle
from collections.abc import Callable

import numpy as np
import pytest

from agdt_layers import (
    CBAM,
    AdaptiveChannelAttention,
    AdaptiveGlobalAttention,
    DTFormer,
    GlobalConvolutionalAttention,
    SqueezeExcitation,
    build_agdtnet,
)
from helpers.misuse import Misuse, assert_the_message_helps, attention, encoder, enhancer

# name: (what a user does wrong, the error, what the message must contain)

SETTINGS: dict[str, Misuse] = {
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
    "attention: a flag that is a number": (
        lambda: attention(residual_scale=1),
        TypeError,
        ("AdaptiveGlobalAttention", "residual_scale", "True or False", "1"),
    ),
    "attention: a device that this machine lacks": (
        lambda: attention(device="nowhere"),
        ValueError,
        ("AdaptiveGlobalAttention", "device", "one of this machine", "'nowhere'"),
    ),
    "attention: no device at all": (
        lambda: attention(device=1.5),
        TypeError,
        ("AdaptiveGlobalAttention", "device", "a torch.device or a string", "1.5"),
    ),
    "attention: a dtype by its name": (
        lambda: attention(dtype="float32"),
        TypeError,
        ("AdaptiveGlobalAttention", "dtype", "torch.float32", "'float32'"),
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


@pytest.mark.parametrize(("misuse", "error", "fragments"), SETTINGS.values(), ids=SETTINGS)
def test_the_message_helps(misuse: Callable[[], object], error: type[Exception], fragments: tuple[str, ...]) -> None:
    assert_the_message_helps(misuse, error, fragments)


def test_integers_of_numpy_are_kept_as_plain_ones() -> None:
    net = build_agdtnet(np.int64(7), num_frames=np.int32(2), attention="none", temporal="mean")
    assert type(net.num_classes) is int
    former = DTFormer(np.int64(6), depth=np.int64(1), heads=np.uint8(3), max_frames=np.int16(4))
    assert (type(former.channels), type(former.max_frames)) == (int, int)
    made = attention(num_frames=np.int64(3), context_window=np.int64(2), context_groups=np.int64(1))
    assert (type(made.num_frames), type(made.context_window), type(made.channels)) == (int, int, int)
    assert pickle.loads(pickle.dumps(made.state_dict())).keys() == made.state_dict().keys()


@pytest.mark.parametrize("value", [True, False])
def test_truth_values_of_numpy_are_kept_as_plain_ones(value: bool) -> None:
    assert (attention(residual_scale=np.bool_(value)).residual_scale is not None) is value
