"""Networks as they are deployed, side by side: eager, folded, compiled, in bfloat16, and in onnxruntime."""

import copy
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim

from agdt_layers import fold_batch_norms
from dfer.benchmarking.networks import AGDTNET, FORMER, HOST, networks, random_clips
from dfer.benchmarking.rows import Row, Settings, forward

EAGER, FOLDED, COMPILED, BFLOAT16, ONNX = "eager", "folded", "compiled", "bfloat16", "onnxruntime"
EXAMPLES = Path(__file__).parents[2]
# Ours in one form against a peer in another, with the target.
RATIOS = (
    (FOLDED, FORMER, EAGER, None),
    (FOLDED, HOST, EAGER, None),
    (ONNX, FORMER, ONNX, None),
    (COMPILED, AGDTNET, EAGER, None),
    (BFLOAT16, AGDTNET, EAGER, 1 / 1.8),
)


@dataclass(frozen=True)
class Deployment:
    """The milliseconds that a network takes for one clip of 16 frames, in one form."""

    network: str
    form: str
    milliseconds: float


def deployments(settings: Settings) -> list[Deployment]:
    """Measure every network in every form that is installed; onnxruntime on a CPU alone."""
    nets, clips = networks(settings.device), random_clips(1, settings.device)
    runs = {(name, form): run for name, net in nets.items() for form, run in _forms(net, clips)}
    named = settings.medians({"/".join(key): run for key, run in runs.items()}, rounds=settings.rounds_of_a_network)
    found = [Deployment(*key, named["/".join(key)]) for key in runs]
    if settings.device == "cpu" and not skipped_forms():
        found += [Deployment(name, ONNX, each) for name, each in in_onnxruntime(nets, clips, settings).items()]
    return found


def skipped_forms() -> Sequence[str]:
    """Say that ONNX is left out, if what it needs is not installed."""
    found = all(importlib.util.find_spec(package) for package in ("onnx", "onnxscript", "onnxruntime"))
    return () if found else (ONNX,)


def deployed_rows(found: list[Deployment]) -> Iterator[Row]:
    times = {(each.network, each.form): each.milliseconds for each in found}
    for form, peer, peers_form, bound in RATIOS:
        if (AGDTNET, form) in times:
            theirs = f"{peer}, {peers_form}"
            group = f"AGDTNet, forward, {form}, against {theirs}"
            ours = times[AGDTNET, form]
            yield Row(group, f"AGDTNet forward, {form}", theirs, "ms", ours, times[peer, peers_form], bound)


def _forms(net: nn.Module, clips: Tensor) -> Iterator[tuple[str, Callable[[], object]]]:
    compiled: Any = torch.compile(net)
    # Former-DFER itself cannot be traced, its backbone can.
    folded: Any = copy.deepcopy(net)
    folded.backbone = fold_batch_norms(folded.backbone).model
    folded.to(memory_format=torch.channels_last)
    half: Any = copy.deepcopy(net).bfloat16()
    half.to(memory_format=torch.channels_last)
    yield EAGER, forward(net, clips)
    yield FOLDED, forward(folded, clips)
    yield COMPILED, forward(compiled, clips)
    yield BFLOAT16, forward(half, clips.bfloat16())


def write_onnx(net: nn.Module, clips: Tensor, path: Path) -> None:
    """Export with batch and frames dynamic, as far as the network lets them be: Former-DFER's frames are fixed."""
    with warnings.catch_warnings():
        # The exporter's own use of torch; nothing that a network does.
        warnings.simplefilter("ignore")
        # A size of one would be taken for fixed.
        example = clips.repeat(2, 1, 1, 1, 1)
        sizes = ({0: Dim.DYNAMIC, 1: Dim.AUTO},)
        with torch.no_grad():
            torch.onnx.export(net, (example,), path, dynamo=True, dynamic_shapes=sizes, verbose=False)


def in_onnxruntime(nets: dict[str, nn.Module], clips: Tensor, settings: Settings) -> dict[str, float]:
    """Give the milliseconds of every network in onnxruntime, exported here, in a process without torch."""
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for name, net in nets.items():
            files.append(str(Path(folder, f"{name}.onnx")))
            write_onnx(net, clips, Path(files[-1]))
        options = {"seconds": settings.seconds, "rounds": settings.rounds_of_a_network, "shape": list(clips.shape)}
        command = [sys.executable, "-m", "dfer.benchmarking.onnx_process"]
        arguments = [json.dumps({**options, "threads": torch.get_num_threads()}), *files]
        paths = os.pathsep.join(filter(None, (str(EXAMPLES), os.environ.get("PYTHONPATH"))))
        printed = subprocess.run(
            [*command, *arguments],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": paths},
        ).stdout
    times: dict[str, float] = json.loads(printed)
    return dict(zip(nets, times.values(), strict=True))
