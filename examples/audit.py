"""Audit anyone's result: the lists of clips, the frames if they are there, and the predictions of any program.

Several training and test lists, or all folds of a data set, are the folds of one result. A file of predictions has
lines of a clip and a class, or of a clip and a score for each class. One page says which clips are missing, repeated or
shared by two parts, and what the scores are worth. The exit code is 1 if something was found.
"""

import re
import sys
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, get_type_hints

from dfer.atomic_files import whole_file
from dfer.data.acted import ACTED
from dfer.data.data_set import DataSet
from dfer.data.folders import FolderTree, FrameFolder
from dfer.data.packing import Store, open_place
from dfer.errors import BadInput
from dfer.evaluation.audit import Result, audit, score_table
from dfer.evaluation.predictions import read_predictions
from dfer.training.command_line import OneLineParser
from dfer.training.load_data import read
from dfer.training.settings import SOURCES, WITH_FOLDS, ClipSettings, flag

OTHERS = ("class_names", "first_label", "daisee_parts", "daisee_state", "frames_root")
LISTS = ("list", "test_list")


class NamesOnly(FolderTree):
    """Every clip that a list names is taken as there."""

    def has(self, path: str) -> bool:
        return True

    def frames(self, path: str) -> FrameFolder:
        return FrameFolder(Path(path), [""])


def parse(argv: Sequence[str] | None) -> Any:
    parser = OneLineParser(prog="audit.py", usage="audit.py [options]", description=__doc__)
    clips, hints = parser.add_argument_group("Clips, named as for train.py"), get_type_hints(ClipSettings)
    for field in fields(ClipSettings):
        if field.name in (*SOURCES, *LISTS, *OTHERS):
            several: dict[str, Any] = {"nargs": "+"} if field.name in LISTS else {}
            kind = Path if field.name in LISTS else hints[field.name] | None
            clips.add_argument(flag(field.name), type=kind, default=None, help=field.metadata["help"], **several)
    clips.add_argument("--fold", type=int | None, help="of the five of DFEW, RAVDESS or CREMA-D, this one alone")
    parser.add_argument("--predictions", type=Path, nargs="+", default=[], help="a file for all folds, or one for each")
    parser.add_argument("--person", type=str | None, help="a regular expression that finds the person in a path")
    parser.add_argument("--uar", type=float | None, help="published, in per cent")
    parser.add_argument("--war", type=float | None, help="published, in per cent")
    parser.add_argument("--out", type=Path, default=Path("audit.md"), help="the page, in Markdown")
    return parser.parse_args(argv)


def settings_of_folds(args: Any) -> dict[int, ClipSettings]:
    shared: dict[str, Any] = {"labels": None, "frames": 16, "frames_per_segment": 2, "size": 112}
    shared |= {name: args[name] for name in (*SOURCES, *OTHERS) if args[name] is not None and name != "list"}
    if args.list or args.test_list:
        lists = zip(args.list or (), args.test_list or (), strict=False)
        if not args.list or len(args.list) != len(args.test_list or ()):
            raise BadInput("--list and --test-list: expected as many test lists as training lists")
        pairs = enumerate(lists, start=1)
        return {n: ClipSettings(**shared, list=a, test_list=b, skip_missing=True) for n, (a, b) in pairs}
    source = next((name for name in SOURCES if args[name] is not None), None)
    if source is None:
        raise BadInput("name the clips: --list and --test-list, --dfew, --ferv39k, --daisee, --ravdess or --crema-d")
    if source == "daisee":
        shared["frames_root"] = args.frames_root or Path()
    folds = ((args.fold,) if args.fold else range(1, 6)) if source in WITH_FOLDS else (1,)
    missing = source in ("dfew", "ferv39k")
    return {fold: ClipSettings(**shared, fold=fold, skip_missing=missing) for fold in folds}


def with_persons(data: DataSet, pattern: str | None) -> DataSet:
    if pattern is None:
        return data
    found = ([(c, [*re.finditer(pattern, str(c.frames))]) for c in part] for part in (data.training, data.test))
    # The last: folders above those of the list may match too.
    training, test = ([clip._replace(subject=who[-1][0] if who else None) for clip, who in part] for part in found)
    return replace(data, training=training, test=test)


def read_result(args: Any) -> Result:
    settings = settings_of_folds(args)
    source = settings[min(settings)].source
    root = getattr(settings[min(settings)], source) if source in ACTED else args.frames_root
    place = NamesOnly(Path()) if root is None else open_place(root)
    size = None if root is None else place.size if isinstance(place, Store) else 32
    folds = {fold: with_persons(read(one, place), args.person) for fold, one in settings.items()}
    names = folds[min(folds)].names
    if any(data.names != names for data in folds.values()):
        raise BadInput("the folds do not name the same classes; give --class-names")
    highest = max(clip.label for data in folds.values() for clip in (*data.training, *data.test))
    names += tuple(f"class {label}" for label in range(len(names), highest + 1))
    if len(args.predictions) not in (0, 1, len(folds)):
        raise BadInput(f"--predictions: expected one file, or one for each of {len(folds)} folds")
    predictions = [read_predictions(file, names, args.first_label or 0) for file in args.predictions]
    result = Result(source, folds, predictions, names, size)
    if predictions and not result.answers:
        example = folds[min(folds)].test[0].frames
        raise BadInput(f"{args.predictions[0]}: predicts none of the test clips, such as {example}")
    return result


def page(result: Result, found: dict[str, list[str]], published: dict[str, float | None]) -> str:
    tests, frames = [len(data.test) for data in result.folds.values()], "looked at" if result.size else "not looked at"
    text = f"# Audit\n\n{sum(tests)} test clips in {len(tests)} test set{'s'[: len(tests) - 1]}; frames {frames}.\n\n"
    text += (score_table(result, published) + "\n" if result.answers else "") + "## Found\n\n"
    text += "".join(f"- **{title}**: {line}\n" for title, lines in found.items() for line in lines) or "Nothing.\n"
    asked = [title for title, lines in found.items() if not lines and title not in result.unasked]
    text += f"\nNothing found in: {', '.join(asked) or 'nothing'}.\n"
    return text + "".join(f"\nNot asked, {title}: {why}.\n" for title, why in result.unasked.items())


def main(argv: Sequence[str] | None = None) -> int:
    try:
        args = parse(argv)
        result = read_result(args)
        found = audit(result)
        text = page(result, found, {"uar": args.uar, "war": args.war})
        with whole_file(args.out) as path:
            path.write_text(text, encoding="utf-8")
    except BadInput as error:
        print(f"audit.py: {error}", file=sys.stderr)
        return 2
    print(f"{text}\n{args.out.resolve()}")
    return int(any(found.values()))


if __name__ == "__main__":
    sys.exit(main())
