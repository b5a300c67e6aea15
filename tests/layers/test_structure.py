"""The cost of the layers, counted instead of timed: shapes, multiply-adds and memory for the backward pass."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from agdt_layers import AdaptiveGlobalAttention, DTFormer
from helpers.strategies import random_tensor

# Distinct primes, so that a shape identifies its axes.
BATCH, FRAMES, CHANNELS, HEIGHT, WIDTH = 2, 3, 101, 13, 17
CLIPS = (BATCH, FRAMES, CHANNELS, HEIGHT, WIDTH)
FULL = BATCH * FRAMES * CHANNELS * HEIGHT * WIDTH


class Shapes(TorchDispatchMode):
    """Records the shape of every operation's output."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[tuple[int, ...]] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for value in out if isinstance(out, (tuple, list)) else (out,):
            if isinstance(value, Tensor):
                self.seen.add(tuple(value.shape))
        return out


@pytest.mark.parametrize("gate", [True, False])
def test_no_correlation_matrix_is_formed(gate: bool) -> None:
    layer, x = AdaptiveGlobalAttention(CHANNELS, gate=gate), random_tensor(CLIPS, 0, torch.float32)
    with Shapes() as shapes:
        layer(x.requires_grad_()).sum().backward()
    assert (BATCH * FRAMES, CHANNELS, HEIGHT, WIDTH) in shapes.seen
    squares = {shape for shape in shapes.seen if shape.count(CHANNELS) >= 2}
    # Only the weight of the linear map l2, nothing per frame.
    assert squares == {(CHANNELS, CHANNELS)}


def multiply_adds(layer: nn.Module, x: Tensor) -> int:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        layer(x)
    # Without the products of scaled_dot_product_attention, which torch counts on a CPU only from 2.15 on.
    return sum(n for op, n in counter.get_flop_counts()["Global"].items() if "attention" not in str(op)) // 2


@pytest.mark.parametrize("groups", [1, CHANNELS])
def test_global_convolution_does_not_run_over_the_map(groups: int) -> None:
    small = random_tensor(CLIPS, 0, torch.float32)
    large = random_tensor((*CLIPS[:3], 4 * HEIGHT, 4 * WIDTH), 0, torch.float32)
    layer = AdaptiveGlobalAttention(CHANNELS, context_groups=groups)
    growth = multiply_adds(layer, large) - multiply_adds(layer, small)
    positions = BATCH * FRAMES * 15 * HEIGHT * WIDTH
    literal = positions * CHANNELS * 14 * CHANNELS // groups
    windows = positions * CHANNELS * 14
    # A position costs 14 windowed sums per channel, and 98 products of the spatial convolution.
    assert growth == windows + 98 * positions
    assert groups != 1 or growth < literal / 10


@pytest.mark.parametrize("gate", [True, False])
def test_input_is_the_only_full_map_saved_for_backward(gate: bool) -> None:
    layer, x = AdaptiveGlobalAttention(CHANNELS, gate=gate), random_tensor(CLIPS, 0, torch.float32).requires_grad_()
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes() // tensor.element_size()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        out = layer(x)
    out.sum().backward()
    assert [pointer for pointer, size in kept.items() if size >= FULL] == [x.untyped_storage().data_ptr()]
    assert max(size for pointer, size in kept.items() if pointer != x.untyped_storage().data_ptr()) < FULL / 2


def test_last_encoder_layer_computes_only_the_class_token() -> None:
    settings = {"heads": 1, "mlp_channels": 8, "max_frames": 12, "differential": False}
    x = random_tensor((1, 12, 8), 0, torch.float32)
    one, two = (multiply_adds(DTFormer(8, depth=depth, **settings).eval(), x) for depth in (1, 2))
    # The other 12 of 13 tokens need no output projection and no MLP.
    assert (two - one) - one == 12 * 3 * 8 * 8
