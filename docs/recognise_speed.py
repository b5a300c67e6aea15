"""Print how fast recognise.py is on this machine, as the table in docs/recognise.md.

Run on an idle machine: PYTHONPATH=src:examples:tests python docs/recognise_speed.py
The film is composed: rendered people in 640 x 360 at 24 frames/s. The speed does not depend on what a net has learned,
so without --weights it is that of a new AGDTNet.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import torch

from agdt_layers import build_agdtnet
from dfer.data.augmentation import MEAN, STD
from dfer.errors import BadInput
from dfer.rendering.motion import EXPRESSIONS
from dfer.training.trained_file import TrainedFacts, load_trained
from dfer.video.reading import VideoReader
from dfer.video.recogniser import Recognised, Recogniser, RecognitionSettings
from helpers.composed import RATE, Shot, film, walking
from helpers.videos import write_video

# People who are all found in every frame.
SEED = 2
STAGES = ("decode", "detect", "align", "backbone", "temporal")
CASES = (
    ("one face, a file", 1, RecognitionSettings()),
    ("one face, frame by frame", 1, RecognitionSettings(in_runs=False)),
    ("five faces, a file", 5, RecognitionSettings()),
    ("five faces, frame by frame", 5, RecognitionSettings(in_runs=False)),
    ("five faces, a file, `--every 2`", 5, RecognitionSettings(every=2)),
)


def calm(path: Path, people: int, seconds: float) -> Path:
    """People who walk a little, far from each other."""
    places = {n: walking(75 + 120 * n, 150 + 10 * n, 90 + 120 * n, 190 - 10 * n, 0.0, seconds) for n in range(people)}
    return write_video(path, film([Shot(seconds, places)], seed=SEED).frames, rate=RATE)


def new_net() -> tuple[torch.nn.Module, TrainedFacts]:
    facts = TrainedFacts(
        classes=EXPRESSIONS, mean=MEAN, std=STD, size=112, frames=16, frames_per_segment=1, net={"model": "agdtnet"},
        trained_on="nothing", epoch=0, epoch_selected_on="nothing", uar=0.0, war=0.0, recall=(None,) * len(EXPRESSIONS),
    )  # fmt: skip
    return build_agdtnet(len(EXPRESSIONS)).eval(), facts


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, help="the weights.safetensors of a run (a new AGDTNet)")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of the film (10)")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each case, of which the fastest counts (3)")
    args = parser.parse_args()
    try:
        net, facts = new_net() if args.weights is None else load_trained(args.weights)
    except BadInput as error:
        print(f"recognise_speed.py: {error}", file=sys.stderr)
        return 2
    print(f"| {torch.get_num_threads()} threads | x real time | {' | '.join(f'{s}, ms a frame' for s in STAGES)} |")
    print("|---" * (2 + len(STAGES)) + "|")
    with tempfile.TemporaryDirectory() as folder:
        videos = {people: calm(Path(folder) / f"{people}.mp4", people, args.seconds) for people in (1, 5)}
        for name, people, settings in CASES:
            fastest: tuple[float, dict[str, float]] = (float("inf"), {})
            for _ in range(args.rounds):
                recogniser, found = Recogniser(net, facts, settings), Recognised()
                began = time.perf_counter()
                for _rows in recogniser.rows(VideoReader(videos[people]), found):
                    pass
                took = time.perf_counter() - began
                if found.faces != people:
                    print(f"recognise_speed.py: {found.faces} faces found of {people}", file=sys.stderr)
                fastest = min(fastest, (took, dict(recogniser.stopwatch.seconds)), key=lambda run: run[0])
            cells = [f"{1000 * fastest[1].get(s, 0.0) / (args.seconds * RATE):.1f}" for s in STAGES]
            print(f"| {name} | {args.seconds / fastest[0]:.2f} | {' | '.join(cells)} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
