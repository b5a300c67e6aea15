"""All frames of many clips in one memory-mapped file: training opens and decodes no pictures.

A store is a folder with `frames.npy`, uint8 (N, 3, size, size) in numpy's own format, and `index.json`: where each
clip starts, how many frames it has and their checksum, and the videos of which no clip could be made.
"""

import hashlib
import json
import os
import shutil
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tokenize import TokenError
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.lib.format import open_memmap, write_array_header_1_0
from torch import Tensor

from dfer.data.clips import usable_cores
from dfer.data.folders import Checked, FolderTree, Frames
from dfer.errors import BadInput
from dfer.lock import one_at_a_time
from dfer.progress import track

FRAMES, INDEX = "frames.npy", "index.json"


class Span(NamedTuple):
    start: int
    frames: int
    checksum: int


class Store(FolderTree):
    """An open packed store; pickling it for another process copies no frames."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        try:
            self.frames_file = open_memmap(folder / FRAMES, mode="r")
            index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
            self.spans = {path: Span(*span) for path, span in index["clips"].items()}
            self.size, self.reasons = int(index["size"]), dict(index["left_out"])
        # numpy raises TokenError if the file's header does not end.
        except (OSError, ValueError, KeyError, TypeError, TokenError) as error:
            raise self.damaged(" ".join(str(error).split())) from None
        frames = 0
        for path, span in self.spans.items():
            if span.start != frames:
                raise self.damaged(f"its index has {path} at frame {span.start}, not {frames}")
            frames += span.frames
        if self.frames_file.shape != (frames, 3, self.size, self.size) or self.frames_file.dtype != np.uint8:
            shape = " x ".join(map(str, self.frames_file.shape))
            raise self.damaged(f"its index names {frames} frames of {self.size} x {self.size}, its file has {shape}")
        # Reading all of a large store takes minutes; its first and last clip reveal a truncated or exchanged file.
        for path in [*self.spans][:: max(1, len(self.spans) - 1)]:
            if problems := PackedFrames(self, path).check(self.size).broken:
                raise BadInput(problems[0])

    def __reduce__(self) -> tuple[Any, ...]:
        return Store, (self.root,)

    def damaged(self, why: str) -> BadInput:
        return BadInput(f"{self.root}: is not a complete store of clips ({why}); pack it again with pack_clips.py")

    def has(self, path: str) -> bool:
        return path in self.spans

    def left_out(self, path: str) -> str | None:
        return self.reasons.get(path)

    def folders(self, path: str) -> list[str]:
        above = f"{path}/" if path else ""
        inside = (span[len(above) :] for span in self.spans if span.startswith(above))
        return sorted({rest.partition("/")[0] for rest in inside if "/" in rest})

    def walk(self) -> tuple[list[str], dict[str, str]]:
        return list(self.spans), self.reasons

    def frames(self, path: str) -> "PackedFrames":
        return PackedFrames(self, path)


class PackedFrames:
    """The frames of one clip in a store."""

    __slots__ = ("other", "path", "store")

    def __init__(self, store: Store, path: str) -> None:
        self.other: str | None = None
        self.store, self.path = store, path

    def __str__(self) -> str:
        return str(self.store.root / self.path)

    def __len__(self) -> int:
        return self.store.spans[self.path].frames

    def load(self, chosen: Sequence[int], size: int) -> Tensor:
        if size != self.store.size:
            raise BadInput(
                f"{self.store.root}: contains frames of {self.store.size} x {self.store.size}, not {size} x {size}; "
                f"give --size {self.store.size}, or pack again with --size {size}"
            )
        start = self.store.spans[self.path].start
        return torch.from_numpy(self.store.frames_file[[start + i for i in chosen]])

    def sides(self) -> tuple[int, int]:
        return self.store.size, self.store.size

    def stamp(self) -> bytes:
        return str(self.store.spans[self.path].checksum).encode()

    def check(self, size: int) -> Checked:
        start, count, checksum = self.store.spans[self.path]
        frames = self.store.frames_file[start : start + count].data
        same = zlib.crc32(frames) == checksum
        broken = [] if same else [str(self.store.damaged(f"the frames of {self.path} differ from the packed ones"))]
        return Checked(count, broken, hashlib.sha256(frames).digest())


def open_place(folder: Path) -> FolderTree:
    """A store, or the root of a tree of folders."""
    packed = (folder / FRAMES).is_file() or (folder / INDEX).is_file()
    return Store(folder) if packed else FolderTree(folder)


class Packed(NamedTuple):
    clips: int
    frames: int
    not_square: int
    other: str | None
    """A picture beside the frames in a format that is not read."""


def pack(root: Path, out: Path, size: int) -> Packed:
    """Pack every folder of pictures below `root`; the store `out` appears when it is complete.

    An interrupted packing starts again: a partial store would not notice pictures that changed since.
    """
    if not root.is_dir():
        raise BadInput(f"{root}: is not a folder; give one with folders of frames")
    if out.exists():
        raise BadInput(f"--out {out}: already exists; delete it or choose another")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        refusal = f"--out {out}: another pack_clips.py is writing to it; wait until it ends, or choose another"
        with one_at_a_time(out.with_name(f".{out.name}.lock"), refusal):
            return pack_alone(root, out, size)
    except OSError as error:
        why = error.strerror or error
        raise BadInput(f"--out {out}: cannot be written ({why}); free some space, or choose another folder") from None


def pack_alone(root: Path, out: Path, size: int) -> Packed:
    tree = FolderTree(root)
    paths, left_out = tree.walk()
    folders = {path: tree.frames(path) for path in paths}
    if not folders:
        raise BadInput(f"{root}: contains no folders of pictures; give one that does (for videos: prepare_videos.py)")
    sides = [folder.sides() for folder in folders.values()]
    total = sum(map(len, folders.values()))
    beside = out.with_name(f".{out.name}.partial")
    # Left by a killed run.
    shutil.rmtree(beside, ignore_errors=True)
    try:
        beside.mkdir()
        free, needed = shutil.disk_usage(beside).free, total * 3 * size * size
        if needed > free:
            raise BadInput(
                f"--out {out}: needs {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free; choose another disk"
            )
        spans = write_frames(beside / FRAMES, folders, total, size)
        index = {"size": size, "clips": spans, "left_out": left_out}
        (beside / INDEX).write_text(json.dumps(index), encoding="utf-8")
        os.rename(beside, out)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    other = next((f"{folder}/{folder.other}" for folder in folders.values() if folder.other), None)
    return Packed(len(folders), total, sum(width != height for width, height in sides), other)


def write_frames(file: Path, folders: dict[str, Frames], total: int, size: int) -> dict[str, Span]:
    """Write the frames of all clips, one after another; return where each clip lies."""
    spans: dict[str, Span] = {}
    start = 0
    # Written, not mapped: when a disk runs full, a mapped file ends the process without a message.
    with open(file, "wb") as opened, ThreadPoolExecutor(usable_cores()) as pool:
        write_array_header_1_0(opened, {"descr": "|u1", "fortran_order": False, "shape": (total, 3, size, size)})
        for path, folder in track(folders.items(), "packing", len(folders)):
            frames = decoded(folder, size, pool)
            opened.write(frames)
            spans[path] = Span(start, len(frames), zlib.crc32(frames))
            start += len(frames)
    return spans


def decoded(folder: Frames, size: int, pool: ThreadPoolExecutor) -> memoryview:
    """The frames of one clip, decoded on all cores."""
    return torch.cat([*pool.map(lambda number: folder.load([number], size), range(len(folder)))]).numpy().data
