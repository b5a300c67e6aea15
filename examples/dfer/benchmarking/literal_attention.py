"""AGA as the equations are printed, to measure what the exact shortcuts earn."""

import torch
from torch import Tensor, nn

from agdt_layers import AdaptiveGlobalAttention


class LiteralAttention(nn.Module):
    """The C x C matrices formed, the global convolution run over the map."""

    def __init__(self, layer: AdaptiveGlobalAttention) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        channel, spatial, context = self.layer.channel, self.layer.spatial, self.layer.context
        assert channel is not None
        assert channel.gate is not None
        local = channel.local(x.mean(dim=(2, 3))[:, None])[:, 0]
        spread = channel.fc(x.amax(dim=(2, 3)))
        a = (local[:, :, None] * spread[:, None, :]).mean(dim=2)
        b = (spread[:, :, None] * local[:, None, :]).mean(dim=2)
        w = torch.sigmoid(channel.gate(torch.stack([a, b], dim=1)))[:, 0]
        x_c = x * torch.sigmoid(w * a + (1 - w) * b)[:, :, None, None]
        z_att = spatial.conv(torch.stack([x_c.mean(dim=1), x_c.amax(dim=1)], dim=1))
        x_s = x_c * torch.sigmoid(z_att)
        strips = context.horizontal(x) + context.vertical(x) + context.bias[:, None, None]
        z_gc = torch.sigmoid(strips.mean(dim=(2, 3)))
        return x + x_s * (z_gc * z_gc.mean(dim=0))[:, :, None, None]
