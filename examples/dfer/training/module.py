"""How a net is trained and measured, and what a checkpoint must hold for a run to go on exactly."""

import time
from collections.abc import Callable
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR, StepLR
from torchmetrics import MeanMetric
from torchmetrics.classification import MulticlassConfusionMatrix

from agdt_layers import AGDTNet
from dfer.data.clips import seeded
from dfer.evaluation.scores import scores_of

# From a net, the steps in an epoch and the epochs: an optimiser, its schedule, and how often that steps.
Recipe = Callable[[AGDTNet, int, int], tuple[Optimizer, LRScheduler, str]]


def from_scratch(net: AGDTNet, steps: int, epochs: int) -> tuple[Optimizer, LRScheduler, str]:
    """For a net without pretrained weights: the temporal encoder, which no batch norm steadies, takes smaller steps."""
    # Lists, never sets: a checkpoint finds the state of a parameter by its place in the group.
    temporal = [p for name, p in net.named_parameters() if name.startswith("temporal.")]
    rest = [p for name, p in net.named_parameters() if not name.startswith("temporal.")]
    groups = [{"params": rest, "lr": 4e-4}, {"params": temporal, "lr": 1e-4}]
    optimiser = AdamW([group for group in groups if group["params"]], weight_decay=0.05, fused=True)
    peaks = [group["lr"] for group in optimiser.param_groups]
    return optimiser, OneCycleLR(optimiser, max_lr=peaks, total_steps=steps * epochs, pct_start=0.2), "step"


def paper(net: AGDTNet, steps: int, epochs: int) -> tuple[Optimizer, LRScheduler, str]:
    """The paper's for DFEW and FERV39k, where the backbone is pretrained."""
    optimiser = SGD(net.parameters(), lr=1e-3, momentum=0.9, weight_decay=1e-4)
    return optimiser, StepLR(optimiser, step_size=7, gamma=0.5), "epoch"


RECIPES: dict[str, Recipe] = {"from-scratch": from_scratch, "paper": paper}


class Recognition(LightningModule):
    """`history` holds one row an epoch; `settings` travel in the checkpoint, so that another run's is not resumed."""

    def __init__(self, net: AGDTNet, *, classes: int, recipe: str, seed: int, settings: dict[str, Any]) -> None:
        super().__init__()
        self.net = net
        self.recipe, self.seed, self.settings = recipe, seed, settings
        self.history: list[dict[str, float]] = []
        self.training_loss = MeanMetric()
        self.evaluation_loss = MeanMetric()
        self.confusion = MulticlassConfusionMatrix(classes)

    def configure_optimizers(self) -> Any:
        epochs = int(self.trainer.max_epochs or 1)
        steps = int(self.trainer.estimated_stepping_batches) // epochs
        optimiser, schedule, interval = RECIPES[self.recipe](self.net, steps, epochs)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": interval}}

    def on_train_epoch_start(self) -> None:
        self.started = time.monotonic()

    def training_step(self, batch: tuple[Tensor, Tensor], step: int) -> Tensor:
        clips, labels = batch
        # Dropout draws from the global generator, as others do: tie it to the step, so that a resumed run draws alike.
        torch.manual_seed(seeded(self.seed, "dropout", self.current_epoch, step))
        loss = cross_entropy(self.net(clips), labels)
        self.training_loss.update(loss.detach())
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], _: int) -> None:
        clips, labels = batch
        logits = self.net(clips)
        self.evaluation_loss.update(cross_entropy(logits, labels))
        self.confusion.update(logits, labels)

    def on_train_epoch_end(self) -> None:
        scores = scores_of(self.confusion.compute())
        row = {
            "epoch": self.current_epoch + 1,
            "training_loss": float(self.training_loss.compute()),
            "validation_loss": float(self.evaluation_loss.compute()),
            "validation_uar": scores.uar,
            "validation_war": scores.war,
            "seconds": time.monotonic() - self.started,
        }
        self.history.append(row)
        self.print(
            f"epoch {row['epoch']:3}/{self.trainer.max_epochs}   loss {row['training_loss']:.3f}   "
            f"validation: loss {row['validation_loss']:.3f}   UAR {100 * scores.uar:5.1f} %   "
            f"WAR {100 * scores.war:5.1f} %   {row['seconds']:4.0f} s"
        )
        for metric in (self.training_loss, self.evaluation_loss, self.confusion):
            metric.reset()

    def test_step(self, batch: tuple[Tensor, Tensor], index: int) -> None:
        self.validation_step(batch, index)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["history"], checkpoint["settings"] = self.history, self.settings

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.history = checkpoint["history"]
