"""From clips to batches: sources of frames, sampling of frames, and an order that depends on a seed."""

import hashlib
import os
import random
from collections.abc import Iterator, Sequence
from typing import Protocol

import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from dfer.data.augmentation import draw
from dfer.data.data_set import ListedClip
from dfer.data.folders import Checked


class ClipSource(Protocol):
    labels: list[int]

    def frames(self, index: int, generator: torch.Generator | None) -> Tensor:
        """Clip `index` as (T, 3, H, W) uint8: frames drawn with the generator, or fixed ones without it."""

    def content(self, index: int) -> bytes:
        """Identifies the clip wherever it lies: its number of frames and its middle frame, or all of it."""

    def stamp(self, index: int) -> bytes:
        """Changes if any frame's file is written again; a copy may have another stamp."""
        return b""

    def check(self, index: int) -> Checked:
        """Read all frames of the clip."""
        return Checked(len(self.frames(index, None)), [], self.content(index))

    def name(self, index: int) -> str:
        """Where the clip comes from, for messages."""


def content_hash(source: ClipSource, index: int) -> bytes:
    return hashlib.sha256(source.content(index)).digest()


class ClipsInMemory(ClipSource):
    def __init__(self, clips: Tensor, labels: Tensor) -> None:
        self.clips = clips
        self.labels = labels.tolist()

    def frames(self, index: int, generator: torch.Generator | None) -> Tensor:
        return self.clips[index]

    def content(self, index: int) -> bytes:
        return self.clips[index].numpy().tobytes()

    def name(self, index: int) -> str:
        return f"rendered clip {index}"


class ClipsOnDisk:
    """Clips from folders or from a packed store."""

    def __init__(self, clips: Sequence[ListedClip], *, size: int, segments: int, per_segment: int) -> None:
        self.clips, self.size, self.segments, self.per_segment = clips, size, segments, per_segment
        self.labels = [clip.label for clip in clips]

    def frames(self, index: int, generator: torch.Generator | None) -> Tensor:
        frames = self.clips[index].frames
        return frames.load(sample_frames(len(frames), self.segments, self.per_segment, generator), self.size)

    def content(self, index: int) -> bytes:
        # Decoded, so that packing changes nothing.
        frames = self.clips[index].frames
        return f"{len(frames)} ".encode() + frames.load([len(frames) // 2], self.size).numpy().tobytes()

    def stamp(self, index: int) -> bytes:
        return self.clips[index].frames.stamp()

    def check(self, index: int) -> Checked:
        return self.clips[index].frames.check(self.size)

    def name(self, index: int) -> str:
        return str(self.clips[index].frames)


def seeded(*parts: object) -> int:
    """A seed that depends on every part; neighbouring parts give unrelated seeds."""
    return random.Random(repr(parts)).getrandbits(63)


class DrawnClips(Dataset[tuple[Tensor, Tensor, int]]):
    """Training clips as uint8 with the draw of their augmentation, looked up by (epoch, index) or (epoch, index, n).

    The result depends only on the key and the seed, so an interrupted run, or one with several workers, sees the same
    clips as any other. `prepare` augments the batch on the training device.
    """

    def __init__(self, source: ClipSource, seed: int) -> None:
        self.source, self.seed = source, seed

    def __getitem__(self, key: tuple[int, ...]) -> tuple[Tensor, Tensor, int]:
        generator = torch.Generator().manual_seed(seeded(self.seed, *key))
        clip = self.source.frames(key[1], generator)
        return clip, draw(generator), self.source.labels[key[1]]


class PlainClips(Dataset[tuple[Tensor, int]]):
    """Clips as uint8 with their label, for `prepare`."""

    def __init__(self, source: ClipSource) -> None:
        self.source = source

    def __len__(self) -> int:
        return len(self.source.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.source.frames(index, None), self.source.labels[index]


class EpochOrder(Sampler[tuple[int, int]]):
    """A new order of the clips in each epoch, which depends on the seed and the epoch's number."""

    def __init__(self, clips: int, seed: int) -> None:
        self.clips, self.seed, self.epoch = clips, seed, 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return self.clips

    def __iter__(self) -> Iterator[tuple[int, int]]:
        epoch, generator = self.epoch, torch.Generator().manual_seed(seeded(self.seed, "order", self.epoch))
        for index in torch.randperm(self.clips, generator=generator).tolist():
            yield epoch, index


def sample_frames(
    available: int, segments: int, per_segment: int, generator: torch.Generator | None = None
) -> list[int]:
    """Return U * V frame numbers of a clip of `available` frames, in order (section 3.1 of the paper).

    The paper prints neither U nor V. The clip is divided evenly into U segments. With a generator (training) V frames
    are drawn from each; without (testing) the V consecutive frames at its middle are taken. A clip that is too short
    repeats frames.
    """
    chosen: list[int] = []
    for segment in range(segments):
        start = segment * available // segments
        length = max((segment + 1) * available // segments - start, 1)
        used = min(length, per_segment)
        if generator is None:
            middle = start + (length - used) // 2
            chosen += [middle + place * used // per_segment for place in range(per_segment)]
        elif length >= per_segment:
            chosen += (start + torch.randperm(length, generator=generator)[:used].sort().values).tolist()
        else:
            chosen += (start + torch.randint(length, (per_segment,), generator=generator).sort().values).tolist()
    return chosen


def usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def default_workers() -> int:
    """One loading process for each core except the training one; from 1 to 4, the paper's number."""
    return max(1, min(4, usable_cores() - 1))
