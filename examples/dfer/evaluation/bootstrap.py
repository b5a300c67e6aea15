"""Bootstrap intervals of WAR and UAR over clips.

Clips are drawn with replacement within each class: every resample has as many clips of a class as the test set, which
its publisher fixed, so none lacks a class and UAR means the same in all of them. Runs on the same clips share the
draws, so their differences are paired.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

RESAMPLES = 2000
LEVEL = 0.95


class Resampled(NamedTuple):
    """One value a resample: (..., resamples)."""

    war: Tensor
    uar: Tensor


class Interval(NamedTuple):
    low: float
    high: float


def draw_clips(truths: Tensor, resamples: int, seed: Sequence[int]) -> list[Tensor]:
    """Draw within each class that is there: for each, (resamples, its clips) indices of clips."""
    generator = np.random.default_rng(seed)
    drawn = []
    for label in truths.unique():
        places = (truths == label).nonzero()[:, 0]
        chosen = generator.integers(len(places), size=(resamples, len(places)))
        drawn.append(places[torch.from_numpy(chosen)])
    return drawn


def resample(right: Tensor, drawn: Sequence[Tensor]) -> Resampled:
    """The scores of each resample; ``right`` (..., clips) says which clips a run, or each of several, answers right."""
    hits = torch.stack([right.double()[..., clips].sum(dim=-1) for clips in drawn])
    sizes = hits.new_tensor([clips.shape[1] for clips in drawn])
    recall = hits / sizes.view(-1, *[1] * (hits.dim() - 1))
    return Resampled(war=hits.sum(dim=0) / sizes.sum(), uar=recall.mean(dim=0))


def interval(values: Tensor) -> Interval:
    """The percentiles between which 95 % of the resamples lie."""
    tail = (1 - LEVEL) / 2
    return Interval(*torch.quantile(values, values.new_tensor([tail, 1 - tail])).tolist())
