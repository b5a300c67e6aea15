"""Clips as the net sees them: loaded and prepared one by one."""

from torch import Tensor

from dfer.data.augmentation import prepare
from dfer.data.clips import ClipSource, DrawnClips, PlainClips


class TrainingClips:
    """The clips of DrawnClips, augmented or not, by (epoch, index) or (epoch, index, n)."""

    def __init__(self, source: ClipSource, seed: int, *, augmented: bool) -> None:
        self.drawn, self.augmented = DrawnClips(source, seed), augmented

    def __getitem__(self, key: tuple[int, ...]) -> tuple[Tensor, int]:
        clip, drawn, label = self.drawn[key]
        return prepare(clip[None], drawn[None] if self.augmented else None)[0], label


class EvaluationClips(PlainClips):
    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        clip, label = super().__getitem__(index)
        return prepare(clip[None])[0], label
