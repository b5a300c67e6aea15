"""Every clip of every batch goes to one process, and the processes together compute what one computes."""

from collections import Counter
from itertools import chain
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, Sampler, SequentialSampler

from dfer.data.clips import EpochOrder, PlainClips
from dfer.training.device import Processes
from dfer.training.loading import BalancedOrder, SharedBatches, WeightedClips, smallest_share
from helpers.tiny_runs import coloured_clips

LABELS = [0] * 18 + [1] * 5 + [2] * 2


def orders() -> list[Sampler[Any]]:
    return [EpochOrder(25, 0), BalancedOrder(LABELS, 0), SequentialSampler(LABELS)]


@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_shares_partition_the_clips_in_equally_many_steps(number: int, count: int) -> None:
    order, one = orders()[number], orders()[number]
    for epoch in range(2):
        shares = []
        for rank in range(count):
            batches = SharedBatches(order, 12, Processes(rank, count, count))
            for sampler in (batches.sampler, one):
                if hasattr(sampler, "set_epoch"):
                    sampler.set_epoch(epoch)
            shares.append(list(batches))
            assert len(batches) == len(shares[-1]) == 3
        joint = list(one)
        # Twelve, twelve and one clip.
        for step, clips in enumerate((joint[:12], joint[12:24], joint[24:])):
            counted = [key for share in shares for key, weight in share[step] if weight > 0]
            assert Counter(counted) == Counter(clips)
            weights = {weight for share in shares for _, weight in share[step] if weight > 0}
            assert weights == {count / len(clips)}
            assert all(share[step] for share in shares)
        assert sum(1 for _, weight in chain(*chain(*shares)) if weight == 0) == count - 1


@pytest.mark.parametrize("clips", [25, 26, 24, 3])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_smallest_share_is_in_the_last_batch(clips: int, count: int) -> None:
    shares = [SharedBatches(SequentialSampler(range(clips)), 12, Processes(r, count, count)) for r in range(count)]
    assert smallest_share(clips, 12, Processes(0, count, count)) == min(len(batch) for s in shares for batch in s)


def test_weighted_sums_average_to_the_mean_of_the_joint_batch() -> None:
    losses = torch.arange(25, dtype=torch.float64) ** 2
    batches = [SharedBatches(SequentialSampler(range(25)), 12, Processes(rank, 3, 3)) for rank in range(3)]
    for step, joint in enumerate((losses[:12], losses[12:24], losses[24:])):
        sums = [sum(losses[key] * weight for key, weight in list(share)[step]) for share in batches]
        torch.testing.assert_close(sum(sums) / 3, joint.mean())


def test_loader_yields_weights_with_the_clips() -> None:
    source = coloured_clips([0, 1, 2])
    plain = PlainClips(source)
    batches = SharedBatches(SequentialSampler(plain), 2, Processes(1, 2, 2))
    (first, last) = DataLoader(WeightedClips(plain), batch_sampler=batches)
    assert torch.equal(first[0], source.clips[1:2])
    assert (first[1].tolist(), first[2].tolist()) == ([1], [1.0])
    assert torch.equal(last[0], source.clips[2:3])
    assert (last[1].tolist(), last[2].tolist()) == ([2], [0.0])
