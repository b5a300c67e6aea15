"""Runs taken in turn. Imports no torch, so that a process without torch can be measured in the same way."""

import statistics
import time
from collections.abc import Callable, Mapping

Run = Callable[[], object]
WARM_UP = 3


def medians_in_turn(
    runs: Mapping[str, Run], *, seconds: float, rounds: int, clock: Callable[[Run], float]
) -> dict[str, float]:
    """Run all in turn, A B A B ..., after a warm-up, and give each one's median by the clock.

    ``seconds`` go to all of them together, and at least ``rounds`` runs to each.
    """
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


def milliseconds(run: Run) -> float:
    began = time.perf_counter()
    run()
    return (time.perf_counter() - began) * 1e3
