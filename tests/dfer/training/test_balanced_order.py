from collections import Counter

import torch

from dfer.training.loading import BalancedOrder
from helpers.prepared import TrainingClips
from helpers.tiny_runs import coloured_clips

LABELS = [0] * 80 + [1] * 15 + [2] * 5


def drawn(seed: int, epoch: int, labels: list[int] = LABELS) -> list[tuple[int, int, int]]:
    order = BalancedOrder(labels, seed)
    order.set_epoch(epoch)
    return list(order)


def test_every_class_is_drawn_equally_often() -> None:
    draws = [index for epoch in range(60) for _, index, _ in drawn(0, epoch)]
    assert len(draws) == 60 * len(LABELS)
    counts = Counter(LABELS[index] for index in draws)
    # 2000 of each are expected; the standard deviation is 37.
    assert all(1850 < counts[label] < 2150 for label in range(3))
    assert set(draws) == set(range(len(LABELS)))


def test_order_depends_on_seed_and_epoch() -> None:
    assert drawn(0, 1) == drawn(0, 1)
    assert [key[1] for key in drawn(0, 1)] != [key[1] for key in drawn(0, 2)]
    assert [key[1] for key in drawn(0, 1)] != [key[1] for key in drawn(1, 1)]
    assert {key[0] for key in drawn(0, 7)} == {7}


def test_repeated_draws_of_a_clip_are_augmented_differently() -> None:
    keys = [key for key in drawn(0, 0) if LABELS[key[1]] == 2]
    assert len(set(keys)) == len(keys) > 5
    again = next(key for key in keys if key[2] == 1)
    clips = TrainingClips(coloured_clips(LABELS), 0, augmented=True)
    first, second = (clips[(0, again[1], time)][0] for time in (0, 1))
    assert not torch.equal(first, second)
