"""Audit anyone's result: the lists of clips, the frames if available, and the predictions of any program.

Several training and test lists, or all folds of a data set, are the folds of one result. A file of predictions has
lines of a clip and a class, or of a clip and a score for each class. One page says which clips are missing, repeated or
shared by two parts, and how far the scores can be trusted. The exit code is 1 if something was found.
"""

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dfer.atomic_files import whole_file
from dfer.data.acted import ACTED
from dfer.data.folders import FolderTree, FrameFolder
from dfer.data.packing import Store, open_place
from dfer.errors import BadInput
from dfer.evaluation.audit import Result, audit, page
from dfer.evaluation.predictions import read_predictions
from dfer.training.command_line import OneLineParser, add_clip_flags
from dfer.training.load_data import read
from dfer.training.settings import ON_DISK, SOURCES, WITH_FOLDS, ClipSettings, expect

OTHERS = ("class_names", "first_label", "daisee_parts", "daisee_state", "frames_root")


class NamesOnly(FolderTree):
    """Without frames: every listed clip is taken to exist."""

    def has(self, path: str) -> bool:
        return True

    def frames(self, path: str) -> FrameFolder:
        return FrameFolder(Path(path), [""])


def parse(argv: Sequence[str] | None) -> Any:
    parser = OneLineParser(prog="audit.py", usage="audit.py [options]", description=__doc__)
    clips = parser.add_argument_group("Clips, named as for train.py")
    add_clip_flags(clips, (*SOURCES, *OTHERS, "test_list"), several=("list", "test_list"))
    clips.add_argument("--fold", type=int | None, help="one fold of DFEW, RAVDESS or CREMA-D (all five)")
    parser.add_argument("--predictions", type=Path, nargs="+", default=[], help="a file for all folds, or one for each")
    parser.add_argument("--person", type=str | None, help="a regular expression that finds the person in a path")
    parser.add_argument("--uar", type=float | None, help="published, in per cent")
    parser.add_argument("--war", type=float | None, help="published, in per cent")
    parser.add_argument("--out", type=Path, default=Path("audit.md"), help="the page, in Markdown")
    args = parser.parse_args(argv)
    try:
        re.compile(args.person or "")
    except re.error as error:
        raise BadInput(f"--person {args.person}: is not a regular expression ({error})") from None
    expect("per cent, above 1 and up to 100", lambda value: 1 < value <= 100, uar=args.uar, war=args.war)
    return args


def settings_of_folds(args: Any) -> dict[int, ClipSettings]:
    source = next((name for name in SOURCES if args[name] is not None), None)
    if source is None:
        raise BadInput("name the clips: --list and --test-list, --dfew, --ferv39k, --daisee, --ravdess or --crema-d")
    shared = {name: ON_DISK[name] for name in ("labels", "frames", "frames_per_segment", "size")}
    shared |= {name: args[name] for name in (*SOURCES, *OTHERS) if args[name] is not None}
    shared |= {"skip_missing": source in ("list", "dfew", "ferv39k")}
    if source == "list":
        if len(args.list) != len(args.test_list or ()):
            raise BadInput("--list and --test-list: expected as many test lists as training lists")
        pairs = enumerate(zip(args.list, args.test_list, strict=True), start=1)
        return {fold: ClipSettings(**shared | {"list": one, "test_list": other}) for fold, (one, other) in pairs}
    if source == "daisee":
        shared.setdefault("frames_root", Path())
    folds = range(1, 6) if source in WITH_FOLDS else (1,)
    return {fold: ClipSettings(**shared, fold=fold) for fold in ((args.fold,) if args.fold else folds)}


def read_result(args: Any) -> Result:
    settings = settings_of_folds(args)
    first = settings[min(settings)]
    root = getattr(first, first.source) if first.source in ACTED else args.frames_root
    place = NamesOnly(Path()) if root is None else open_place(root)
    folds = {fold: read(one, place) for fold, one in settings.items()}
    names, *others = {data.names for data in folds.values()}
    if others:
        raise BadInput("the folds do not name the same classes; give --class-names")
    labels = 1 + max(clip.label for data in folds.values() for clip in data.clips)
    names += tuple(f"class {label}" for label in range(len(names), labels))
    if len(args.predictions) not in (0, 1, len(folds)):
        raise BadInput(f"--predictions: expected one file, or one for each of {len(folds)} folds")
    files = [read_predictions(file, names, args.first_label or 0) for file in args.predictions]
    result = Result(first.source, folds, files, names, args.person)
    result.size = None if root is None else place.size if isinstance(place, Store) else 32
    if files and not result.answers():
        example = folds[min(folds)].test[0].frames
        raise BadInput(f"{args.predictions[0]}: predicts none of the test clips, such as {example}")
    return result


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
