"""Weighted random sampling: every class is drawn equally often, however few clips it has."""

from collections import Counter
from collections.abc import Iterator, Sequence

import torch
from torch.utils.data import Sampler

from dfer.data.clips import seeded


class BalancedOrder(Sampler[tuple[int, int, int]]):
    """As many draws as clips, with replacement: (epoch, index, how often the clip was drawn before).

    The third number lets a clip that is drawn again be augmented in another way.
    """

    def __init__(self, labels: Sequence[int], seed: int) -> None:
        clips = Counter(labels)
        self.weights = torch.tensor([1 / clips[label] for label in labels], dtype=torch.float64)
        self.seed, self.epoch = seed, 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.weights)

    def __iter__(self) -> Iterator[tuple[int, int, int]]:
        epoch, before = self.epoch, Counter[int]()
        generator = torch.Generator().manual_seed(seeded(self.seed, "order", epoch))
        for index in torch.multinomial(self.weights, len(self), replacement=True, generator=generator).tolist():
            yield epoch, index, before[index]
            before[index] += 1
