"""The counter of launches: what counts, what does not, and in which form the layers are counted."""

import pytest
import torch
from torch import Tensor

from dfer.benchmarking.launches import launches


def allocated_and_viewed() -> Tensor:
    x = torch.ones(2, 3, 5).flatten(1).unsqueeze(0)[:, :, 1:].transpose(1, 2)
    y = torch.empty_like(x)
    x.new_empty(2), x.new_empty_strided((2,), (1,)), torch.empty_strided((2,), (1,)), x.detach()
    torch.add(x, 1, out=y)
    return y.relu_()


def test_what_works_counts_and_views_and_allocations_do_not() -> None:
    assert launches(allocated_and_viewed) == ["ones", "add", "relu_"]


def test_a_reshape_of_a_product_is_no_launch() -> None:
    x, weight = torch.ones(2, 4, 3), torch.ones(3, 5)
    assert launches(lambda: x @ weight) == ["mm"]


def test_inference_mode_is_refused() -> None:
    with torch.inference_mode(), pytest.raises(RuntimeError, match=r"Take torch\.no_grad\(\)"):
        launches(allocated_and_viewed)
