"""Turn videos into training clips: one folder of aligned faces per video.

IN is a folder of videos (DAiSEE's tree, or any other) or one video. OUT gets the same tree: a.mp4 becomes the folder a
of 00001.jpg, 00002.jpg, ..., and the report a.json. Faces are tracked as in recognise.py. The clip follows the face
that is seen longest and largest, from its first frame to its last. With --every-face, each face gets a clip: a/face1,
a/face2, ... A video without faces gets only a report.

Run the same command again to continue: finished clips are skipped. Exit code: 0, every video was read to its end; 3, at
least one was damaged (the readable part is prepared) or unreadable; 2, bad input, or the output cannot be written; 130
or 143, stopped by a signal.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

import torch

from dfer.arguments import Paragraphs, whole
from dfer.data.clips import usable_cores
from dfer.errors import BadInput
from dfer.preparation.clips import Clip, Shard, alone_in, clear_partial, find_clips
from dfer.preparation.preparing import prepare_clips
from dfer.preparation.reports import Progress, Settings, read_report, summary
from dfer.stopping import Stopped, stoppable
from dfer.video.mtcnn import load_nets


def shard(text: str) -> Shard:
    number, _, count = text.partition("/")
    if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise argparse.ArgumentTypeError(f"expected K/N with K from 1 to N, got {text!r}")
    return Shard(int(number), int(count))


def interval(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.001 <= value <= 3600:
        raise argparse.ArgumentTypeError(f"expected seconds from 0.001 to 3600, got {text!r}")
    return value


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="prepare_videos.py", description=__doc__, formatter_class=Paragraphs)
    parser.add_argument("source", metavar="IN", type=Path, help="a folder of videos, or one video")
    parser.add_argument("--out", type=Path, required=True, help="folder for the clips")
    parser.add_argument("--every", type=interval, help="seconds between frames (default: every frame of the video)")
    parser.add_argument("--size", type=partial(whole, least=16), default=112, help="side of a face in pixels (112)")
    parser.add_argument("--every-face", action="store_true", help="write a clip for each face")
    parser.add_argument("--device", help="cpu, cuda, cuda:1, ... (default: cuda if available)")
    parser.add_argument(
        "--workers", type=partial(whole, least=1), help="processes (default: one per core; 4 with a GPU)"
    )
    parser.add_argument(
        "--shard", type=shard, default=Shard(1, 1), metavar="K/N", help="only every N-th video, starting with the K-th"
    )
    return parser.parse_args(argv)


def prepare(args: argparse.Namespace) -> int:
    device = args.device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise BadInput(f"--device {device}: {str(error).splitlines()[0]}") from error
    load_nets()  # report missing weights once, before any process starts
    clips = args.shard.of(find_clips(args.source, args.out))
    with alone_in(args.out, args.shard):
        for clip in clips:  # of finished clips too: a run can be killed just before it removes their unfinished folder
            clear_partial(clip)
        return prepare_all(clips, Settings(args.size, args.every, args.every_face), device, args.workers)


def prepare_all(clips: Sequence[Clip], settings: Settings, device: str, workers: int | None) -> int:
    reports = {clip: report for clip in clips if (report := read_report(clip, settings)) is not None}
    already, began, frames = len(reports), time.monotonic(), 0
    todo = [clip for clip in clips if clip not in reports]
    workers = min(len(todo), workers or (usable_cores() if device == "cpu" else min(4, usable_cores())))
    preparing = prepare_clips(todo, settings, device, workers)
    with closing(preparing), Progress(len(clips), already) as progress:
        for clip, report in preparing:
            reports[clip] = report
            frames += report.analysed
            progress.advance(clip.name, report)
    print(summary(reports.values(), already))
    seconds = time.monotonic() - began
    if todo:
        processes = f"{workers} process" + "es" * (workers > 1)
        print(f"this run: {frames} frames in {seconds:.0f} s, {frames / seconds:.1f} frames/s in {processes}")
    return 3 if any(report.problem for report in reports.values()) else 0


def main(argv: Sequence[str] | None = None) -> int:
    args = parse(argv)
    try:
        with stoppable():
            return prepare(args)
    except Stopped as stop:
        print(f"prepare_videos.py: {stop}; run the same command to continue", file=sys.stderr)
        return stop.exit_code
    except (BadInput, OSError) as error:
        print(f"prepare_videos.py: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
