"""The processes of a run that torchrun started; without torchrun there is one."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NoReturn

import torch
from torch import distributed

from dfer.errors import BadInput


@dataclass(frozen=True)
class Processes:
    rank: int = 0
    count: int = 1
    local: int = 1
    """On this machine."""

    @property
    def first(self) -> bool:
        """The one that prints and writes."""
        return self.rank == 0


def this_process() -> Processes:
    if not distributed.is_torchelastic_launched():
        return Processes()
    return Processes(*(int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE")))


def end_exchange() -> None:
    """Stop the threads that exchange tensors: a process that ends while they run is aborted now and then."""
    if distributed.is_initialized():
        distributed.destroy_process_group()


def leave(code: int) -> NoReturn:
    """End this process; one of several at once, since its late threads now and then abort one that is torn down."""
    if this_process().count == 1:
        sys.exit(code)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


class OtherProcessLost(Exception):
    exit_code = 1


@contextmanager
def naming_lost_processes() -> Iterator[None]:
    """Say in a line what torch says in a page: gloo and a loader with a RuntimeError, NCCL with one of its own."""
    try:
        yield
    except RuntimeError as error:
        if str(error).startswith("DataLoader worker (pid"):
            what = str(error).strip().splitlines()[0].rstrip(".")
            raise OtherProcessLost(f"{what}; the machine may be short of memory: give fewer --workers") from error
        if not isinstance(error, distributed.DistError) and "/gloo/" not in str(error):
            raise
        raise OtherProcessLost("another process of the run has ended or cannot be reached") from error


def check_processes(processes: Processes, batch_size: int) -> None:
    if batch_size % processes.count:
        raise BadInput(
            f"--batch-size {batch_size} cannot be divided among {processes.count} processes; "
            f"give a multiple of {processes.count}"
        )
    if torch.cuda.is_available() and torch.cuda.device_count() < processes.local:
        raise BadInput(
            f"torchrun --nproc-per-node {processes.local}: this machine has {torch.cuda.device_count()} GPUs; "
            "start one process for each"
        )
