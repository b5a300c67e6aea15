"""What a run can be told: every setting once, with its default and its help."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from dfer.bad_input import BadInput
from dfer.training.recipes import RECIPES

# What depends on the clips. Rendered faces: what two CPU cores learn in minutes. Lists: the paper's protocol.
RENDERED: dict[str, Any] = {
    "labels": "expressions",
    "frames": 4,
    "frames_per_segment": None,
    "size": 48,
    "workers": 0,
    "recipe": "rendered",
}
LISTED: dict[str, Any] = {
    "labels": None,
    "frames": 16,
    "frames_per_segment": 2,
    "size": 112,
    "workers": min(4, os.cpu_count() or 1),
    "recipe": "dfew",
}
# What depends on the recipe; it holds the values.
BY_RECIPE = ("epochs", "batch_size", "dropout")


def described(text: str, *, may_change: bool = False) -> dict[str, Any]:
    """The help of a setting; `may_change` where a resumed run need not repeat it."""
    return {"help": text, "may_change": may_change}


def at_least(least: int, **values: int | None) -> None:
    for name, value in values.items():
        if value is not None and value < least:
            raise BadInput(f"{flag(name)}: expected a whole number from {least}, got {value}")


def flag(name: str) -> str:
    return "--" + name.replace("_", "-")


@dataclass(frozen=True, kw_only=True)
class ClipSettings:
    """Clips: rendered faces, or frames on disk"""

    labels: Literal["expressions", "direction"] | None = field(metadata=described("what rendered faces are asked for"))
    list: Path | None = field(
        default=None,
        metadata=described("training clips: lines of `<frame folder> <number of frames> <label>`", may_change=True),
    )
    test_list: Path | None = field(default=None, metadata=described("test clips, in the same format", may_change=True))
    frames_root: Path | None = field(
        default=None,
        metadata=described("where the folders of the lists start (default: beside each list)", may_change=True),
    )
    class_names: str | None = field(default=None, metadata=described("names of labels 0,1,2,... with commas"))
    frames: int = field(metadata=described("frames of a clip that the net sees"))
    frames_per_segment: int | None = field(metadata=described("V of the sampling protocol"))
    size: int = field(metadata=described("side of a frame in pixels"))

    def __post_init__(self) -> None:
        at_least(1, frames=self.frames, frames_per_segment=self.frames_per_segment)
        at_least(16, size=self.size)
        if self.list is None:
            for name in ("test_list", "frames_root", "class_names", "frames_per_segment"):
                if getattr(self, name) is not None:
                    raise BadInput(f"{flag(name)} belongs to --list; give --list FILE, or leave it out")
            return
        if self.labels is not None:
            raise BadInput("--labels belongs to rendered faces; leave it out, or --list")
        if self.test_list is None:
            raise BadInput("--list needs --test-list FILE: clips that are not trained on")
        if self.frames % self.per_segment:
            raise BadInput(
                f"--frames {self.frames} is not a multiple of --frames-per-segment {self.per_segment}; "
                "give --frames-per-segment 1"
            )

    @property
    def per_segment(self) -> int:
        return self.frames_per_segment or 1

    @property
    def names(self) -> tuple[str, ...] | None:
        return None if self.class_names is None else tuple(self.class_names.split(","))


@dataclass(frozen=True, kw_only=True)
class NetSettings:
    """Net"""

    model: str = field(default="agdtnet", metadata=described("the network, by name"))
    attention: Literal["aga", "aga-without-gate", "cbam", "se", "none"] = field(
        default="aga", metadata=described("after the second and third stage")
    )
    temporal: Literal["dtformer", "tformer", "mean"] = field(default="dtformer", metadata=described("temporal encoder"))
    dropout: float = field(metadata=described("in the temporal encoder"))
    weights: Path | None = field(
        default=None, metadata=described("start from these weights, of a ResNet18 or of the whole net", may_change=True)
    )

    def __post_init__(self) -> None:
        if not 0 <= self.dropout < 1:
            raise BadInput(f"--dropout: expected a number from 0 to below 1, got {self.dropout}")


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """Training"""

    recipe: str = field(metadata=described(f"optimiser and schedule: {', '.join(RECIPES)}"))
    epochs: int = field(metadata=described("passes over the training clips", may_change=True))
    batch_size: int = field(metadata=described("clips of a step"))
    workers: int = field(metadata=described("processes that load clips", may_change=True))
    select_on: Literal["validation", "test"] = field(
        default="validation",
        metadata=described("which clips choose the epoch; `test` is what peers do, and flatters"),
    )
    precision: Literal["auto", "float32", "bfloat16"] = field(
        default="auto", metadata=described("autocast to bfloat16 or not; auto: on a GPU that has it")
    )
    channels_last: bool = field(default=True, metadata=described("memory format of the feature maps"))
    seed: int = field(
        default=0, metadata=described("decides the start weights, the order, the augmentation, the dropout")
    )

    def __post_init__(self) -> None:
        if self.recipe not in RECIPES:
            raise BadInput(f"--recipe: expected one of {', '.join(RECIPES)}, got {self.recipe}")
        at_least(1, epochs=self.epochs, batch_size=self.batch_size)
        at_least(0, workers=self.workers, seed=self.seed)


@dataclass(frozen=True, kw_only=True)
class Settings:
    clips: ClipSettings
    net: NetSettings
    training: TrainingSettings
    out: Path
    resume: bool = False
