"""What a run can be told: every setting once, with its default and its help."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from dfer.bad_input import BadInput
from dfer.data.workers import default_workers
from dfer.training.recipes import RECIPES

# What depends on the clips. Rendered faces: what two CPU cores learn in minutes. On disk: the paper's protocol.
RENDERED: dict[str, Any] = {
    "labels": "expressions",
    "frames": 4,
    "frames_per_segment": None,
    "size": 48,
    "workers": 0,
    "recipe": "rendered",
}
ON_DISK: dict[str, Any] = {
    "labels": None,
    "frames": 16,
    "frames_per_segment": 2,
    "size": 112,
    "workers": default_workers(),
    "recipe": "dfew",
}
# The data sets on disk, each named by a flag that says where it is, and the recipe of each.
SOURCES = {"list": "dfew", "dfew": "dfew", "ferv39k": "ferv39k", "daisee": "daisee"}
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

    labels: Literal["expressions", "aligned-expressions", "direction"] | None = field(
        metadata=described("what rendered faces are asked for; aligned: framed as the faces of prepared videos")
    )
    list: Path | None = field(
        default=None,
        metadata=described("training clips: lines of `<frame folder> <number of frames> <label>`", may_change=True),
    )
    test_list: Path | None = field(default=None, metadata=described("with --list: test clips", may_change=True))
    dfew: Path | None = field(default=None, metadata=described("DFEW's folder", may_change=True))
    fold: int = field(default=1, metadata=described("with --dfew: of the five"))
    ferv39k: Path | None = field(default=None, metadata=described("FERV39k's folder", may_change=True))
    daisee: Path | None = field(default=None, metadata=described("DAiSEE's folder Labels", may_change=True))
    daisee_parts: Literal["official", "paper"] = field(
        default="official", metadata=described("paper: validation and test exchanged, as in its Table 1")
    )
    frames_root: Path | None = field(
        default=None,
        metadata=described(
            "a folder, or a store of pack_clips.py, from which the frames' paths start", may_change=True
        ),
    )
    class_names: str | None = field(default=None, metadata=described("names of labels 0,1,2,... with commas"))
    frames: int = field(metadata=described("frames of a clip that the net sees"))
    frames_per_segment: int | None = field(metadata=described("V of the sampling protocol"))
    size: int = field(metadata=described("side of a frame in pixels"))

    def __post_init__(self) -> None:
        at_least(1, frames=self.frames, frames_per_segment=self.frames_per_segment)
        at_least(16, size=self.size)
        given = [flag(name) for name in ("labels", *SOURCES) if getattr(self, name) is not None]
        if len(given) > 1:
            raise BadInput(f"{given[0]} and {given[1]} are different clips; give one of them")
        owners = {"test_list": ("list",), "class_names": ("list",), "frames_root": tuple(SOURCES)}
        for name, sources in (owners | {"frames_per_segment": tuple(SOURCES)}).items():
            if getattr(self, name) is not None and self.source not in sources:
                raise BadInput(f"{flag(name)} belongs to {', '.join(map(flag, sources))}; leave it out")
        if self.list is not None and self.test_list is None:
            raise BadInput("--list needs --test-list FILE: clips that are not trained on")
        if self.daisee is not None and self.frames_root is None:
            raise BadInput("--daisee needs --frames-root: what prepare_videos.py or pack_clips.py made of its videos")
        if self.frames % self.per_segment:
            raise BadInput(
                f"--frames {self.frames} is not a multiple of --frames-per-segment {self.per_segment}; "
                "give --frames-per-segment 1"
            )

    @property
    def source(self) -> str:
        """The name of the setting that says where the clips are; "labels" for rendered faces."""
        return next((name for name in SOURCES if getattr(self, name) is not None), "labels")

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
        metadata=described("which clips choose the epoch; `test` is common practice, and flatters"),
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
    """`out` and `resume` say where; `check_frames` and `contact_sheet` ask for a look at the clips before a run."""

    clips: ClipSettings
    net: NetSettings
    training: TrainingSettings
    out: Path
    resume: bool = False
    check_frames: bool = False
    contact_sheet: bool = False
