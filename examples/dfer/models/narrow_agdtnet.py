"""AGDTNet with a small backbone of its own, for faces of 64 x 64 on any machine: 1.5 MB of weights."""

from functools import partial
from itertools import pairwise

from torch import Tensor, nn

from agdt_layers import AdaptiveGlobalAttention, AGDTNet, DTFormer

NARROW = "agdtnet-narrow"
WIDTHS = (16, 32, 64, 96)


class Stage(nn.Module):
    """One residual block, which halves the map: (N, C, H, W) -> (N, channels, H / 2, W / 2), rounded up."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, 2, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        self.shortcut = nn.Conv2d(in_channels, channels, 1, 2, bias=False)
        self.shortcut_norm = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        inner = self.norm2(self.conv2(self.relu(self.norm1(self.conv1(x)))))
        return self.relu(inner + self.shortcut_norm(self.shortcut(x)))


def narrow_agdtnet(num_classes: int, num_frames: int, *, dropout: float = 0.0) -> AGDTNet:
    """A stem and three stages, AGA after the first two, then two encoder layers of 96 channels.

    AGA looks back only (`causal`), so that AGDTStream runs the net exactly, frame by frame.
    """
    attention = partial(AdaptiveGlobalAttention, context_window=num_frames)
    stem = nn.Sequential(nn.Conv2d(3, WIDTHS[0], 3, 2, 1, bias=False), nn.BatchNorm2d(WIDTHS[0]), nn.ReLU())
    one, two, three = (Stage(*pair) for pair in pairwise(WIDTHS))
    backbone = nn.Sequential(stem, one, attention(WIDTHS[1]), two, attention(WIDTHS[2]), three)
    temporal = DTFormer(WIDTHS[-1], depth=2, heads=4, mlp_channels=192, max_frames=num_frames, dropout=dropout)
    return AGDTNet(backbone, temporal, num_classes=num_classes)
