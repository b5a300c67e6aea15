"""How a model is optimised, by name: optimiser, schedule, and the order in which clips are drawn.

`dfew`, `ferv39k` and `daisee` are the paper's; that the backbone is pretrained for them is this package's choice.
`rendered` is for training from scratch.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from torch import nn
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts, LRScheduler, OneCycleLR, StepLR


@dataclass(frozen=True)
class Recipe:
    optimiser: Callable[[nn.Module], Optimizer]
    schedule: Callable[[Optimizer, int, int], LRScheduler]
    """From an optimiser, the steps of an epoch and the epochs."""
    steps_every: Literal["step", "epoch"]
    """How often the schedule moves."""
    epochs: int = 100
    batch_size: int = 40
    dropout: float = 0.0
    balanced: bool = False
    """Clips are drawn with replacement, every class equally often."""


def parameter_groups(model: nn.Module, learning_rates: dict[str, float]) -> list[dict[str, Any]]:
    """One group for each prefix of parameter names, the first that fits; the prefix "" takes what is left.

    Groups are lists in the model's own order, never sets: a checkpoint finds the state of a parameter by its place.
    """
    groups: dict[str, list[nn.Parameter]] = {prefix: [] for prefix in learning_rates}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups[next(prefix for prefix in learning_rates if name.startswith(prefix))].append(parameter)
    return [{"params": found, "lr": learning_rates[prefix]} for prefix, found in groups.items() if found]


def sgd(model: nn.Module) -> Optimizer:
    return SGD(parameter_groups(model, {"": 1e-3}), momentum=0.9, weight_decay=1e-4)


def adamw(model: nn.Module) -> Optimizer:
    """A temporal encoder, which no batch norm steadies, takes smaller steps."""
    return AdamW(parameter_groups(model, {"temporal.": 1e-4, "": 4e-4}), weight_decay=0.05, fused=True)


def halved_every_seven_epochs(optimiser: Optimizer, steps: int, epochs: int) -> LRScheduler:
    return StepLR(optimiser, step_size=7, gamma=0.5)


def cosine_with_warm_restarts(optimiser: Optimizer, steps: int, epochs: int) -> LRScheduler:
    return CosineAnnealingWarmRestarts(optimiser, T_0=10, T_mult=2)


class OneCycle(OneCycleLR):
    """Restores where a run stands, not how long it was to be: a resumed run may have more epochs."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.last_epoch = state_dict["last_epoch"]


def one_cycle(optimiser: Optimizer, steps: int, epochs: int) -> LRScheduler:
    peaks = [group["lr"] for group in optimiser.param_groups]
    return OneCycle(optimiser, max_lr=peaks, total_steps=steps * epochs, pct_start=0.2)


RECIPES = {
    "rendered": Recipe(adamw, one_cycle, "step", epochs=3, batch_size=8, dropout=0.1),
    "dfew": Recipe(sgd, halved_every_seven_epochs, "epoch"),
    "ferv39k": Recipe(sgd, halved_every_seven_epochs, "epoch"),
    "daisee": Recipe(sgd, cosine_with_warm_restarts, "epoch", balanced=True),
}
