"""Run the paper's ablation (Table 2) and two more rows over several seeds, and test the differences.

Without flags of train.py, the clips are hard rendered faces: weak expressions, occlusion, changing light, noise, and
expressions that differ only in their direction in time. Flags of train.py after -- select other clips. On DFEW, all
five folds are run unless --fold selects one, and the table has the paper's scores beside ours:

    ablation.py --seeds 5 --out runs/ablation-dfew -- --dfew DFEW

On series of vectors (--series after --) the rows are the encoders over time, and each person is left out once.

Each run has a result file and a log. Run the same command again to make the missing runs.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import fields
from io import TextIOWrapper
from pathlib import Path

from dfer.arguments import Paragraphs
from dfer.atomic_files import whole_file
from dfer.errors import BadInput
from dfer.experiments.ablation_report import markdown, summarise
from dfer.experiments.campaign import (
    REFERENCE,
    ROWS,
    SERIES_REFERENCE,
    SERIES_ROWS,
    Experiment,
    all_runs,
    finished_runs,
    flag,
    make_missing,
)
from dfer.experiments.drawings import draw_example_clips, draw_scores
from dfer.experiments.hard_faces import HardFaces, Protocol
from dfer.experiments.statistics import MOST_SEEDS
from dfer.stopping import Stopped, stoppable

PROTOCOL = Path(__file__).parents[1] / "docs" / "experiments" / "protocol.json"
RENDERED = {entry.name: entry for entry in fields(Protocol)}


def experiment(args: argparse.Namespace, trainer: Sequence[str]) -> Experiment:
    given = {name: value for name, value in vars(args).items() if name in (*RENDERED, "workers")}
    if not trainer:
        workers = given.pop("workers", os.cpu_count() or 1)
        if workers < 1:
            raise BadInput(f"--workers: expected a whole number from 1, got {workers}")
        return HardFaces(Protocol(**given), workers)
    if given:
        raise BadInput(f"{flag(min(given))} is for the rendered faces; leave it out, or give it after -- to train.py")
    # Here: to import Lightning takes seconds.
    from dfer.experiments.trained_runs import TrainedRuns

    trained = TrainedRuns(tuple(trainer))
    trained.check(args.rows)
    return trained


def ablate(args: argparse.Namespace, trainer: Sequence[str]) -> None:
    if not 2 <= args.seeds <= MOST_SEEDS:
        raise BadInput(f"--seeds: expected 2 to {MOST_SEEDS}, for a spread and an exact test; got {args.seeds}")
    made_on = experiment(args, trainer)
    folder, runs = args.out / "runs", all_runs(args.rows, args.seeds, made_on.folds)
    make_missing(made_on, folder, runs)
    reference = SERIES_REFERENCE if args.rows[0] in SERIES_ROWS else REFERENCE
    summary = summarise(finished_runs(folder, runs, made_on.settings), args.rows, reference, made_on)
    table = markdown(summary)
    with whole_file(args.out / "ablation.json") as path:
        path.write_text(json.dumps(summary, indent=1) + "\n")
    with whole_file(args.out / "ablation.md") as path:
        path.write_text(table)
    draw_scores(args.out / "ablation.png", summary)
    if isinstance(made_on, HardFaces):
        draw_example_clips(args.out / "clips.png", made_on.protocol)
    print(f"\n{table}\ntable, numbers and pictures: {args.out.resolve()}")


def main(argv: Sequence[str] | None = None) -> int:
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    given = list(sys.argv[1:] if argv is None else argv)
    own = given.index("--") if "--" in given else len(given)
    parser = argparse.ArgumentParser(
        prog="ablation.py", usage="ablation.py [options] [-- options of train.py]", description=__doc__,
        formatter_class=Paragraphs,
    )  # fmt: skip
    rows = SERIES_ROWS if any(flag.partition("=")[0] == "--series" for flag in given[own:]) else tuple(ROWS)
    parser.add_argument("--rows", nargs="+", choices=rows, default=list(rows), metavar="ROW",
                        help=f"these alone, of {', '.join(ROWS)}, or on series {', '.join(SERIES_ROWS)}")  # fmt: skip
    parser.add_argument("--seeds", type=int, default=5, help="runs of each row, seeds 0, 1, 2, ... (5)")
    parser.add_argument("--out", type=Path, default=Path("runs/ablation"), help="folder of runs, table and pictures")
    series = parser.add_argument_group("Encoders on three sets of series, by the protocol in docs/experiments")
    series.add_argument("--series-sets", type=Path, metavar="FOLDER", help="what docs/series_sets.py made")
    series.add_argument("--sets", nargs="+", default=[], metavar="SET", help="these alone")
    series.add_argument("--report-only", action="store_true", help="tables of the seeds that are complete")
    series.add_argument("--protocol", type=Path, default=PROTOCOL, help="of the comparison (docs/experiments)")
    rendered = parser.add_argument_group("Rendered faces", argument_default=argparse.SUPPRESS)
    rendered.add_argument("--workers", type=int, help="processes, of one thread each (one a core)")
    for name, entry in RENDERED.items():
        rendered.add_argument(flag(name), type=int, help=f"{entry.metadata['help']} ({entry.default})")
    args = parser.parse_args(given[:own])
    args.rows = list(dict.fromkeys(args.rows))
    try:
        with stoppable():
            if args.series_sets is not None:
                # Here: to import Lightning takes seconds.
                from dfer.experiments.series_sets import compare

                compare(args.series_sets, args.sets, args.protocol, args.out, report_only=args.report_only)
            else:
                ablate(args, given[own + 1 :])
    except BadInput as error:
        # A loader's worker hands its error on inside a traceback, whose last line it is.
        print(f"ablation.py: {str(error).strip().splitlines()[-1]}", file=sys.stderr)
        return 2
    except Stopped as stop:
        print(f"ablation.py: {stop}; the same command makes the runs that are missing", file=sys.stderr)
        return stop.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
