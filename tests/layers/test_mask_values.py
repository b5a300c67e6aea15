"""Calling a layer reads the values of its mask once and no other values, as each read synchronises with the GPU."""

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from agdt_layers import (
    AdaptiveGlobalAttention,
    DifferentialTemporalEnhancer,
    DTFormer,
    FrameWise,
    TemporalMean,
    build_agdtnet,
)
from helpers.strategies import end_padding


class Reads(TorchDispatchMode):
    """Records every operation that returns a tensor's value to Python."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        if name in ("_local_scalar_dense", "nonzero", "item", "is_nonzero", "equal", "masked_select", "unique_dim"):
            self.operations.append(name)
        return func(*args, **(kwargs or {}))


READING: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "AGDTNet": (lambda: build_agdtnet(3, num_frames=3, causal=True).eval(), (2, 3, 3, 32, 32)),
    "FrameWise": (lambda: FrameWise(nn.Sequential(*map(AdaptiveGlobalAttention, (5, 5)))), (2, 3, 5, 7, 11)),
    "AdaptiveGlobalAttention": (lambda: AdaptiveGlobalAttention(5), (2, 3, 5, 7, 11)),
    "DTFormer": (lambda: DTFormer(6, depth=1, heads=3, mlp_channels=7), (2, 3, 6)),
    "DifferentialTemporalEnhancer": (lambda: DifferentialTemporalEnhancer(5), (2, 3, 5)),
    "TemporalMean": (TemporalMean, (2, 3, 5)),
}


@pytest.mark.parametrize(("make", "shape"), READING.values(), ids=READING)
def test_call_reads_mask_values_once_and_no_other_values(make: Callable[[], nn.Module], shape: tuple[int, ...]) -> None:
    module, x, mask = make(), torch.zeros(shape), end_padding([3, 2], 3)
    with Reads() as reads:
        module(x)
    assert reads.operations == []
    with Reads() as reads:
        module(x, mask=mask)
    assert len(reads.operations) == 1
