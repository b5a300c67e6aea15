"""Batches of a joint size, divided among processes: every clip goes to one of them, and all make the same steps."""

from collections.abc import Hashable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from dfer.training.processes import Processes


class SharedBatches(Sampler[list[tuple[Any, float]]]):
    """What one process takes of every batch: keys with weights.

    The gradients of the processes are averaged. A clip's weight is therefore processes / clips of the joint batch: then
    the average of the weighted sums is the mean over the joint batch, also where the shares of the last batch differ.
    Where none is left for a process, it takes another's clip with weight 0, since it must make the step too.
    """

    def __init__(self, order: Sampler[Any], batch_size: int, processes: Processes) -> None:
        # Lightning tells a sampler of this name the epoch.
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
    """The fewest clips of a step of one process."""
    left = clips % batch_size or batch_size
    return max(1, left // processes.count)


class WeightedClips(Dataset[tuple[Any, ...]]):
    """The clips of another data set with a weight each, looked up by what SharedBatches gives."""

    def __init__(self, clips: Dataset[Any]) -> None:
        self.clips = clips

    def __getitem__(self, weighted: tuple[Hashable, float]) -> tuple[Tensor, ...]:
        key, weight = weighted
        return *self.clips[key], torch.tensor(weight)
