"""The command line of a run, made from its settings."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, NoReturn, get_type_hints

from jsonargparse import ArgumentParser

from dfer.bad_input import BadInput
from dfer.models.registry import COMPARISON_SYSTEMS
from dfer.training.recipes import RECIPES
from dfer.training.settings import (
    BY_RECIPE,
    ON_DISK,
    RENDERED,
    SOURCES,
    ClipSettings,
    NetSettings,
    Settings,
    TrainingSettings,
)
from dfer.training.settings import flag as flag_of

TYPES = {"int": "a whole number", "float": "a number", "bool": "true or false"}
GROUPS: tuple[type[Any], ...] = (ClipSettings, NetSettings, TrainingSettings)


class OneLineParser(ArgumentParser):
    def error(self, message: str, *args: Any, **kwargs: Any) -> NoReturn:
        line = " ".join(message.split())
        key = re.match(r'Parser key "(\w+)":', line)
        expected = re.search(r"Expected a (?:typing\.)?(Literal\[.*?\]|<class '\w+'>)", line)
        got = re.search(r"(?:Got|Given) value: (.*)", line)
        if key and expected and got:
            names = re.findall(r"'([^']+)'", expected[1])
            wanted = TYPES.get(names[0]) or f"one of {', '.join(names)}"
            line = f"{flag_of(key[1])}: expected {wanted}, got {got[1]}"
        raise BadInput(line)


def parser(prog: str, description: str | None) -> ArgumentParser:
    made = OneLineParser(prog=prog, description=description, allow_abbrev=False)
    for settings in GROUPS:
        group, hints = made.add_argument_group(str(settings.__doc__)), get_type_hints(settings)
        for field in fields(settings):
            kind = {"action": "store_true"} if field.default is False else {"type": hints[field.name]}
            group.add_argument(
                flag_of(field.name), help=field.metadata["help"] + _elsewhere(field.name), **kind,
                default=None if field.name in ON_DISK or field.name in BY_RECIPE else field.default,
            )  # fmt: skip
    run = made.add_argument_group("Run")
    run.add_argument("--out", type=Path | None, help="folder for results (default: a folder in runs, by the clips)")
    run.add_argument("--resume", action="store_true", help="go on from the last epoch that --out holds")
    run.add_argument("--check-frames", action="store_true", help="decode every frame once before the run")
    run.add_argument("--contact-sheet", action="store_true", help="draw some clips before the run, to look at")
    made.set_defaults(RENDERED | recipe_defaults(RENDERED["recipe"]))
    return made


def recipe_defaults(recipe: str) -> dict[str, Any]:
    return {name: getattr(RECIPES[recipe], name) for name in BY_RECIPE}


def _elsewhere(name: str) -> str:
    """Where a default depends on other settings, what it is there."""
    if ON_DISK.get(name) is not None:
        return f" (with clips on disk {ON_DISK[name]})"
    if name in BY_RECIPE:
        values = {recipe: getattr(values, name) for recipe, values in RECIPES.items()}
        return f" ({', '.join(f'{recipe} {value}' for recipe, value in values.items() if value is not None)})"
    return ""


def parse(argv: Sequence[str] | None, *, prog: str, description: str | None) -> Settings:
    """Read twice what decides defaults: where the clips come from, then the recipe and the model."""
    reader = parser(prog, description)
    given = reader.parse_args(argv)
    for source, recipe in SOURCES.items():
        if given[source] is not None:
            reader.set_defaults(ON_DISK | {"recipe": recipe})
    given = reader.parse_args(argv)
    if given.recipe in RECIPES:
        reader.set_defaults(recipe_defaults(given.recipe))
    if given.model in COMPARISON_SYSTEMS:
        reader.set_defaults({"dropout": None})
    given = reader.parse_args(argv)
    clips, net, training = (group(**{f.name: given[f.name] for f in fields(group)}) for group in GROUPS)
    return Settings(
        clips=clips,
        net=net,
        training=training,
        out=given.out or default_folder(clips),
        resume=given.resume,
        check_frames=given.check_frames,
        contact_sheet=given.contact_sheet,
    )


def default_folder(clips: ClipSettings) -> Path:
    """Lists of one name in different folders, and copies of a data set, get different results."""
    if clips.source == "labels":
        return Path("runs") / str(clips.labels)
    given: Path = getattr(clips, clips.source)
    name = {"list": given.stem, "dfew": f"dfew-fold{clips.fold}"}.get(clips.source, clips.source)
    place = hashlib.sha256(str(given.resolve()).encode()).hexdigest()[:6]
    return Path("runs") / f"{name}-{place}"
