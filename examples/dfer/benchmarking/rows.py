"""A row of the benchmark, its settings, and what every case needs to run something."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dfer.benchmarking.timing import interleaved_medians

LAYOUTS = {"NCHW": torch.contiguous_format, "channels_last": torch.channels_last}


@dataclass(frozen=True)
class Row:
    """One ratio: ours / peer, in the unit of both.

    ``group`` says in words what the row is one of; ``bound`` is the target of the ratio, if there is one.
    """

    group: str
    case: str
    peer: str
    unit: str
    ours: float
    theirs: float
    bound: float | None = None

    @property
    def ratio(self) -> float:
        return self.ours / self.theirs


@dataclass(frozen=True)
class Settings:
    device: str
    seconds: float

    def medians(self, runs: dict[str, Callable[[], object]], *, rounds: int = 7) -> dict[str, float]:
        return interleaved_medians(runs, seconds=self.seconds, device=self.device, rounds=rounds)

    @property
    def rounds_of_a_network(self) -> int:
        """A run of a network takes so long that the seconds alone would give few; a smoke test needs no more."""
        return 15 if self.seconds >= 1 else 1


def forward(layer: nn.Module, x: Tensor) -> Callable[[], object]:
    def run() -> object:
        with torch.no_grad():
            return layer(x)

    return run


def forward_backward(layer: nn.Module, x: Tensor) -> Callable[[], object]:
    leaf = x.clone().requires_grad_()
    parameters = list(layer.parameters())
    gradient = torch.randn_like(layer(x))

    def run() -> object:
        out = layer(leaf)
        return out, torch.autograd.grad(out, [leaf, *parameters], gradient)

    return run


def maps(shape: tuple[int, ...], layout: str, device: str) -> Tensor:
    return torch.randn(shape, device=device).to(memory_format=LAYOUTS[layout])


def named(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
