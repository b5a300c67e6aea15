"""Does the attention help in a small net of one's own? Accuracy and cost over several seeds, on real data.

Pictures: one small CNN without attention, with SE, ECA, CBAM and AGA, on scikit-learn's digits. Series: the mean over
frames, TFormer, DTFormer and torch's own encoder, on aeon's JapaneseVowels. Both sets are files inside the packages,
which are not imported: pip install scikit-learn; pip install --no-deps aeon.

With --fashion-mnist DIR instead: ten small CNNs on Fashion-MNIST, as docs/experiments/protocol.json fixes it. A
second start makes only the runs that are missing.
"""

import argparse
import json
import platform
import sys
from collections.abc import Callable, Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import Any

import torch

import agdt_layers
from dfer.atomic_files import whole_file
from dfer.errors import BadInput
from dfer.experiments.comparison import Comparison, accuracies, costs, digits, japanese_vowels
from dfer.experiments.comparison_report import draw_accuracies, markdown, summarise
from dfer.experiments.picture_report import draw
from dfer.experiments.picture_report import markdown as picture_tables
from dfer.experiments.picture_report import summarise as summarise_pictures
from dfer.experiments.picture_runs import Protocol, finished, make
from dfer.experiments.statistics import MOST_SEEDS
from dfer.lock import one_at_a_time
from dfer.progress import track

COMPARISONS: dict[str, Callable[[int], Comparison]] = {"pictures": digits, "series": japanese_vowels}
EPOCHS = {"pictures": 20, "series": 40}
PROTOCOL = Path(__file__).parents[1] / "docs" / "experiments" / "protocol.json"


def compare(args: argparse.Namespace) -> None:
    if not 2 <= args.seeds <= MOST_SEEDS:
        raise BadInput(f"--seeds: expected 2 to {MOST_SEEDS}, for a spread and an exact test; got {args.seeds}")
    if args.epochs is not None and args.epochs < 1:
        raise BadInput(f"--epochs: expected a whole number from 1, got {args.epochs}")
    if not args.seconds >= 0:
        raise BadInput(f"--seconds: expected a number from 0, got {args.seconds}")
    # Both are read before the first is trained: a missing package should be named at once.
    comparisons = [COMPARISONS[name](args.epochs or EPOCHS[name]) for name in dict.fromkeys(args.on)]
    summaries, tables = [], []
    for comparison in comparisons:
        summaries.append(run(comparison, args.seeds, args.seconds))
        tables.append(markdown(summaries[-1]))
        print(f"\n{tables[-1]}")
    report = {
        "versions": {"agdt_layers": agdt_layers.__version__, "torch": torch.__version__},
        "machine": platform.processor() or platform.machine(),
        "comparisons": summaries,
    }
    args.out.mkdir(parents=True, exist_ok=True)
    with whole_file(args.out / "comparison.json") as path:
        path.write_text(json.dumps(report, indent=1) + "\n")
    with whole_file(args.out / "comparison.md") as path:
        path.write_text("\n".join(tables))
    draw_accuracies(args.out / "comparison.png", summaries)
    print(f"tables, numbers and picture: {args.out.resolve()}")


def compare_pictures(args: argparse.Namespace) -> None:
    protocol, out = Protocol.read(args.protocol), args.out
    out.mkdir(parents=True, exist_ok=True)
    with one_at_a_time(out / ".lock", f"{out}: another process makes these runs; wait, or name another --out"):
        done = finished(out, protocol)
        missing = [] if args.report_only else [planned for planned in protocol.runs() if planned not in done]
        for made, record in track(make(out, args.fashion_mnist, protocol, missing), "runs", len(missing)):
            done[made] = record
            print(f"{made.name:>36}  accuracy {100 * record['accuracy']:6.2f} %  {record['core_seconds']:5.1f} s")
    summary = summarise_pictures(protocol, done)
    print(table := picture_tables(summary))
    with whole_file(out / "pictures.json") as path:
        path.write_text(json.dumps(summary, indent=1) + "\n")
    with whole_file(out / "pictures.md") as path:
        path.write_text(table)
    draw(out / "pictures.png", summary)
    print(f"tables, numbers and picture: {out.resolve()}")


def run(comparison: Comparison, seeds: int, seconds: float) -> dict[str, Any]:
    scores: dict[str, list[float]] = {name: [] for name in comparison.nets}
    trained = accuracies(comparison, seeds)
    for name, seed, right in track(trained, comparison.title, len(scores) * seeds):
        scores[name].append(right)
        print(f"{name:>14}  seed {seed}  accuracy {100 * right:6.2f} %")
    return summarise(comparison, scores, costs(comparison, seconds))


def main(argv: Sequence[str] | None = None) -> int:
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    parser = argparse.ArgumentParser(
        prog="compare_attentions.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--on", nargs="+", choices=tuple(COMPARISONS), default=list(COMPARISONS),
                        help="pictures, series, or both (both)")  # fmt: skip
    parser.add_argument("--seeds", type=int, default=5, help="runs of each net, seeds 0, 1, 2, ... (5)")
    parser.add_argument("--epochs", type=int,
                        help="passes over the training examples (pictures 20, series 40)")  # fmt: skip
    parser.add_argument("--seconds", type=float, default=3.0, help="of timing for each set (3)")
    parser.add_argument("--out", type=Path, default=Path("runs/comparison"), help="folder of tables and picture")
    parser.add_argument("--fashion-mnist", type=Path, metavar="DIR", help="the four files of Fashion-MNIST")
    parser.add_argument("--protocol", type=Path, default=PROTOCOL, help="of the runs on Fashion-MNIST")
    parser.add_argument(
        "--report-only", action="store_true", help="with --fashion-mnist: tables of the runs that are there"
    )
    args = parser.parse_args(argv)
    try:
        compare(args) if args.fashion_mnist is None else compare_pictures(args)
    except BadInput as error:
        print(f"compare_attentions.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
