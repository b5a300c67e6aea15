"""The cost of a model: parameters, multiply-adds, operators, latency and memory for one clip."""

import copy
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from dfer.benchmarking.measuring import interleaved_medians, launches, peak_bytes


@dataclass(frozen=True)
class Complexity:
    """The cost of scoring one clip in eval mode.

    Attributes:
        parameters: their number.
        multiply_adds: half of torch's FlopCounterMode: convolutions and matrix products, the LSTM's included.
        launches: operators dispatched that do work, in the form taken on a GPU; each launches about one kernel there.
        milliseconds: the median of repeated runs.
        peak_bytes: what the weights and the tensors of one run occupy together at most.
    """

    parameters: int
    multiply_adds: int
    launches: int
    milliseconds: float
    peak_bytes: int


def complexity(model: nn.Module, clip_shape: tuple[int, ...], *, device: str, seconds: float) -> Complexity:
    """Measure a model on random clips of this shape; ``seconds`` go to the latency."""
    model = model.to(device).eval()
    clips = torch.randn(clip_shape, device=device)
    weights = sum(t.nbytes for t in (*model.parameters(), *model.buffers()))
    with torch.no_grad():
        median = interleaved_medians({"model": lambda: model(clips)}, seconds=seconds, device=device)["model"]
        return Complexity(
            parameters=sum(p.numel() for p in model.parameters()),
            multiply_adds=count_multiply_adds(model, clip_shape),
            launches=count_launches(model, clips),
            milliseconds=median,
            peak_bytes=weights + peak_bytes(lambda: model(clips), device),
        )


def count_multiply_adds(model: nn.Module, clip_shape: tuple[int, ...]) -> int:
    """Count on the meta device, where an LSTM is decomposed into matrix products that the counter sees."""
    twin = copy.deepcopy(model).to("meta")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        twin(torch.empty(clip_shape, device="meta"))
    return int(counter.get_total_flops()) // 2


def count_launches(model: nn.Module, clips: torch.Tensor) -> int:
    """Count the operators that launch work on the clips' device; some devices run an LSTM layer as one operator."""
    with torch.no_grad():
        return len(launches(lambda: model(clips)))
