"""Where the time of attention goes: operators over the whole map, operators on vectors, and what is around them."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from torch import nn
from torch.profiler import ProfilerActivity, profile

from agdt_layers import AdaptiveGlobalAttention
from dfer.benchmarking.peers import OWN_CBAM, TIMM_CBAM, peers
from dfer.benchmarking.rows import Settings, forward, maps, named

SHAPES = ((16, 512, 7, 7), (16, 64, 28, 28), (16, 256, 56, 56))


@dataclass(frozen=True)
class Share:
    """One layer's forward pass in milliseconds, under the profiler, which makes small operators dearer than they are.

    ``whole_map`` is the time in operators that read or write all of (N, C, H, W), ``vectors`` that in all others, and
    ``around`` what is left: Python, checks, and the way to and from the operators. ``calls`` counts operators, also
    those that operators call and those that only make views.
    """

    layer: str
    case: str
    whole_map: float
    vectors: float
    around: float
    calls: int

    @property
    def total(self) -> float:
        return self.whole_map + self.vectors + self.around


def shares(settings: Settings) -> list[Share]:
    """Profile AGA and both CBAMs, on the CPU alone: a GPU's operators return before they are done."""
    if settings.device != "cpu":
        return []
    found = []
    for shape in SHAPES:
        for layout in ("NCHW", "channels_last"):
            x = maps(shape, layout, settings.device)
            layers: dict[str, nn.Module] = {"AGA": AdaptiveGlobalAttention(shape[1], num_frames=shape[0])}
            layers |= {name: layer for name, layer in peers(shape[1]).items() if name in (OWN_CBAM, TIMM_CBAM)}
            for name, layer in layers.items():
                found.append(_share(name, f"{named(shape)} {layout}", forward(layer, x), x.numel()))
    return found


def _share(layer: str, case: str, run: Callable[[], object], size: int) -> Share:
    for _ in range(20):
        run()
    rounds = sorted((_one_round(layer, case, run, size) for _ in range(9)), key=lambda share: share.total)
    return rounds[len(rounds) // 2]


def _one_round(layer: str, case: str, run: Callable[[], object], size: int, repeats: int = 5) -> Share:
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as profiled:
        began = time.perf_counter()
        for _ in range(repeats):
            run()
        wall = (time.perf_counter() - began) * 1e3 / repeats
    whole_map = vectors = 0.0
    calls = 0
    for event in profiled.key_averages(group_by_input_shape=True):
        milliseconds = event.self_cpu_time_total / 1e3 / repeats
        calls += event.count
        if any(shape and math.prod(shape) >= size for shape in event.input_shapes):
            whole_map += milliseconds
        else:
            vectors += milliseconds
    return Share(layer, case, whole_map, vectors, wall - whole_map - vectors, calls // repeats)
