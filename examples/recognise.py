"""A video in, a timeline out: the displayed expression of every face, over time.

Finds every face, follows each, and writes OUT/VIDEO.csv (one row a face and frame) and OUT/VIDEO.html (one page to look
at); with --eaf annotations for ELAN, with --video the video with boxes and labels. Faces get numbers, not names, and
nothing leaves this machine. Without --weights it takes the net that comes with it, which was trained on drawings.

Exit code: 0, the video was read to its end; 3, it was damaged and what could be read is in the timeline; 2, wrong
input, or the output cannot be written; 130, interrupted (a camera's timeline is kept).
"""

import argparse
import os
import signal
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from dfer.atomic_files import whole_file
from dfer.bad_input import BadInput
from dfer.training.run_folder import WEIGHTS
from dfer.training.trained_file import TrainedFacts, load_trained
from dfer.video.annotated_video import write_annotated
from dfer.video.camera import Camera, find_camera
from dfer.video.eaf import write_eaf
from dfer.video.live import Live
from dfer.video.notice import notice
from dfer.video.outputs import Outputs, plan_outputs
from dfer.video.reading import UnreadableVideo, VideoReader
from dfer.video.recogniser import Recognised, Recogniser, RecognitionSettings, in_words
from dfer.video.timeline import Timeline
from dfer.video.timeline_csv import RowFile, RowWriter

SHIPPED = Path(__file__).parent / "dfer" / "weights" / "rendered_faces.safetensors"


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="recognise.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", metavar="VIDEO", nargs="?", type=Path)
    parser.add_argument("--camera", nargs="?", type=partial(whole, least=0), const=0, metavar="N",
                        help="the camera of this number (0) instead of a video, until Ctrl-C")  # fmt: skip
    parser.add_argument("--weights", type=Path, metavar="RUN_OR_FILE",
                        help="a run of train.py, or its weights.safetensors")  # fmt: skip
    parser.add_argument("--every", type=partial(whole, least=1), default=1, metavar="N",
                        help="analyse every N-th frame (1)")  # fmt: skip
    parser.add_argument("--detect-every", type=partial(whole, least=1), default=5, metavar="N",
                        help="look for faces in every N-th frame and carry them in between (5)")  # fmt: skip
    parser.add_argument("--out", type=Path, default=Path("recognised"), help="folder of the outputs (recognised)")
    parser.add_argument("--eaf", action="store_true", help="also annotations for ELAN, one tier a face")
    parser.add_argument("--video", action="store_true", help="also the video with boxes and labels")
    parser.add_argument("--no-thumbnails", action="store_true", help="no picture of a face in any output")
    parser.add_argument("--overwrite", action="store_true", help="replace outputs that exist")
    args = parser.parse_args(argv)
    if (args.source is None) == (args.camera is None):
        parser.error("expected a VIDEO or --camera")
    if args.video and (args.no_thumbnails or args.camera is not None):
        parser.error("--video shows faces and needs a file: leave out --no-thumbnails and --camera")
    return args


def whole(text: str, least: int) -> int:
    if not text.isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(f"expected a whole number from {least}, got {text!r}")
    return int(text)


def load_recogniser(args: argparse.Namespace) -> tuple[Recogniser, TrainedFacts]:
    path = args.weights or SHIPPED
    path = path / WEIGHTS if path.is_dir() else path
    if args.weights is None and not path.exists():
        raise BadInput(f"{path}: the weights that come with this script are missing; name others with --weights")
    net, facts = load_trained(path)
    settings = RecognitionSettings(args.every, args.detect_every, args.camera is None, not args.no_thumbnails)
    return Recogniser(net, facts, settings), facts


def recognise(args: argparse.Namespace) -> int:
    name = args.source.stem if args.camera is None else f"camera{args.camera}"
    if args.source is not None and not args.source.is_file():
        raise BadInput(f"{args.source}: no such file; expected a video")
    outputs = plan_outputs(args.out, name, annotations=args.eaf, video=args.video, overwrite=args.overwrite)
    recogniser, facts = load_recogniser(args)
    print(*notice(facts), sep="\n")
    source = VideoReader(args.source) if args.camera is None else find_camera(args.camera)
    found, took = Recognised(), time.monotonic()
    with whole_file(outputs.table) as beside:
        write_rows(beside, recogniser, source, found, facts.classes)
    took = time.monotonic() - took
    timeline = Timeline(
        video=args.source or Path(name),
        duration=source.duration,
        fps=source.fps,
        width=found.size[0],
        height=found.size[1],
        rows=RowFile(outputs.table),
        facts=facts,
        thumbnails=found.thumbnails.by_face,
        problem=source.problem,
    )
    if args.camera is None:
        print(in_words(recogniser.stopwatch, timeline.duration, took))
    tell(found, timeline)
    write_others(args, outputs, timeline)
    for path in outputs.all():
        print(path)
    return 3 if timeline.problem else 0


def write_rows(
    path: Path, recogniser: Recogniser, source: VideoReader | Camera, found: Recognised, classes: Sequence[str]
) -> None:
    live = Live(classes) if isinstance(source, Camera) else None
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = RowWriter(file, classes)
        try:
            for rows in recogniser.rows(source, found):
                with recogniser.stopwatch.stage("write"):
                    for row in rows:
                        writer.write(row)
                    if live is not None:
                        live.show(rows)
        except KeyboardInterrupt:
            if live is None or not found.frames:
                raise


def tell(found: Recognised, timeline: Timeline) -> None:
    """Print what a person should know of the timeline before using it."""
    faces = f"{found.faces} face" + "s" * (found.faces > 1)
    print(f"{found.frames} frames analysed, {faces}" if found.faces else f"no face in {found.frames} frames")
    if timeline.problem:
        print(f"the file is damaged, and the timeline holds what could be read: {timeline.problem}")
    if found.changed_size:
        where = ", ".join(map(str, found.changed_size))
        print(f"the picture's size changes at frame {where}: the numbers of faces are new from there on")


def write_others(args: argparse.Namespace, outputs: Outputs, timeline: Timeline) -> None:
    if outputs.annotations is not None:
        write_eaf(outputs.annotations, timeline)
    if outputs.video is not None:
        write_annotated(outputs.video, timeline)
    beside = None
    if outputs.video is not None:
        beside = outputs.video.name
    elif args.source is not None and not args.no_thumbnails:
        beside = Path(os.path.relpath(args.source.resolve(), args.out.resolve())).as_posix()
    from dfer.video.report import write_report

    write_report(outputs.page, timeline, video_beside=beside)


def main(argv: Sequence[str] | None = None) -> int:
    args = parse(argv)
    # Whoever ends this process wants it clean, too.
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return recognise(args)
    except (BadInput, UnreadableVideo, OSError) as error:
        named = f"{args.source}: " if isinstance(error, UnreadableVideo) else ""
        print(f"recognise.py: {named}{error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("recognise.py: interrupted; nothing was written", file=sys.stderr)
        return 130
    finally:
        signal.signal(signal.SIGTERM, before)


if __name__ == "__main__":
    sys.exit(main())
