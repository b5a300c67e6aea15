"""The weights of a trained net and all facts needed to use them, in one safetensors file."""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from agdt_layers import load_weights
from dfer.atomic_files import whole_file
from dfer.errors import BadInput
from dfer.training.networks import build_net, check_name
from dfer.training.settings import NetSettings

# The key of the metadata that hold the facts as JSON.
KEY = "dfer"


@dataclass(frozen=True)
class TrainedFacts:
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    """Frames from 0 to 1 are normalised per channel: (frame - mean) / std."""
    size: int
    """Side of a frame in pixels."""
    frames: int
    frames_per_segment: int
    """V of the sampling protocol: frames / frames_per_segment segments."""
    net: dict[str, Any]
    """The model's name and settings; for an AGDTNet also whether it is causal."""
    trained_on: str
    epoch: int
    epoch_selected_on: str
    uar: float
    war: float
    recall: tuple[float | None, ...]
    """Recall of each class on the test clips; None without a clip of the class."""


def write_trained(path: Path, net: nn.Module, facts: TrainedFacts) -> None:
    """Write a file for :func:`load_trained`. `build_agdtnet(weights=path)` reads that of an AGDTNet too."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in net.state_dict().items()}
    content = save(tensors, metadata={KEY: json.dumps(asdict(facts))})
    with whole_file(path) as beside:
        beside.write_bytes(content)


def facts_of(given: dict[str, Any]) -> TrainedFacts:
    """The facts from parsed JSON. Raises KeyError or TypeError if they are incomplete."""
    given = {name: tuple(value) if isinstance(value, list) else value for name, value in dict(given).items()}
    return TrainedFacts(**{field.name: given[field.name] for field in fields(TrainedFacts)})


def read_facts(path: Path) -> TrainedFacts:
    try:
        with safe_open(path, framework="pt") as file:
            return facts_of(json.loads((file.metadata() or {})[KEY]))
    except FileNotFoundError:
        fault = "no such file"
    except (OSError, SafetensorError):
        fault = "is not a safetensors file"
    except (KeyError, TypeError, ValueError):
        fault = "does not say its classes, size and frames"
    raise BadInput(f"{path}: {fault}; expected the weights.safetensors of a run of train.py")


def load_trained(path: Path) -> tuple[nn.Module, TrainedFacts]:
    """The net, in eval mode on the CPU, and the facts."""
    facts = read_facts(path)
    settings = NetSettings(**facts.net)
    # No trial on the meta device: it imports torch's compiler, which takes a second.
    check_name(settings)
    net = build_net(settings, len(facts.classes), facts.frames, facts.size)
    try:
        report = load_weights(net, path)
    except (OSError, ValueError) as error:
        raise BadInput(" ".join(str(error).split())) from None
    if report.missing:
        raise BadInput(f"{path} lacks {len(report.missing)} tensors of its {settings.model}, {report.missing[0]} first")
    return net.eval(), facts
