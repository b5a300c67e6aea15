"""The clips on which a network is evaluated: the test clips of its run, or others given by flags."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser

from dfer.data.checks import each_once, identity
from dfer.data.clips import ClipsOnDisk, ClipSource, content_hash
from dfer.data.data_set import DataSet
from dfer.data.lists import read_lists
from dfer.data.packing import open_place
from dfer.errors import BadInput
from dfer.progress import track
from dfer.training.command_line import add_clip_flags
from dfer.training.load_data import read, rendered_or_series
from dfer.training.run_folder import CLIPS, SETTINGS, WEIGHTS, clip_key, keys_in, latest
from dfer.training.settings import SOURCES, WITH_FOLDS, ClipSettings, flag, trained_on
from dfer.training.trained_file import TrainedFacts

SETS = ("labels", "test_list", *(name for name in SOURCES if name != "list"))
PLACES = (*SETS, "list", "frames_root")
# The settings that choose clips; the weights file gives the rest of ClipSettings.
CLIP_FLAGS = (*PLACES, "fold", "daisee_parts", "daisee_state", "first_label", "skip_missing")


def add_flags_of_other_clips(parser: ArgumentParser) -> None:
    group = parser.add_argument_group("Other test clips, named as for train.py")
    add_clip_flags(group, CLIP_FLAGS)
    group.add_argument(
        "--allow-trained-on", action="store_true", help="also clips that the net was trained on; the result counts them"
    )


@dataclass(frozen=True)
class EvaluatedClips:
    """``truths`` index the network's classes. Equal ``keys`` mean equal clips if the sizes are equal."""

    source: ClipSource
    truths: tuple[int, ...]
    keys: tuple[str, ...]
    settings: ClipSettings
    own: bool
    """Whether these are the run's own test clips."""
    trained_on: int | None
    """How many were used to train the network or to choose its epoch; None if unknown."""
    remarks: tuple[str, ...]

    @property
    def described(self) -> str:
        settings = self.settings
        named = {
            "labels": f"rendered faces ({settings.labels})",
            "list": f"the list {settings.test_list}",
            "daisee": f"{trained_on(settings)}, {settings.daisee_parts} parts",
        }
        return named.get(settings.source) or trained_on(settings)

    @property
    def short_name(self) -> str:
        """Part of a folder's name: the list or data set, and a hash that tells lists of the same name apart."""
        source, listed = self.settings.source, self.settings.test_list
        return f"{source if listed is None else listed.stem}-{self.sha256[:6]}"

    @property
    def sha256(self) -> str:
        return hashlib.sha256(repr((self.keys, self.truths)).encode()).hexdigest()


def trained_file_of(path: Path) -> Path:
    """The weights of a run's folder, or the file itself."""
    if not path.is_dir():
        return path
    if not (path / WEIGHTS).is_file():
        raise BadInput(f"{path}: holds no {WEIGHTS}; is it the folder of a finished run of train.py?")
    return path / WEIGHTS


def evaluated_clips(file: Path, facts: TrainedFacts, args: Mapping[str, Any]) -> EvaluatedClips:
    """The test clips given by the flags in `args`, or those of the run that wrote `file`."""
    saved = saved_settings(file.parent / SETTINGS)
    given = {name: args[name] for name in CLIP_FLAGS if args[name] is not None}
    settings = merged(file, facts, saved.get("clips", {}), given)
    known, here = facts.trained_on, trained_on(settings)
    if settings.source in WITH_FOLDS and known != here and known.partition(", fold")[0] == here.partition(", fold")[0]:
        raise BadInput(
            f"{file}: trained on {known}, so on the test clips of {here} too; give the fold of its own, or leave "
            "--fold out"
        )
    data = reported_part(settings, int(saved.get("training", {}).get("seed", 0)))
    if data.scale not in (None, (facts.mean, facts.std)):
        raise BadInput(f"{settings.series}: its training series are not those that {file} was trained on; restore them")
    source = data.source
    clips = range(len(source.labels))
    keys = [
        clip_key(source.name(index), content_hash(source, index)) for index in track(clips, "reading clips", len(clips))
    ]
    seen = trained_keys(file, facts)
    named = set() if args["list"] is None else paths_in(args["list"], settings)
    again = [
        index for index, key in enumerate(keys) if key in (seen or ()) or os.path.realpath(source.name(index)) in named
    ]
    if again and not args["allow_trained_on"]:
        raise BadInput(
            f"{file}: {len(again)} of the {len(keys)} clips to evaluate on were used to train the net or to choose its "
            f"epoch, first {source.name(again[0])}; take them out, or give --allow-trained-on"
        )
    truths = in_the_nets_order(source.labels, data.names, facts.classes, settings)
    remarks, own = data.remarks, not given
    contents = {key.rpartition(" ")[2] for key in seen or ()}
    alike = [i for i, key in enumerate(keys) if i not in again and key.rpartition(" ")[2] in contents]
    if alike:
        remarks += (
            f"{file}: {len(alike)} of the {len(keys)} clips have as many frames and the same middle frame as training "
            f"clips with other names, first {source.name(alike[0])}",
        )
    table = file.parent / CLIPS
    if own and table.is_file() and set(keys) != keys_in(table, ("test",)):
        own = False
        remarks += (f"{file}: its test clips have changed since it was trained: {table} names others",)
    if seen is None and not named:
        remarks += (f"{file}: no {CLIPS} beside it says which clips it was trained on: not compared with these",)
    trained_on_these = None if seen is None and not named else len(again)
    return EvaluatedClips(source, tuple(truths), tuple(keys), settings, own, trained_on_these, remarks)


def trained_keys(file: Path, facts: TrainedFacts) -> set[str] | None:
    """Keys of the training clips, and of the validation clips if they chose the epoch."""
    table = file.parent / CLIPS
    parts = ("training", "validation") if facts.epoch_selected_on == "validation" else ("training",)
    return keys_in(table, parts) if table.is_file() else None


def paths_in(training_list: Path, settings: ClipSettings) -> set[str]:
    place = open_place(settings.frames_root or training_list.parent)
    return {identity(clip) for clip in read_lists([(training_list, place)]).test}


def saved_settings(path: Path) -> dict[str, Any]:
    """The clip settings of the run's folder; empty if the file lies elsewhere."""
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))
        return {group: dict(latest(saved)[group]) for group in ("clips", "training")}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError):
        raise BadInput(f"{path}: is no settings file of train.py; was the run made by another version?") from None


def merged(file: Path, facts: TrainedFacts, saved: dict[str, Any], given: dict[str, Any]) -> ClipSettings:
    """Override the saved settings by the given ones; a given data set replaces the saved one."""
    known = {field.name for field in fields(ClipSettings)}
    values = {name: value for name, value in saved.items() if name in known}
    if set(given) & set(SETS):
        values |= dict.fromkeys((*PLACES, "class_names", "first_label")) | {"skip_missing": False}
        if all(saved.get(name) is None for name in WITH_FOLDS):
            values["fold"] = None
        if given.get("daisee") is None:
            values["daisee_state"] = None
    values |= given
    if values.get("series") is not None:
        # Its own test part: another file would need another scale.
        if given:
            raise BadInput(
                f"{file}: trained on series, so only its own test series fit; leave {flag(next(iter(given)))} out"
            )
        return ClipSettings(**{**values, "series": Path(values["series"])})
    if not any(values.get(name) is not None for name in SETS):
        raise BadInput(f"{file}: give the test clips with one of {', '.join(map(flag, SETS))}")
    for name in WITH_FOLDS:
        if values.get(name) is not None and values.get("fold") is None:
            raise BadInput(f"{flag(name)} needs --fold: the file's folder does not say which of the five")
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
    """Empty if a list has no class names."""
    remarks: tuple[str, ...] = ()
    scale: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    """Mean and standard deviation of series, by their training part."""


def reported_part(settings: ClipSettings, seed: int) -> ReportedPart:
    if run := rendered_or_series(settings, select_on="test", seed=seed):
        scale = (run.mean, run.std) if settings.source == "series" else None
        return ReportedPart(run.test, run.names, run.remarks, scale)
    data = each_once(listed(settings) if settings.test_list is not None else read(settings))
    source = ClipsOnDisk(
        data.test,
        size=settings.size,
        segments=settings.frames // settings.per_segment,
        per_segment=settings.per_segment,
    )
    return ReportedPart(source, data.names, tuple(data.remarks))


def listed(settings: ClipSettings) -> DataSet:
    """Only the test clips."""
    assert settings.test_list is not None
    place = open_place(settings.frames_root or settings.test_list.parent)
    return read_lists(
        [(settings.test_list, place)],
        names=settings.names,
        first_label=settings.first_label or 0,
        skip_missing=settings.skip_missing,
    )


def in_the_nets_order(
    labels: list[int], names: tuple[str, ...], classes: tuple[str, ...], settings: ClipSettings
) -> list[int]:
    """Map labels to the network's classes, by name if there are names: data sets number classes differently."""
    if not names:
        if max(labels) >= len(classes):
            raise BadInput(
                f"{settings.test_list}: label {max(labels)} is none of the net's {len(classes)} classes, "
                f"0 to {len(classes) - 1} for {', '.join(classes)}"
            )
        return labels
    known, there = [name.lower() for name in classes], set(labels)
    unknown = [name for label, name in enumerate(names) if label in there and name.lower() not in known]
    if unknown:
        raise BadInput(
            f"the clips show {', '.join(unknown)}, which the net does not answer; its classes are {', '.join(classes)}"
        )
    return [known.index(names[label].lower()) for label in labels]
