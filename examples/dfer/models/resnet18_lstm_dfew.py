"""ResNet18 + LSTM as DFEW's authors define it: bottleneck blocks, and so no ResNet18."""

import torch
from torch import Tensor, nn

from dfer.models.clip_shape import check_clips


class Bottleneck(nn.Module):
    """1 x 1, 3 x 3 and 1 x 1 convolutions around a shortcut; the first one carries the stride."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        out_channels = 4 * channels
        self.residual = nn.Sequential(
            nn.Conv2d(in_channels, channels, 1, stride, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, out_channels, 1, bias=False),
            nn.BatchNorm2d(out_channels),
        )
        self.shortcut: nn.Module = (
            nn.Sequential(nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels))
            if stride != 1 or in_channels != out_channels
            else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.residual(x) + self.shortcut(x))


class DFEWResNet18LSTM(nn.Module):
    """A ResNet of two bottleneck blocks a stage on every frame, an LSTM, all of its outputs in one linear classifier.

    Reference: the baseline "ResNet18+LSTM" of Jiang et al., "DFEW: A Large-Scale Database for Recognizing Dynamic
    Facial Expressions in the Wild", 2020, as in the code that its authors published.

    17.39 M parameters and 9.12 G multiply-adds a clip of 16 frames of 112 x 112, which agrees with the printed size.
    The name does not: [2, 2, 2, 2] bottleneck blocks are a ResNet26 with 2048 features. A pretrained ResNet18 file
    therefore does not fit; the model under the name's own definition is in ``resnet18_lstm.py``.

    Args:
        num_classes: length of the scores.
        num_frames: T; the classifier fits this length alone.
    """

    def __init__(self, num_classes: int, *, num_frames: int = 16) -> None:
        super().__init__()
        self.num_frames = num_frames
        layers: list[nn.Module] = [
            nn.Conv2d(3, 64, 7, 2, 3, bias=False),
            nn.BatchNorm2d(64),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2, ceil_mode=True),
        ]
        channels = 64
        for width in (64, 128, 256, 512):
            layers += [Bottleneck(channels, width, 1 if width == 64 else 2), Bottleneck(4 * width, width, 1)]
            channels = 4 * width
        self.backbone = nn.Sequential(*layers)
        self.lstm = nn.LSTM(channels, 256, num_layers=3, batch_first=True)
        self.classifier = nn.Linear(num_frames * 256, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, clips: Tensor) -> Tensor:
        """Score clips: (B, T, 3, H, W) -> (B, num_classes)."""
        check_clips(type(self).__name__, clips, num_frames=self.num_frames, least=5)
        vectors = self.backbone(clips.flatten(0, 1)).mean(dim=(2, 3)).unflatten(0, clips.shape[:2])
        return self.classifier(torch.flatten(self.lstm(vectors)[0], 1))
