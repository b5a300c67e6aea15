"""Networks whose maps are drawn side by side: one with its gate changed, or the two of the paper's Figure 8."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from dfer.errors import BadInput
from dfer.evaluation.evaluated_clips import EvaluatedClips, evaluated_clips
from dfer.evaluation.gains import WITH, WITHOUT, has_gate, nets_by_gate
from dfer.training.trained_file import TrainedFacts, load_trained


class TrainedNet(NamedTuple):
    file: Path
    net: nn.Module
    facts: TrainedFacts


def load_nets(files: Sequence[Path]) -> list[TrainedNet]:
    """Load one network, or two with the same input: first the one without a gate, then the one with it."""
    nets = sorted((TrainedNet(file, *load_trained(file)) for file in files), key=lambda one: has_gate(one.net))
    if len(nets) > 1 and [has_gate(one.net) for one in nets] != [False, True]:
        raise BadInput("expected one run, or two: one trained with --attention aga-without-gate and one with the gate")
    for name in ("classes", "mean", "std", "size", "frames", "frames_per_segment"):
        values = [getattr(one.facts, name) for one in nets]
        if values[0] != values[-1]:
            raise BadInput(
                f"{nets[0].file} has {name} {values[0]}, {nets[-1].file} {values[-1]}; train both with the same flags"
            )
    return nets


def rows_of(nets: Sequence[TrainedNet]) -> dict[str, nn.Module]:
    """The network of each row."""
    return nets_by_gate(nets[0].net) if len(nets) == 1 else {WITHOUT: nets[0].net, WITH: nets[1].net}


def clips_of(nets: Sequence[TrainedNet], args: Mapping[str, Any]) -> EvaluatedClips:
    """The test clips, which must be the same for all networks."""
    clips = [evaluated_clips(one.file, one.facts, args) for one in nets]
    if clips[0].keys != clips[-1].keys:
        raise BadInput(
            f"{nets[0].file} and {nets[-1].file} are tested on different clips; train both with the same flags and "
            "--seed, or name the clips"
        )
    return clips[0]


def answers(nets: Sequence[TrainedNet], clips: Tensor) -> list[str]:
    """The predicted class of each clip (B, T, 3, H, W), or of two networks both classes with their rows."""
    with torch.inference_mode():
        each = [[one.facts.classes[best] for best in one.net(clips).argmax(dim=1).tolist()] for one in nets]
    if len(nets) == 1:
        return each[0]
    return [f"{first} {WITHOUT}, {second} {WITH}" for first, second in zip(*each, strict=True)]
