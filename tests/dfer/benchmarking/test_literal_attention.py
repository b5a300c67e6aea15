"""What the shortcuts are measured against computes the same."""

import pytest
import torch

from agdt_layers import AdaptiveGlobalAttention
from dfer.benchmarking.literal_attention import LiteralAttention


@pytest.mark.parametrize("groups", [1, 7])
def test_the_printed_equations_agree_with_the_layer(groups: int) -> None:
    layer = AdaptiveGlobalAttention(7, num_frames=3, context_groups=groups).double()
    clip = torch.randn(3, 7, 11, 13, dtype=torch.float64)
    torch.testing.assert_close(LiteralAttention(layer)(clip), layer(clip))
