"""The counter of launches: what counts, what does not, and in which form the layers are counted."""

import pytest
import torch
from torch import Tensor

from dfer.benchmarking.launch_counts import launch_counts
from dfer.benchmarking.launches import launches
from dfer.benchmarking.rows import Settings


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


def test_the_rows_are_the_counts_that_the_layers_tests_hold() -> None:
    rows = list(launch_counts(Settings("cpu", 0.0)))
    targets = {row.case: (row.ours, row.theirs) for row in rows if row.peer.endswith(" launches")}
    assert targets == {
        "launches of AGA, forward": (36, 36),
        "launches of AGA, forward + backward": (109, 109),
        "launches of AGDTNet, forward": (185, 185),
        "launches of AGDTNet prepared, forward": (165, 165),
    }
    peers = {(row.case, row.peer): row.theirs for row in rows}
    assert peers["launches of AGA, forward", "this package's CBAM"] == 19
    assert peers["launches of AGA, forward", "this package's SqueezeExcitation"] == 6
    assert peers["launches of AGDTNet, forward", "ResNet18 + mean"] == 70
    assert peers["launches of AGDTNet prepared, forward", "Former-DFER"] == 111
