"""I3D: the Inception network, its filters inflated into time."""

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool3d, pad

from dfer.models.clip_shape import check_clips

Triple = tuple[int, int, int]

# Of each Inception block: 1 x 1; 1 x 1 then 3 x 3; 1 x 1 then 3 x 3 (Inception's 5 x 5); 1 x 1 after the pooling.
_MIXED = {
    "3b": (64, 96, 128, 16, 32, 32),
    "3c": (128, 128, 192, 32, 96, 64),
    "4b": (192, 96, 208, 16, 48, 64),
    "4c": (160, 112, 224, 24, 64, 64),
    "4d": (128, 128, 256, 24, 64, 64),
    "4e": (112, 144, 288, 32, 64, 64),
    "4f": (256, 160, 320, 32, 128, 128),
    "5b": (256, 160, 320, 32, 128, 128),
    "5c": (384, 192, 384, 48, 128, 128),
}
# Kernel and stride of the max pooling before these blocks.
_POOLED_BEFORE: dict[str, tuple[Triple, Triple]] = {
    "3b": ((1, 3, 3), (1, 2, 2)),
    "4b": ((3, 3, 3), (2, 2, 2)),
    "5b": ((2, 2, 2), (2, 2, 2)),
}


def pad_same(x: Tensor, kernel: Triple, stride: Triple) -> Tensor:
    """Pad with zeros so that n becomes ceil(n / stride), the odd one out at the end: TensorFlow's SAME."""
    widths: list[int] = []
    for n, k, s in zip(reversed(x.shape[2:]), reversed(kernel), reversed(stride), strict=True):
        total = max((-(-n // s) - 1) * s + k - n, 0)
        widths += [total // 2, total - total // 2]
    return pad(x, widths)


class Unit(nn.Sequential):
    """A convolution, batch norm and ReLU. Stride 1 keeps the size; other strides need :func:`pad_same` before."""

    def __init__(self, in_channels: int, channels: int, kernel: int, stride: int = 1) -> None:
        padding = kernel // 2 if stride == 1 else 0
        super().__init__(
            nn.Conv3d(in_channels, channels, kernel, stride, padding, bias=False),
            nn.BatchNorm3d(channels, eps=1e-3, momentum=0.01),
            nn.ReLU(inplace=True),
        )


class MaxPool(nn.Module):
    def __init__(self, kernel: Triple, stride: Triple) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x: Tensor) -> Tensor:
        # Zero padding is correct for max pooling here, since the input comes from a ReLU.
        return max_pool3d(pad_same(x, self.kernel, self.stride), self.kernel, self.stride)


class Mixed(nn.Module):
    """Four branches side by side, concatenated: (B, C, T, H, W) -> (B, out_channels, T, H, W)."""

    def __init__(self, in_channels: int, widths: tuple[int, int, int, int, int, int]) -> None:
        super().__init__()
        point, before_3, three, before_5, five, pooled = widths
        self.out_channels = point + three + five + pooled
        self.branches = nn.ModuleList(
            [
                Unit(in_channels, point, 1),
                nn.Sequential(Unit(in_channels, before_3, 1), Unit(before_3, three, 3)),
                nn.Sequential(Unit(in_channels, before_5, 1), Unit(before_5, five, 3)),
                nn.Sequential(nn.MaxPool3d(3, 1, 1), Unit(in_channels, pooled, 1)),
            ]
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.branches], dim=1)


class I3D(nn.Module):
    """Inception with 3-D filters on RGB frames, the mean over the last map, a linear classifier.

    Reference: Carreira and Zisserman, "Quo Vadis, Action Recognition? A New Model and the Kinetics Dataset", 2017.

    12.29 M parameters. 27.79 G multiply-adds per clip of 16 frames of 224 x 224, the size that the model was published
    for: there the published average pooling, 2 x 7 x 7, covers the last map and is its mean. At 112 x 112 that map is
    2 x 4 x 4 and the published pooling does not fit, so the mean is taken at every size: 6.98 G. Publications print
    6.99 G for 112 x 112, 0.1 % more; how they pool there is not said.

    Args:
        num_classes: number of classes.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.stem = Unit(3, 64, 7, stride=2)
        layers: list[nn.Module] = [MaxPool((1, 3, 3), (1, 2, 2)), Unit(64, 64, 1), Unit(64, 192, 3)]
        channels = 192
        for name, widths in _MIXED.items():
            if name in _POOLED_BEFORE:
                layers.append(MaxPool(*_POOLED_BEFORE[name]))
            mixed = Mixed(channels, widths)
            layers.append(mixed)
            channels = mixed.out_channels
        self.features = nn.Sequential(*layers)
        self.dropout = nn.Dropout(0.5)
        self.classifier = nn.Linear(channels, num_classes)

    def forward(self, clips: Tensor) -> Tensor:
        """Score clips: (B, T, 3, H, W) -> (B, num_classes)."""
        check_clips(type(self).__name__, clips)
        x = self.stem(pad_same(clips.transpose(1, 2), (7, 7, 7), (2, 2, 2)))
        return self.classifier(self.dropout(self.features(x).mean(dim=(2, 3, 4))))
