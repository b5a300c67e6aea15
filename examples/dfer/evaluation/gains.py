"""The maps of AGA: how much it amplifies each position, with and without its gate."""

import copy

import torch
from torch import Tensor, nn

from agdt_layers import AdaptiveGlobalAttention, AttentionWeights, capture_attention
from dfer.errors import BadInput

# Names of the rows of maps. The paper's Figure 8 has WITHOUT and WITH, of two trained models.
WITHOUT, AT_HALF, WITH = "without gate", "gate at 1/2", "with gate"


def gains(net: nn.Module, clips: Tensor) -> dict[str, Tensor]:
    """M / X - 1 of every AGA, averaged over the channels: (B, T, h, w) by the name of its stage.

    `clips` (B, T, 3, H, W) are normalised as the net expects them.
    """
    if not any(isinstance(part, AdaptiveGlobalAttention) for part in net.modules()):
        raise BadInput("the net holds no AGA, whose maps could be drawn; train one with train.py --attention aga")
    with torch.inference_mode(), capture_attention(net.eval()) as maps:
        net(clips)
    found = {}
    for name, weights in maps.items():
        if isinstance(weights, AttentionWeights) and weights.channel is not None:
            scale = (weights.channel * weights.context).mean(dim=-1)
            found[name.rpartition(".")[2]] = (weights.spatial * scale[..., None, None]).float().cpu()
    return found


def has_gate(net: nn.Module) -> bool:
    return bool(gates_of(net))


def gates_of(net: nn.Module) -> list[nn.Module]:
    channels = [part.channel for part in net.modules() if isinstance(part, AdaptiveGlobalAttention)]
    return [channel.gate for channel in channels if channel is not None and channel.gate is not None]


def with_gate_at_half(net: nn.Module) -> nn.Module:
    """A copy with w = 1/2 everywhere: f_att = (a + b) / 2, with weights that were trained with the gate."""
    copied = copy.deepcopy(net)
    for gate in gates_of(copied):
        for parameter in gate.parameters():
            nn.init.zeros_(parameter)
    return copied


def nets_by_gate(net: nn.Module) -> dict[str, nn.Module]:
    """The network; before it, if it has a gate, a copy with the gate at 1/2."""
    return {AT_HALF: with_gate_at_half(net), WITH: net} if has_gate(net) else {WITHOUT: net}
