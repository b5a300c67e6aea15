"""The classes tested in every way of use, and the mark that links a test to a class and a way of use.

docs/usage_table.py builds its table from these marks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

from agdt_layers import (
    AdaptiveChannelAttention,
    AdaptiveGlobalAttention,
    DifferentialTemporalEnhancer,
    DTFormer,
    FrameWise,
    GlobalConvolutionalAttention,
    build_agdtnet,
    insert_attention,
)
from helpers.hosts import host
from helpers.strategies import random_tensor


class Subject(NamedTuple):
    """A class and input sizes. The first size is traced; the axes in `dynamic` differ between all sizes."""

    build: Callable[[], nn.Module]
    dynamic: tuple[int, ...]
    sizes: tuple[tuple[int, ...], ...]

    def inputs(self) -> list[Tensor]:
        return [random_tensor(size, seed, torch.float32) for seed, size in enumerate(self.sizes)]


def _clip_encoder() -> FrameWise:
    model = nn.Sequential(host().sequential, host().own)
    insert_attention(model, ["0", "1"], example_input=torch.randn(2, 3, 16, 24))
    return FrameWise(model)


# All axes have different sizes, because a compiler may treat two equal sizes as one.
_MAPS = ((2, 3, 5, 7, 11), (3, 1, 5, 4, 6), (1, 4, 5, 9, 2), (1, 1, 5, 1, 1))
_VECTORS = ((2, 3, 5), (3, 1, 5), (1, 7, 5))
_CLIPS = ((2, 4, 3, 64, 96), (1, 1, 3, 80, 64))
_CHANNELS = 5

SUBJECTS = {
    "AdaptiveGlobalAttention": Subject(lambda: AdaptiveGlobalAttention(_CHANNELS), (0, 1, 3, 4), _MAPS),
    "AdaptiveChannelAttention": Subject(
        lambda: AdaptiveChannelAttention(_CHANNELS), (0, 2, 3), ((2, 5, 7, 11), (3, 5, 4, 6), (1, 5, 1, 1))
    ),
    "GlobalConvolutionalAttention": Subject(
        lambda: GlobalConvolutionalAttention(_CHANNELS, context_groups=1), (0, 1, 3, 4), _MAPS
    ),
    "DifferentialTemporalEnhancer": Subject(
        lambda: DifferentialTemporalEnhancer(_CHANNELS, step=2, boundary="wrap"), (0, 1), _VECTORS
    ),
    "DTFormer": Subject(
        lambda: DTFormer(_CHANNELS, depth=2, heads=1, mlp_channels=6, max_frames=8).eval(), (0, 1), _VECTORS
    ),
    "AGDTNet": Subject(lambda: build_agdtnet(6, num_frames=8).eval(), (0, 1, 3, 4), _CLIPS),
    "FrameWise": Subject(_clip_encoder, (0, 1, 3, 4), ((2, 4, 3, 16, 24), (1, 1, 3, 20, 12), (3, 5, 3, 12, 20))),
}
LAYERS = tuple(name for name in SUBJECTS if name not in ("AGDTNet", "FrameWise"))


def proves(way: str, *names: str) -> pytest.MarkDecorator:
    """Parametrize a test by these subjects, by default all, each marked with the way of use that the test proves."""
    cases = [pytest.param(SUBJECTS[name], id=name, marks=pytest.mark.proves(name, way)) for name in names or SUBJECTS]
    return pytest.mark.parametrize("subject", cases)
