"""Count and time every model on one clip, beside the paper's Table 6.

Prints a table and writes it to a folder with JSON and a chart of cost against published score. The columns of Table 6
are copied from the paper; everything else is counted and measured here.
"""

import argparse
import json
import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

import agdt_layers
from dfer.arguments import Paragraphs
from dfer.atomic_files import whole_file
from dfer.evaluation.complexity import complexity
from dfer.evaluation.complexity_plot import draw_cost_against_score
from dfer.evaluation.published import COSTS, cost_of, is_in_the_paper, published_war_on_dfew
from dfer.models import AGDTNET_ROWS, MODEL_NAMES, build_model
from dfer.progress import track

CLASSES = 7
HEADER = ["model", "parameters, M", "Table 6", "multiply-adds, G", "Table 6, GFLOPs", "ms a clip", "Table 6, ms",
          "launches", "peak, MB", "WAR on DFEW, paper"]  # fmt: skip


def measure(args: argparse.Namespace) -> dict[str, Any]:
    rows = []
    for name in track(args.models, "measuring", len(args.models)):
        torch.manual_seed(0)
        model = build_model(name, CLASSES, args.frames, size=args.size)
        cost = complexity(model, (1, args.frames, 3, args.size, args.size), device=args.device, seconds=args.seconds)
        rows.append({"model": name, **asdict(cost), "published": published(name)})
    cuda = args.device == "cuda"
    return {
        "versions": {"agdt_layers": agdt_layers.__version__, "torch": torch.__version__},
        "machine": torch.cuda.get_device_name() if cuda else platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "clip": {"frames": args.frames, "size": args.size},
        "rows": rows,
    }


def published(name: str) -> dict[str, float | None]:
    """The paper's figures for a model."""
    cost = cost_of(name)
    kinds = ("parameters", "gflops", "milliseconds")
    return {kind: getattr(cost, kind, None) for kind in kinds} | {"war": published_war_on_dfew(name)}


def markdown(report: dict[str, Any]) -> str:
    """A table of the measured models, followed by the other systems of Table 6."""
    lines = [HEADER, ["---"] + ["--:"] * (len(HEADER) - 1)]
    notes: list[str] = []

    def marked(name: str, note: str) -> str:
        if note:
            notes.append(f"[{len(notes) + 1}] {name}: {note}")
        return f"{name} [{len(notes)}]" if note else name

    for row in report["rows"]:
        name, paper, cost = row["model"], row["published"], cost_of(row["model"])
        note = "not in the paper" if not is_in_the_paper(name) else cost.note if cost else ""
        parameters, giga = row["parameters"] / 1e6, row["multiply_adds"] / 1e9
        own = [_number(parameters, 2), _number(giga, 2), _number(row["milliseconds"], 1)]
        theirs = [_number(paper[key], 0) for key in ("parameters", "gflops", "milliseconds")]
        pairs = [cell for both in zip(own, theirs, strict=True) for cell in both]
        peak = _number(row["peak_bytes"] / 1e6, 0)
        lines.append([marked(name, note), *pairs, str(row["launches"]), peak, _number(paper["war"], 2)])
    for cost in COSTS:
        if cost.model is None:
            theirs = [_number(value, 0) for value in (cost.parameters, cost.gflops, cost.milliseconds)]
            pairs = [cell for value in theirs for cell in ("-", value)]
            lines.append([marked(cost.system, "not built here"), *pairs, "-", "-", "-"])
    clip, versions = report["clip"], report["versions"]
    notes.append(
        f"One clip of {clip['frames']} frames of {clip['size']} x {clip['size']}, float32, {report['machine']}, "
        f"{report['threads']} threads, torch {versions['torch']}. The columns of Table 6 are the paper's, rounded as "
        "printed; its milliseconds are those of its GPU."
    )
    return "".join(f"| {' | '.join(line)} |\n" for line in lines) + "\n" + "  \n".join(notes) + "\n"


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="complexity.py", description=__doc__, formatter_class=Paragraphs)
    parser.add_argument("--models", nargs="+", choices=MODEL_NAMES, default=list(MODEL_NAMES), metavar="NAME",
                        help=f"measure only these of {', '.join(MODEL_NAMES)}")  # fmt: skip
    parser.add_argument("--frames", type=int, default=16, help="frames of the clip (16)")
    parser.add_argument("--size", type=int, default=112, help="side of a frame in pixels (112)")
    parser.add_argument("--seconds", type=float, default=3.0, help="measuring time for each model (3)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--out", type=Path, default=Path("runs/complexity"), help="output folder (runs/complexity)")
    args = parser.parse_args(argv)
    if args.device == "cuda" and not torch.cuda.is_available():
        print("complexity.py: --device cuda: torch finds no CUDA device; leave --device out", file=sys.stderr)
        return 2
    if args.frames < 1 or args.size < 32:
        print("complexity.py: expected --frames from 1 and --size from 32, got "
              f"{args.frames} and {args.size}", file=sys.stderr)  # fmt: skip
        return 2
    try:
        args.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        print(f"complexity.py: --out {args.out}: cannot be written to ({error.strerror})", file=sys.stderr)
        return 2
    report = measure(args)
    table = markdown(report)
    with whole_file(args.out / "complexity.json") as path:
        path.write_text(json.dumps(report, indent=1) + "\n")
    with whole_file(args.out / "complexity.md") as path:
        path.write_text(table)
    draw_cost_against_score(args.out / "complexity.png", report["rows"], tuple(AGDTNET_ROWS))
    print(table)
    print(f"table, JSON and chart: {args.out.resolve()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
