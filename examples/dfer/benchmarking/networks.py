"""Whole networks: AGDTNet against the same ResNet18 with averaging in time, and against Former-DFER."""

import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from agdt_layers import build_agdtnet
from dfer.benchmarking.rows import Row, Settings, forward
from dfer.benchmarking.timing import peak_bytes
from dfer.models import build_model

AGDTNET, HOST, FORMER = "AGDTNet", "ResNet18 + mean", "Former-DFER"


def networks(device: str) -> dict[str, nn.Module]:
    """AGDTNet, its ResNet18 with averaging in time, and the nearest published system; new, in eval mode."""
    made: dict[str, nn.Module] = {
        AGDTNET: build_agdtnet(),
        HOST: build_agdtnet(attention="none", temporal="mean"),
        FORMER: build_model("former-dfer", 7),
    }
    return {name: net.to(device).eval() for name, net in made.items()}


def whole_networks(settings: Settings) -> Iterator[Row]:
    """Forward passes, training steps and their memory."""
    nets = networks(settings.device)
    for batch, bound in ((1, 1.08), (4, 1.05)):
        clips = random_clips(batch, settings.device)
        runs = {name: forward(net, clips) for name, net in nets.items()}
        medians = settings.medians(runs, rounds=settings.rounds_of_a_network)
        yield from _against(f"forward, batch {batch}", "ms", medians, bound)
    clips = random_clips(1, settings.device)
    steps = {name: _training_step(net.train(), clips) for name, net in nets.items()}
    medians = settings.medians(steps, rounds=settings.rounds_of_a_network)
    yield from _against("training step, batch 1", "ms", medians, 1.06)
    peaks = {name: peak_bytes(step, settings.device) / 2**20 for name, step in steps.items()}
    yield from _against("training step, batch 1, peak memory", "MiB", peaks, 1.10)


def random_clips(batch: int, device: str) -> Tensor:
    return torch.randn(batch, 16, 3, 112, 112, device=device)


def _training_step(net: nn.Module, clips: Tensor) -> Callable[[], object]:
    labels = torch.zeros(len(clips), dtype=torch.long, device=clips.device)

    def run() -> object:
        return torch.autograd.grad(cross_entropy(net(clips), labels), list(net.parameters()))

    return run


def _against(what: str, unit: str, figures: dict[str, float], bound: float) -> Iterator[Row]:
    """The target is that against the ResNet18; Former-DFER stands beside it."""
    for peer, target in ((HOST, bound), (FORMER, None)):
        group, case = f"AGDTNet, {what}, against {peer}", f"AGDTNet {what}"
        yield Row(group, case, peer, unit, figures[AGDTNET], figures[peer], target)


def import_time(settings: Settings) -> Iterator[Row]:
    """What `import agdt_layers` takes after `import torch`, in fresh processes."""
    command = [sys.executable, "-X", "importtime", "-c", "import torch, agdt_layers"]
    milliseconds = []
    for _ in range(9 if settings.seconds >= 1 else 1):
        log = subprocess.run(command, check=True, capture_output=True, text=True).stderr
        # A line is "import time: self | cumulative | module", in microseconds; those of submodules are indented.
        total = next(line.split("|")[1] for line in log.splitlines() if line.endswith("| agdt_layers"))
        milliseconds.append(int(total) / 1e3)
    yield Row("import agdt_layers, after torch, against 0.1 s", "import agdt_layers, after torch", "0.1 s", "ms",
              statistics.median(milliseconds), 100, 1.0)  # fmt: skip
