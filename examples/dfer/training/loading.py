"""Batches for the three parts of a run. The seed decides their order; the processes share each batch."""

from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler, SequentialSampler

from dfer.data.clips import DrawnClips, EpochOrder, PlainClips, seeded
from dfer.data.parts import RunData
from dfer.stopping import leave_signals_to_the_run
from dfer.training.device import Processes
from dfer.training.settings import TrainingSettings


class Loaders(NamedTuple):
    training: DataLoader[Any]
    validation: DataLoader[Any]
    test: DataLoader[Any]


def make_loaders(data: RunData, settings: TrainingSettings, processes: Processes, *, epochs_done: int) -> Loaders:
    def loader(clips: Dataset[Any], order: Sampler[Any]) -> DataLoader[Any]:
        return DataLoader(
            WeightedClips(clips),
            batch_sampler=SharedBatches(order, settings.batch_size, processes),
            num_workers=settings.workers,
            persistent_workers=settings.workers > 0,
            worker_init_fn=leave_signals_to_the_run,
            pin_memory=torch.cuda.is_available(),
        )

    labels = data.training.labels
    order = BalancedOrder(labels, settings.seed) if settings.balanced else EpochOrder(len(labels), settings.seed)
    # Lightning sets the epoch too, but in a resumed run only after it has asked for the first clips.
    order.set_epoch(epochs_done)
    validation, test = PlainClips(data.validation), PlainClips(data.test)
    return Loaders(
        loader(DrawnClips(data.training, settings.seed), order),
        loader(validation, SequentialSampler(validation)),
        loader(test, SequentialSampler(test)),
    )


def read_once(loaders: Loaders) -> None:
    """Find a broken validation or test frame now instead of after an epoch."""
    for part in (loaders.validation, loaders.test):
        for _ in part:
            pass


class BalancedOrder(Sampler[tuple[int, int, int]]):
    """As many draws as clips, with replacement: (epoch, index, how often the clip was drawn before).

    The third number gives each draw of a clip its own augmentation.
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


class SharedBatches(Sampler[list[tuple[Any, float]]]):
    """The share of one process in every batch: keys with weights.

    The gradients of the processes are averaged. The weight of a clip is processes / clips of the joint batch, so the
    average of the weighted sums is the mean over the joint batch, even if the shares of the last batch differ.
    A process without a clip takes one of another process with weight 0, since it must make the step too.
    """

    def __init__(self, order: Sampler[Any], batch_size: int, processes: Processes) -> None:
        # Lightning calls set_epoch on an attribute of this name.
        self.sampler, self.batch_size, self.processes = order, batch_size, processes

    def __len__(self) -> int:
        return -(-len(self.sampler) // self.batch_size)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[list[tuple[Any, float]]]:
        order = list(self.sampler)
        for start in range(0, len(order), self.batch_size):
            joint = order[start : start + self.batch_size]
            weight = self.processes.count / len(joint)
            share = joint[self.processes.rank :: self.processes.count]
            yield [(key, weight) for key in share] or [(joint[0], 0.0)]


def smallest_share(clips: int, batch_size: int, processes: Processes) -> int:
    """The smallest number of clips of one process in a step."""
    left = clips % batch_size or batch_size
    return max(1, left // processes.count)


class WeightedClips(Dataset[tuple[Any, ...]]):
    """The clips of another data set with their weights, indexed by the keys of SharedBatches."""

    def __init__(self, clips: Dataset[Any]) -> None:
        self.clips = clips

    def __getitem__(self, weighted: tuple[Hashable, float]) -> tuple[Tensor, ...]:
        key, weight = weighted
        return *self.clips[key], torch.tensor(weight)
