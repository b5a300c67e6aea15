"""Pairs of readings of the paper that the documentation claims to be equivalent."""

import torch
from torch.nn.functional import conv1d, linear

from agdt_layers import AdaptiveChannelAttention, DifferentialTemporalEnhancer
from helpers.agreement import randomised


def test_literal_roll_equals_exchanged_and_negated_alphas() -> None:
    layer = randomised(DifferentialTemporalEnhancer(3, step=2, boundary="wrap"), 5)
    x = torch.randn(2, 7, 3, dtype=torch.float64)
    expected = layer.gate(x)
    forward, backward = layer.alpha_forward.item(), layer.alpha_backward.item()
    literal = forward * (x.roll(2, 1) - x) + backward * (x - x.roll(-2, 1))
    with torch.no_grad():
        layer.alpha_forward.fill_(-backward)
        layer.alpha_backward.fill_(-forward)
    torch.testing.assert_close(layer(x), x + layer.gate(x) * literal)
    assert not torch.allclose(layer.gate(x), expected)


def test_gate_weights_can_undo_an_exchange_of_rows_and_columns() -> None:
    layer = randomised(AdaptiveChannelAttention(5), 5)
    assert layer.gate is not None
    x = torch.randn(4, 5, 3, 7, dtype=torch.float64)
    kernel = layer.local.weight
    local = conv1d(x.mean(dim=(2, 3))[:, None], kernel, padding=kernel.shape[-1] // 2)[:, 0]
    overall = linear(x.amax(dim=(2, 3)), layer.fc.weight, layer.fc.bias)
    matrix = local[:, :, None] * overall[:, None]
    columns, rows = matrix.mean(dim=1), matrix.mean(dim=2)
    weight, bias = -layer.gate.weight.flip(1), -layer.gate.bias
    gate = conv1d(torch.stack([columns, rows], dim=1), weight, bias, padding=weight.shape[-1] // 2).sigmoid()[:, 0]
    mixed = gate * columns + (1 - gate) * rows
    torch.testing.assert_close(layer(x), x * mixed.sigmoid()[:, :, None, None])
