"""The command line of a run, made from its settings."""

import hashlib
import re
import shutil
import textwrap
from argparse import SUPPRESS, Action
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, Literal, NoReturn, get_args, get_origin

from jsonargparse import ArgumentParser, DefaultHelpFormatter

from dfer.arguments import Paragraphs
from dfer.errors import BadInput
from dfer.models.registry import COMPARISON_SYSTEMS
from dfer.training.recipes import RECIPES
from dfer.training.settings import (
    BY_RECIPE,
    ON_DISK,
    RENDERED,
    SERIES,
    SOURCES,
    WITH_FOLDS,
    ClipSettings,
    NetSettings,
    Settings,
    TrainingSettings,
    described,
    flag,
)

VALUES: dict[Any, str] = {int: "N", float: "X", bool: "true|false", Path: "PATH"}
TYPES = {"int": "a whole number", "float": "a number", "bool": "true or false"}
GROUPS: tuple[type[Any], ...] = (ClipSettings, NetSettings, TrainingSettings)


class ShortHelp(Paragraphs, DefaultHelpFormatter):
    """One line per option where it fits: its values as people write them, what it does, its default."""

    def __init__(self, prog: str) -> None:
        width = shutil.get_terminal_size().columns - 2
        super().__init__(prog, max_help_position=34, width=width)  # type: ignore[no-untyped-call]

    def _split_lines(self, text: str, width: int) -> list[str]:
        return textwrap.wrap(" ".join(text.split()), width, break_on_hyphens=False)

    def _metavar_formatter(self, action: Action, default_metavar: str) -> Callable[[int], tuple[str, ...]]:
        shown = values_of(getattr(action, "_typehint", action.type)) if action.option_strings else default_metavar
        return lambda count: (shown,) * count

    def _get_help_string(self, action: Action) -> str:
        text, default = str(action.help), action.default
        unset = default is None or default is False or default in (SUPPRESS, [])
        return text if unset or text.endswith(")") else f"{text} ({plain(default)})"


def values_of(hint: Any) -> str:
    """The values that a flag of this type takes; None is not shown."""
    if get_origin(hint) is Literal:
        return "|".join(get_args(hint))
    if inner := [kind for kind in get_args(hint) if kind is not type(None)]:
        return values_of(inner[0])
    return VALUES.get(hint, "TEXT")


def plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


class OneLineParser(ArgumentParser):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, allow_abbrev=False, formatter_class=ShortHelp, **options)

    def error(self, message: str, *args: Any, **kwargs: Any) -> NoReturn:
        line = " ".join(message.split())
        key = re.match(r'Parser key "(\w+)":', line)
        expected = re.search(r"Expected a (?:typing\.)?(Literal\[.*?\]|<class '\w+'>)", line)
        got = re.search(r"(?:Got|Given) value: (.*)", line)
        if key and expected and got:
            names = re.findall(r"'([^']+)'", expected[1])
            wanted = TYPES.get(names[0]) or f"one of {', '.join(names)}"
            line = f"{flag(key[1])}: expected {wanted}, got {got[1]}"
        raise BadInput(line)


def add_clip_flags(group: Any, names: Collection[str], *, several: Collection[str] = ()) -> None:
    """Add flags of ClipSettings without defaults; those in `several` take several paths."""
    for name, setting in described(ClipSettings).items():
        if name in names:
            kind: dict[str, Any] = {"type": setting.type | None}
            if name in several:
                kind = {"type": Path, "nargs": "+"}
            elif setting.type is bool:
                kind = {"action": "store_const", "const": True}
            group.add_argument(flag(name), default=None, help=setting.help, **kind)


def parser(prog: str, description: str | None) -> ArgumentParser:
    made = OneLineParser(prog=prog, usage=f"{prog} [options]", description=description)
    for settings in GROUPS:
        group = made.add_argument_group(str(settings.__doc__))
        for name, setting in described(settings).items():
            default = getattr(settings, name, None)
            kind = {"action": "store_true"} if default is False else {"type": setting.type}
            group.add_argument(flag(name), help=setting.help + _defaults(name), default=default, **kind)
    run = made.add_argument_group("Run")
    run.add_argument("--out", type=Path | None, help="folder for results (default: a folder in runs, by the clips)")
    run.add_argument("--resume", action="store_true", help="continue after the last epoch in --out")
    run.add_argument("--check-frames", action="store_true", help="decode every frame once before the run")
    run.add_argument("--contact-sheet", action="store_true", help="draw some of the clips before the run")
    made.set_defaults(RENDERED)
    return made


def _defaults(name: str) -> str:
    """The defaults of a setting that depends on others."""
    if ON_DISK.get(name) is not None:
        rendered = 1 if RENDERED[name] is None else RENDERED[name]
        series = f"; with --series {SERIES[name]}" if name == "frames" else ""
        return f" ({rendered}; with clips on disk {ON_DISK[name]}{series})"
    if name in BY_RECIPE:
        owners: dict[Any, list[str]] = {}
        for recipe, values in RECIPES.items():
            if (value := getattr(values, name)) is not None:
                owners.setdefault(value, []).append(recipe)
        shown = [f"{', '.join(recipes)} {plain(value)}" for value, recipes in owners.items()]
        return f" ({'; '.join(shown)})"
    return ""


def parse(argv: Sequence[str] | None, *, prog: str, description: str | None) -> Settings:
    """Parse twice, since the source of the clips decides defaults. The recipe's values are filled in at the end."""
    reader = parser(prog, description)
    given = reader.parse_args(argv)
    if given.series is not None:
        reader.set_defaults(SERIES | {"model": "vectors+dtformer"})
    for source in SOURCES:
        if given[source] is not None:
            reader.set_defaults(ON_DISK | ({"recipe": source} if source in RECIPES else {}))
    given = reader.parse_args(argv)
    if given.dropout is None and given.recipe in RECIPES and given.model not in COMPARISON_SYSTEMS:
        given.dropout = RECIPES[given.recipe].dropout
    clips, net, training = (group(**{name: given[name] for name in described(group)}) for group in GROUPS)
    looks = {name: given[name] for name in ("resume", "check_frames", "contact_sheet")}
    return Settings(clips=clips, net=net, training=training, out=given.out or default_folder(clips), **looks)


def default_folder(clips: ClipSettings) -> Path:
    """A folder in runs whose name tells lists and data sets in different places apart."""
    if clips.source == "labels":
        return Path("runs") / str(clips.labels)
    given: Path = getattr(clips, clips.source)
    name = given.stem if clips.source in ("list", "series") else clips.source.replace("_", "-")
    if clips.source in (*WITH_FOLDS, "series"):
        name += f"-fold{clips.fold}"
    elif clips.daisee_state:
        name += f"-{clips.daisee_state}"
    place = hashlib.sha256(str(given.resolve()).encode()).hexdigest()[:6]
    return Path("runs") / f"{name}-{place}"
