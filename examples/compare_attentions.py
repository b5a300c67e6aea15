"""Compare ten small CNNs with and without attention on Fashion-MNIST, over several seeds.

docs/experiments/protocol.json defines rows, seeds and tests. Each run has a record file. Run the same command again to
make the missing runs.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import Any

from dfer.arguments import Paragraphs
from dfer.atomic_files import whole_file
from dfer.errors import BadInput
from dfer.experiments.campaign import Result, finished_runs
from dfer.experiments.drawings import draw_pictures
from dfer.experiments.pictures import Pictures, Protocol, Run, make, markdown, read_pictures, summarise
from dfer.lock import one_at_a_time
from dfer.progress import track

PROTOCOL = Path(__file__).parents[1] / "docs" / "experiments" / "protocol.json"


def compare(args: argparse.Namespace) -> None:
    protocol, out = Protocol.read(args.protocol), args.out
    out.mkdir(parents=True, exist_ok=True)
    with one_at_a_time(out / ".lock", f"{out}: another process is writing there; wait until it ends"):
        if args.report_only:
            done = finished_runs(out, protocol.runs(), protocol.settings)
        else:
            done = make_missing(out, protocol, read_pictures(args.fashion_mnist, protocol))
    summary = summarise(protocol, done)
    print(table := markdown(summary))
    with whole_file(out / "pictures.json") as path:
        path.write_text(json.dumps(summary, indent=1) + "\n")
    with whole_file(out / "pictures.md") as path:
        path.write_text(table)
    draw_pictures(out / "pictures.png", summary)
    print(f"tables, numbers and picture: {out.resolve()}")


def make_missing(out: Path, protocol: Protocol, pictures: Pictures) -> dict[Run, Result]:
    """Make the missing runs. Finished runs on other pictures are refused."""
    read = {"pictures_sha256": pictures.sha256}

    def settings(run: Run) -> dict[str, Any]:
        return protocol.settings(run) | read

    done = finished_runs(out, protocol.runs(), settings)
    missing = [planned for planned in protocol.runs() if planned not in done]
    for made, record in track(make(out, pictures, settings, missing), "runs", len(missing)):
        done[made] = record
        print(f"{made.name:>36}  accuracy {100 * record['accuracy']:6.2f} %  {record['core_seconds']:5.1f} s")
    return done


def main(argv: Sequence[str] | None = None) -> int:
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    parser = argparse.ArgumentParser(prog="compare_attentions.py", description=__doc__, formatter_class=Paragraphs)
    parser.add_argument("--fashion-mnist", type=Path, metavar="DIR", required=True, help="with its four files")
    parser.add_argument("--out", type=Path, default=Path("runs/comparison"), help="folder of runs, tables and picture")
    parser.add_argument("--protocol", type=Path, default=PROTOCOL, help="of the runs (docs/experiments/protocol.json)")
    parser.add_argument("--report-only", action="store_true", help="make no run; tables of those that are there")
    args = parser.parse_args(argv)
    try:
        compare(args)
    except BadInput as error:
        print(f"compare_attentions.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
