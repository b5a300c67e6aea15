"""What identifies a run: its settings and the hashes of its files. Only the same run may be resumed."""

import hashlib
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from typing import Any

import agdt_layers
from dfer.data.clips import ClipSource, content_hash, usable_cores
from dfer.data.folders import Checked
from dfer.data.parts import RunData
from dfer.errors import BadInput
from dfer.progress import track
from dfer.training.device import choose_device, this_process
from dfer.training.networks import pretrained_hash
from dfer.training.run_folder import plain
from dfer.training.settings import Settings, described, flag
from dfer.versions import commit, installed

PACKAGES = ("einops", "lightning", "numpy", "pillow", "safetensors", "torch", "torchmetrics")


def contents(data: RunData) -> dict[str, list[bytes]]:
    """A short hash of each clip, by part."""
    return {part: of_each(source, part, partial(content_hash, source)) for part, source in data.parts.items()}


def of_each(source: ClipSource, part: str, look: Callable[[int], bytes]) -> list[bytes]:
    clips = len(source.labels)
    with ThreadPoolExecutor(max_workers=usable_cores()) as pool:
        return list(track(pool.map(look, range(clips)), f"reading {part} clips", clips))


def identity(
    settings: Settings, data: RunData, clips: dict[str, list[bytes]], checked: dict[str, list[Checked]]
) -> dict[str, Any]:
    """What a resumed run must share with the original.

    `clips` are the contents of the clips; `checked` is the result of `check_frames`, empty without it.
    """
    sources = data.parts.items()
    return {
        "settings": {
            flag(name): getattr(group, name)
            for group in (settings.clips, settings.net, settings.training)
            for name, setting in described(type(group)).items()
            if not setting.may_change
        },
        "pretrained_sha256": pretrained_hash(settings.net),
        "classes": list(data.names),
        "clips": {part: digest(source.labels, clips[part]) for part, source in sources},
        "files": {part: digest(source.labels, of_each(source, part, source.stamp)) for part, source in sources},
        "frames": {
            part: digest(data.parts[part].labels, [clip.pixels for clip in found]) for part, found in checked.items()
        },
    }


def digest(labels: Sequence[int], clips: Sequence[bytes]) -> str:
    """Depends on the clips, their labels and their order, not on their paths."""
    total = hashlib.sha256()
    for label, content in zip(labels, clips, strict=True):
        total.update(f"{label} ".encode() + content)
    return total.hexdigest()


def refuse_other_run(started: dict[str, Any], now: dict[str, Any]) -> None:
    """Refuse to resume the run `started` with other settings, weights, classes or clips."""
    for name in sorted(now["settings"], key=lambda name: name != "--recipe"):  # the recipe first: it decides others
        before, value = started["settings"].get(name), now["settings"][name]
        if before != value:
            raise BadInput(f"--resume: the run was started with {name} {before}, not {value}; give the same")
    before, after = started["pretrained_sha256"], now["pretrained_sha256"]
    if before is None and after is not None:
        raise BadInput("--resume: the run was started without --pretrained; leave it out")
    if before != after:
        given = "another file" if after else "none"
        raise BadInput(
            f"--resume: the run was started with a --pretrained of SHA-256 {before}, not {given}; give the same"
        )
    if started["classes"] != now["classes"]:
        names, given = (", ".join(each["classes"]) for each in (started, now))
        raise BadInput(f"--resume: the run was started with the classes {names}, not {given}; name the clips as before")
    for part, clips in now["clips"].items():
        if started["clips"].get(part) != clips:
            raise BadInput(
                f"--resume: the {part} clips are not those that the run was started with; "
                "give the same, or start another run in another --out"
            )
        refuse_other_files(part, started, now)


def refuse_other_files(part: str, started: dict[str, Any], now: dict[str, Any]) -> None:
    """Compare all frames if both runs read them, else the sizes and dates of the files."""
    if part in started["frames"] and part in now["frames"]:
        if started["frames"][part] != now["frames"][part]:
            raise BadInput(
                f"--resume: frames of the {part} clips are not those that the run was started with; give the same"
            )
    elif started["files"][part] != now["files"][part]:
        advice = (
            "give --check-frames, which compares the frames themselves"
            if part in started["frames"]
            else "restore them (cp -p keeps dates); only a run started with --check-frames can compare the frames"
        )
        raise BadInput(f"--resume: files of the {part} clips have other sizes or dates than at the start; {advice}")


def record(settings: Settings, identity: dict[str, Any], *, epochs_done: int) -> dict[str, Any]:
    """All settings, the hashes of what was read, the device, the versions, and the commit if there is one.

    A run keeps the record of its start and gets another each time that it is resumed.
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
