"""torch.export: one program for every number of clips and frames and every map size."""

import pytest
import torch
from torch import nn
from torch.export import Dim, export

from agdt_layers import AdaptiveGlobalAttention, AGDTNet
from helpers.strategies import end_padding, random_tensor
from helpers.subjects import Subject, proves


def exported(layer: nn.Module, x: torch.Tensor, dynamic: tuple[int, ...], **keywords: torch.Tensor) -> nn.Module:
    shapes = {name: {0: Dim.AUTO, 1: Dim.AUTO} for name in keywords}
    sizes = {"clips" if isinstance(layer, AGDTNet) else "x": dict.fromkeys(dynamic, Dim.AUTO), **shapes}
    return export(layer, (x,), keywords, dynamic_shapes=sizes).module()


@proves("torch.export", "AdaptiveGlobalAttention", "AdaptiveChannelAttention", "GlobalConvolutionalAttention",
        "DifferentialTemporalEnhancer", "DTFormer", "AGDTNet")  # fmt: skip
@torch.no_grad()
def test_exported_program_is_valid_for_other_sizes(subject: Subject) -> None:
    layer = subject.build()
    traced, *others = subject.inputs()
    program = exported(layer, traced, subject.dynamic)
    for x in (traced, *others):
        torch.testing.assert_close(program(x), layer(x), rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_folded_frames_export() -> None:
    layer = AdaptiveGlobalAttention(5, num_frames=3)
    program = exported(layer, random_tensor((6, 5, 7, 11), 0, torch.float32), (0, 2, 3))
    # The tracer adds the guard N // T != 1, so a single clip must be passed as (1, T, C, H, W).
    for clips in (3, 4):
        x = random_tensor((3 * clips, 5, 4, 2), clips, torch.float32)
        torch.testing.assert_close(program(x), layer(x))


@torch.no_grad()
def test_exported_program_takes_a_mask() -> None:
    layer = AdaptiveGlobalAttention(5)
    x = random_tensor((2, 3, 5, 7, 11), 0, torch.float32)
    program = exported(layer, x, (0, 1, 3, 4), mask=end_padding([3, 2], 3))
    x, mask = random_tensor((3, 4, 5, 6, 2), 1, torch.float32), end_padding([1, 4, 2], 4)
    torch.testing.assert_close(program(x, mask=mask), layer(x, mask=mask))


@torch.no_grad()
def test_exported_program_raises_for_wrong_channels() -> None:
    layer = AdaptiveGlobalAttention(5)
    program = exported(layer, random_tensor((2, 3, 5, 7, 11), 0, torch.float32), (0, 1, 3, 4))
    # The messages of torch 2.6 and of later versions.
    with pytest.raises((RuntimeError, AssertionError), match=r"shape\[2\] to be equal to 5|x\.size\(\)\[2\] == 5"):
        program(torch.zeros(2, 3, 6, 7, 11))
