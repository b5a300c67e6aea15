"""C3D: eight 3 x 3 x 3 convolutions over the whole clip."""

import torch
from torch import Tensor, nn

from dfer.models.clip_shape import check_clips

# Channels of the convolutions between two poolings.
_STAGES = ((64,), (128,), (256, 256), (512, 512), (512, 512))


class C3D(nn.Module):
    """Eight 3-D convolutions with batch norm in five stages, each closed by max pooling; three linear layers.

    Reference: Tran et al., "Learning Spatiotemporal Features with 3D Convolutional Networks", 2015; with batch norm,
    as DFEW's authors train it (Jiang et al., "DFEW: A Large-Scale Database for Recognizing Dynamic Facial Expressions
    in the Wild", 2020).

    78.03 M parameters and 38.55 G multiply-adds a clip of 16 frames of 112 x 112, which agrees with the size that
    publications print.

    The first pooling leaves time alone, the other four halve it. They round up, so that clips shorter than 16 frames
    pass too; at 16 frames of 112 x 112 nothing is rounded.

    Args:
        num_classes: length of the scores.
        num_frames: T; the first linear layer fits this length alone.
        size: H = W, likewise.
    """

    def __init__(self, num_classes: int, *, num_frames: int = 16, size: int = 112) -> None:
        super().__init__()
        self.num_frames, self.size = num_frames, size
        layers: list[nn.Module] = []
        channels = 3
        for stage, widths in enumerate(_STAGES):
            for width in widths:
                layers += [nn.Conv3d(channels, width, 3, padding=1), nn.BatchNorm3d(width), nn.ReLU(inplace=True)]
                channels = width
            pooled = (1, 2, 2) if stage == 0 else (2, 2, 2)
            # The last map of 7 x 7 grows to 8 x 8 before it is halved.
            padding = (0, 1, 1) if stage == len(_STAGES) - 1 else 0
            layers.append(nn.MaxPool3d(pooled, pooled, padding, ceil_mode=True))
        self.features = nn.Sequential(*layers)
        side = -(-size // 16) // 2 + 1
        self.classifier = nn.Sequential(
            nn.Linear(channels * -(-num_frames // 16) * side * side, 4096),
            nn.ReLU(inplace=True),
            nn.Dropout(0.5),
            nn.Linear(4096, 4096),
            nn.ReLU(inplace=True),
            nn.Dropout(0.5),
            nn.Linear(4096, num_classes),
        )

    def forward(self, clips: Tensor) -> Tensor:
        """Score clips: (B, T, 3, H, W) -> (B, num_classes)."""
        check_clips(type(self).__name__, clips, num_frames=self.num_frames, size=self.size)
        return self.classifier(torch.flatten(self.features(clips.transpose(1, 2)), 1))
