"""What a model costs: parameters, multiply-adds, operators, latency and memory of one clip."""

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from dfer.benchmarking.timing import interleaved_medians, peak_bytes

# Operators that are no views and launch nothing: they allocate, rename or compare types.
_IDLE = frozenset({"empty", "empty_like", "empty_strided", "new_empty", "_unsafe_view", "promote_types"})


@dataclass(frozen=True)
class Complexity:
    """The cost of scoring one clip in eval mode.

    Attributes:
        parameters: their number.
        multiply_adds: half of torch's FlopCounterMode: convolutions and matrix products, the LSTM's included.
        launches: operators dispatched that do work, views and allocations left out; each launches about one kernel.
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
    """Count on the meta device: there an LSTM is matrix products, on others one operator that no counter opens."""
    twin = copy.deepcopy(model).to("meta")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        twin(torch.empty(clip_shape, device="meta"))
    return int(counter.get_total_flops()) // 2


def count_launches(model: nn.Module, clips: torch.Tensor) -> int:
    """Count the operators that do work, on the clips' device; of an LSTM, some devices have one operator a layer."""
    with torch.no_grad(), _Launches() as counter:
        model(clips)
    return counter.number


class _Launches(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.number = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.number += not func.is_view and func.__name__.split(".")[0] not in _IDLE
        return func(*args, **(kwargs or {}))
