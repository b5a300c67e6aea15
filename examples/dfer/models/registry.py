"""Every model that the scripts train, by name."""

from collections.abc import Callable, Mapping
from os import PathLike
from typing import Any

from torch import Tensor, nn

from agdt_layers import build_agdtnet, load_weights
from dfer.models.c3d import C3D
from dfer.models.former_dfer import FormerDFER
from dfer.models.i3d import I3D
from dfer.models.resnet18_lstm import ResNet18LSTM
from dfer.models.resnet18_lstm_dfew import DFEWResNet18LSTM
from dfer.models.vgg_lstm import VGGLSTM

# The rows of the paper's ablation (Table 2): attention after the second and third stage, and the temporal encoder.
AGDTNET_ROWS: Mapping[str, tuple[str, str]] = {
    "tformer": ("none", "tformer"),
    "dtformer": ("none", "dtformer"),
    "cbam+dtformer": ("cbam", "dtformer"),
    "se+dtformer": ("se", "dtformer"),
    "aga+tformer": ("aga", "tformer"),
    "aga-without-gate+dtformer": ("aga-without-gate", "dtformer"),
    "agdtnet": ("aga", "dtformer"),
}

# The systems that the paper compares with, and vgg16-lstm. Arguments: number of classes, frames per clip, frame size.
COMPARISON_SYSTEMS: Mapping[str, Callable[[int, int, int], nn.Module]] = {
    "c3d": lambda classes, frames, size: C3D(classes, num_frames=frames, size=size),
    "i3d": lambda classes, frames, size: I3D(classes),
    "vgg11-lstm": lambda classes, frames, size: VGGLSTM(classes, depth=11),
    "vgg13-lstm": lambda classes, frames, size: VGGLSTM(classes, depth=13),
    "vgg16-lstm": lambda classes, frames, size: VGGLSTM(classes, depth=16),
    "resnet18-lstm-dfew": lambda classes, frames, size: DFEWResNet18LSTM(classes, num_frames=frames),
    "resnet18-lstm": lambda classes, frames, size: ResNet18LSTM(classes, num_frames=frames),
    "former-dfer": lambda classes, frames, size: FormerDFER(classes, num_frames=frames, size=size),
}

MODEL_NAMES = (*COMPARISON_SYSTEMS, *AGDTNET_ROWS)


def build_model(
    name: str,
    num_classes: int,
    num_frames: int = 16,
    *,
    size: int = 112,
    weights: str | PathLike[str] | Mapping[str, Tensor] | None = None,
    **options: Any,
) -> nn.Module:
    """Make a model that maps clips (B, T, 3, H, W) to scores (B, num_classes).

    Args:
        name: one of MODEL_NAMES.
        num_classes: number of classes.
        num_frames: frames per clip, T. I3D and VGG + LSTM take any; the rows of AGDTNet take shorter clips too.
        size: H = W. C3D and Former-DFER take only this size.
        weights: a file or a state dict, for the whole model or for its backbone; see agdt_layers.load_weights.
        options: of agdt_layers.build_agdtnet, such as dropout and causal, for the rows of AGDTNet.

    Raises:
        ValueError: another name, an option that the model does not have, or weights that do not fit.
    """
    if name in AGDTNET_ROWS:
        row = dict(zip(("attention", "temporal"), AGDTNET_ROWS[name], strict=True))
        return build_agdtnet(num_classes, num_frames=num_frames, weights=weights, **{**row, **options})
    if name not in COMPARISON_SYSTEMS:
        raise ValueError(f"build_model expects one of {', '.join(MODEL_NAMES)}; got {name!r}.")
    if options:
        raise ValueError(
            f"build_model: {', '.join(options)} is for the rows of AGDTNet ({', '.join(AGDTNET_ROWS)}); "
            f"{name} is built as published. Leave it out."
        )
    model = COMPARISON_SYSTEMS[name](num_classes, num_frames, size)
    if weights is not None:
        load_weights(model, weights)
    return model
