"""What attention costs on the four maps of a ResNet18: counted here, and timed by the committed benchmark."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from agdt_layers import CBAM, AdaptiveGlobalAttention, SqueezeExcitation

BENCHMARK = json.loads((Path(__file__).parent / "benchmark" / "benchmark.json").read_text(encoding="utf-8"))
LAYERS = {
    "AGA": (AdaptiveGlobalAttention, "AGA"),
    "CBAM": (CBAM, "this package's CBAM"),
    "SE": (SqueezeExcitation, "timm's SEModule"),
}


def cost_table() -> str:
    """One row for each map and layer, as Markdown."""
    times = {(each["layer"], *each["shape"]): each["milliseconds"] for each in BENCHMARK["layers"]}
    shapes = dict.fromkeys(tuple(each["shape"]) for each in BENCHMARK["layers"])
    lines = [
        "| map | layer | parameters | multiply-adds | forward, ms | with backward, ms |",
        "|---|---|--:|--:|--:|--:|",
    ]
    for shape in shapes:
        for name, (make, timed) in LAYERS.items():
            parameters, multiply_adds = _counts(make, shape[1:])
            took = times[timed, *shape]
            place = " x ".join(map(str, shape[1:])) if name == "AGA" else ""
            lines.append(
                f"| {place} | {name} | {parameters:,} | {multiply_adds:,} "
                f"| {took['forward']:.2f} | {took['forward + backward']:.2f} |"
            )
    return "\n".join(lines)


def network_ratio() -> str:
    """Time of AGDTNet divided by that of a ResNet18 with the mean over frames, forward, batch 1."""
    case = ("AGDTNet, forward, batch 1", "ResNet18 + mean")
    (row,) = (row for row in BENCHMARK["rows"] if (row["case"], row["peer"]) == case)
    return f"{row['ratio']:.2f}"


def _counts(make: Callable[[int], nn.Module], shape: tuple[int, ...]) -> tuple[int, int]:
    """Parameters, and multiply-adds of convolutions and matrix products on one frame (C, H, W)."""
    layer = make(shape[0])
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        layer(torch.rand(1, *shape))
    return sum(p.numel() for p in layer.parameters()), counter.get_total_flops() // 2
