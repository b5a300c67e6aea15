"""Measure how many frames of videos have a face that is found, and how many frames a second are searched and prepared.

    PYTHONPATH=src:examples python -m dfer.benchmarking.detection VIDEO ...

Faces are counted as prepare_videos.py counts them. The speeds are medians over rounds, without the start of a process:
detection alone, on frames that are decoded already; and the whole preparation, which decodes every frame, then finds,
follows, aligns and writes its faces.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import torch

from dfer.data.clips import usable_cores
from dfer.errors import BadInput
from dfer.preparation.clips import find_clips
from dfer.preparation.preparing import prepare_clip
from dfer.preparation.reports import Report, Settings
from dfer.video.faces import FaceDetector
from dfer.video.pictures import open_reader
from dfer.video.reading import UnreadableVideo
from dfer.video.watching import RUN_FRAMES


def measure(video: Path, detector: FaceDetector, rounds: int) -> tuple[Report, float, float]:
    """What the preparation reports; frames a second of detection alone, and of the preparation."""
    detecting, preparing = [], []
    for _ in range(rounds):
        seconds = 0.0
        frames = (frame.pixels for frame in open_reader(video).frames())
        while batch := list(islice(frames, RUN_FRAMES)):
            began = time.perf_counter()
            detector.detect(batch)
            seconds += time.perf_counter() - began
        detecting.append(seconds)
        with tempfile.TemporaryDirectory() as out:
            (clip,) = find_clips(video, Path(out))
            began = time.perf_counter()
            report = prepare_clip(clip, detector, Settings())
            preparing.append(time.perf_counter() - began)
    return report, report.analysed / statistics.median(detecting), report.analysed / statistics.median(preparing)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="detection.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("videos", metavar="VIDEO", type=Path, nargs="+")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, ... (cpu)")
    parser.add_argument("--threads", type=int, default=usable_cores(), help="of torch (all cores)")
    parser.add_argument("--rounds", type=int, default=5, help="the median is taken of (5)")
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    detector = FaceDetector(args.device)
    print(f"on {args.device}, {args.threads} threads, median of {args.rounds} rounds")
    try:
        for video in args.videos:
            report, detection, preparation = measure(video, detector, args.rounds)
            print(f"{video.name}: {report.in_words()}; {report.several} with several faces")
            print(f"  frames a second: detection {detection:.1f}, whole preparation {preparation:.1f}")
    except UnreadableVideo as error:
        print(f"detection.py: {video}: {error}", file=sys.stderr)
        return 2
    except BadInput as error:
        print(f"detection.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
