import pytest
import torch
from torch import Tensor

from dfer.benchmarking import measuring
from dfer.benchmarking.measuring import WARM_UP, interleaved_medians, launches


def test_runs_are_interleaved_and_the_median_is_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    times = {"a": iter([5.0, 1.0, 2.0]), "b": iter([7.0, 9.0, 8.0])}
    runs = {name: (lambda name=name: order.append(name)) for name in times}

    def clock(run) -> float:
        run()
        return next(times[order[-1]])

    monkeypatch.setattr(measuring, "_milliseconds", clock)
    assert interleaved_medians(runs, seconds=0.0, rounds=3, device="cpu") == {"a": 2.0, "b": 8.0}
    assert order == ["a", "b"] * (WARM_UP + 3)


def test_rounds_continue_until_the_seconds_are_over() -> None:
    runs: list[int] = []
    interleaved_medians({"a": lambda: runs.append(1)}, seconds=0.02, rounds=1, device="cpu")
    assert len(runs) > WARM_UP + 1


def allocations_views_and_three_launches() -> Tensor:
    x = torch.ones(2, 3, 5).flatten(1).unsqueeze(0)[:, :, 1:].transpose(1, 2)
    y = torch.empty_like(x)
    x.new_empty(2), x.new_empty_strided((2,), (1,)), torch.empty_strided((2,), (1,)), x.detach()
    torch.add(x, 1, out=y)
    return y.relu_()


def test_views_and_allocations_are_not_launches() -> None:
    assert launches(allocations_views_and_three_launches) == ["ones", "add", "relu_"]


def test_reshape_inside_a_matrix_product_is_not_a_launch() -> None:
    x, weight = torch.ones(2, 4, 3), torch.ones(3, 5)
    assert launches(lambda: x @ weight) == ["mm"]


def test_counting_launches_under_inference_mode_raises() -> None:
    with torch.inference_mode(), pytest.raises(RuntimeError, match=r"use torch\.no_grad\(\) instead"):
        launches(allocations_views_and_three_launches)
