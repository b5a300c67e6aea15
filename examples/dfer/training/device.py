"""What a run computes on, and in which precision."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from dfer.errors import BadInput
from dfer.training.processes import Processes
from dfer.training.settings import TrainingSettings


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
    """The GPU where there is one; there bfloat16 unless float32 is asked for."""
    cuda = torch.cuda.is_available()
    fast = cuda and torch.cuda.is_bf16_supported(including_emulation=False)
    bfloat16 = fast if settings.precision == "auto" else settings.precision == "bfloat16"
    return Device("cuda" if cuda else "cpu", bfloat16, settings.channels_last, settings.compile, processes)


def to_channels_last(net: nn.Module) -> None:
    """Order the filters of 2-D and of 3-D convolutions so; feature maps take the order of the filters."""
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    for parameter in net.parameters():
        if parameter.ndim in formats:
            parameter.data = parameter.data.contiguous(memory_format=formats[parameter.ndim])


def check_compiler(accelerator: str) -> None:
    """Compile something small: torch.compile needs a C++ compiler on a CPU, Triton on a GPU."""
    try:
        torch.compile(torch.sin)(torch.ones(8, device=accelerator))
    except Exception as error:  # Whatever is missing raises an error of its own.
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise BadInput(f"--compile: torch.compile does not run here ({reason}); leave it out") from None
