"""Train and evaluate AGDTNet on clips of faces.

Without arguments: on rendered faces, made on the spot, in a few minutes on two CPU cores.
With --list and --test-list: on clips of your own, whose frames lie in folders.
"""

import argparse
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import Any

from dfer.bad_input import BadInput
from dfer.data.rendered import LABEL_SETS
from dfer.training.module import RECIPES
from dfer.training.run import run

# The paper's protocol for clips of one's own; for rendered faces, what two CPU cores learn in minutes.
RENDERED: dict[str, Any] = {
    "frames": 4,
    "size": 48,
    "epochs": 3,
    "batch_size": 8,
    "recipe": "from-scratch",
    "dropout": 0.1,
}
LISTED: dict[str, Any] = {
    "frames": 16,
    "size": 112,
    "epochs": 30,
    "batch_size": 40,
    "recipe": "paper",
    "dropout": 0.0,
}


def at_least(least: int) -> Any:
    def whole_number(text: str) -> int:
        if not text.lstrip("-").isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"expected a whole number from {least}, got {text!r}")
        return int(text)

    return whole_number


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="train.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    clips = parser.add_argument_group("clips")
    source = clips.add_mutually_exclusive_group()
    source.add_argument("--labels", choices=LABEL_SETS, default="expressions", help="what rendered faces are asked for")
    source.add_argument(
        "--list", type=Path, help="training clips: lines of `<frame folder> <number of frames> <label>`"
    )
    clips.add_argument("--test-list", type=Path, help="test clips, in the same format")
    clips.add_argument(
        "--frames-root", type=Path, help="where the folders of the lists start (default: beside each list)"
    )
    clips.add_argument(
        "--class-names",
        type=lambda text: tuple(text.split(",")),
        help="names of labels 0,1,2,... with commas",
    )
    clips.add_argument("--frames", type=at_least(1), help="frames of a clip that the net sees (4; with --list 16)")
    clips.add_argument("--frames-per-segment", type=at_least(1), help="with --list: V of the sampling protocol (2)")
    clips.add_argument("--size", type=at_least(16), help="side of a frame in pixels (48; with --list 112)")
    net = parser.add_argument_group("net")
    net.add_argument("--attention", choices=("aga", "aga-without-gate", "cbam", "se", "none"), default="aga")
    net.add_argument("--temporal", choices=("dtformer", "tformer", "mean"), default="dtformer")
    net.add_argument("--dropout", type=float, help="in the temporal encoder (0.1; with --list 0)")
    net.add_argument("--weights", type=Path, help="start from these weights, of a ResNet18 or of the whole net")
    training = parser.add_argument_group("training")
    training.add_argument("--recipe", choices=RECIPES, help="optimiser and schedule (from-scratch; with --list paper)")
    training.add_argument("--epochs", type=at_least(1), help="(3; with --list 100)")
    training.add_argument("--batch-size", type=at_least(1), help="(8; with --list 40)")
    training.add_argument("--workers", type=at_least(0), default=0, help="processes that load clips")
    training.add_argument("--select-on", choices=("validation", "test"), default="validation",
                          help="which clips choose the epoch; `test` is what peers do, and flatters")  # fmt: skip
    training.add_argument("--seed", type=at_least(0), default=0)
    training.add_argument("--out", type=Path, help="folder for results (default: runs/<labels or name of the list>)")
    training.add_argument("--resume", action="store_true", help="go on from the last epoch that --out holds")
    args = parser.parse_args(argv)

    only_listed = {"--test-list": args.test_list, "--frames-root": args.frames_root, "--class-names": args.class_names,
                   "--frames-per-segment": args.frames_per_segment}  # fmt: skip
    if args.list is None:
        for flag, value in only_listed.items():
            if value is not None:
                parser.error(f"{flag} belongs to --list; give --list FILE, or leave it out")
    elif args.test_list is None:
        parser.error("--list needs --test-list FILE: clips that are not trained on")
    for name, value in (RENDERED if args.list is None else LISTED).items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    if args.list is not None and args.frames_per_segment is None:
        args.frames_per_segment = 2 if args.frames % 2 == 0 else 1
    if args.list is not None and args.frames % args.frames_per_segment:
        parser.error(f"--frames {args.frames} is not a multiple of --frames-per-segment {args.frames_per_segment}")
    if not 0 <= args.dropout < 1:
        parser.error(f"--dropout: expected a number from 0 to below 1, got {args.dropout}")
    args.out = args.out or Path("runs") / (args.labels if args.list is None else args.list.stem)
    return args


def main(argv: Sequence[str] | None = None) -> int:
    # Line by line also into a file or a pipe: a run of hours should be followed while it goes on.
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    try:
        run(parse(argv))
    except BadInput as error:
        # A loader's worker hands its error on inside a traceback, whose last line it is.
        print(f"train.py: {str(error).strip().splitlines()[-1]}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
