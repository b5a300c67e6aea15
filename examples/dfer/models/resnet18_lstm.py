"""ResNet18 + LSTM, as the name says: a plain ResNet18 on every frame."""

import torch
from torch import Tensor, nn

from agdt_layers import ResNet18
from dfer.models.clip_shape import check_clips


class ResNet18LSTM(nn.Module):
    """ResNet18 on every frame, an LSTM over the frames, a linear classifier on all of its outputs.

    Reference: the baseline of Jiang et al., "DFEW: A Large-Scale Database for Recognizing Dynamic Facial Expressions
    in the Wild", 2020, with the backbone of its name. The LSTM (3 layers of 256) and the classifier are
    theirs; their own backbone is in ``resnet18_lstm_dfew.py``.

    13.05 M parameters and 7.79 G multiply-adds per clip of 16 frames of 112 x 112. Publications that print 17.39 M and
    9.12 G under this name describe the other one, 33 % and 17 % larger.

    A pretrained ResNet18 file loads into ``backbone`` by :func:`agdt_layers.load_weights`.

    Args:
        num_classes: number of classes.
        num_frames: frames per clip, T; the classifier fits only this length.
    """

    def __init__(self, num_classes: int, *, num_frames: int = 16) -> None:
        super().__init__()
        self.num_frames = num_frames
        self.backbone = ResNet18()
        self.lstm = nn.LSTM(ResNet18.out_channels, 256, num_layers=3, batch_first=True)
        self.classifier = nn.Linear(num_frames * 256, num_classes)

    def forward(self, clips: Tensor) -> Tensor:
        """Score clips: (B, T, 3, H, W) -> (B, num_classes)."""
        check_clips(type(self).__name__, clips, num_frames=self.num_frames)
        vectors = self.backbone(clips.flatten(0, 1)).mean(dim=(2, 3)).unflatten(0, clips.shape[:2])
        return self.classifier(torch.flatten(self.lstm(vectors)[0], 1))
