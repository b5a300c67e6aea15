"""Batches for the three parts of a run, as uint8: what is done to them is done on the device that trains."""

from typing import Any, NamedTuple

import torch
from torch.utils.data import DataLoader, Dataset, Sampler, SequentialSampler

from dfer.data.clips import DrawnClips, EpochOrder, PlainClips
from dfer.data.parts import RunData
from dfer.stopping import leave_signals_to_the_run
from dfer.training.balanced_order import BalancedOrder
from dfer.training.processes import Processes
from dfer.training.settings import TrainingSettings
from dfer.training.shares import SharedBatches, WeightedClips


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
    # Lightning tells the order its epoch, but in a resumed run only after it has asked for the first clips.
    order.set_epoch(epochs_done)
    validation, test = PlainClips(data.validation), PlainClips(data.test)
    return Loaders(
        loader(DrawnClips(data.training, settings.seed), order),
        loader(validation, SequentialSampler(validation)),
        loader(test, SequentialSampler(test)),
    )


def read_once(loaders: Loaders) -> None:
    """A broken frame of the clips that are not trained on is better found now than after the first or last epoch."""
    for part in (loaders.validation, loaders.test):
        for _ in part:
            pass
