"""How many kernels a GPU is asked to launch, counted on any machine."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from agdt_layers import AdaptiveGlobalAttention, SqueezeExcitation, fold_batch_norms
from dfer.benchmarking.launches import launches
from dfer.benchmarking.networks import AGDTNET, FORMER, networks, random_clips
from dfer.benchmarking.peers import peers
from dfer.benchmarking.rows import Row, Settings, forward, maps

SHAPE = (16, 64, 14, 14)
FOLDED = "AGDTNet folded"


def launch_counts(settings: Settings) -> Iterator[Row]:
    yield from _layers(settings)
    yield from _networks(settings)


def _layers(settings: Settings) -> Iterator[Row]:
    x = maps(SHAPE, "NCHW", settings.device)
    layers: dict[str, nn.Module] = {"AGA": AdaptiveGlobalAttention(SHAPE[1], num_frames=SHAPE[0])}
    layers |= {**peers(SHAPE[1]), "this package's SqueezeExcitation": SqueezeExcitation(SHAPE[1])}
    for way, prepare in (("forward", forward), ("forward + backward", _backward)):
        counts = {n: len(launches(prepare(layer.to(settings.device), x))) for n, layer in layers.items()}
        yield from _rows("AGA", way, counts)


def _backward(layer: nn.Module, x: Tensor) -> Callable[[], object]:
    leaf, gradient = x.clone().requires_grad_(), torch.randn_like(x)
    return lambda: layer(leaf).backward(gradient)


def _networks(settings: Settings) -> Iterator[Row]:
    nets = networks(settings.device)
    nets[FOLDED] = fold_batch_norms(nets[AGDTNET]).model
    clips = random_clips(1, settings.device)
    counts = {name: len(launches(forward(net, clips))) for name, net in nets.items()}
    folded = counts.pop(FOLDED)
    yield from _rows(AGDTNET, "forward", counts)
    yield Row(f"Launches of {FOLDED}, forward, against {FORMER}", f"launches of {FOLDED}, forward", FORMER,
              "launches", folded, counts[FORMER])  # fmt: skip


def _rows(ours: str, way: str, counts: dict[str, int]) -> Iterator[Row]:
    for peer, count in counts.items():
        if peer != ours:
            group, case = f"Launches of {ours}, {way}, against {peer}", f"launches of {ours}, {way}"
            yield Row(group, case, peer, "launches", counts[ours], count)
