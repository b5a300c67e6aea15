"""Runs in turn: their order, how often, and the median of the clock."""

import pytest

from dfer.benchmarking import timing
from dfer.benchmarking.timing import WARM_UP, interleaved_medians


def test_runs_are_taken_in_turn_and_the_median_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    times = {"a": iter([5.0, 1.0, 2.0]), "b": iter([7.0, 9.0, 8.0])}
    runs = {name: (lambda name=name: order.append(name)) for name in times}

    def clock(run) -> float:
        run()
        return next(times[order[-1]])

    monkeypatch.setattr(timing, "_milliseconds", clock)
    assert interleaved_medians(runs, seconds=0.0, rounds=3, device="cpu") == {"a": 2.0, "b": 8.0}
    assert order == ["a", "b"] * (WARM_UP + 3)


def test_the_seconds_are_used() -> None:
    runs: list[int] = []
    interleaved_medians({"a": lambda: runs.append(1)}, seconds=0.02, rounds=1, device="cpu")
    assert len(runs) > WARM_UP + 1
