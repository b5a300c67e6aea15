"""Measure the layers and networks against their peers.

Prints tables and writes them to a folder with JSON and a chart. Each time is a median of interleaved runs, taken with
CUDA events on a GPU. Cases that need missing packages (timm with torchvision; onnx, onnxscript and onnxruntime) are
skipped and named.
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
from rich.markdown import Markdown

import agdt_layers
from dfer.arguments import Paragraphs
from dfer.atomic_files import whole_file
from dfer.benchmarking.deployed import deployed_rows, deployments, skipped_forms
from dfer.benchmarking.layers import layer_costs, skipped_peers, temporal_encoder
from dfer.benchmarking.networks import import_time, stream, whole_networks
from dfer.benchmarking.report import Row, draw_deployed, tables
from dfer.progress import track

NAMES = ("layers", "temporal", "networks", "stream", "import", "deployed")


def measure(args: argparse.Namespace) -> dict[str, Any]:
    device, seconds = args.device, args.seconds
    rows: list[Row] = []
    layers, deployed = [], []
    names = args.only or NAMES
    for name in track(names, "measuring", len(names)):
        torch.manual_seed(0)
        if name == "layers":
            layers = list(layer_costs(device, seconds))
        elif name == "temporal":
            rows.append(temporal_encoder(device, seconds))
        elif name == "networks":
            rows.extend(whole_networks(device, seconds))
        elif name == "stream":
            rows.extend(stream(device, seconds))
        elif name == "import":
            rows.append(import_time(seconds))
        else:
            deployed = deployments(device, seconds)
            rows.extend(deployed_rows(deployed))
    return {
        "versions": {"agdt_layers": agdt_layers.__version__, "torch": torch.__version__},
        "machine": _machine(device),
        "device": device,
        "threads": torch.get_num_threads(),
        "skipped": [*skipped_peers(), *skipped_forms()],
        "rows": [{**asdict(row), "ratio": row.ratio} for row in rows],
        "layers": [asdict(cost) for cost in layers],
        "deployed": [asdict(each) for each in deployed],
    }


def _machine(device: str) -> str:
    if device == "cuda":
        return torch.cuda.get_device_name()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(": ")[1] for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def write(folder: Path, report: dict[str, Any]) -> None:
    for name, text in {"benchmark.json": json.dumps(report, indent=1) + "\n", **tables(report)}.items():
        with whole_file(folder / name) as path:
            path.write_text(text)
    if report["deployed"]:
        draw_deployed(folder / "deployed.png", report)


def print_tables(report: dict[str, Any]) -> None:
    console = Console()
    for text in tables(report).values():
        if text.count("\n") > 2:
            console.print(Markdown(text))
    versions = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
    console.print(f"{report['machine']}, {report['threads']} threads; {versions}")
    if report["skipped"]:
        console.print(f"skipped, package not installed: {', '.join(report['skipped'])}")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="benchmark.py", description=__doc__, formatter_class=Paragraphs)
    parser.add_argument(
        "--only", nargs="+", choices=NAMES, metavar="CASE", help=f"measure only these cases, of {', '.join(NAMES)}"
    )
    parser.add_argument("--seconds", type=float, default=2.0, help="measuring time for each group of runs (2)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--out", type=Path, default=Path("runs/benchmark"), help="output folder (runs/benchmark)")
    parser.add_argument("--redraw", action="store_true", help="write tables and chart from the JSON in --out")
    args = parser.parse_args(argv)
    source = args.out / "benchmark.json"
    if args.device == "cuda" and not torch.cuda.is_available():
        print("benchmark.py: --device cuda: torch finds no CUDA device; leave --device out", file=sys.stderr)
        return 2
    if args.redraw and not source.is_file():
        print(f"benchmark.py: --redraw: {source} not found; run without --redraw first", file=sys.stderr)
        return 2
    try:
        args.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        print(f"benchmark.py: --out {args.out}: cannot be written to ({error.strerror})", file=sys.stderr)
        return 2
    report = json.loads(source.read_text()) if args.redraw else measure(args)
    write(args.out, report)
    print_tables(report)
    print(f"tables, JSON and chart: {args.out.resolve()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
