"""Optimiser and schedule of a run, from its settings."""

from typing import Any, Literal

from torch import nn
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts, LRScheduler, OneCycleLR, StepLR

from dfer.training.recipes import RECIPES
from dfer.training.settings import TrainingSettings


def parameter_groups(model: nn.Module, learning_rates: dict[str, float]) -> list[dict[str, Any]]:
    """One group per prefix of parameter names; the first matching prefix counts, and "" matches all.

    Groups keep the order of the model, since a checkpoint finds the state of a parameter by its position.
    """
    groups: dict[str, list[nn.Parameter]] = {prefix: [] for prefix in learning_rates}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups[next(prefix for prefix in learning_rates if name.startswith(prefix))].append(parameter)
    return [{"params": found, "lr": learning_rates[prefix]} for prefix, found in groups.items() if found]


def make_optimiser(settings: TrainingSettings, model: nn.Module) -> Optimizer:
    assert settings.learning_rate is not None
    assert settings.weight_decay is not None
    rates = {"": settings.learning_rate}
    if settings.temporal_learning_rate is not None:
        rates = {"temporal.": settings.temporal_learning_rate, **rates}
    groups = parameter_groups(model, rates)
    if RECIPES[settings.recipe].optimiser == "adamw":
        return AdamW(groups, weight_decay=settings.weight_decay, fused=True)
    assert settings.momentum is not None
    return SGD(groups, momentum=settings.momentum, weight_decay=settings.weight_decay)


class OneCycle(OneCycleLR):
    """Restores the position of a run but not its length: a resumed run may have more epochs."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.last_epoch = state_dict["last_epoch"]


def make_schedule(
    settings: TrainingSettings, optimiser: Optimizer, *, steps: int
) -> tuple[LRScheduler, Literal["step", "epoch"]]:
    """The schedule and how often it steps; `steps` is the number of steps per epoch."""
    schedule = RECIPES[settings.recipe].schedule
    if schedule == "one-cycle":
        peaks = [group["lr"] for group in optimiser.param_groups]
        return OneCycle(optimiser, max_lr=peaks, total_steps=steps * settings.epochs, pct_start=0.2), "step"
    if schedule == "restarts":
        assert settings.restart_after is not None
        assert settings.restart_factor is not None
        return CosineAnnealingWarmRestarts(optimiser, settings.restart_after, settings.restart_factor), "epoch"
    assert settings.step_size is not None
    assert settings.gamma is not None
    return StepLR(optimiser, settings.step_size, settings.gamma), "epoch"
