"""The models that a run can train, by name. Each maps clips (B, T, ...) to scores (B, classes)."""

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from agdt_layers import ResNet18, WeightsReport, load_weights
from dfer.errors import BadInput
from dfer.models.narrow_agdtnet import NARROW, narrow_agdtnet
from dfer.models.registry import AGDTNET_ROWS, MODEL_NAMES, build_model
from dfer.models.vector_nets import VECTOR_MODELS, VectorNet
from dfer.models.wide_resnet18 import WIDER, wider_dtformer
from dfer.training.settings import NetSettings

Builder = Callable[[NetSettings, int, int, int], nn.Module]
"""Arguments: settings, number of classes, frames per clip, and the side of a frame or the length of a vector."""


def registered(settings: NetSettings, classes: int, frames: int, size: int) -> nn.Module:
    if settings.model not in AGDTNET_ROWS:
        return build_model(settings.model, classes, frames, size=size)
    options = {name: getattr(settings, name) for name in ("attention", "temporal", "dropout", "causal")}
    return build_model("agdtnet", classes, frames, **options)


def of_vectors(settings: NetSettings, classes: int, frames: int, channels: int) -> nn.Module:
    assert settings.width is not None
    options = {"width": settings.width, "dropout": settings.dropout or 0.0}
    return VectorNet(settings.model, channels, classes, frames, **options)  # type: ignore[arg-type]


MODELS: dict[str, Builder] = {
    **dict.fromkeys(MODEL_NAMES, registered),
    NARROW: lambda net, classes, frames, _: narrow_agdtnet(classes, frames, dropout=net.dropout or 0.0),
    WIDER: lambda net, classes, frames, _: wider_dtformer(
        classes, frames, dropout=net.dropout or 0.0, causal=net.causal
    ),
    **dict.fromkeys(VECTOR_MODELS, of_vectors),
}


def check_name(settings: NetSettings) -> None:
    if settings.model not in MODELS:
        raise BadInput(f"--model: expected one of {', '.join(MODELS)}, got {settings.model}")


def check_model(settings: NetSettings, *, frames: int, size: int, batch: int | None = None) -> None:
    """Refuse an unknown name, and clips that the model cannot take.

    With `batch`, refuse clips on which batch norm cannot train too. The model runs on the meta device, without numbers.
    """
    check_name(settings)
    if settings.model not in (*MODEL_NAMES, NARROW, WIDER):
        return
    with torch.device("meta"), torch.no_grad():
        net = MODELS[settings.model](settings, 2, frames, size).train(batch is not None)
        try:
            net(torch.empty(batch or 1, frames, 3, size, size))
        except ValueError as error:
            advice = "" if batch is None else f"; the smallest batch has size {batch}: give another --batch-size"
            raise BadInput(f"--model {settings.model} --frames {frames} --size {size}: {error}{advice}") from None


def build_net(settings: NetSettings, classes: int, frames: int, size: int) -> nn.Module:
    return MODELS[settings.model](settings, classes, frames, size)


def load_pretrained(net: nn.Module, settings: NetSettings) -> WeightsReport:
    """Load --pretrained into the net or into its backbone. Raises BadInput if the file does not fit."""
    path = settings.pretrained
    assert path is not None
    try:
        check_hash(path)
        return load_weights(net, path)
    except (OSError, ValueError) as error:
        line = " ".join(str(error).split())
        if not isinstance(getattr(net, "backbone", None), ResNet18):
            line += f" {settings.model} has no ResNet18; expected weights of a whole {settings.model}."
        raise BadInput(f"--pretrained {path}: {line}") from None


def pretrained_hash(settings: NetSettings) -> str | None:
    path = settings.pretrained
    try:
        return None if path is None else sha256(path)
    except OSError as error:
        raise BadInput(f"--pretrained {path}: cannot be read ({error.strerror}); give a file of weights") from None


def sha256(path: Path) -> str:
    """Of a file, or of the names and contents of the files in a folder."""
    if path.is_dir():
        inside = "".join(f"{file.name} {sha256(file)}\n" for file in sorted(path.iterdir()) if file.is_file())
        return hashlib.sha256(inside.encode()).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_hash(path: Path) -> None:
    """Check the start of the SHA-256 in a name of torchvision, as in resnet18-f37072fd.pth."""
    # With a letter, since digits alone may be a date.
    named = re.search(r"-(?=\d*[a-f])([0-9a-f]{8,64})\.\w+$", path.name)
    if named and not sha256(path).startswith(named[1]):
        raise ValueError(f"its SHA-256 does not begin with {named[1]}; download it again, or rename it")
