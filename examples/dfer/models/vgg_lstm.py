"""VGG + LSTM: FERV39k's baseline, 4096 features per frame read by one LSTM."""

import torch
from torch import Tensor, nn

from dfer.models.clip_shape import check_clips

# Channels of the 3 x 3 convolutions between two poolings, by depth.
_STAGES = {
    11: ((64,), (128,), (256, 256), (512, 512), (512, 512)),
    13: ((64, 64), (128, 128), (256, 256), (512, 512), (512, 512)),
    16: ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512)),
}


class VGG(nn.Module):
    """VGG up to its second linear layer: (N, 3, H, W) -> (N, 4096).

    Reference: Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", 2015.

    The keys are those of torchvision's files (``features.0.weight``, ..., ``classifier.3.bias``).
    """

    out_channels = 4096

    def __init__(self, depth: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for widths in _STAGES[depth]:
            for width in widths:
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
                channels = width
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        # A 112 x 112 frame leaves 3 x 3; adaptive pooling enlarges it to the 7 x 7 of 224 x 224 frames.
        self.avgpool = nn.AdaptiveAvgPool2d(7)
        self.classifier = nn.Sequential(
            nn.Linear(channels * 49, self.out_channels),
            nn.ReLU(inplace=True),
            nn.Dropout(0.5),
            nn.Linear(self.out_channels, self.out_channels),
            nn.ReLU(inplace=True),
            nn.Dropout(0.5),
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))


class VGGLSTM(nn.Module):
    """VGG on every frame, one LSTM of 256 over the frames, a linear classifier on its last output.

    Reference: Wang et al., "FERV39k: A Large-Scale Multi-Scene Dataset for Facial Expression Recognition in Videos",
    2022. Which layer of VGG feeds the LSTM, and how many layers that has, is taken from the printed sizes: VGG without
    batch norm up to its second linear layer and an LSTM of one layer give 133.4 M for VGG13 (printed: 133) and
    138.7 M for VGG16 (138). VGG11, with which DFEW's authors compare, has 133.2 M.

    A clip of 16 frames of 112 x 112 takes 31.9 G (VGG11), 46.7 G (VGG13) and 63.4 G (VGG16) multiply-adds; the
    figures of 29.9 G and 44.7 G that go with the first two are those of the convolutions alone, 2.0 G less.

    Args:
        num_classes: number of classes.
        depth: 11, 13 or 16.
    """

    def __init__(self, num_classes: int, *, depth: int = 13) -> None:
        super().__init__()
        self.backbone = VGG(depth)
        self.lstm = nn.LSTM(VGG.out_channels, 256, batch_first=True)
        self.classifier = nn.Linear(256, num_classes)

    def forward(self, clips: Tensor) -> Tensor:
        """Score clips: (B, T, 3, H, W) -> (B, num_classes)."""
        check_clips(type(self).__name__, clips, least=32)
        vectors = self.backbone(clips.flatten(0, 1)).unflatten(0, clips.shape[:2])
        return self.classifier(self.lstm(vectors)[0][:, -1])
