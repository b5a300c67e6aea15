"""Measuring runs: medians of runs taken in turn, and the peak of what tensors occupy."""

import statistics
import time
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

Run = Callable[[], object]
WARM_UP = 3


def interleaved_medians(runs: Mapping[str, Run], *, seconds: float, device: str, rounds: int = 7) -> dict[str, float]:
    """Run all in turn, A B A B ..., after a warm-up, and give each one's median in milliseconds.

    ``seconds`` go to all of them together, and at least ``rounds`` runs to each.
    """
    clock = _milliseconds_of_a_gpu if device == "cuda" else _milliseconds
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


def _milliseconds_of_a_gpu(run: Run) -> float:
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    run()
    end.record()
    torch.cuda.synchronize()
    return start.elapsed_time(end)


def peak_bytes(run: Run, device: str) -> int:
    """Give the most that tensors made by one run occupy together, results included."""
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
