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
from io import TextIOWrapper
from pathlib import Path

from dfer.data.pictures import PICTURES
from dfer.errors import BadInput
from dfer.training.run_folder import WEIGHTS
from dfer.training.trained_file import TrainedFacts, load_trained
from dfer.video.annotated_video import write_annotated
from dfer.video.camera import find_camera
from dfer.video.eaf import write_eaf
from dfer.video.notice import notice
from dfer.video.outputs import Outputs, plan_outputs
from dfer.video.reading import UnreadableVideo, VideoReader
from dfer.video.recogniser import Recogniser, RecognitionSettings, in_words
from dfer.video.recording import record
from dfer.video.report import write_report
from dfer.video.stopwatch import Stopwatch
from dfer.video.timeline import Timeline

# In seconds. Browsers do not agree on the time in a video whose own clock starts later.
LATEST_START = 0.1
# FFmpeg reads them as videos, and no browser plays them as such.
STILL = {*PICTURES, ".gif"}
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
        what = (
            "no such file" if not args.source.exists() else "a folder" if args.source.is_dir() else "a pipe or device"
        )
        raise BadInput(f"{args.source}: {what}; expected the file of a video, which can be read twice")
    outputs = plan_outputs(args.out, name, annotations=args.eaf, video=args.video, overwrite=args.overwrite)
    recogniser, facts = load_recogniser(args)
    print(*notice(facts), sep="\n")
    source = VideoReader(args.source) if args.camera is None else find_camera(args.camera)
    began = time.monotonic()
    timeline, words = record(args.source or Path(name), source, recogniser, facts, outputs.table)
    print(*words, sep="\n")
    start = source.start if isinstance(source, VideoReader) else 0.0
    write_others(args, outputs, timeline, start, recogniser.stopwatch)
    if args.camera is None:
        print(in_words(recogniser.stopwatch, timeline.duration, time.monotonic() - began))
    for path in outputs.all():
        print(path)
    return 3 if timeline.problem else 0


def write_others(
    args: argparse.Namespace, outputs: Outputs, timeline: Timeline, start: float, stopwatch: Stopwatch
) -> None:
    if outputs.annotations is not None:
        with stopwatch.stage("write"):
            write_eaf(outputs.annotations, timeline)
    beside = None
    if outputs.video is not None:
        with stopwatch.stage("video"):
            write_annotated(outputs.video, timeline)
        beside = outputs.video.name
    elif args.source is not None and not args.no_thumbnails and start > LATEST_START:
        print(f"the page is without the video, whose own clock starts at {start:.1f} s; --video makes one that fits")
    elif args.source is not None and not args.no_thumbnails and args.source.suffix.lower() not in STILL:
        beside = Path(os.path.relpath(args.source.resolve(), args.out.resolve())).as_posix()
    with stopwatch.stage("write"):
        write_report(outputs.page, timeline, video_beside=beside)


def main(argv: Sequence[str] | None = None) -> int:
    args = parse(argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a file's name may be no text
    # Whoever ends this process wants it clean, too.
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return recognise(args)
    except (BadInput, UnreadableVideo, OSError) as error:
        named = f"{args.source}: " if isinstance(error, UnreadableVideo) else ""
        print(f"recognise.py: {named}{error}".replace("\n", " "), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("recognise.py: interrupted; no file is half-written", file=sys.stderr)
        return 130
    finally:
        signal.signal(signal.SIGTERM, before)


if __name__ == "__main__":
    sys.exit(main())
