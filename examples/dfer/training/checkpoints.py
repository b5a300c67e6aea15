"""The two checkpoints of a run: the last epoch, to go on from, and the best on the validation clips, to keep."""

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from dfer.atomic_files import whole_file
from dfer.bad_input import BadInput
from dfer.training.module import Recognition


class BestAndLast(Checkpoint):
    """Both files are whole at any moment.

    Lightning's own ModelCheckpoint goes through the temporary folder, which may lie on another disk: then its last step
    is a copy, and a copy can be cut short.
    """

    def __init__(self, folder: Path) -> None:
        self.best, self.last = folder / "best.ckpt", folder / "last.ckpt"
        self.best_uar, self.best_epoch = -1.0, 0

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, Recognition)
        row = pl_module.history[-1]
        if row["validation_uar"] > self.best_uar:
            self.best_uar, self.best_epoch = row["validation_uar"], int(row["epoch"])
            with whole_file(self.best) as path:
                trainer.save_checkpoint(path, weights_only=True)
        with whole_file(self.last) as path:
            trainer.save_checkpoint(path)

    def state_dict(self) -> dict[str, Any]:
        return {"best_uar": self.best_uar, "best_epoch": self.best_epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best_uar, self.best_epoch = state_dict["best_uar"], state_dict["best_epoch"]

    def forget(self) -> None:
        """A new run in an old folder: what lies there is another run's and must not be resumed."""
        self.best.unlink(missing_ok=True)
        self.last.unlink(missing_ok=True)

    def epochs_done(self, settings: dict[str, Any]) -> int:
        """How far the run of these settings has come; another run's checkpoint is refused."""
        if not self.last.is_file():
            raise BadInput(f"--resume: there is no checkpoint {self.last}; start without --resume, or name its --out")
        checkpoint = torch.load(self.last, map_location="cpu", weights_only=True)
        started = checkpoint["settings"]
        for name, value in settings.items():
            if started.get(name) != value:
                flag, before = "--" + name.replace("_", "-"), started.get(name)
                raise BadInput(
                    f"--resume: {self.last.parent} was started with {flag} {before}, not {value}; give the same"
                )
        return int(checkpoint["epoch"]) + 1
