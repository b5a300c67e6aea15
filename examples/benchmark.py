"""Measure the layers and networks against their peers, print the tables, and write them with JSON and two pictures.

Every figure is a ratio of medians of interleaved runs, or of counts. What needs a package that is not installed
(timm with torchvision; onnx, onnxscript, onnxruntime) is skipped by name. With --device cuda the times are those of
CUDA events.
"""

import argparse
import json
import platform
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

import agdt_layers
from dfer.atomic_files import whole_file
from dfer.benchmarking import layers, networks
from dfer.benchmarking.deployed import deployed_rows, deployments, skipped_forms
from dfer.benchmarking.growth import growth
from dfer.benchmarking.launch_counts import launch_counts
from dfer.benchmarking.peers import skipped_peers
from dfer.benchmarking.plots import draw_growth, draw_ratios
from dfer.benchmarking.profile import shares
from dfer.benchmarking.rows import Row, Settings
from dfer.benchmarking.stream import stream
from dfer.benchmarking.tables import PROFILE_HEADER, figure, groups, missed, outcome, profile_row, span, tables
from dfer.benchmarking.timing import memory_bandwidth

CASES: Mapping[str, Callable[[Settings], Iterable[Row]]] = {
    "launches": launch_counts,
    "attention": layers.attention,
    "literal": layers.against_the_literal_form,
    "memory": layers.memory,
    "compiled": layers.compiled,
    "temporal": layers.temporal_encoder,
    "networks": networks.whole_networks,
    "stream": stream,
    "import": networks.import_time,
}
NAMES = [*CASES, "deployed", "growth", "profile"]


def measure(args: argparse.Namespace) -> dict[str, Any]:
    settings = Settings(args.device, args.seconds)
    rows: list[Row] = []
    curves, profiles, deployed = [], [], []
    for name in track(args.only or NAMES, description="measuring", console=Console(stderr=True)):
        torch.manual_seed(0)
        if name == "growth":
            curves = growth(Settings(args.device, args.seconds / 2))
        elif name == "profile":
            profiles = shares(settings)
        elif name == "deployed":
            deployed = deployments(settings)
            rows.extend(deployed_rows(deployed))
        else:
            rows.extend(CASES[name](settings))
    return {
        "versions": {"agdt_layers": agdt_layers.__version__, "torch": torch.__version__},
        "machine": _machine(args.device),
        "device": args.device,
        "threads": torch.get_num_threads(),
        "bandwidth_gb_per_s": memory_bandwidth(),
        "skipped": [*skipped_peers(), *skipped_forms()],
        "rows": [{**asdict(row), "ratio": row.ratio} for row in rows],
        "deployed": [asdict(each) for each in deployed],
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


def print_tables(report: dict[str, Any]) -> None:
    console = Console()
    table = Table("case", "peer", "ours", "peer's", "ratio", "target")
    for row in report["rows"]:
        bound = "" if row["bound"] is None else f"{row['bound']:.2f}"
        ours, theirs = (figure(row[side], row["unit"]) for side in ("ours", "theirs"))
        colour = "red" if missed(row) else "default"
        table.add_row(row["case"], row["peer"], ours, theirs, f"[{colour}]{row['ratio']:.2f}", bound)
    for curve in report["growth"]:
        table.add_row(f"{curve['layer']} against {curve['axis']}", "linear", "", "", f"{curve['slope']:.2f}", "")
    console.print(table)
    if report["profile"]:
        shown = Table(*PROFILE_HEADER, title="where a forward pass spends its time, in ms, under the profiler")
        for share in report["profile"]:
            shown.add_row(*profile_row(share))
        console.print(shown)
    summary = Table("what", "ratio", "target", "", title="targets")
    for group, each in groups(report).items():
        if each[0]["bound"] is not None:
            summary.add_row(group, span(each), f"{each[0]['bound']:.2f}", outcome(each))
    console.print(summary)
    bandwidth = report["bandwidth_gb_per_s"]
    versions = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
    console.print(f"{report['machine']}, {report['threads']} threads, {bandwidth:.1f} GB/s in one pass; {versions}")
    if report["skipped"]:
        console.print(f"skipped, as not installed: {', '.join(report['skipped'])}")


def write(folder: Path, report: dict[str, Any]) -> None:
    for name, text in {"benchmark.json": json.dumps(report, indent=1) + "\n", **tables(report)}.items():
        with whole_file(folder / name) as path:
            path.write_text(text)
    if any(row["bound"] is not None for row in report["rows"]):
        draw_ratios(folder / "ratios.png", report)
    if report["growth"]:
        draw_growth(folder / "growth.png", report)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="benchmark.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=NAMES, help="measure these cases alone")
    parser.add_argument("--seconds", type=float, default=2.0, help="for each group of interleaved runs (2)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--out", type=Path, default=Path("runs/benchmark"), help="folder of JSON, tables and pictures")
    parser.add_argument("--redraw", action="store_true", help="only make tables and pictures from the JSON in --out")
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
    write(args.out, report)
    print_tables(report)
    print(f"tables, numbers and pictures: {args.out.resolve()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
