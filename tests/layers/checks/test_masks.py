"""Every error that a bad mask can cause, and when a mask's values are read."""

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from agdt_layers import FrameWise, TemporalMean, build_agdtnet
from helpers.misuse import NET, Misuse, assert_the_message_helps, attention, encoder, enhancer, mask

zeros = torch.zeros

MASKS: dict[str, Misuse] = {
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
    "enhancer: mask": (
        lambda: enhancer()(zeros(2, 3, 5), mask=mask("###")),
        ValueError,
        ("DifferentialTemporalEnhancer", "mask", "(2, 3)", "(1, 3)"),
    ),
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


@pytest.mark.parametrize(("misuse", "error", "fragments"), MASKS.values(), ids=MASKS)
def test_the_message_helps(misuse: Callable[[], object], error: type[Exception], fragments: tuple[str, ...]) -> None:
    assert_the_message_helps(misuse, error, fragments)


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
