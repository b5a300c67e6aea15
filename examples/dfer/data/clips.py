"""From clips to batches: sources of frames, what is held out, and an order that a seed decides."""

import random
from collections.abc import Iterator, Sequence
from typing import Protocol

import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from dfer.data.augmentation import augment, normalise, to_unit
from dfer.data.lists import ListedClip, load_frames
from dfer.data.sampling import sample_frames


class ClipSource(Protocol):
    labels: list[int]

    def frames(self, index: int, generator: torch.Generator | None) -> Tensor:
        """Clip `index` as (T, 3, H, W) uint8; with a generator its frames are drawn, without they are fixed."""

    def content(self, index: int) -> bytes:
        """What tells the clip from others, wherever it lies: by this a resumed run sees that clips changed."""


class ClipsInMemory:
    def __init__(self, clips: Tensor, labels: Tensor) -> None:
        self.clips = clips
        self.labels: list[int] = labels.tolist()

    def frames(self, index: int, generator: torch.Generator | None) -> Tensor:
        return self.clips[index]

    def content(self, index: int) -> bytes:
        return self.clips[index].numpy().tobytes()


class ClipsOnDisk:
    def __init__(self, clips: Sequence[ListedClip], *, size: int, segments: int, per_segment: int) -> None:
        self.clips, self.size, self.segments, self.per_segment = clips, size, segments, per_segment
        self.labels = [clip.label for clip in clips]

    def frames(self, index: int, generator: torch.Generator | None) -> Tensor:
        paths = self.clips[index].frames
        chosen = sample_frames(len(paths), self.segments, self.per_segment, generator)
        return load_frames([paths[i] for i in chosen], self.size)

    def content(self, index: int) -> bytes:
        # One frame speaks for the others: all would take as long as an epoch.
        paths = self.clips[index].frames
        return "/".join(path.name for path in paths).encode() + paths[len(paths) // 2].read_bytes()


def seeded(*parts: object) -> int:
    """A seed that depends on every part, and looks unrelated for neighbours."""
    return random.Random(repr(parts)).getrandbits(63)


class TrainingClips(Dataset[tuple[Tensor, int]]):
    """Clips, augmented or as they are, looked up by (epoch, index), or (epoch, index, how often it was drawn before).

    What comes out depends on these and the seed, on nothing else: a run that was interrupted, or that loads in
    several workers, sees the same clips as any other.
    """

    def __init__(self, source: ClipSource, seed: int, *, augmented: bool) -> None:
        self.source, self.seed, self.augmented = source, seed, augmented

    def __getitem__(self, key: tuple[int, ...]) -> tuple[Tensor, int]:
        generator = torch.Generator().manual_seed(seeded(self.seed, *key))
        clip = to_unit(self.source.frames(key[1], generator))
        return normalise(augment(clip, generator) if self.augmented else clip), self.source.labels[key[1]]


class EvaluationClips(Dataset[tuple[Tensor, int]]):
    def __init__(self, source: ClipSource) -> None:
        self.source = source

    def __len__(self) -> int:
        return len(self.source.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return normalise(to_unit(self.source.frames(index, None))), self.source.labels[index]


class EpochOrder(Sampler[tuple[int, int]]):
    """A new order of the clips in each epoch, decided by the seed and the epoch's number."""

    def __init__(self, clips: int, seed: int) -> None:
        self.clips, self.seed, self.epoch = clips, seed, 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return self.clips

    def __iter__(self) -> Iterator[tuple[int, int]]:
        epoch = self.epoch
        generator = torch.Generator().manual_seed(seeded(self.seed, "order", epoch))
        for index in torch.randperm(self.clips, generator=generator).tolist():
            yield epoch, index


def split_by_label(labels: Sequence[int], seed: int) -> tuple[list[int], list[int]]:
    """Hold one tenth of every label's clips out, at least one where there are two: (training, validation)."""
    places: dict[int, list[int]] = {}
    for index, label in enumerate(labels):
        places.setdefault(label, []).append(index)
    held: set[int] = set()
    for label, indices in places.items():
        random.Random(repr((seed, label))).shuffle(indices)
        if len(indices) > 1:
            held.update(indices[: max(1, len(indices) // 10)])
    return [i for i in range(len(labels)) if i not in held], sorted(held)
