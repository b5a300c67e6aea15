"""The rows of the ablation as nets on a ResNet18 of any width."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from agdt_layers import CBAM, AdaptiveGlobalAttention, SqueezeExcitation, build_agdtnet, insert_attention
from agdt_layers.resnet import BasicBlock
from dfer.models import AGDTNET_ROWS

# The paper's Table 2, and two rows more: AGA with the mean over time, and a plain net as large as that with AGA.
WIDER = "wider+dtformer"
ROWS: Mapping[str, tuple[str, str]] = {**AGDTNET_ROWS, "aga+mean": ("aga", "mean"), WIDER: ("none", "dtformer")}

ATTENTIONS: Mapping[str, Callable[[int], nn.Module]] = {
    "aga": AdaptiveGlobalAttention,
    "aga-without-gate": lambda channels: AdaptiveGlobalAttention(channels, gate=False),
    "cbam": CBAM,
    "se": SqueezeExcitation,
}


class NarrowResNet18(nn.Module):
    """ResNet18 without its classifier, with `widths` channels in its four stages; 64, 128, 256, 512 are the usual."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        first = widths[0]
        self.stem = nn.Sequential(
            nn.Conv2d(3, first, 7, 2, 3, bias=False), nn.BatchNorm2d(first), nn.ReLU(), nn.MaxPool2d(3, 2, 1)
        )
        before = first
        for index, width in enumerate(widths, start=1):
            stage = nn.Sequential(BasicBlock(before, width, 1 if index == 1 else 2), BasicBlock(width, width, 1))
            self.add_module(f"layer{index}", stage)
            before = width
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        maps = images
        for part in self.children():
            maps = part(maps)
        return maps


def build_row(row: str, classes: int, *, frames: int, width: int, dropout: float) -> nn.Module:
    """The net of one of ROWS: clips (B, T, 3, H, W) to scores (B, classes).

    Args:
        row: its name.
        classes: number of classes.
        frames: T.
        width: channels of the first stage; 64 is the paper's ResNet18.
        dropout: of the temporal encoder.
    """
    attention, temporal = ROWS[row]
    widths = [width, 2 * width, 4 * width, 8 * width]
    if row == WIDER:
        widths[2] = width_for_the_cost_of_aga(width)
    backbone = NarrowResNet18(widths)
    if attention != "none":
        layer = ATTENTIONS[attention]
        insert_attention(backbone, {"layer2": layer, "layer3": layer}, example_input=torch.zeros(1, 3, 64, 64))
    return build_agdtnet(classes, num_frames=frames, backbone=backbone, temporal=temporal, dropout=dropout)


def width_for_the_cost_of_aga(width: int) -> int:
    """The fewest channels of the third stage with which the plain backbone has as many parameters as that with AGA."""
    with torch.device("meta"):
        aga = sum(parameters(AdaptiveGlobalAttention(channels)) for channels in (2 * width, 4 * width))
        enough = parameters(NarrowResNet18([width, 2 * width, 4 * width, 8 * width])) + aga
        third = 4 * width
        while parameters(NarrowResNet18([width, 2 * width, third, 8 * width])) < enough:
            third += 1
    return third


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())
