"""WAR, UAR and recall by class from a confusion matrix and their bootstrap intervals over clips.

Clips are drawn with replacement within each class, so that every resample has as many clips of each class as the test
set and UAR is always defined. Runs on the same clips share the draws, so their differences are paired.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

RESAMPLES = 2000
LEVEL = 0.95


class Scores(NamedTuple):
    war: float
    uar: float
    recall: list[float | None]
    """None for a class without clips, which does not count in UAR."""


def scores_of(confusion: Tensor) -> Scores:
    """Scores of a confusion matrix, rows: truth, columns: answer."""
    confusion = confusion.double()
    right, clips = confusion.diagonal(), confusion.sum(dim=1)
    present = clips > 0
    recall = right / clips.clamp(min=1)
    return Scores(
        war=float(right.sum() / clips.sum()),
        uar=float(recall[present].mean()),
        recall=[float(r) if there else None for r, there in zip(recall, present, strict=True)],
    )


class Resampled(NamedTuple):
    """One value per resample: (..., resamples)."""

    war: Tensor
    uar: Tensor


class Interval(NamedTuple):
    low: float
    high: float


def draw_clips(truths: Tensor, resamples: int, seed: Sequence[int]) -> list[Tensor]:
    """Draw clips within each present class: a tensor of indices (resamples, clips of the class) for each."""
    generator = np.random.default_rng(seed)
    drawn = []
    for label in truths.unique():
        places = (truths == label).nonzero()[:, 0]
        chosen = generator.integers(len(places), size=(resamples, len(places)))
        drawn.append(places[torch.from_numpy(chosen)])
    return drawn


def resample(right: Tensor, drawn: Sequence[Tensor]) -> Resampled:
    """The scores of each resample. ``right`` (..., clips): whether each clip is classified correctly."""
    hits = torch.stack([right.double()[..., clips].sum(dim=-1) for clips in drawn])
    sizes = hits.new_tensor([clips.shape[1] for clips in drawn])
    recall = hits / sizes.view(-1, *[1] * (hits.dim() - 1))
    return Resampled(war=hits.sum(dim=0) / sizes.sum(), uar=recall.mean(dim=0))


def interval(values: Tensor) -> Interval:
    """The central 95 % of the resamples."""
    tail = (1 - LEVEL) / 2
    return Interval(*torch.quantile(values, values.new_tensor([tail, 1 - tail])).tolist())
