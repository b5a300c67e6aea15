"""Where AGA looks: by how much it amplifies each position, by the gate of its channel attention."""

import copy

import torch
from torch import Tensor, nn

from agdt_layers import AdaptiveChannelAttention, AttentionWeights, capture_attention
from dfer.bad_input import BadInput

# What a row of maps is called. Figure 8 of the paper has the rows WITHOUT and WITH: two trained models.
WITHOUT, AT_HALF, WITH = "without gate", "gate at 1/2", "with gate"


def gains(net: nn.Module, clips: Tensor) -> dict[str, Tensor]:
    """M / X - 1 of every AGA, averaged over the channels: (B, T, h, w) by the name of its stage.

    `clips` (B, T, 3, H, W) are normalised as the net expects them.
    """
    with torch.inference_mode(), capture_attention(net.eval()) as maps:
        net(clips)
    found = {}
    for name, weights in maps.items():
        if isinstance(weights, AttentionWeights) and weights.channel is not None:
            scale = (weights.channel * weights.context).mean(dim=-1)
            found[name.rpartition(".")[2]] = (weights.spatial * scale[..., None, None]).float().cpu()
    if not found:
        raise BadInput("the net holds no AGA, whose maps could be drawn; train one with train.py --attention aga")
    return found


def has_gate(net: nn.Module) -> bool:
    return any(isinstance(part, AdaptiveChannelAttention) and part.gate is not None for part in net.modules())


def with_gate_at_half(net: nn.Module) -> nn.Module:
    """A copy with w = 1/2 everywhere: f_att = (a + b) / 2, with weights that were trained with the gate."""
    copied = copy.deepcopy(net)
    for part in copied.modules():
        if isinstance(part, AdaptiveChannelAttention) and part.gate is not None:
            for parameter in part.gate.parameters():
                nn.init.zeros_(parameter)
    return copied


def nets_by_gate(net: nn.Module) -> dict[str, nn.Module]:
    """The net under its own name, after a copy with the gate at 1/2 where it has one."""
    return {AT_HALF: with_gate_at_half(net), WITH: net} if has_gate(net) else {WITHOUT: net}
