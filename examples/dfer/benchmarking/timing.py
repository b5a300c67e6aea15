"""Measuring: medians of interleaved runs, and peak memory."""

import statistics
import time
from collections.abc import Callable, Mapping

import torch
from torch.profiler import ProfilerActivity, profile

Run = Callable[[], object]


def interleaved_medians(runs: Mapping[str, Run], *, seconds: float, device: str) -> dict[str, float]:
    """Run all in turn, A B A B ..., after a warm-up, and return each one's median in milliseconds."""
    for _ in range(3):
        for run in runs.values():
            run()
    times: dict[str, list[float]] = {name: [] for name in runs}
    began = time.perf_counter()
    while time.perf_counter() - began < seconds or len(next(iter(times.values()))) < 7:
        for name, run in runs.items():
            times[name].append(_milliseconds(run, device))
    return {name: statistics.median(each) for name, each in times.items()}


def _milliseconds(run: Run, device: str) -> float:
    if device == "cuda":
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        run()
        end.record()
        torch.cuda.synchronize()
        return start.elapsed_time(end)
    began = time.perf_counter()
    run()
    return (time.perf_counter() - began) * 1e3


def peak_bytes(run: Run, device: str) -> int:
    """Return the peak memory of the tensors that one run makes, results included."""
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


def memory_bandwidth() -> float:
    """Return the GB/s at which this machine multiplies a large tensor in place: a bound for any pass over a map."""
    x = torch.ones(2**26)
    milliseconds = interleaved_medians({"pass": lambda: x.mul_(1.0)}, seconds=1.0, device="cpu")["pass"]
    return 2 * x.nbytes / milliseconds / 1e6
