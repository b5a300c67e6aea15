"""Former-DFER: one transformer over the positions of a frame, inside ResNet18, and one over the frames."""

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from agdt_layers import ResNet18
from dfer.models.clip_shape import check_clips


class EncoderLayer(nn.Module):
    """Pre-norm self-attention, whose queries, keys and values have no bias, then an MLP: (N, L, C) -> (N, L, C)."""

    def __init__(self, channels: int, heads: int, head_channels: int, mlp_channels: int) -> None:
        super().__init__()
        self.heads = heads
        inner = heads * head_channels
        self.attention_norm = nn.LayerNorm(channels)
        self.qkv = nn.Linear(channels, 3 * inner, bias=False)
        self.project = nn.Linear(inner, channels)
        self.mlp = nn.Sequential(
            nn.LayerNorm(channels),
            nn.Linear(channels, mlp_channels),
            nn.GELU(approximate="tanh"),
            nn.Linear(mlp_channels, channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(self.attention_norm(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        x = x + self.project(scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return x + self.mlp(x)


class SFormer(nn.Module):
    """The spatial transformer, over the positions of one map: (N, 256, h, w) -> (N, 256, h, w)."""

    def __init__(self, num_positions: int) -> None:
        super().__init__()
        self.position = nn.Parameter(torch.randn(1, num_positions, 256))
        self.layer = EncoderLayer(256, heads=8, head_channels=32, mlp_channels=512)

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(2).transpose(1, 2) + self.position
        return self.layer(tokens).transpose(1, 2).unflatten(2, x.shape[2:]).contiguous()


class TFormer(nn.Module):
    """The temporal transformer, over the frames and a class token: (B, T, 512) -> (B, 512)."""

    def __init__(self, num_frames: int) -> None:
        super().__init__()
        self.class_token = nn.Parameter(torch.randn(1, 1, 512))
        self.position = nn.Parameter(torch.randn(1, num_frames + 1, 512))
        self.layers = nn.Sequential(
            *(EncoderLayer(512, heads=8, head_channels=64, mlp_channels=1024) for _ in range(3))
        )

    def forward(self, x: Tensor) -> Tensor:
        tokens = torch.cat([self.class_token.expand(x.shape[0], -1, -1), x], dim=1) + self.position
        return self.layers(tokens)[:, 0]


class FormerDFER(nn.Module):
    """ResNet18 with the S-Former between its third and fourth stage, the T-Former, a linear classifier.

    Reference: Zhao and Liu, "Former-DFER: Dynamic Facial Expression Recognition Transformer", 2021.

    18.03 M parameters and 8.30 G multiply-adds per clip of 16 frames of 112 x 112, which agrees with the published
    size. The details that the text leaves open (one layer in the S-Former, three in the T-Former, their widths, GELU
    by its tanh formula, no dropout) are those of the code that its authors published.

    A pretrained ResNet18 file loads into ``backbone`` by :func:`agdt_layers.load_weights`.

    Args:
        num_classes: number of classes.
        num_frames: frames per clip, T; the T-Former has one position embedding per frame.
        size: H = W; the S-Former has one embedding per position of the map, 7 x 7 at 112 x 112.
    """

    def __init__(self, num_classes: int, *, num_frames: int = 16, size: int = 112) -> None:
        super().__init__()
        self.num_frames, self.size = num_frames, size
        self.backbone = ResNet18()
        # Three stages and the stem halve the frame four times, rounding up.
        self.s_former = SFormer((-(-size // 16)) ** 2)
        self.t_former = TFormer(num_frames)
        self.classifier = nn.Linear(512, num_classes)

    def forward(self, clips: Tensor) -> Tensor:
        """Score clips: (B, T, 3, H, W) -> (B, num_classes)."""
        check_clips(type(self).__name__, clips, num_frames=self.num_frames, size=self.size)
        x = self.backbone.stem(clips.flatten(0, 1))
        for name, stage in self.backbone.stages():
            x = stage(x)
            if name == "layer3":
                x = self.s_former(x)
        return self.classifier(self.t_former(x.mean(dim=(2, 3)).unflatten(0, clips.shape[:2])))
