"""Which clips a trained net is evaluated on: the test clips of its own run, or others that flags name."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, get_type_hints

from jsonargparse import ArgumentParser

from dfer.bad_input import BadInput
from dfer.data.clips import ClipsOnDisk, ClipSource
from dfer.data.data_set import DataSet
from dfer.data.lists import read_clip_list
from dfer.data.packing import open_place
from dfer.data.parts import rendered_data
from dfer.data.questions import each_once, refuse_shared
from dfer.training.load_data import read
from dfer.training.run_folder import SETTINGS, WEIGHTS
from dfer.training.settings import SOURCES, ClipSettings, flag
from dfer.training.trained_file import TrainedFacts

SETS = ("labels", "test_list", *(name for name in SOURCES if name != "list"))
PLACES = (*SETS, "list", "frames_root")
# What says which clips there are; the rest of ClipSettings is the trained file's to say.
CLIP_FLAGS = (*PLACES, "fold", "daisee_parts")


def add_clip_flags(parser: ArgumentParser) -> None:
    """As train.py has them, each unset unless it is given."""
    group, hints = parser.add_argument_group("Other test clips, named as for train.py"), get_type_hints(ClipSettings)
    for field in fields(ClipSettings):
        if field.name in CLIP_FLAGS:
            group.add_argument(
                flag(field.name), type=hints[field.name] | None, default=None, help=field.metadata["help"]
            )


@dataclass(frozen=True)
class EvaluatedClips:
    """``truths`` count the net's classes. Clips with the same ``keys`` are the same clips."""

    source: ClipSource
    truths: tuple[int, ...]
    keys: tuple[str, ...]
    settings: ClipSettings
    own: bool
    """Those that the run itself was tested on."""
    remarks: tuple[str, ...]

    @property
    def described(self) -> str:
        settings = self.settings
        named = {
            "labels": f"rendered faces ({settings.labels})",
            "dfew": f"DFEW, fold {settings.fold}",
            "ferv39k": "FERV39k",
            "daisee": f"DAiSEE, {settings.daisee_parts} parts",
        }
        return named.get(settings.source) or f"the list {settings.test_list}"


def trained_file_of(path: Path) -> Path:
    """The weights of a run's folder, or the file itself."""
    if not path.is_dir():
        return path
    if not (path / WEIGHTS).is_file():
        raise BadInput(f"{path}: holds no {WEIGHTS}; is it the folder of a run of train.py that came to its end?")
    return path / WEIGHTS


def evaluated_clips(file: Path, facts: TrainedFacts, args: Mapping[str, Any]) -> EvaluatedClips:
    """The test clips that flags of `args` name; without flags those of the run in whose folder the file lies."""
    saved = saved_settings(file.parent / SETTINGS)
    given = {name: args[name] for name in CLIP_FLAGS if args[name] is not None}
    settings = merged(file, facts, saved.get("clips", {}), given)
    trained_on, fold = facts.trained_on, f"DFEW, fold {settings.fold}"
    if settings.source == "dfew" and trained_on.startswith("DFEW, fold") and trained_on != fold:
        raise BadInput(
            f"{file}: trained on {trained_on}, so on the test clips of {fold} too; give the fold of its own, or leave "
            "--fold out"
        )
    data = reported_part(settings, int(saved.get("training", {}).get("seed", 0)))
    source = data.source
    keys = [source.name(index) for index in range(len(source.labels))]
    if settings.source == "labels":
        # Rendered clips of every seed have the same names.
        keys = [f"{key} {hashlib.sha256(source.content(i)).hexdigest()[:12]}" for i, key in enumerate(keys)]
    truths = in_the_nets_order(source.labels, data.names, facts.classes, settings)
    return EvaluatedClips(source, tuple(truths), tuple(keys), settings, not given, data.remarks)


def saved_settings(path: Path) -> dict[str, Any]:
    """What the run's folder says of its clips; nothing where the file lies elsewhere."""
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))
        return {group: dict(saved[group]) for group in ("clips", "training")}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError):
        raise BadInput(f"{path}: is no settings file of train.py; was the run made by another version?") from None


def merged(file: Path, facts: TrainedFacts, saved: dict[str, Any], given: dict[str, Any]) -> ClipSettings:
    """The saved settings under what was given; a data set that is given takes the place of the saved one."""
    known = {field.name for field in fields(ClipSettings)}
    values = {name: value for name, value in saved.items() if name in known}
    if set(given) & set(SETS):
        values |= dict.fromkeys((*PLACES, "class_names"))
        if saved.get("dfew") is None:
            values["fold"] = None
    values |= given
    if not any(values.get(name) is not None for name in SETS):
        raise BadInput(f"{file}: name the test clips, by one of {', '.join(map(flag, SETS))}")
    if values.get("dfew") is not None and values.get("fold") is None:
        raise BadInput("--dfew needs --fold: the file's folder does not say which of the five")
    for name in set(PLACES) - {"labels"}:
        if values.get(name) is not None:
            values[name] = Path(values[name])
    if values.get("test_list") is not None and values.get("list") is None:
        values["list"] = values["test_list"]
    rendered = values.get("labels") is not None
    values |= {"frames": facts.frames, "frames_per_segment": None if rendered else facts.frames_per_segment}
    values |= {"size": facts.size, "labels": values.get("labels")}
    return ClipSettings(**{name: value for name, value in values.items() if name != "fold" or value is not None})


@dataclass(frozen=True)
class ReportedPart:
    source: ClipSource
    names: tuple[str, ...]
    """Empty where a list names no classes."""
    remarks: tuple[str, ...] = ()


def reported_part(settings: ClipSettings, seed: int) -> ReportedPart:
    if settings.source == "labels":
        run = rendered_data(
            str(settings.labels), frames=settings.frames, size=settings.size, seed=seed, select_on="validation"
        )
        return ReportedPart(run.test, run.names)
    data = each_once(listed(settings) if settings.test_list is not None else read(settings))
    source = ClipsOnDisk(
        data.test,
        size=settings.size,
        segments=settings.frames // settings.per_segment,
        per_segment=settings.per_segment,
    )
    return ReportedPart(source, data.names, data.remarks)


def listed(settings: ClipSettings) -> DataSet:
    """Test clips alone; where the training list is given too, a clip of both is refused."""
    assert settings.test_list is not None
    assert settings.list is not None
    root = settings.frames_root
    test = read_clip_list(settings.test_list, open_place(root or settings.test_list.parent))
    if settings.list != settings.test_list:
        training = read_clip_list(settings.list, open_place(root or settings.list.parent))
        refuse_shared("training", training.clips, "test", test.clips)
    return DataSet(settings.names or (), [], test.clips, remarks=tuple(test.remarks))


def in_the_nets_order(
    labels: list[int], names: tuple[str, ...], classes: tuple[str, ...], settings: ClipSettings
) -> list[int]:
    """By name where the clips' classes have names: two data sets may number the same classes differently."""
    if not names:
        if max(labels) >= len(classes):
            raise BadInput(
                f"{settings.test_list}: label {max(labels)} is none of the net's {len(classes)} classes, "
                f"0 to {len(classes) - 1} for {', '.join(classes)}"
            )
        return labels
    unknown = [name for label, name in enumerate(names) if label in set(labels) and name not in classes]
    if unknown:
        raise BadInput(
            f"the clips show {', '.join(unknown)}, which the net does not answer; its classes are {', '.join(classes)}"
        )
    return [classes.index(names[label]) for label in labels]
