"""The settings of a run: each once, with its type, default and help."""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_type_hints

from dfer.data.clips import default_workers
from dfer.errors import BadInput
from dfer.models.narrow_agdtnet import NARROW
from dfer.models.registry import AGDTNET_ROWS, COMPARISON_SYSTEMS, MODEL_NAMES
from dfer.models.vector_nets import HEADS, VECTOR_MODELS, WIDTH
from dfer.models.wide_resnet18 import WIDER
from dfer.training.recipes import RECIPES, Recipe

# Defaults by the kind of clips: rendered faces, which two CPU cores learn in minutes; frames on disk, with the size and
# sampling of the paper, which does not print the numbers of segments and frames; series, which have no size in pixels.
DEFAULTS: dict[str, tuple[Any, Any, Any]] = {
    "labels": ("expressions", None, None),
    "frames": (4, 16, 128),
    "frames_per_segment": (None, 2, None),
    "size": (48, 112, 16),
    "workers": (0, default_workers(), 0),
    "recipe": ("rendered", "dfew", "series"),
}
RENDERED, ON_DISK, SERIES = (dict(zip(DEFAULTS, kind, strict=True)) for kind in zip(*DEFAULTS.values(), strict=True))
# The flags that say where clips on disk are. A data set that has no recipe of its own takes that of DFEW.
SOURCES = ("list", "dfew", "ferv39k", "daisee", "ravdess", "crema_d")
WITH_FOLDS = ("dfew", "ravdess", "crema_d")
# The clips that a setting applies to.
APPLIES_TO = {
    "test_list": ("list",),
    "class_names": ("list",),
    "first_label": ("list",),
    "daisee_state": ("daisee",),
    "windows": ("series",),
    "shuffle_frames": ("series",),
    "skip_missing": ("list", "dfew", "ferv39k"),
    "frames_root": ("list", "dfew", "ferv39k", "daisee"),
    "frames_per_segment": SOURCES,
}
# Settings whose default is the recipe's value.
BY_RECIPE = tuple(field.name for field in fields(Recipe) if field.name not in ("optimiser", "schedule"))

# Marks a setting that a resumed run may change.
MAY_CHANGE = object()


class Setting(NamedTuple):
    type: Any
    help: str
    may_change: bool


def described(group: type) -> dict[str, Setting]:
    """The settings of a group, from its annotations."""
    hints = get_type_hints(group, include_extras=True)
    return {
        name: Setting(hint.__origin__, hint.__metadata__[-1], MAY_CHANGE in hint.__metadata__)
        for name, hint in hints.items()
    }


def flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def expect(wanted: str, fits: Callable[[float], bool], **values: float | None) -> None:
    for name, value in values.items():
        if value is not None and not (math.isfinite(value) and fits(value)):
            raise BadInput(f"{flag(name)}: expected {wanted}, got {value}")


def at_least(least: int, **values: int | None) -> None:
    expect(f"a whole number from {least}", lambda value: value >= least, **values)


def fill_in(settings: object, **values: Any) -> None:
    """Replace values of frozen settings in their __post_init__."""
    for name, value in values.items():
        object.__setattr__(settings, name, value)


@dataclass(frozen=True, kw_only=True)
class ClipSettings:
    """Clips: rendered faces, or frames on disk"""

    labels: Annotated[
        Literal["expressions", "aligned-expressions", "direction"] | None,
        "the classes of rendered faces; aligned: framed like the faces of prepared videos",
    ]
    list: Annotated[Path | None, MAY_CHANGE, "training clips: lines `<frame folder> <number of frames> <label>`"] = None
    test_list: Annotated[Path | None, MAY_CHANGE, "with --list: test clips"] = None
    dfew: Annotated[Path | None, MAY_CHANGE, "DFEW's folder"] = None
    fold: Annotated[int, "of the five of DFEW, RAVDESS or CREMA-D; with --series: the subject to test on"] = 1
    ferv39k: Annotated[Path | None, MAY_CHANGE, "FERV39k's folder"] = None
    daisee: Annotated[Path | None, MAY_CHANGE, "DAiSEE's folder Labels"] = None
    daisee_parts: Annotated[
        Literal["official", "paper"], "official: its three tables; paper: AllLabels.csv, validation and test exchanged"
    ] = "official"
    daisee_state: Annotated[
        Literal["boredom", "engagement", "confusion", "frustration"] | None,
        "the four levels of this state instead of one label for all four",
    ] = None
    ravdess: Annotated[Path | None, MAY_CHANGE, "output folder of prepare_videos.py for RAVDESS"] = None
    crema_d: Annotated[Path | None, MAY_CHANGE, "output folder of prepare_videos.py for CREMA-D"] = None
    series: Annotated[Path | None, MAY_CHANGE, "sequences of vectors instead of clips: a .npz file or a folder"] = None
    windows: Annotated[bool, "with --series: cut longer series into windows of --frames frames"] = False
    shuffle_frames: Annotated[bool, "with --series: put the frames of each series in a random order"] = False
    frames_root: Annotated[
        Path | None, MAY_CHANGE, "folder, or store of pack_clips.py, that the frames' paths are relative to"
    ] = None
    class_names: Annotated[str | None, "names of labels 0,1,2,... with commas"] = None
    first_label: Annotated[int | None, "with --list: the lowest label, if it is not 0"] = None
    skip_missing: Annotated[bool, MAY_CHANGE, "leave out clips whose folders are missing or empty"] = False
    frames: Annotated[int, "frames per clip that the net sees"]
    frames_per_segment: Annotated[int | None, "V of the paper's sampling; U is --frames divided by it"]
    size: Annotated[int, "side of a frame in pixels"]

    def __post_init__(self) -> None:
        at_least(1, frames=self.frames, frames_per_segment=self.frames_per_segment)
        at_least(16, size=self.size)
        given = [flag(name) for name in ("labels", "series", *SOURCES) if getattr(self, name) is not None]
        if len(given) > 1:
            raise BadInput(f"{given[0]} and {given[1]} are different clips; give one of them")
        for name, sources in APPLIES_TO.items():
            if getattr(self, name) not in (None, False) and self.source not in sources:
                raise BadInput(f"{flag(name)} belongs to {', '.join(map(flag, sources))}; leave it out")
        if self.series is not None and self.size != SERIES["size"]:
            raise BadInput("--size is the side of a picture; leave it out with --series")
        if self.list is not None and self.test_list is None:
            raise BadInput("--list needs --test-list FILE, a list of clips to test on")
        if self.daisee is not None and self.frames_root is None:
            raise BadInput("--daisee needs --frames-root, the output of prepare_videos.py or pack_clips.py")
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

    model: Annotated[
        str, f"one of {', '.join((*MODEL_NAMES, NARROW, WIDER))}; with --series {', '.join(VECTOR_MODELS)}"
    ] = "agdtnet"
    attention: Annotated[
        Literal["aga", "aga-without-gate", "cbam", "se", "none"] | None,
        "of agdtnet: after the second and third stage (aga)",
    ] = None
    temporal: Annotated[Literal["dtformer", "tformer", "mean"] | None, "of agdtnet: temporal encoder (dtformer)"] = None
    dropout: Annotated[float | None, "in the temporal encoder of agdtnet and the other rows of its ablation"] = None
    width: Annotated[int | None, f"with --series: channels of the temporal encoder ({WIDTH})"] = None
    causal: Annotated[bool, "of agdtnet: no frame sees a later one before the temporal encoder; for streaming"] = False
    pretrained: Annotated[
        Path | None, MAY_CHANGE, "start from the weights in this file, of a ResNet18 or of the whole net"
    ] = None

    def __post_init__(self) -> None:
        expect("a number from 0 to below 1", lambda value: 0 <= value < 1, dropout=self.dropout)
        if self.model in VECTOR_MODELS:
            self._leave_out("attention", "temporal", "causal")
            width = WIDTH if self.width is None else self.width
            if width < HEADS or width % HEADS:
                raise BadInput(f"--width: expected a multiple of {HEADS}, the number of heads; got {width}")
            fill_in(self, width=width, dropout=self.dropout or 0.0)
        else:
            self._leave_out("width")
        if self.model in COMPARISON_SYSTEMS:
            self._leave_out("attention", "temporal", "dropout", "causal")
        rows = {**AGDTNET_ROWS, NARROW: ("aga", "dtformer"), WIDER: ("none", "dtformer")}
        if self.model in rows:
            for name, own in zip(("attention", "temporal"), rows[self.model], strict=True):
                given = getattr(self, name)
                if self.model != "agdtnet" and given not in (None, own):
                    raise BadInput(f"{flag(name)} {given}: {self.model} has {own}; leave it out, or give agdtnet")
                fill_in(self, **{name: given or own})
            fill_in(self, dropout=self.dropout or 0.0, causal=self.causal or self.model == NARROW)

    def _leave_out(self, *names: str) -> None:
        for name in names:
            if getattr(self, name) not in (None, False):
                raise BadInput(f"{flag(name)}: {self.model} has no such setting; leave it out")


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """Training"""

    recipe: Annotated[str, f"optimiser and schedule: {', '.join(RECIPES)}"]
    epochs: Annotated[int, MAY_CHANGE, "passes over the training clips"]
    batch_size: Annotated[int, "clips per step, over all processes together"]
    learning_rate: Annotated[float | None, "at the start, or at the peak of one cycle"] = None
    temporal_learning_rate: Annotated[float | None, "of parameters under `temporal.`, if it differs"] = None
    momentum: Annotated[float | None, "of SGD"] = None
    weight_decay: Annotated[float | None, "of every parameter"] = None
    step_size: Annotated[int | None, "epochs after which the learning rate is multiplied by --gamma"] = None
    gamma: Annotated[float | None, "the factor of --step-size"] = None
    restart_after: Annotated[int | None, "epochs to the first warm restart, T_0"] = None
    restart_factor: Annotated[int | None, "length of each cosine divided by that of the one before, T_mult"] = None
    balanced: Annotated[bool | None, "draw clips with replacement, every class equally often"] = None
    workers: Annotated[int, MAY_CHANGE, "processes that load clips, for each that trains"]
    select_on: Annotated[
        Literal["validation", "test", "last"],
        "clips that choose the epoch; `test` is common, and flatters; `last`: the last epoch",
    ] = "validation"
    precision: Annotated[
        Literal["auto", "float32", "bfloat16"], "bfloat16: autocast; auto: bfloat16 on a GPU that supports it"
    ] = "auto"
    channels_last: Annotated[bool, "memory format of the feature maps"] = True
    compile: Annotated[bool, "run the net through torch.compile"] = False
    seed: Annotated[int, "of the initial weights, the order of the clips, augmentation and dropout"] = 0

    def __post_init__(self) -> None:
        """Replace None by the recipe's value. What is None after this does not apply to the recipe."""
        if self.recipe not in RECIPES:
            raise BadInput(f"--recipe: expected one of {', '.join(RECIPES)}, got {self.recipe}")
        for name in [field.name for field in fields(self) if field.name in BY_RECIPE]:
            own, given = getattr(RECIPES[self.recipe], name), getattr(self, name)
            if own is None and given is not None and name != "temporal_learning_rate":
                owners = ", ".join(recipe for recipe, values in RECIPES.items() if getattr(values, name) is not None)
                raise BadInput(f"{flag(name)} belongs to the recipes {owners}, not to {self.recipe}; leave it out")
            fill_in(self, **{name: own if given is None else given})
        at_least(1, epochs=self.epochs, batch_size=self.batch_size)
        at_least(1, step_size=self.step_size, restart_after=self.restart_after, restart_factor=self.restart_factor)
        at_least(0, workers=self.workers, seed=self.seed)
        rates = {name: getattr(self, name) for name in ("learning_rate", "temporal_learning_rate", "gamma")}
        expect("a number above 0", lambda value: value > 0, **rates)
        expect("a number from 0", lambda value: value >= 0, weight_decay=self.weight_decay)
        expect("a number from 0 to below 1", lambda value: 0 <= value < 1, momentum=self.momentum)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """`out` and `resume` say where; `check_frames` and `contact_sheet` look at the clips before the run."""

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
