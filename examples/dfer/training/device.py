"""What a run computes on, and in which precision."""

from dataclasses import dataclass
from typing import Literal

import torch

from dfer.training.settings import TrainingSettings


@dataclass(frozen=True)
class Device:
    accelerator: Literal["cuda", "cpu"]
    bfloat16: bool
    channels_last: bool

    def __str__(self) -> str:
        where = torch.cuda.get_device_name() if self.accelerator == "cuda" else "the CPU"
        precision = "bfloat16 autocast" if self.bfloat16 else "float32"
        return f"on {where}, {precision}" + (", channels_last" if self.channels_last else "")


def choose_device(settings: TrainingSettings) -> Device:
    """The GPU where there is one; there bfloat16 unless float32 is asked for."""
    cuda = torch.cuda.is_available()
    fast = cuda and torch.cuda.is_bf16_supported(including_emulation=False)
    bfloat16 = fast if settings.precision == "auto" else settings.precision == "bfloat16"
    return Device("cuda" if cuda else "cpu", bfloat16, settings.channels_last)
