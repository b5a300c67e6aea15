"""Measuring: medians of interleaved runs, and the peak of what tensors occupy."""

from collections.abc import Mapping

import torch
from torch.profiler import ProfilerActivity, profile

from dfer.benchmarking.interleaving import Run, medians_in_turn, milliseconds


def interleaved_medians(runs: Mapping[str, Run], *, seconds: float, device: str, rounds: int = 7) -> dict[str, float]:
    """Run all in turn, A B A B ..., after a warm-up, and give each one's median in milliseconds."""
    clock = _milliseconds_of_a_gpu if device == "cuda" else milliseconds
    return medians_in_turn(runs, seconds=seconds, rounds=rounds, clock=clock)


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


def memory_bandwidth() -> float:
    """Give the GB/s at which this machine multiplies a large tensor in place: the floor of a pass over a map."""
    x = torch.ones(2**26)
    median = interleaved_medians({"pass": lambda: x.mul_(1.0)}, seconds=1.0, device="cpu")["pass"]
    return 2 * x.nbytes / median / 1e6
