"""The models that a run can train, by name: each maps clips (B, T, 3, H, W) to scores (B, classes)."""

from collections.abc import Callable

from torch import nn

from agdt_layers import build_agdtnet, load_weights
from dfer.bad_input import BadInput
from dfer.models.narrow_agdtnet import narrow_agdtnet
from dfer.training.settings import NetSettings


def agdtnet(settings: NetSettings, classes: int, frames: int) -> nn.Module:
    return build_agdtnet(
        classes,
        num_frames=frames,
        attention=settings.attention,
        temporal=settings.temporal,
        weights=settings.weights,
        dropout=settings.dropout,
    )


def agdtnet_narrow(settings: NetSettings, classes: int, frames: int) -> nn.Module:
    net = narrow_agdtnet(classes, frames, dropout=settings.dropout)
    if settings.weights is not None:
        load_weights(net, settings.weights)
    return net


MODELS: dict[str, Callable[[NetSettings, int, int], nn.Module]] = {
    "agdtnet": agdtnet,
    "agdtnet-narrow": agdtnet_narrow,
}


def check_model(settings: NetSettings) -> None:
    if settings.model not in MODELS:
        raise BadInput(f"--model: expected one of {', '.join(MODELS)}, got {settings.model}")


def build_net(settings: NetSettings, classes: int, frames: int) -> nn.Module:
    check_model(settings)
    try:
        return MODELS[settings.model](settings, classes, frames)
    except (OSError, ValueError) as error:
        raise BadInput(f"--weights {settings.weights}: {' '.join(str(error).split())}") from None
