"""Training runs of a few seconds: clips of uniform colour, and a model other than AGDTNet."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from dfer.data.clips import ClipsInMemory
from dfer.data.parts import RunData
from dfer.training import networks, run
from dfer.training.settings import ClipSettings, NetSettings, Settings, TrainingSettings

NAMES = ("dark", "grey", "bright")


class TinyNet(nn.Module):
    """Batch norm, dropout and linear layers on a clip's mean colour: everything that a checkpoint must restore."""

    def __init__(self, classes: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3)
        self.temporal = nn.Linear(3, 8)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(8, classes)

    def forward(self, clips: Tensor) -> Tensor:
        frames = self.norm(clips.flatten(0, 1)).unflatten(0, clips.shape[:2])
        return self.classifier(self.dropout(torch.tanh(self.temporal(frames.mean(dim=(1, 3, 4))))))


def tiny(net: NetSettings, classes: int, frames: int, size: int) -> TinyNet:
    return TinyNet(classes, net.dropout or 0.0)


def tiny_with_frozen_norm(net: NetSettings, classes: int, frames: int, size: int) -> TinyNet:
    """Return a TinyNet with frozen batch norm, so that a clip's scores do not depend on the rest of its batch."""
    made = tiny(net, classes, frames, size)
    made.norm.eval()
    return made


def coloured_clips(labels: Sequence[int], seed: int = 0, *, frames: int = 2, size: int = 16) -> ClipsInMemory:
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randint(0, 60, (len(labels), frames, 3, size, size), generator=generator)
    shades = 90 * torch.tensor(labels)
    return ClipsInMemory((noise + shades[:, None, None, None, None]).to(torch.uint8), torch.tensor(labels))


def tiny_data(training: int = 20, **parts: Any) -> RunData:
    """Return `training` clips, 7 validation and 8 test clips of three classes."""
    made = {
        "training": coloured_clips([i % 3 for i in range(training)], 1),
        "validation": coloured_clips([i % 3 for i in range(7)], 2),
        "test": coloured_clips([i % 3 for i in range(8)], 3),
        **parts,
    }
    return RunData(NAMES, **made, augmented=True)


def tiny_settings(out: Path, *, resume: bool = False, dropout: float = 0.2, **training: Any) -> Settings:
    return Settings(
        clips=ClipSettings(labels="expressions", frames=2, frames_per_segment=None, size=16),
        net=NetSettings(model="tiny", dropout=dropout),
        training=TrainingSettings(
            **{"recipe": "rendered", "epochs": 2, "batch_size": 8, "workers": 0, **training},
        ),
        out=out,
        resume=resume,
    )


def use_tiny_model(monkeypatch: pytest.MonkeyPatch, data: RunData | None = None) -> None:
    monkeypatch.setitem(networks.MODELS, "tiny", tiny)
    clips = data or tiny_data()
    monkeypatch.setattr(run, "load_data", lambda settings: clips)


def write_coloured_list(root: Path, name: str, labels: Sequence[int], seed: int) -> Path:
    """Write a list `name`.txt of folders with four small pictures each."""
    source, lines = coloured_clips(labels, seed, frames=4), []
    for index, label in enumerate(labels):
        folder = root / f"{name}{index}"
        folder.mkdir(parents=True)
        for number, frame in enumerate(source.clips[index], start=1):
            Image.fromarray(frame.permute(1, 2, 0).numpy()).save(folder / f"{number}.png")
        lines.append(f"{folder.name} 4 {label}\n")
    (root / f"{name}.txt").write_text("".join(lines))
    return root / f"{name}.txt"


def write_coloured_lists(root: Path) -> Path:
    write_coloured_list(root, "train", [i % 3 for i in range(30)], 1)
    write_coloured_list(root, "test", [i % 3 for i in range(8)], 2)
    return root


def tiny_flags(root: Path, out: Path, *more: str, epochs: int = 2, recipe: str = "rendered") -> list[str]:
    """Return flags of train.py for the lists in `root`. The model must be registered: see add_tiny_model."""
    sizes = f"--frames 2 --size 16 --workers 0 --batch-size 8 --dropout 0.2 --epochs {epochs} --recipe {recipe}"
    lists = ["--list", str(root / "train.txt"), "--test-list", str(root / "test.txt")]
    return [*lists, "--model", "tiny", *sizes.split(), "--out", str(out), *more]


def add_tiny_model() -> None:
    networks.MODELS["tiny"] = tiny
    networks.MODELS["tiny-frozen-norm"] = tiny_with_frozen_norm
