"""How the time of AGA and of AGDTNet grows with each axis, the others fixed."""

from dataclasses import dataclass

import numpy as np
import torch

from agdt_layers import AdaptiveGlobalAttention, build_agdtnet
from dfer.benchmarking.peers import Scale
from dfer.benchmarking.rows import Settings, forward


@dataclass(frozen=True)
class Curve:
    """Milliseconds by the size of one axis, and the slope in doubly logarithmic axes: 1 is linear."""

    layer: str
    axis: str
    sizes: list[int]
    milliseconds: list[float]

    @property
    def slope(self) -> float:
        """Over the upper half of the sizes, where fixed costs no longer hide the growth."""
        half = len(self.sizes) // 2
        return float(np.polyfit(np.log(self.sizes[half:]), np.log(self.milliseconds[half:]), 1)[0])


def growth(settings: Settings) -> list[Curve]:
    return [
        *_attention(settings, "C", {size: (16, size, 14, 14) for size in (64, 128, 256, 512, 1024, 2048)}),
        *_attention(settings, "H * W", {size**2: (16, 128, size, size) for size in (7, 14, 28, 56, 112)}),
        *_attention(settings, "T", {size: (size, 128, 28, 28) for size in (1, 2, 4, 8, 16, 32, 64)}),
        _network(settings, "T", {size: (1, size) for size in (4, 8, 16, 32, 64)}),
        _network(settings, "B", {size: (size, 4) for size in (1, 2, 4, 8, 16)}),
    ]


def _attention(settings: Settings, axis: str, shapes: dict[int, tuple[int, int, int, int]]) -> list[Curve]:
    """AGA, and a plain pass over the map; where that grows faster than linearly, the machine's memory is the cause."""
    times: dict[str, list[float]] = {"AGA": [], "x * s": []}
    for shape in shapes.values():
        layer = AdaptiveGlobalAttention(shape[1], num_frames=shape[0]).to(settings.device)
        x = torch.randn(shape, device=settings.device)
        for name, milliseconds in settings.medians({"AGA": forward(layer, x), "x * s": forward(Scale(), x)}).items():
            times[name].append(milliseconds)
    return [Curve(name, axis, list(shapes), each) for name, each in times.items()]


def _network(settings: Settings, axis: str, shapes: dict[int, tuple[int, int]]) -> Curve:
    net = build_agdtnet(num_frames=64).to(settings.device).eval()
    times = []
    for batch, frames in shapes.values():
        clips = torch.randn(batch, frames, 3, 112, 112, device=settings.device)
        times.append(settings.medians({"net": forward(net, clips)}, rounds=3)["net"])
    return Curve("AGDTNet", axis, list(shapes), times)
