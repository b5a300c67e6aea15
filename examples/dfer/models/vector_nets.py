"""Nets for sequences of vectors: a map of each vector, an encoder over time, a classifier."""

import torch
from torch import Tensor, nn

from agdt_layers import DTFormer, TemporalMean

VECTOR_MODELS = ("vectors+mean", "vectors+tformer", "vectors+dtformer", "vectors+torch-encoder")
WIDTH, DEPTH, HEADS = 64, 2, 4


class VectorNet(nn.Module):
    """Sequences of vectors (B, T, C) to scores (B, classes); frames of NaN are padding, which the mask leaves out.

    Args:
        model: one of VECTOR_MODELS.
        channels: C.
        classes: number of classes.
        max_frames: the longest sequence.
        width: channels of the encoder; its MLP has twice as many.
        dropout: of the encoder.
    """

    def __init__(
        self, model: str, channels: int, classes: int, max_frames: int, *, width: int = WIDTH, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.frame = nn.Sequential(nn.Linear(channels, width), nn.GELU())
        self.temporal: nn.Module
        if model == "vectors+mean":
            self.temporal = TemporalMean()
        elif model == "vectors+torch-encoder":
            self.temporal = TorchEncoder(width, max_frames, dropout)
        else:
            self.temporal = DTFormer(
                width, depth=DEPTH, heads=HEADS, mlp_channels=2 * width, max_frames=max_frames, dropout=dropout,
                differential=model == "vectors+dtformer",
            )  # fmt: skip
        self.classifier = nn.Linear(width, classes)

    def forward(self, vectors: Tensor) -> Tensor:
        padded = vectors.isnan().any(dim=2)
        frames = self.frame(vectors.masked_fill(padded[..., None], 0.0))
        return self.classifier(self.temporal(frames, mask=~padded))


class TorchEncoder(nn.Module):
    """nn.TransformerEncoder of DTFormer's size, with positions and a class token as DTFormer has them."""

    def __init__(self, width: int, max_frames: int, dropout: float) -> None:
        super().__init__()
        self.token = nn.Parameter(0.02 * torch.randn(1, 1, width))
        self.position = nn.Parameter(0.02 * torch.randn(1, max_frames + 1, width))
        layer = nn.TransformerEncoderLayer(
            width, HEADS, 2 * width, dropout=dropout, activation="gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, DEPTH, enable_nested_tensor=False)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        tokens = torch.cat([self.token.expand(len(x), -1, -1), x], dim=1) + self.position[:, : x.shape[1] + 1]
        padded = torch.cat([mask.new_zeros(len(x), 1), ~mask], dim=1)
        return self.layers(tokens, src_key_padding_mask=padded)[:, 0]
