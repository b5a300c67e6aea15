"""Whole networks: AGDTNet against its ResNet18 with the mean over time, and against Former-DFER."""

import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from agdt_layers import AGDTStream, ResNet18, build_agdtnet, fold_batch_norms
from dfer.benchmarking.measuring import Run, forward, interleaved_medians, launches, peak_bytes
from dfer.benchmarking.report import Row
from dfer.models import build_model

AGDTNET, HOST, FORMER = "AGDTNet", "ResNet18 + mean", "Former-DFER"
FRAMES = 16


def networks(device: str) -> dict[str, nn.Module]:
    """Untrained AGDTNet, its ResNet18 with the mean over time, and Former-DFER, in eval mode."""
    made: dict[str, nn.Module] = {
        AGDTNET: build_agdtnet(),
        HOST: build_agdtnet(attention="none", temporal="mean"),
        FORMER: build_model("former-dfer", 7),
    }
    return {name: net.to(device).eval() for name, net in made.items()}


def random_clips(batch: int, device: str) -> Tensor:
    return torch.randn(batch, FRAMES, 3, 112, 112, device=device)


def medians_of_networks(runs: Mapping[str, Run], device: str, seconds: float) -> dict[str, float]:
    """Medians of at least 11 rounds, since networks are slow; of one round if ``seconds`` is below 1, as in tests."""
    return interleaved_medians(runs, seconds=seconds, device=device, rounds=11 if seconds >= 1 else 1)


def whole_networks(device: str, seconds: float) -> Iterator[Row]:
    """Time, launches and peak memory of forward passes and training steps."""
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
    """Compare AGDTNet with both peers; ``bound`` is the target against the ResNet18."""
    for peer, target in ((HOST, bound), (FORMER, None)):
        yield Row(f"AGDTNet, {what}", peer, unit, figures[AGDTNET], figures[peer], target)


def stream(device: str, seconds: float) -> Iterator[Row]:
    """Time a push of one frame and a push of 16 frames, in a stream whose window is full.

    A frame of the longer push is compared with the least that it can cost: a sixteenth of a forward pass of the clip
    and of one more pass of the temporal encoder.
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
    """Time of `import agdt_layers` after `import torch`, in fresh processes."""
    command = [sys.executable, "-X", "importtime", "-c", "import torch, agdt_layers"]
    milliseconds = []
    for _ in range(9 if seconds >= 1 else 1):
        log = subprocess.run(command, check=True, capture_output=True, text=True).stderr
        # Lines are "import time: self | cumulative | module" in microseconds; submodules are indented.
        total = next(line.split("|")[1] for line in log.splitlines() if line.endswith("| agdt_layers"))
        milliseconds.append(int(total) / 1e3)
    return Row("import agdt_layers, after torch", "0.1 s", "ms", statistics.median(milliseconds), 100, 1.0)
