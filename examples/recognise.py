"""Turn a video into a timeline of the displayed expression of every face.

Detects and tracks every face and writes OUT/VIDEO.csv (one row per face and frame) and OUT/VIDEO.html (a page to look
at). --json adds the rows as JSON, --eaf annotations for ELAN, --video the video with boxes and labels. VIDEO may also
be a picture. Faces get numbers, not names, and nothing leaves this machine. Without --weights it uses the included
network, which was trained on drawings and is often wrong on real faces.

Exit code: 0, the video was read to its end; 3, it is damaged and the timeline holds the readable part; 2, bad input, or
the output cannot be written; 130, interrupted (a camera's timeline is kept).
"""

import time

BEGAN = time.monotonic()

# Only what the command line needs: importing torch takes a second.
import argparse  # noqa: E402
import shutil  # noqa: E402
import signal  # noqa: E402
import sys  # noqa: E402
import textwrap  # noqa: E402
from collections.abc import Iterable, Sequence  # noqa: E402
from functools import partial  # noqa: E402
from io import TextIOWrapper  # noqa: E402
from pathlib import Path  # noqa: E402

from dfer.arguments import Paragraphs, whole  # noqa: E402
from dfer.errors import BadInput  # noqa: E402

SHIPPED = Path(__file__).parent / "dfer" / "weights" / "rendered_faces.safetensors"


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="recognise.py", description=__doc__, formatter_class=Paragraphs)
    parser.add_argument("source", metavar="VIDEO", nargs="?", type=Path)
    parser.add_argument("--camera", nargs="?", type=partial(whole, least=0), const=0, metavar="N",
                        help="read camera N (default 0) instead of a file, until Ctrl-C")  # fmt: skip
    parser.add_argument("--weights", type=Path, metavar="RUN_OR_FILE",
                        help="a run of train.py, or its weights.safetensors")  # fmt: skip
    parser.add_argument("--onnx", type=Path, metavar="MODEL",
                        help="an ONNX file with a JSON file beside it, instead of --weights: export_stream.py's, or a "
                             "classifier of single faces")  # fmt: skip
    parser.add_argument("--every", type=partial(whole, least=1), default=1, metavar="N",
                        help="analyse every N-th frame (1)")  # fmt: skip
    parser.add_argument("--detect-every", type=partial(whole, least=1), default=5, metavar="N",
                        help="detect faces in every N-th frame and interpolate between (5)")  # fmt: skip
    parser.add_argument("--out", type=Path, default=Path("recognised"), help="output folder (recognised)")
    parser.add_argument("--json", action="store_true", help="also write JSON, one object per face and frame")
    parser.add_argument("--eaf", action="store_true", help="also write annotations for ELAN, one tier per face")
    parser.add_argument("--video", action="store_true", help="also write the video or picture with boxes and labels")
    parser.add_argument("--no-thumbnails", action="store_true", help="leave pictures of faces out of all outputs")
    parser.add_argument("--overwrite", action="store_true", help="replace existing outputs")
    args = parser.parse_args(argv)
    if (args.source is None) == (args.camera is None):
        parser.error("expected a VIDEO or --camera")
    if args.weights is not None and args.onnx is not None:
        parser.error("expected --weights or --onnx, got both")
    if args.video and (args.no_thumbnails or args.camera is not None):
        parser.error("--video shows faces and needs a file: leave out --no-thumbnails and --camera")
    return args


def recognise(args: argparse.Namespace, began: float) -> int:
    from dfer.video.camera import find_camera
    from dfer.video.notice import notice, short_notice
    from dfer.video.pictures import open_reader
    from dfer.video.recogniser import Recogniser, RecognitionSettings, in_words, load_recogniser
    from dfer.video.recording import plan_outputs, record, refuse_source, write_others

    if args.source is not None:
        refuse_source(args.source)
    source = open_reader(args.source) if args.camera is None else find_camera(args.camera)
    if source.still and args.eaf:
        raise BadInput(f"{args.source}: a picture has no timeline to annotate; leave out --eaf")
    outputs = plan_outputs(
        args.out,
        args.source.name if args.camera is None else f"camera{args.camera}",
        scores=args.json,
        annotations=args.eaf,
        annotated=(".png" if source.still else ".mp4") if args.video else None,
        overwrite=args.overwrite,
    )
    settings = RecognitionSettings(args.every, args.detect_every, args.camera is None, not args.no_thumbnails)
    if args.onnx is not None:
        from dfer.video.onnx_model import load_onnx

        recogniser = Recogniser(*load_onnx(args.onnx), settings)
    else:
        recogniser = load_recogniser(args.weights or SHIPPED, settings)
    facts = recogniser.facts
    recogniser.stopwatch.seconds["start"] = time.monotonic() - began
    say(notice(facts) if outputs.is_first_run else [short_notice(facts)])
    name = args.source or Path(f"camera{args.camera}")
    timeline, words = record(name, source, recogniser, facts, outputs.table)
    say(words)
    say(write_others(outputs, timeline, source, recogniser.stopwatch, pictures=not args.no_thumbnails))
    if args.camera is None and not source.still:
        say([in_words(recogniser.stopwatch, timeline.duration, time.monotonic() - began)])
    return 3 if timeline.problem else 0


def say(lines: Iterable[str]) -> None:
    """Print the lines, wrapped between words on a terminal."""
    for line in lines:
        if sys.stdout.isatty():
            width = shutil.get_terminal_size().columns
            line = textwrap.fill(line, width, break_long_words=False, break_on_hyphens=False)
        print(line)


def main(argv: Sequence[str] | None = None, began: float | None = None) -> int:
    """began: start of the process for the printed pace, from time.monotonic(); now by default."""
    began = time.monotonic() if began is None else began
    args = parse(argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # file names may not be valid text
    # Clean up after SIGTERM as after Ctrl-C.
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return recognise(args, began)
    except (BadInput, OSError) as error:
        print(f"recognise.py: {error}".replace("\n", " "), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("recognise.py: interrupted; no file is half-written", file=sys.stderr)
        return 130
    finally:
        signal.signal(signal.SIGTERM, before)


if __name__ == "__main__":
    sys.exit(main(began=BEGAN))
