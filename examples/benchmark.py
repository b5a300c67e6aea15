"""Measure the layers against comparable ones, print one table, and write it as JSON with two pictures.

Every figure is a ratio of medians of interleaved runs in this process. timm's layers are measured if timm is
installed. With --device cuda the times are those of CUDA events.
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
from rich.console import Console
from rich.progress import track
from rich.table import Table

import agdt_layers
from dfer.atomic_files import whole_file
from dfer.benchmarking.cases import CASES, Row, Settings
from dfer.benchmarking.growth import growth
from dfer.benchmarking.plots import draw_growth, draw_ratios
from dfer.benchmarking.profile import shares
from dfer.benchmarking.timing import memory_bandwidth

NAMES = [*CASES, "growth", "profile"]
PROFILE_HEADER = ["case", "layer", "the whole map", "vectors", "around", "operators"]


def measure(args: argparse.Namespace) -> dict[str, Any]:
    settings = Settings(args.device, args.seconds)
    rows: list[Row] = []
    names = args.only or NAMES
    curves, profiles = [], []
    for name in track(names, description="measuring", console=Console(stderr=True)):
        if name == "growth":
            curves = growth(settings)
        elif name == "profile":
            profiles = shares(settings)
        else:
            rows.extend(CASES[name](settings))
    return {
        "versions": {"agdt_layers": agdt_layers.__version__, "torch": torch.__version__},
        "machine": _machine(args.device),
        "threads": torch.get_num_threads(),
        "bandwidth_gb_per_s": memory_bandwidth(),
        "rows": [{**asdict(row), "ratio": row.ratio} for row in rows],
        "growth": [{**asdict(curve), "slope": curve.slope} for curve in curves],
        "profile": [asdict(share) for share in profiles],
    }


def _machine(device: str) -> str:
    if device == "cuda":
        return torch.cuda.get_device_name()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(": ")[1] for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def print_table(report: dict[str, Any]) -> None:
    console = Console()
    table = Table("target", "case", "peer", "ours", "peer's", "ratio", "bound")
    for row in report["rows"]:
        bound = "" if row["bound"] is None else f"{row['bound']:.2f}"
        colour = "red" if row["bound"] is not None and row["ratio"] > row["bound"] else ""
        figures = (
            f"{row['ours']:.2f} {row['unit']}",
            f"{row['theirs']:.2f}",
            f"[{colour or 'default'}]{row['ratio']:.2f}",
        )
        table.add_row(str(row["target"]), row["case"], row["peer"], *figures, bound)
    for curve in report["growth"]:
        table.add_row("6", f"{curve['layer']} against {curve['axis']}", "linear", "", "", f"{curve['slope']:.2f}", "")
    console.print(table)
    if report["profile"]:
        console.print(_profile_table(report))
    bandwidth = report["bandwidth_gb_per_s"]
    versions = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
    console.print(f"{report['machine']}, {report['threads']} threads, {bandwidth:.1f} GB/s in one pass; {versions}")


def _profile_table(report: dict[str, Any]) -> Table:
    table = Table(*PROFILE_HEADER, title="where a forward pass spends its time, in ms, under the profiler")
    for share in report["profile"]:
        table.add_row(*_profile_row(share))
    return table


def _profile_row(share: dict[str, Any]) -> list[str]:
    times = (f"{share[part]:.2f}" for part in ("whole_map", "vectors", "around"))
    return [share["case"], share["layer"], *times, str(share["calls"])]


def profile_markdown(report: dict[str, Any]) -> str:
    """The table of the profile, as the documentation includes it."""
    rows = [PROFILE_HEADER, ["---"] * 2 + ["--:"] * 4, *map(_profile_row, report["profile"])]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def markdown(report: dict[str, Any]) -> str:
    """The table as the documentation includes it."""
    lines = ["| case | peer | ratio | target | ours | peer's |", "|---|---|--:|--:|--:|--:|"]
    for row in report["rows"]:
        bound = "" if row["bound"] is None else f"{row['bound']:.2f}"
        missed = row["bound"] is not None and row["ratio"] > row["bound"]
        ratio = f"{row['ratio']:.2f} (missed)" if missed else f"**{row['ratio']:.2f}**"
        figures = f"{row['ours']:.2f} {row['unit']} | {row['theirs']:.2f} {row['unit']}"
        lines.append(f"| {row['case']} | {row['peer']} | {ratio} | {bound} | {figures} |")
    return "\n".join(lines) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="benchmark.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=NAMES, help="measure these cases alone")
    parser.add_argument("--seconds", type=float, default=3.0, help="for each group of interleaved runs (3)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--out", type=Path, default=Path("runs/benchmark"), help="folder of JSON and pictures")
    parser.add_argument("--redraw", action="store_true", help="only make table and pictures from the JSON in --out")
    args = parser.parse_args(argv)
    source = args.out / "benchmark.json"
    if args.device == "cuda" and not torch.cuda.is_available():
        print("benchmark.py: --device cuda, but torch sees no CUDA device here. Leave it out.", file=sys.stderr)
        return 2
    if args.redraw and not source.is_file():
        print(f"benchmark.py: --redraw reads {source}, which is not there. Measure first.", file=sys.stderr)
        return 2
    args.out.mkdir(parents=True, exist_ok=True)
    report = json.loads(source.read_text()) if args.redraw else measure(args)
    with whole_file(source) as path:
        path.write_text(json.dumps(report, indent=1) + "\n")
    with whole_file(args.out / "benchmark.md") as path:
        path.write_text(markdown(report))
    with whole_file(args.out / "profile.md") as path:
        path.write_text(profile_markdown(report))
    if report["rows"]:
        draw_ratios(args.out / "ratios.png", report)
    if report["growth"]:
        draw_growth(args.out / "growth.png", report)
    print_table(report)
    print(f"table, numbers and pictures: {args.out.resolve()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
