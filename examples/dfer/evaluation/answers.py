"""Class probabilities of a trained network for clips."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from dfer.data.augmentation import to_unit
from dfer.data.clips import ClipSource, PlainClips
from dfer.errors import BadInput
from dfer.progress import track
from dfer.training.trained_file import TrainedFacts


@dataclass(frozen=True)
class Device:
    accelerator: Literal["cuda", "cpu"]
    bfloat16: bool

    def __str__(self) -> str:
        where = torch.cuda.get_device_name() if self.accelerator == "cuda" else "the CPU"
        return f"on {where}, {'bfloat16 autocast' if self.bfloat16 else 'float32'}, channels_last"


def choose_device(precision: str) -> Device:
    """As in train.py: the GPU if there is one, with bfloat16 unless `precision` is float32."""
    cuda = torch.cuda.is_available()
    fast = cuda and torch.cuda.is_bf16_supported(including_emulation=False)
    return Device("cuda" if cuda else "cpu", fast if precision == "auto" else precision == "bfloat16")


def normalised(clips: Tensor, facts: TrainedFacts) -> Tensor:
    """Normalise (..., 3, H, W), from 0 to 1, as in training."""
    mean, std = (clips.new_tensor(values).view(3, 1, 1) for values in (facts.mean, facts.std))
    return (clips - mean) / std


def probabilities(
    net: nn.Module,
    facts: TrainedFacts,
    source: ClipSource,
    device: Device,
    *,
    batch_size: int,
    workers: int,
    title: str = "clips",
) -> Tensor:
    """(clips, classes), on the CPU; with a progress bar on a terminal."""
    loader = DataLoader(
        PlainClips(source), batch_size=batch_size, num_workers=workers, pin_memory=torch.cuda.is_available()
    )
    net = net.to(device.accelerator).eval()
    for parameter in net.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    found = []
    with torch.inference_mode(), torch.autocast(device.accelerator, torch.bfloat16, enabled=device.bfloat16):
        for clips, _ in track(loader, title, len(loader)):
            clips = clips.to(device.accelerator, non_blocking=True)
            prepared = clips if clips.is_floating_point() else normalised(to_unit(clips), facts)
            found.append(net(prepared).float().softmax(dim=1).cpu())
    scores = torch.cat(found)
    if not scores.isfinite().all():
        raise BadInput(f"{title}: the net answers NaN or infinity; train it again, or try --precision float32")
    return scores


def confusion_of(truths: Tensor, answers: Tensor, classes: int) -> Tensor:
    """(classes, classes), rows: truth, columns: answer."""
    return torch.bincount(truths * classes + answers, minlength=classes * classes).view(classes, classes)
