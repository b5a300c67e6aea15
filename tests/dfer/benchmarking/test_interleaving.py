"""Runs in turn: their order, how often, and the median of the clock; in a process without torch."""

import subprocess
import sys
from pathlib import Path

from dfer.benchmarking.interleaving import WARM_UP, medians_in_turn


def test_runs_are_taken_in_turn_and_the_median_is_given() -> None:
    order: list[str] = []
    times = {"a": iter([5.0, 1.0, 2.0]), "b": iter([7.0, 9.0, 8.0])}
    runs = {name: (lambda name=name: order.append(name)) for name in times}

    def clock(run) -> float:
        run()
        return next(times[order[-1]])

    assert medians_in_turn(runs, seconds=0.0, rounds=3, clock=clock) == {"a": 2.0, "b": 8.0}
    assert order == ["a", "b"] * (WARM_UP + 3)


def test_the_seconds_are_used() -> None:
    medians = medians_in_turn({"a": lambda: None}, seconds=0.05, rounds=1, clock=lambda run: (run(), 1.0)[1])
    assert medians == {"a": 1.0}


def test_torch_is_not_imported() -> None:
    code = "import sys, dfer.benchmarking.interleaving; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[3] / "examples")
