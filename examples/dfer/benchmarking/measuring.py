"""Measure runs: median times, peak memory, and kernel launches."""

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode

Run = Callable[[], object]
WARM_UP = 3


def interleaved_medians(runs: Mapping[str, Run], *, seconds: float, device: str, rounds: int = 7) -> dict[str, float]:
    """Median milliseconds of each run, taken in turn (A B A B ...) after a warm-up.

    Measures for ``seconds`` in total, and for at least ``rounds`` rounds.
    """
    clock = _milliseconds_on_gpu if device == "cuda" else _milliseconds
    for _ in range(WARM_UP):
        for run in runs.values():
            run()
    times: dict[str, list[float]] = {name: [] for name in runs}
    began = time.perf_counter()
    done = 0
    while time.perf_counter() - began < seconds or done < rounds:
        for name, run in runs.items():
            times[name].append(clock(run))
        done += 1
    return {name: statistics.median(each) for name, each in times.items()}


def _milliseconds(run: Run) -> float:
    began = time.perf_counter()
    run()
    return (time.perf_counter() - began) * 1e3


def _milliseconds_on_gpu(run: Run) -> float:
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    run()
    end.record()
    torch.cuda.synchronize()
    return start.elapsed_time(end)


def peak_bytes(run: Run, device: str) -> int:
    """Peak memory of the tensors that one run allocates, including its results."""
    run()
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        return torch.cuda.max_memory_allocated() - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        kept = run()
    del kept
    results = profiled.profiler.kineto_results
    changes = sorted((event.start_ns(), event.nbytes()) for event in results.events() if event.name() == "[memory]")
    occupied = peak = 0
    for _, nbytes in changes:
        occupied += nbytes
        peak = max(peak, occupied)
    return peak


def forward(module: nn.Module, *inputs: object) -> Run:
    def run() -> object:
        with torch.no_grad():
            return module(*inputs)

    return run


def forward_backward(module: nn.Module, x: Tensor) -> Run:
    leaf, parameters = x.clone().requires_grad_(), list(module.parameters())
    gradient = torch.randn_like(module(x))

    def run() -> object:
        out = module(leaf)
        return out, torch.autograd.grad(out, [leaf, *parameters], gradient)

    return run


# Operators that are not views but launch no kernel.
_NO_KERNEL = frozenset(
    {
        "empty",
        "empty_like",
        "empty_strided",
        "new_empty",
        "new_empty_strided",
        "_unsafe_view",
        "lift_fresh",
        "promote_types",
    }
)


class _Launches(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.__name__.split(".")[0]
        if not func.is_view and name not in _NO_KERNEL:
            self.names.append(name)
        return func(*args, **(kwargs or {}))


def launches(run: Callable[[], object]) -> list[str]:
    """Names of the dispatched operators that do work, in order; on a GPU each launches about one kernel.

    Needs no GPU. Raises RuntimeError under inference_mode, which dispatches composite operators whole.
    """
    if torch.is_inference_mode_enabled():
        raise RuntimeError("launches() cannot count under torch.inference_mode(); use torch.no_grad() instead.")
    with _Launches() as counter:
        run()
    return counter.names
