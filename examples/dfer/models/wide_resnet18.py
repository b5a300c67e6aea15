"""ResNet18 of any width, to build a plain network as large as one with AGA."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from agdt_layers import AdaptiveGlobalAttention, AGDTNet, build_agdtnet
from agdt_layers.resnet import BasicBlock

WIDER = "wider+dtformer"


class ResNet18OfWidths(nn.Module):
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


def usual_widths(width: int) -> list[int]:
    return [width, 2 * width, 4 * width, 8 * width]


def wider_dtformer(
    num_classes: int, num_frames: int, *, width: int = 64, dropout: float = 0.0, causal: bool = False
) -> AGDTNet:
    """DTFormer on a plain ResNet18 whose third stage is widened until the net is as large as one with AGA."""
    widths = usual_widths(width)
    widths[2] = width_for_the_cost_of_aga(width)
    backbone = ResNet18OfWidths(widths)
    return build_agdtnet(
        num_classes, num_frames=num_frames, backbone=backbone, temporal="dtformer", dropout=dropout, causal=causal
    )


def width_for_the_cost_of_aga(width: int) -> int:
    """The smallest third stage that gives the plain backbone as many parameters as the one with AGA."""
    with torch.device("meta"):
        aga = sum(parameters(AdaptiveGlobalAttention(channels)) for channels in (2 * width, 4 * width))
        enough = parameters(ResNet18OfWidths(usual_widths(width))) + aga
        third = 4 * width
        while parameters(ResNet18OfWidths([width, 2 * width, third, 8 * width])) < enough:
            third += 1
    return third


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())
