"""The checkpoint of a run: one file, whole at any moment, with the last epoch to go on from and the best to keep."""

import io
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from torch import Tensor

from dfer.atomic_files import whole_file
from dfer.errors import BadInput
from dfer.training.module import Recognition


class WholeFiles(TorchCheckpointIO):
    """Writes beside the place of the file.

    Lightning's own goes through the temporary folder, which may lie on another disk: then its last step is a copy, and
    a copy can be cut short.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        content = io.BytesIO()
        torch.save(checkpoint, content)
        with whole_file(Path(path)) as beside:
            beside.write_bytes(content.getbuffer())


class BestAndLast(Checkpoint):
    """The best epoch has the highest UAR on the validation clips and, among equals, the lowest loss; with
    --select-on last it is the last.

    Its weights lie in the same file as the last epoch's: of two files, a kill between them leaves one behind.
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

    @property
    def epoch(self) -> int:
        return int(self.best["row"]["epoch"])

    @property
    def weights(self) -> dict[str, Tensor]:
        return self.best["net"]

    def state_dict(self) -> dict[str, Any]:
        return self.best

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best = state_dict


def rank(row: dict[str, float]) -> tuple[float, float]:
    return row["validation_uar"], -row["validation_loss"]


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The checkpoint of a run of train.py, or a line that says what else the file is."""
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise BadInput(f"--resume: there is no checkpoint {path}; start without --resume, or name its --out") from None
    except Exception:  # Bytes that are no checkpoint raise whatever they happen to mean.
        raise BadInput(f"--resume: {path} is damaged or no checkpoint; start again under another --out") from None
    expected = {"state_dict", "optimizer_states", "loops", "callbacks", "epoch", "history", "identity", "records"}
    if not isinstance(checkpoint, dict) or not expected <= checkpoint.keys():
        raise BadInput(f"--resume: {path} is no checkpoint of train.py; start again under another --out")
    return checkpoint


def epochs_done(checkpoint: dict[str, Any], identity: dict[str, Any], epochs: int) -> int:
    """How far the run has come; a run of other settings or other clips is refused."""
    started = checkpoint["identity"]
    for name, value in identity["settings"].items():
        before = started["settings"].get(name)
        if before != value:
            raise BadInput(f"--resume: the run was started with {name} {before}, not {value}; give the same")
    refuse_other_pretrained(started["pretrained_sha256"], identity["pretrained_sha256"])
    if started["classes"] != identity["classes"]:
        before, now = (", ".join(names["classes"]) for names in (started, identity))
        raise BadInput(f"--resume: the run was started with the classes {before}, not {now}; name the clips as before")
    for part, digest in identity["clips"].items():
        if started["clips"].get(part) != digest:
            raise BadInput(
                f"--resume: the {part} clips are not those that the run was started with; "
                "give the same, or start another run under another --out"
            )
        refuse_other_files(part, started, identity)
    done = int(checkpoint["epoch"]) + 1
    if epochs < done:
        raise BadInput(f"--resume: the run has done {done} epochs; give --epochs {done} or more")
    return done


def refuse_other_pretrained(before: str | None, now: str | None) -> None:
    if before == now:
        return
    if before is None:
        raise BadInput("--resume: the run was started without --pretrained; leave it out")
    given = "another file" if now else "none"
    raise BadInput(f"--resume: the run was started with a --pretrained of SHA-256 {before}, not {given}; give the same")


def refuse_other_files(part: str, started: dict[str, Any], now: dict[str, Any]) -> None:
    """All frames decide where both the start and this resumption read them; else the sizes and dates of the files."""
    both = part in started["frames"] and part in now["frames"]
    if both and started["frames"][part] != now["frames"][part]:
        raise BadInput(
            f"--resume: frames of the {part} clips are not those that the run was started with; give the same"
        )
    if not both and started["files"][part] != now["files"][part]:
        advice = (
            "give --check-frames, which compares the frames themselves"
            if part in started["frames"]
            else "restore them (cp -p keeps dates); only a run started with --check-frames can compare the frames"
        )
        raise BadInput(f"--resume: files of the {part} clips have other sizes or dates than at the start; {advice}")
