"""AGA as the equations are printed, to measure what the exact shortcuts earn."""

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

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
        local = channel.local(x.mean(dim=(2, 3))[:, None])
        spread = channel.fc(x.amax(dim=(2, 3)))
        a = (local[:, :, None] * spread[:, None, :]).mean(dim=2)
        b = (spread[:, :, None] * local[:, None, :]).mean(dim=2)
        w = torch.sigmoid(channel.gate(torch.stack([a, b], dim=1)))
        x_c = x * torch.sigmoid(w * a + (1 - w) * b)[:, :, None, None]
        pooled, kernel = torch.stack([x_c.mean(dim=1), x_c.amax(dim=1)], dim=1), spatial.conv.weight
        z_att = conv2d(pooled, kernel, padding=kernel.shape[2] // 2)
        x_s = x_c * torch.sigmoid(z_att)
        across, down = context.horizontal.weight, context.vertical.weight
        groups, margin = x.shape[1] // across.shape[1], across.shape[3] // 2
        strips = conv2d(x, across, groups=groups, padding=(0, margin))
        strips = strips + conv2d(x, down, context.bias, groups=groups, padding=(margin, 0))
        z_gc = torch.sigmoid(strips.mean(dim=(2, 3)))
        return x + x_s * (z_gc * z_gc.mean(dim=0))[:, :, None, None]
