"""What a run can be told: every setting once, with its default and its help."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from dfer.data.clips import default_workers
from dfer.errors import BadInput
from dfer.models.narrow_agdtnet import NARROW
from dfer.models.registry import AGDTNET_ROWS, COMPARISON_SYSTEMS, MODEL_NAMES
from dfer.models.vector_nets import HEADS, VECTOR_MODELS, WIDTH
from dfer.models.wide_resnet18 import WIDER
from dfer.training.recipes import RECIPES

# What depends on the clips. Rendered faces: what two CPU cores learn in minutes. On disk: the size and the sampling of
# the paper, with numbers of segments and frames that it does not print.
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
# Sequences of vectors; they have no size in pixels.
SERIES: dict[str, Any] = {**RENDERED, "labels": None, "frames": 128, "size": 16, "recipe": "series"}
# The data sets on disk, each named by a flag that says where it is, and the recipe of each.
SOURCES = {
    "list": "dfew",
    "dfew": "dfew",
    "ferv39k": "ferv39k",
    "daisee": "daisee",
    "ravdess": "dfew",
    "crema_d": "dfew",
}
WITH_FOLDS = ("dfew", "ravdess", "crema_d")
# What depends on the recipe; it holds the values.
BY_RECIPE = (
    *("epochs", "batch_size", "dropout", "balanced", "learning_rate", "temporal_learning_rate", "momentum"),
    *("weight_decay", "step_size", "gamma", "restart_after", "restart_factor"),
)


def described(text: str, *, may_change: bool = False) -> dict[str, Any]:
    """The help of a setting; `may_change` where a resumed run need not repeat it."""
    return {"help": text, "may_change": may_change}


def at_least(least: int, **values: int | None) -> None:
    for name, value in values.items():
        if value is not None and value < least:
            raise BadInput(f"{flag(name)}: expected a whole number from {least}, got {value}")


def expect(wanted: str, fits: Callable[[float], bool], **values: float | None) -> None:
    for name, value in values.items():
        if value is not None and not (math.isfinite(value) and fits(value)):
            raise BadInput(f"{flag(name)}: expected {wanted}, got {value}")


def settle(settings: object, name: str, value: Any) -> None:
    """Replace a None of frozen settings while they are made."""
    object.__setattr__(settings, name, value)


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
    fold: int = field(
        default=1, metadata=described("of the five of DFEW, RAVDESS or CREMA-D; with --series: the subject to test on")
    )
    ferv39k: Path | None = field(default=None, metadata=described("FERV39k's folder", may_change=True))
    daisee: Path | None = field(default=None, metadata=described("DAiSEE's folder Labels", may_change=True))
    daisee_parts: Literal["official", "paper"] = field(
        default="official",
        metadata=described("official: its three tables; paper: AllLabels.csv, validation and test exchanged"),
    )
    daisee_state: Literal["boredom", "engagement", "confusion", "frustration"] | None = field(
        default=None, metadata=described("the four levels of this state, in place of one label for all four")
    )
    ravdess: Path | None = field(
        default=None, metadata=described("what prepare_videos.py made of RAVDESS", may_change=True)
    )
    crema_d: Path | None = field(
        default=None, metadata=described("what prepare_videos.py made of CREMA-D", may_change=True)
    )
    series: Path | None = field(
        default=None, metadata=described("sequences of vectors in one .npz file, in place of clips", may_change=True)
    )
    windows: bool = field(
        default=False, metadata=described("with --series: cut longer series into windows of --frames frames")
    )
    shuffle_frames: bool = field(
        default=False, metadata=described("with --series: put the frames of each series in a random order")
    )
    frames_root: Path | None = field(
        default=None,
        metadata=described(
            "a folder, or a store of pack_clips.py, from which the frames' paths start", may_change=True
        ),
    )
    class_names: str | None = field(default=None, metadata=described("names of labels 0,1,2,... with commas"))
    first_label: int | None = field(default=None, metadata=described("with --list: the lowest label, if it is not 0"))
    skip_missing: bool = field(
        default=False, metadata=described("leave out clips whose folders are missing or empty", may_change=True)
    )
    frames: int = field(metadata=described("frames of a clip that the net sees"))
    frames_per_segment: int | None = field(metadata=described("V of the paper's sampling; U is --frames divided by it"))
    size: int = field(metadata=described("side of a frame in pixels"))

    def __post_init__(self) -> None:
        at_least(1, frames=self.frames, frames_per_segment=self.frames_per_segment)
        at_least(16, size=self.size)
        given = [flag(name) for name in ("labels", "series", *SOURCES) if getattr(self, name) is not None]
        if len(given) > 1:
            raise BadInput(f"{given[0]} and {given[1]} are different clips; give one of them")
        owners = {
            **dict.fromkeys(("test_list", "class_names", "first_label"), ("list",)),
            "daisee_state": ("daisee",),
            **dict.fromkeys(("windows", "shuffle_frames"), ("series",)),
            "skip_missing": ("list", "dfew", "ferv39k"),
            "frames_root": ("list", "dfew", "ferv39k", "daisee"),
        }
        for name, sources in (owners | {"frames_per_segment": tuple(SOURCES)}).items():
            if getattr(self, name) not in (None, False) and self.source not in sources:
                raise BadInput(f"{flag(name)} belongs to {', '.join(map(flag, sources))}; leave it out")
        if self.series is not None and self.size != SERIES["size"]:
            raise BadInput("--size is the side of a picture; leave it out with --series")
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
        return next((name for name in ("series", *SOURCES) if getattr(self, name) is not None), "labels")

    @property
    def per_segment(self) -> int:
        return self.frames_per_segment or 1

    @property
    def names(self) -> tuple[str, ...] | None:
        return None if self.class_names is None else tuple(self.class_names.split(","))


def trained_on(clips: ClipSettings) -> str:
    names = {
        "labels": f"drawings (rendered faces, {clips.labels}), so often wrong on real faces",
        "dfew": f"DFEW, fold {clips.fold}",
        "ferv39k": "FERV39k",
        "daisee": f"DAiSEE, {f'levels of {clips.daisee_state}' if clips.daisee_state else 'one label a clip'}",
        "ravdess": f"RAVDESS, fold {clips.fold}",
        "crema_d": f"CREMA-D, fold {clips.fold}",
    }
    return names.get(clips.source) or getattr(clips, clips.source).name


@dataclass(frozen=True, kw_only=True)
class NetSettings:
    """Net"""

    model: str = field(
        default="agdtnet",
        metadata=described(
            f"one of {', '.join((*MODEL_NAMES, NARROW, WIDER))}; with --series {', '.join(VECTOR_MODELS)}"
        ),
    )
    attention: Literal["aga", "aga-without-gate", "cbam", "se", "none"] | None = field(
        default=None, metadata=described("of agdtnet: after the second and third stage (aga)")
    )
    temporal: Literal["dtformer", "tformer", "mean"] | None = field(
        default=None, metadata=described("of agdtnet: temporal encoder (dtformer)")
    )
    dropout: float | None = field(
        default=None, metadata=described("in the temporal encoder of agdtnet and the other rows of its ablation")
    )
    width: int | None = field(
        default=None, metadata=described(f"with --series: channels of the encoder over time ({WIDTH})")
    )
    causal: bool = field(
        default=False,
        metadata=described("of the same: no frame sees a later one before the temporal encoder; for streaming"),
    )
    pretrained: Path | None = field(
        default=None,
        metadata=described("start from the weights in this file, of a ResNet18 or of the whole net", may_change=True),
    )

    def __post_init__(self) -> None:
        expect("a number from 0 to below 1", lambda value: 0 <= value < 1, dropout=self.dropout)
        if self.model in VECTOR_MODELS:
            for name in ("attention", "temporal", "causal"):
                if getattr(self, name) not in (None, False):
                    raise BadInput(f"{flag(name)}: {self.model} has none; leave it out")
            settle(self, "dropout", self.dropout or 0.0)
            width = WIDTH if self.width is None else self.width
            if width < HEADS or width % HEADS:
                raise BadInput(f"--width: expected a multiple of {HEADS}, the number of heads; got {width}")
            settle(self, "width", width)
        elif self.width is not None:
            raise BadInput(f"--width: belongs to {', '.join(VECTOR_MODELS)}; leave it out")
        if self.model in COMPARISON_SYSTEMS:
            for name in ("attention", "temporal", "dropout", "causal"):
                if getattr(self, name) not in (None, False):
                    raise BadInput(f"{flag(name)}: {self.model} is built as published; leave it out")
        rows = {**AGDTNET_ROWS, NARROW: ("aga", "dtformer"), WIDER: ("none", "dtformer")}
        if self.model in rows:
            for name, own in zip(("attention", "temporal"), rows[self.model], strict=True):
                given = getattr(self, name)
                if self.model != "agdtnet" and given not in (None, own):
                    raise BadInput(f"{flag(name)} {given}: {self.model} has {own}; leave it out, or give agdtnet")
                settle(self, name, given or own)
            settle(self, "dropout", self.dropout or 0.0)
            settle(self, "causal", self.causal or self.model == NARROW)


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """Training"""

    recipe: str = field(metadata=described(f"optimiser and schedule: {', '.join(RECIPES)}"))
    epochs: int = field(metadata=described("passes over the training clips", may_change=True))
    batch_size: int = field(metadata=described("clips of a step, over all processes together"))
    learning_rate: float | None = field(default=None, metadata=described("at the start, or at the peak of one cycle"))
    temporal_learning_rate: float | None = field(
        default=None, metadata=described("of parameters under `temporal.`, where it is another")
    )
    momentum: float | None = field(default=None, metadata=described("of SGD"))
    weight_decay: float | None = field(default=None, metadata=described("of every parameter"))
    step_size: int | None = field(
        default=None, metadata=described("epochs after which the learning rate is multiplied by --gamma")
    )
    gamma: float | None = field(default=None, metadata=described("the factor of --step-size"))
    restart_after: int | None = field(default=None, metadata=described("epochs to the first warm restart, T_0"))
    restart_factor: int | None = field(
        default=None, metadata=described("how much longer every cosine is than the one before, T_mult")
    )
    balanced: bool | None = field(
        default=None, metadata=described("draw clips with replacement, every class equally often")
    )
    workers: int = field(metadata=described("processes that load clips, for each that trains", may_change=True))
    select_on: Literal["validation", "test", "last"] = field(
        default="validation",
        metadata=described("which clips choose the epoch; `test` is common, and flatters; `last`: the last epoch"),
    )
    precision: Literal["auto", "float32", "bfloat16"] = field(
        default="auto", metadata=described("autocast to bfloat16 or not; auto: on a GPU that has it")
    )
    channels_last: bool = field(default=True, metadata=described("memory format of the feature maps"))
    compile: bool = field(default=False, metadata=described("run the net through torch.compile"))
    seed: int = field(
        default=0, metadata=described("decides the start weights, the order, the augmentation, the dropout")
    )

    def __post_init__(self) -> None:
        """What is None takes the recipe's value; after this, None means that the recipe has no such value."""
        if self.recipe not in RECIPES:
            raise BadInput(f"--recipe: expected one of {', '.join(RECIPES)}, got {self.recipe}")
        for name in {f.name for f in fields(self)}.intersection(BY_RECIPE):
            own, given = getattr(RECIPES[self.recipe], name), getattr(self, name)
            if own is None and given is not None and name != "temporal_learning_rate":
                owners = ", ".join(recipe for recipe, values in RECIPES.items() if getattr(values, name) is not None)
                raise BadInput(f"{flag(name)} belongs to the recipes {owners}, not to {self.recipe}; leave it out")
            settle(self, name, own if given is None else given)
        at_least(1, epochs=self.epochs, batch_size=self.batch_size)
        at_least(1, step_size=self.step_size, restart_after=self.restart_after, restart_factor=self.restart_factor)
        at_least(0, workers=self.workers, seed=self.seed)
        rates = {name: getattr(self, name) for name in ("learning_rate", "temporal_learning_rate", "gamma")}
        expect("a number above 0", lambda value: value > 0, **rates)
        expect("a number from 0", lambda value: value >= 0, weight_decay=self.weight_decay)
        expect("a number from 0 to below 1", lambda value: 0 <= value < 1, momentum=self.momentum)


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

    def __post_init__(self) -> None:
        if (self.clips.source == "series") != (self.net.model in VECTOR_MODELS):
            wanted = VECTOR_MODELS if self.clips.source == "series" else (*MODEL_NAMES, NARROW, WIDER)
            raise BadInput(f"--model: these clips need one of {', '.join(wanted)}; got {self.net.model}")
        if self.contact_sheet and self.clips.source == "series":
            raise BadInput("--contact-sheet draws pictures; leave it out with --series")


def chosen_on(select_on: str) -> str:
    """How an epoch was chosen, in words."""
    return "the last" if select_on == "last" else f"chosen on the {select_on} clips"
