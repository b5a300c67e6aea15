"""Real clips on disk: the community's list format, `<frame folder> <number of frames> <label>` on every line."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dfer.bad_input import BadInput

PICTURES = {".jpg", ".jpeg", ".png", ".bmp", ".webp"}


class ListedClip(NamedTuple):
    frames: tuple[Path, ...]
    label: int


class ClipList(NamedTuple):
    clips: list[ListedClip]
    remarks: list[str]


def natural_order(path: Path) -> list[tuple[int, int | str]]:
    """Sort key under which 2.jpg comes before 10.jpg."""
    return [(0, int(part)) if part.isdigit() else (1, part) for part in re.split(r"(\d+)", path.name)]


def read_clip_list(file: Path, frames_root: Path) -> ClipList:
    """Read a list; folders are relative to `frames_root`. The disk is believed on the number of frames.

    The folder may contain spaces: the last two fields of a line are the count and the label.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{file}: cannot be read as a clip list ({error}); give a text file") from None
    clips: list[ListedClip] = []
    differing: list[str] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        place = f"{file}:{number}"
        fields = line.rsplit(maxsplit=2)
        if len(fields) != 3 or not (fields[1].isdecimal() and fields[2].isdecimal()):
            raise BadInput(
                f"{place}: expected `<frame folder> <number of frames> <label from 0>`, got {line.strip()!r}; "
                "mend or delete the line"
            )
        folder = frames_root / fields[0].strip()
        if not folder.is_dir():
            raise BadInput(f"{place}: no folder {str(folder)!r}; does --frames-root point to where the list starts?")
        frames = tuple(sorted((p for p in folder.iterdir() if p.suffix.lower() in PICTURES), key=natural_order))
        if not frames:
            raise BadInput(
                f"{place}: {str(folder)!r} holds no pictures ({' '.join(sorted(PICTURES))}); "
                "extract its frames or delete the line"
            )
        if len(frames) != int(fields[1]):
            differing.append(f"line {number} says {int(fields[1])}, the disk has {len(frames)}")
        clips.append(ListedClip(frames, int(fields[2])))
    if not clips:
        raise BadInput(f"{file}: the list is empty; expected `<frame folder> <number of frames> <label from 0>` lines")
    remarks = []
    if differing:
        remarks.append(
            f"{file}: {len(differing)} of {len(clips)} frame counts differ from the disk, which is believed "
            f"({differing[0]})"
        )
    return ClipList(clips, remarks)


def load_frames(paths: Sequence[Path], size: int) -> Tensor:
    """Decode and resize (bilinear) to (T, 3, size, size) uint8."""
    frames = np.empty((len(paths), size, size, 3), dtype=np.uint8)
    for slot, path in zip(frames, paths, strict=True):
        try:
            with Image.open(path) as picture:
                slot[:] = np.asarray(picture.convert("RGB").resize((size, size), Image.Resampling.BILINEAR))
        except OSError as error:
            raise BadInput(f"{path}: cannot be read as a picture ({error}); extract the frame again") from None
    return torch.from_numpy(frames).permute(0, 3, 1, 2).contiguous()
