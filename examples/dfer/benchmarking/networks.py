"""Whole networks: AGDTNet against the same ResNet18 with averaging in time, and against Former-DFER."""

import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from agdt_layers import AGDTStream, ResNet18, build_agdtnet, fold_batch_norms
from dfer.benchmarking.launches import launches
from dfer.benchmarking.tables import Row
from dfer.benchmarking.timing import Run, forward, interleaved_medians, peak_bytes
from dfer.models import build_model

AGDTNET, HOST, FORMER = "AGDTNet", "ResNet18 + mean", "Former-DFER"
FRAMES = 16


def networks(device: str) -> dict[str, nn.Module]:
    """AGDTNet, its ResNet18 with averaging in time, and the nearest published system; new, in eval mode."""
    made: dict[str, nn.Module] = {
        AGDTNET: build_agdtnet(),
        HOST: build_agdtnet(attention="none", temporal="mean"),
        FORMER: build_model("former-dfer", 7),
    }
    return {name: net.to(device).eval() for name, net in made.items()}


def random_clips(batch: int, device: str) -> Tensor:
    return torch.randn(batch, FRAMES, 3, 112, 112, device=device)


def medians_of_networks(runs: Mapping[str, Run], device: str, seconds: float) -> dict[str, float]:
    """A network runs so long that the seconds alone would give few rounds; a test needs no more than one."""
    return interleaved_medians(runs, seconds=seconds, device=device, rounds=11 if seconds >= 1 else 1)


def whole_networks(device: str, seconds: float) -> Iterator[Row]:
    """Forward passes, launches, training steps and their memory."""
    nets = networks(device)
    for batch, bound in ((1, None), (4, 1.05)):
        runs = {name: forward(net, random_clips(batch, device)) for name, net in nets.items()}
        yield from _against(f"forward, batch {batch}", "ms", medians_of_networks(runs, device, seconds), bound)
    folded = {name: fold_batch_norms(net).model if name == AGDTNET else net for name, net in nets.items()}
    for what, each in (("launches, forward", nets), ("launches, forward, folded", folded)):
        counts = {name: len(launches(forward(net, random_clips(1, device)))) for name, net in each.items()}
        yield from _against(what, "launches", counts)
    steps = {name: _training_step(net.train(), random_clips(1, device)) for name, net in nets.items()}
    yield from _against("training step, batch 1", "ms", medians_of_networks(steps, device, seconds))
    peaks = {name: peak_bytes(step, device) / 2**20 for name, step in steps.items()}
    yield from _against("training step, batch 1, peak memory", "MiB", peaks)


def _training_step(net: nn.Module, clips: Tensor) -> Callable[[], object]:
    labels = torch.zeros(len(clips), dtype=torch.long, device=clips.device)

    def run() -> object:
        return torch.autograd.grad(cross_entropy(net(clips), labels), list(net.parameters()))

    return run


def _against(what: str, unit: str, figures: Mapping[str, float], bound: float | None = None) -> Iterator[Row]:
    """The target is that against the ResNet18; Former-DFER stands beside it."""
    for peer, target in ((HOST, bound), (FORMER, None)):
        yield Row(f"AGDTNet, {what}", peer, unit, figures[AGDTNET], figures[peer], target)


def stream(device: str, seconds: float) -> Iterator[Row]:
    """One push of a frame, and a push of a run, for one stream whose window is full.

    A run gives one answer a frame. Its peer is what an answer takes at the least: a frame's part of the whole clip's
    forward pass, and the part of one frame in a pass of the temporal encoder.
    """
    net = build_agdtnet(causal=True).to(device).eval()
    camera, file = AGDTStream(net), AGDTStream(net)
    clip = random_clips(1, device)
    frame = clip[:, 0].contiguous()
    camera.push(clip)
    file.push(clip)
    runs = {
        "frame": lambda: camera.push(frame),
        "run": lambda: file.push(clip),
        "alone": forward(ResNet18().to(device).eval(), frame),
        "clip": forward(net, clip),
        "encoder": forward(net.temporal, torch.randn(1, FRAMES, 512, device=device)),
    }
    medians = medians_of_networks(runs, device, seconds)
    yield Row("AGDTStream, one push", "ResNet18, a frame", "ms", medians["frame"], medians["alone"])
    yield Row("AGDTStream, one push", "the whole clip again", "ms", medians["frame"], medians["clip"])
    share = (medians["clip"] + medians["encoder"]) / FRAMES
    yield Row("AGDTStream, a frame in a run of 16", "its share of the clip and of the temporal encoder", "ms",
              medians["run"] / FRAMES, share, 1.25)  # fmt: skip


def import_time(seconds: float) -> Row:
    """What `import agdt_layers` takes after `import torch`, in fresh processes."""
    command = [sys.executable, "-X", "importtime", "-c", "import torch, agdt_layers"]
    milliseconds = []
    for _ in range(9 if seconds >= 1 else 1):
        log = subprocess.run(command, check=True, capture_output=True, text=True).stderr
        # A line is "import time: self | cumulative | module", in microseconds; those of submodules are indented.
        total = next(line.split("|")[1] for line in log.splitlines() if line.endswith("| agdt_layers"))
        milliseconds.append(int(total) / 1e3)
    return Row("import agdt_layers, after torch", "0.1 s", "ms", statistics.median(milliseconds), 100, 1.0)
