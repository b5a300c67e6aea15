"""Training and evaluation of a model, and the state that a checkpoint needs for an exact resumption."""

import math
import time
from collections.abc import Callable
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torchmetrics.classification import MulticlassConfusionMatrix

from dfer.data.augmentation import prepare
from dfer.data.clips import seeded
from dfer.errors import BadInput
from dfer.evaluation.scores import scores_of
from dfer.training.optimisation import make_optimiser, make_schedule
from dfer.training.settings import TrainingSettings

# Steps between two checks of the training loss. Reading it makes a GPU wait.
CHECK_EVERY = 20


class MeanOverClips:
    """Mean loss. Keeps NaN, which the mean of torchmetrics drops."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.total_and_clips = torch.zeros(2)

    def update(self, losses: Tensor, counted: Tensor) -> None:
        # No value is read, which would make a GPU wait.
        added = torch.stack([(losses * counted).sum(), counted.sum()])
        self.total_and_clips = self.total_and_clips.to(losses.device) + added

    def compute(self, sum_up: Callable[[Tensor], Tensor]) -> Tensor:
        """The mean over the clips of all processes; `sum_up` adds a tensor over the processes."""
        total, clips = sum_up(self.total_and_clips)
        return total / clips


class Recognition(LightningModule):
    """Any model that maps clips (B, T, ...) to scores (B, classes). `history` has one row per epoch.

    A batch ends with labels and the weights of SharedBatches, 0 for a clip that another process counts. The checkpoint
    holds `identity` and `records`, so that only the same run is resumed and the record of its start is kept.
    """

    def __init__(
        self,
        net: nn.Module,
        *,
        classes: int,
        settings: TrainingSettings,
        steps: int,
        identity: dict[str, Any],
        records: list[dict[str, Any]],
        augmented: bool,
    ) -> None:
        super().__init__()
        self.augmented = augmented
        self.net = net
        # A function, not a module, so that the names in a checkpoint are the same for a compiled net.
        self.compiled = torch.compile(net.forward) if settings.compile else None
        self.settings, self.steps, self.identity, self.records = settings, steps, identity, records
        self.history: list[dict[str, float]] = []
        self.training_loss, self.evaluation_loss = MeanOverClips(), MeanOverClips()
        self.confusion = MulticlassConfusionMatrix(classes)

    def configure_optimizers(self) -> Any:
        optimiser = make_optimiser(self.settings, self.net)
        schedule, interval = make_schedule(self.settings, optimiser, steps=self.steps)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": interval}}

    def on_after_batch_transfer(self, batch: tuple[Tensor, ...], _: int) -> tuple[Tensor, Tensor, Tensor]:
        """Augment a training batch (clips, draws, labels, weights) and normalise it, on the device."""
        clips, *draws, labels, weights = batch
        return prepare(clips, draws[0] if draws and self.augmented else None), labels, weights

    def scores(self, clips: Tensor) -> Tensor:
        return self.net(clips) if self.compiled is None else self.compiled(clips)

    def on_train_epoch_start(self) -> None:
        self.started = time.monotonic()

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor], step: int) -> Tensor:
        clips, labels, weights = batch
        # Dropout uses the global generator. Seed it by step, so that a resumed run draws the same numbers.
        torch.manual_seed(seeded(self.settings.seed, "dropout", self.current_epoch, step, self.global_rank))
        losses = cross_entropy(self.scores(clips), labels, reduction="none")
        self.training_loss.update(losses.detach(), weights > 0)
        loss = (losses * weights).sum()
        if step % CHECK_EVERY == 0:
            self._stop_unless_finite(self.sum_up(loss.detach()))
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor, Tensor], _: int) -> None:
        clips, labels, weights = batch
        logits, counted = self.scores(clips), weights > 0
        self.evaluation_loss.update(cross_entropy(logits, labels, reduction="none"), counted)
        self.confusion.update(logits[counted], labels[counted])

    test_step = validation_step

    def sum_up(self, value: Tensor) -> Tensor:
        """The sum over all processes, in each of them."""
        # reduce adds in place, so give it a copy.
        return torch.as_tensor(self.trainer.strategy.reduce(value.clone(), reduce_op="sum"))

    def on_train_epoch_end(self) -> None:
        scores = scores_of(self.confusion.compute())
        row = {
            "epoch": self.current_epoch + 1,
            "training_loss": self._stop_unless_finite(self.training_loss.compute(self.sum_up)),
            "validation_loss": self._stop_unless_finite(self.evaluation_loss.compute(self.sum_up)),
            "validation_uar": scores.uar,
            "validation_war": scores.war,
            "seconds": time.monotonic() - self.started,
        }
        self.history.append(row)
        # At most 80 columns.
        self.print(
            f"epoch {row['epoch']:3}/{self.trainer.max_epochs}  loss {row['training_loss']:.3f}  "
            f"validation loss {row['validation_loss']:.3f}  UAR {100 * scores.uar:5.1f} %  "
            f"WAR {100 * scores.war:5.1f} %{row['seconds']:5.0f} s"
        )
        for metric in (self.training_loss, self.evaluation_loss, self.confusion):
            metric.reset()

    def _stop_unless_finite(self, loss: Tensor) -> float:
        value = float(loss)
        if not math.isfinite(value):
            done = len(self.history)
            keep = f", or give --resume --epochs {done} to keep the best of those before" if done else ""
            raise BadInput(
                f"the loss is {value} in epoch {done + 1}; try --precision float32 or another --recipe{keep}"
            )
        return value

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint |= {"history": self.history, "identity": self.identity, "records": self.records}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.history = checkpoint["history"]
