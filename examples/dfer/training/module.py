"""How a model is trained and measured, and what a checkpoint must hold for a run to go on exactly."""

import math
import time
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torchmetrics.classification import MulticlassConfusionMatrix

from dfer.bad_input import BadInput
from dfer.data.augmentation import prepare
from dfer.data.clips import seeded
from dfer.evaluation.scores import scores_of
from dfer.training.recipes import Recipe

# Steps between two looks at the training loss: to look makes a GPU wait.
LOOK_EVERY = 20


class MeanOverClips:
    """Of losses that are means over batches. NaN comes through: torchmetrics' mean drops it, or drops the weights."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.total, self.clips = torch.zeros(()), 0

    def update(self, loss: Tensor, clips: int) -> None:
        self.total = self.total.to(loss.device) + loss * clips
        self.clips += clips

    def compute(self) -> Tensor:
        return self.total / self.clips


class Recognition(LightningModule):
    """Any model of clips (B, T, 3, H, W) with scores (B, classes). `history` holds one row an epoch.

    `identity` travels in the checkpoint, so that another run's is not resumed.
    """

    def __init__(
        self,
        net: nn.Module,
        *,
        classes: int,
        recipe: Recipe,
        steps: int,
        seed: int,
        identity: dict[str, Any],
        augmented: bool,
    ) -> None:
        super().__init__()
        self.augmented = augmented
        self.net = net
        self.recipe, self.steps, self.seed, self.identity = recipe, steps, seed, identity
        self.history: list[dict[str, float]] = []
        self.training_loss, self.evaluation_loss = MeanOverClips(), MeanOverClips()
        self.confusion = MulticlassConfusionMatrix(classes)

    def configure_optimizers(self) -> Any:
        optimiser = self.recipe.optimiser(self.net)
        schedule = self.recipe.schedule(optimiser, self.steps, int(self.trainer.max_epochs or 1))
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": self.recipe.steps_every}}

    def on_after_batch_transfer(self, batch: tuple[Tensor, ...], _: int) -> tuple[Tensor, Tensor]:
        """Augment a training batch (clips, draws, labels), and normalise; on the device."""
        clips, *draws, labels = batch
        return prepare(clips, draws[0] if draws and self.augmented else None), labels

    def on_train_epoch_start(self) -> None:
        self.started = time.monotonic()

    def training_step(self, batch: tuple[Tensor, Tensor], step: int) -> Tensor:
        clips, labels = batch
        # Dropout draws from the global generator, as others do: tie it to the step, so that a resumed run draws alike.
        torch.manual_seed(seeded(self.seed, "dropout", self.current_epoch, step))
        loss = cross_entropy(self.net(clips), labels)
        self.training_loss.update(loss.detach(), len(labels))
        if step % LOOK_EVERY == 0:
            self._stop_unless_finite(loss.detach())
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], _: int) -> None:
        clips, labels = batch
        logits = self.net(clips)
        self.evaluation_loss.update(cross_entropy(logits, labels), len(labels))
        self.confusion.update(logits, labels)

    def on_train_epoch_end(self) -> None:
        scores = scores_of(self.confusion.compute())
        row = {
            "epoch": self.current_epoch + 1,
            "training_loss": self._stop_unless_finite(self.training_loss.compute()),
            "validation_loss": self._stop_unless_finite(self.evaluation_loss.compute()),
            "validation_uar": scores.uar,
            "validation_war": scores.war,
            "seconds": time.monotonic() - self.started,
        }
        self.history.append(row)
        # No wider than a terminal of 80 columns.
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

    def test_step(self, batch: tuple[Tensor, Tensor], index: int) -> None:
        self.validation_step(batch, index)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["history"], checkpoint["identity"] = self.history, self.identity

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.history = checkpoint["history"]
