"""The small CNNs that are compared on pictures, and their ECA beside its equation."""

import pytest
import torch
from torch import nn

from dfer.evaluation.complexity import count_multiply_adds
from dfer.experiments.picture_nets import ATTENTIONS, EfficientChannelAttention, picture_net
from dfer.models.wide_resnet18 import parameters


def multiply_adds(net: nn.Module) -> int:
    return count_multiply_adds(net.eval(), (1, 1, 28, 28))


@pytest.mark.parametrize(("channels", "size"), [(8, 3), (32, 3), (64, 3), (128, 5), (512, 5)])
def test_eca_matches_its_equation(channels: int, size: int) -> None:
    layer = EfficientChannelAttention(channels).double()
    kernel = layer.conv.weight.detach().flatten()
    assert len(kernel) == size
    x = torch.randn(2, channels, 3, 5, dtype=torch.float64)
    expected = torch.empty_like(x)
    for n in range(2):
        for c in range(channels):
            total = torch.zeros((), dtype=torch.float64)
            for k in range(size):
                neighbour = c + k - size // 2
                if 0 <= neighbour < channels:
                    total += kernel[k] * x[n, neighbour].mean()
            expected[n, c] = x[n, c] * torch.sigmoid(total)
    torch.testing.assert_close(layer(x), expected)


@pytest.mark.parametrize("row", ATTENTIONS)
def test_scores_of_a_picture_do_not_depend_on_the_batch(row: str) -> None:
    net = picture_net(row, 10).eval()
    pictures = torch.randn(3, 1, 28, 28)
    torch.testing.assert_close(net(pictures)[1:2], net(pictures[1:2]))


def test_wider_net_costs_at_least_as_much_as_aga() -> None:
    wider, aga = picture_net("wider", 10), picture_net("AGA", 10)
    for cost in (multiply_adds, parameters):
        assert cost(aga) <= cost(wider) < 1.05 * cost(aga)


def test_multiply_adds_of_se_by_hand() -> None:
    # Two linear maps in each block, reduced by 4.
    expected = sum(2 * width * width // 4 for width in (16, 32, 64))
    assert multiply_adds(picture_net("SE", 10)) - multiply_adds(picture_net("none", 10)) == expected
