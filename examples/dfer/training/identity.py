"""What makes a run this run and no other, and what it was made with."""

import hashlib
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, fields
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import agdt_layers
from dfer.data.clips import ClipSource, content_hash, usable_cores
from dfer.data.folders import Checked
from dfer.data.parts import RunData
from dfer.progress import track
from dfer.training.device import choose_device
from dfer.training.networks import pretrained_hash
from dfer.training.processes import this_process
from dfer.training.settings import Settings, flag

PACKAGES = ("einops", "lightning", "numpy", "pillow", "safetensors", "torch", "torchmetrics")


def contents(data: RunData) -> dict[str, list[bytes]]:
    """What tells the clips of each part from others, short."""
    return {part: of_each(source, part, partial(content_hash, source)) for part, source in data.parts.items()}


def of_each(source: ClipSource, part: str, look: Callable[[int], bytes]) -> list[bytes]:
    clips = len(source.labels)
    with ThreadPoolExecutor(max_workers=usable_cores()) as pool:
        return list(track(pool.map(look, range(clips)), f"reading {part} clips", clips))


def identity(
    settings: Settings, data: RunData, clips: dict[str, list[bytes]], checked: dict[str, list[Checked]]
) -> dict[str, Any]:
    """What a resumed run must share with the run that was started.

    `clips` are the contents of the clips; `checked` is what `check_frames` found, empty without it.
    """
    groups = (settings.clips, settings.net, settings.training)
    return {
        "settings": {
            flag(f.name): getattr(group, f.name)
            for group in groups
            for f in fields(group)
            if not f.metadata["may_change"]
        },
        "pretrained_sha256": pretrained_hash(settings.net),
        "classes": list(data.names),
        "clips": {part: digest(source.labels, clips[part]) for part, source in data.parts.items()},
        "files": {
            part: digest(source.labels, of_each(source, part, source.stamp)) for part, source in data.parts.items()
        },
        "frames": {
            part: digest(data.parts[part].labels, [clip.pixels for clip in found]) for part, found in checked.items()
        },
    }


def digest(labels: Sequence[int], clips: Sequence[bytes]) -> str:
    """Depends on the clips, their labels and their order, not on where they lie."""
    total = hashlib.sha256()
    for label, content in zip(labels, clips, strict=True):
        total.update(f"{label} ".encode() + content)
    return total.hexdigest()


def record(settings: Settings, identity: dict[str, Any], *, epochs_done: int) -> dict[str, Any]:
    """All settings, the hashes of what was read, the device, the versions, and the commit if there is one.

    A run has one record for its start, which stays as it is, and one more for each time that it was resumed.
    """
    return {
        "epochs_done": epochs_done,
        **{group: plain(values) for group, values in asdict(settings).items() if isinstance(values, dict)},
        "out": str(settings.out),
        "pretrained_sha256": identity["pretrained_sha256"],
        "clips_sha256": identity["clips"],
        "device": str(choose_device(settings.training, this_process())),
        "versions": {
            "python": sys.version.split()[0],
            "agdt-layers": agdt_layers.__version__,
            **{name: installed(name) for name in PACKAGES},
        },
        "commit": commit(),
    }


def settings_file(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The content of settings.json, from the records of the start and of every resumption."""
    return {**records[0], "resumed": list(records[1:])}


def latest(saved: dict[str, Any]) -> dict[str, Any]:
    """The last of the records in a settings.json: where the clips were found last, and the number of epochs."""
    return [saved, *saved.get("resumed", ())][-1]


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
