"""What a run computes on: the device, its precision, and the processes that torchrun started (one without torchrun)."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, NoReturn

import torch
from torch import distributed, nn

from dfer.errors import BadInput
from dfer.training.settings import TrainingSettings


@dataclass(frozen=True)
class Processes:
    rank: int = 0
    count: int = 1
    local: int = 1
    """On this machine."""

    @property
    def first(self) -> bool:
        """Whether this process prints and writes."""
        return self.rank == 0


def this_process() -> Processes:
    if not distributed.is_torchelastic_launched():
        return Processes()
    return Processes(*(int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE")))


def check_processes(processes: Processes, batch_size: int) -> None:
    if batch_size % processes.count:
        raise BadInput(
            f"--batch-size {batch_size} cannot be divided among {processes.count} processes; "
            f"give a multiple of {processes.count}"
        )
    if torch.cuda.is_available() and torch.cuda.device_count() < processes.local:
        raise BadInput(
            f"torchrun --nproc-per-node {processes.local}: this machine has {torch.cuda.device_count()} GPUs; "
            "start one process per GPU"
        )


class OtherProcessLost(Exception):
    exit_code = 1


@contextmanager
def lost_processes_reported() -> Iterator[None]:
    """Raise OtherProcessLost with one line in place of the long errors of gloo, NCCL and a loader."""
    try:
        yield
    except RuntimeError as error:
        if str(error).startswith("DataLoader worker (pid"):
            what = str(error).strip().splitlines()[0].rstrip(".")
            raise OtherProcessLost(f"{what}; the machine may be short of memory: give fewer --workers") from error
        if not isinstance(error, distributed.DistError) and "/gloo/" not in str(error):
            raise
        raise OtherProcessLost("another process of the run has ended or cannot be reached") from error


def end_exchange() -> None:
    """Stop the threads that exchange tensors: they sometimes abort a process that ends while they run."""
    if distributed.is_initialized():
        distributed.destroy_process_group()


def leave(code: int) -> NoReturn:
    """End this process. Under torchrun without teardown, during which late threads sometimes abort the process."""
    if this_process().count == 1:
        sys.exit(code)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


@dataclass(frozen=True)
class Device:
    accelerator: Literal["cuda", "cpu"]
    bfloat16: bool
    channels_last: bool
    compiled: bool
    processes: Processes

    def __str__(self) -> str:
        where = torch.cuda.get_device_name() if self.accelerator == "cuda" else "the CPU"
        parts = [f"on {where}", "bfloat16 autocast" if self.bfloat16 else "float32"]
        parts += ["channels_last"] * self.channels_last + ["compiled"] * self.compiled
        parts += ["pinned memory"] * (self.accelerator == "cuda")
        parts += [f"{self.processes.count} processes"] * (self.processes.count > 1)
        return ", ".join(parts)


def choose_device(settings: TrainingSettings, processes: Processes) -> Device:
    """The GPU if there is one, with bfloat16 unless float32 is asked for."""
    cuda = torch.cuda.is_available()
    fast = cuda and torch.cuda.is_bf16_supported(including_emulation=False)
    bfloat16 = fast if settings.precision == "auto" else settings.precision == "bfloat16"
    return Device("cuda" if cuda else "cpu", bfloat16, settings.channels_last, settings.compile, processes)


def to_channels_last(net: nn.Module) -> None:
    """Reorder the filters of 2-D and 3-D convolutions; feature maps take the order of the filters."""
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    for parameter in net.parameters():
        if parameter.ndim in formats:
            parameter.data = parameter.data.contiguous(memory_format=formats[parameter.ndim])


def check_compiler(accelerator: str) -> None:
    """Compile something small: torch.compile needs a C++ compiler on a CPU, Triton on a GPU."""
    try:
        torch.compile(torch.sin)(torch.ones(8, device=accelerator))
    except Exception as error:  # Each missing tool raises an error of its own.
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise BadInput(f"--compile: torch.compile does not run here ({reason}); leave it out") from None
