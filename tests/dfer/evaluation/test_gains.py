"""AGA's gain is M / X - 1, and a gate of 1/2 is the mean of both statistics."""

from collections import OrderedDict

import pytest
import torch
from torch import nn

from agdt_layers import AdaptiveGlobalAttention, build_agdtnet
from dfer.errors import BadInput
from dfer.evaluation.gains import gains, has_gate, nets_by_gate, with_gate_at_half

CLIPS = torch.randn(2, 3, 3, 32, 32)


def test_gain_is_the_relative_change_by_aga() -> None:
    attention = AdaptiveGlobalAttention(3)
    found = gains(nn.Sequential(OrderedDict(stage=attention)), CLIPS)
    literal = (attention(CLIPS) / CLIPS - 1).mean(dim=2)
    torch.testing.assert_close(found["stage"], literal.detach(), rtol=1e-3, atol=1e-4)
    assert found["stage"].std() > 1e-3


def test_stages_of_agdtnet_are_found() -> None:
    found = gains(build_agdtnet(4, num_frames=3, temporal="mean"), CLIPS)
    assert {stage: tuple(maps.shape) for stage, maps in found.items()} == {
        "layer2": (2, 3, 4, 4),
        "layer3": (2, 3, 2, 2),
    }


def test_gate_of_one_half_averages_both_statistics() -> None:
    gated = AdaptiveGlobalAttention(6)
    plain = AdaptiveGlobalAttention(6, gate=False)
    plain.load_state_dict({k: v for k, v in gated.state_dict().items() if ".gate." not in k})
    torch.nn.init.normal_(gated.channel.gate.weight, std=9.0)  # type: ignore[union-attr]
    x = 5 * torch.randn(2, 5, 6, 3, 7)
    copied = with_gate_at_half(gated)
    torch.testing.assert_close(copied(x), plain(x))
    assert not torch.allclose(gated(x), plain(x), atol=1e-4), "the net itself keeps its gate"
    assert has_gate(gated)
    assert not has_gate(plain)
    assert list(nets_by_gate(gated)) == ["gate at 1/2", "with gate"]
    assert nets_by_gate(plain) == {"without gate": plain}


def test_net_without_aga_is_refused() -> None:
    with pytest.raises(BadInput, match="holds no AGA, whose maps could be drawn"):
        gains(build_agdtnet(4, num_frames=3, attention="cbam"), CLIPS)
