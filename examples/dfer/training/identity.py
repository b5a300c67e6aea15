"""What makes a run this run and no other, and what it was made with."""

import hashlib
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import agdt_layers
from dfer.data.parts import RunData
from dfer.training.device import choose_device
from dfer.training.networks import sha256
from dfer.training.processes import this_process
from dfer.training.settings import Settings, flag

PACKAGES = ("einops", "lightning", "numpy", "pillow", "safetensors", "torch", "torchmetrics")


def contents(data: RunData) -> dict[str, list[bytes]]:
    """What tells the clips of each part from others, short."""
    parts = {"training": data.training, "validation": data.validation, "test": data.test}
    return {
        part: [hashlib.sha256(source.content(index)).digest() for index in range(len(source.labels))]
        for part, source in parts.items()
    }


def identity(settings: Settings, data: RunData, clips: dict[str, list[bytes]]) -> dict[str, Any]:
    """What a resumed run must share with the run that was started; `clips` are their contents."""
    groups = (settings.clips, settings.net, settings.training)
    return {
        "settings": {
            flag(f.name): getattr(group, f.name)
            for group in groups
            for f in fields(group)
            if not f.metadata["may_change"]
        },
        "clips": {
            "training": digest(data.training.labels, clips["training"]),
            "validation": digest(data.validation.labels, clips["validation"]),
            "test": digest(data.test.labels, clips["test"]),
        },
    }


def digest(labels: Sequence[int], clips: Sequence[bytes]) -> str:
    """Depends on the clips, their labels and their order, not on where they lie."""
    total = hashlib.sha256()
    for label, content in zip(labels, clips, strict=True):
        total.update(f"{label} ".encode() + content)
    return total.hexdigest()


def record(settings: Settings) -> dict[str, Any]:
    """All settings with their values, what they came to on this machine, the versions, the commit if there is one."""
    pretrained = settings.net.pretrained
    return {
        **{group: plain(values) for group, values in asdict(settings).items() if isinstance(values, dict)},
        "out": str(settings.out),
        "pretrained_sha256": sha256(pretrained) if pretrained is not None and pretrained.is_file() else None,
        "device": str(choose_device(settings.training, this_process())),
        "versions": {
            "python": sys.version.split()[0],
            "agdt-layers": agdt_layers.__version__,
            **{name: installed(name) for name in PACKAGES},
        },
        "commit": commit(),
    }


def plain(values: dict[str, Any]) -> dict[str, Any]:
    return {name: str(value) if isinstance(value, Path) else value for name, value in values.items()}


def installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def commit() -> str | None:
    """The commit of this file's checkout, with a plus sign where tracked files differ from it."""
    # Without a lock: one that is left behind in the checkout keeps its owner from committing.
    git = ["git", "--no-optional-locks", "-C", str(Path(__file__).parent)]
    try:
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        changed = subprocess.run([*git, "status", "--porcelain", "-uno"], capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    return head + ("+" if changed else "")
