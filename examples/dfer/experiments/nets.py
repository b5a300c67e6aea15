"""The rows of the ablation as nets on a ResNet18 of any width."""

import torch
from torch import nn

from agdt_layers import build_agdtnet, insert_attention
from agdt_layers.agdtnet import ATTENTIONS
from dfer.experiments.rows import ROWS
from dfer.models.wide_resnet18 import WIDER, ResNet18OfWidths, usual_widths, wider_dtformer


def build_row(row: str, classes: int, *, frames: int, width: int, dropout: float) -> nn.Module:
    """The net of one of ROWS: clips (B, T, 3, H, W) to scores (B, classes).

    Args:
        row: its name.
        classes: number of classes.
        frames: T.
        width: channels of the first stage; 64 for a ResNet18.
        dropout: of the temporal encoder.
    """
    if row == WIDER:
        return wider_dtformer(classes, frames, width=width, dropout=dropout)
    attention, temporal = ROWS[row]
    backbone = ResNet18OfWidths(usual_widths(width))
    if attention != "none":
        layer = ATTENTIONS[attention]
        insert_attention(backbone, {"layer2": layer, "layer3": layer}, example_input=torch.zeros(1, 3, 64, 64))
    return build_agdtnet(classes, num_frames=frames, backbone=backbone, temporal=temporal, dropout=dropout)
