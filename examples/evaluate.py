"""Evaluate trained networks on test clips: UAR, WAR, recalls and confusion matrix, with bootstrap intervals.

By default each run is evaluated on its own test clips. Several runs, such as the five folds of DFEW, give one row each
and their mean; runs on the same clips are compared with paired intervals. Writes evaluation.json, evaluation.md, a
picture of the confusion matrix and the prediction for each clip.
"""

import csv
import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from dfer.atomic_files import whole_file
from dfer.errors import BadInput
from dfer.evaluation.answers import Device, choose_device, probabilities
from dfer.evaluation.evaluated_clips import add_flags_of_other_clips, evaluated_clips, trained_file_of
from dfer.evaluation.pictures import draw_confusion
from dfer.evaluation.report import EvaluatedRun, make_report
from dfer.evaluation.scores import RESAMPLES
from dfer.evaluation.tables import markdown
from dfer.training.command_line import OneLineParser
from dfer.training.settings import TrainingSettings, at_least, described
from dfer.training.trained_file import load_trained
from dfer.versions import commit, installed

PRECISION = described(TrainingSettings)["precision"]


def parse(argv: Sequence[str] | None) -> Any:
    parser = OneLineParser(prog="evaluate.py", usage="evaluate.py RUN [RUN ...] [options]", description=__doc__)
    parser.add_argument("runs", type=Path, nargs="+", help="folders of runs of train.py, or their weights.safetensors")
    parser.add_argument("--compare", action="store_true", help="require that all runs are tested on the same clips")
    parser.add_argument(
        "--out", type=Path | None, help="folder for results (default: the run's own, or a new one beside several runs)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the bootstrap")
    parser.add_argument("--resamples", type=int, default=RESAMPLES, help="of the bootstrap")
    parser.add_argument("--batch-size", type=int, default=16, help="clips at once")
    parser.add_argument("--workers", type=int, default=0, help="processes that load clips")
    parser.add_argument("--precision", type=PRECISION.type, default="auto", help=PRECISION.help)
    add_flags_of_other_clips(parser)
    args = parser.parse_args(argv)
    at_least(1, resamples=args.resamples, batch_size=args.batch_size)
    at_least(0, seed=args.seed, workers=args.workers)
    return args


def evaluate(path: Path, args: Any, device: Device) -> EvaluatedRun:
    file = trained_file_of(path)
    net, facts = load_trained(file)
    clips = evaluated_clips(file, facts, args)
    for remark in clips.remarks:
        print(f"note: {remark}")
    settings = {"batch_size": args.batch_size, "workers": args.workers, "title": str(path)}
    return EvaluatedRun(str(path), file, facts, clips, probabilities(net, facts, clips.source, device, **settings))


def write(folder: Path, report: dict[str, Any], text: str, runs: Sequence[EvaluatedRun]) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"--out {folder}: cannot be written to ({error.strerror}); choose another") from None
    with whole_file(folder / "evaluation.json") as path:
        path.write_text(json.dumps(report, indent=2) + "\n")
    with whole_file(folder / "evaluation.md") as path:
        path.write_text(text, encoding="utf-8")
    with whole_file(folder / "evaluation_clips.csv") as path, path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["run", "clip", "truth", "answer", "probability"])
        for run in runs:
            names, best = run.facts.classes, run.probabilities.amax(dim=1).tolist()
            for index, (truth, answer) in enumerate(zip(run.clips.truths, run.answers.tolist(), strict=True)):
                clip = run.clips.source.name(index)
                rows.writerow([run.name, clip, names[truth], names[answer], f"{best[index]:.4f}"])
    scores = report.get("over_runs", report["runs"][0])
    title = f"UAR {100 * scores['uar']:.1f} %, WAR {100 * scores['war']:.1f} %"
    confusion = torch.stack([run.confusion for run in runs]).sum(dim=0)
    draw_confusion(folder / "evaluation.png", confusion, report["classes"], title)


def refuse_the_same_net_twice(paths: Sequence[Path]) -> None:
    seen: dict[bytes, Path] = {}
    for path in paths:
        file = trained_file_of(path)
        other = seen.setdefault(hashlib.sha256(file.read_bytes()).digest() if file.is_file() else b"", path)
        if other is not path and file.is_file():
            raise BadInput(f"{other} and {path} hold the same trained net, which would count twice; leave one out")


def default_folder(runs: Sequence[EvaluatedRun]) -> Path:
    """The run's folder for its own test clips, a new folder for others."""
    first, last, clips = runs[0].file.parent, runs[-1].file.parent, runs[0].clips
    other = "" if clips.own else f"-on-{clips.short_name}"
    if len(runs) > 1:
        return first.parent / f"evaluation-{first.name}-{last.name}{other}"
    return first / f"evaluation{other}" if other else first


def refuse_to_overwrite(folder: Path, report: dict[str, Any]) -> None:
    """Only an evaluation of the same runs on the same clips may be replaced."""

    def evaluated(one: dict[str, Any]) -> list[tuple[Path, str]]:
        return [(Path(run["file"]).resolve(), run["clips_sha256"]) for run in one["runs"]]

    path = folder / "evaluation.json"
    if not path.exists():
        return
    try:
        same = evaluated(json.loads(path.read_text(encoding="utf-8"))) == evaluated(report)
    except (OSError, ValueError, KeyError, TypeError):
        same = False
    if not same:
        raise BadInput(f"{path}: holds an evaluation of other runs or clips; choose another folder with --out")


def main(argv: Sequence[str] | None = None) -> int:
    try:
        args = parse(argv)
        device = choose_device(args.precision)
        print(f"evaluating {device}")
        refuse_the_same_net_twice(args.runs)
        runs = [evaluate(path, args, device) for path in args.runs]
        if args.compare and (len(runs) < 2 or not all(runs[0].same_clips(run) for run in runs[1:])):
            raise BadInput("--compare: expected two runs or more on the same test clips; leave it out, or name clips")
        report = make_report(runs, seed=args.seed, resamples=args.resamples)
        report["versions"] = {name: installed(name) for name in ("agdt-layers", "torch")} | {"commit": commit()}
        text = markdown(report)
        folder = args.out or default_folder(runs)
        refuse_to_overwrite(folder, report)
        write(folder, report, text, runs)
    except BadInput as error:
        # The message of a data loader's worker is the last line of a traceback.
        print(f"evaluate.py: {str(error).strip().splitlines()[-1]}", file=sys.stderr)
        return 2
    print(f"\n{text}\nevaluation.json, .md, .png and evaluation_clips.csv: {folder.resolve()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
