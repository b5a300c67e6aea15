"""The checkpoint of a run: one file, replaced atomically, with the last epoch to resume and the best to keep."""

import io
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from dfer.atomic_files import whole_file
from dfer.errors import BadInput
from dfer.training.module import Recognition


class WholeFiles(TorchCheckpointIO):
    """Writes atomically.

    Lightning goes through the temporary folder. On another disk its last step is a copy, which can be cut short.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        content = io.BytesIO()
        torch.save(checkpoint, content)
        with whole_file(Path(path)) as beside:
            beside.write_bytes(content.getbuffer())


class BestAndLast(Checkpoint):
    """The best epoch has the highest validation UAR, then the lowest loss; with --select-on last it is the last.

    One file holds both, since a kill between two writes would leave two files that disagree.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.best: dict[str, Any] = {}

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, Recognition)
        row = pl_module.history[-1]
        if not self.best or pl_module.settings.select_on == "last" or rank(row) > rank(self.best["row"]):
            self.best = {"row": row, "net": {k: v.cpu().clone() for k, v in pl_module.net.state_dict().items()}}
        trainer.save_checkpoint(self.path)

    def state_dict(self) -> dict[str, Any]:
        return self.best

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best = state_dict


def rank(row: dict[str, float]) -> tuple[float, float]:
    return row["validation_uar"], -row["validation_loss"]


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read the checkpoint of a run of train.py."""
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise BadInput(f"--resume: no checkpoint {path}; start without --resume, or give the run's --out") from None
    except Exception:  # Other bytes raise errors of many kinds.
        raise BadInput(f"--resume: {path} is damaged or no checkpoint; start again in another --out") from None
    expected = {"state_dict", "optimizer_states", "loops", "callbacks", "epoch", "history", "identity", "records"}
    if not isinstance(checkpoint, dict) or not expected <= checkpoint.keys():
        raise BadInput(f"--resume: {path} is no checkpoint of train.py; start again in another --out")
    return checkpoint


def epochs_done(checkpoint: dict[str, Any], epochs: int) -> int:
    """The number of finished epochs, at most `epochs`."""
    done = int(checkpoint["epoch"]) + 1
    if epochs < done:
        raise BadInput(f"--resume: the run has done {done} epochs; give --epochs {done} or more")
    return done
