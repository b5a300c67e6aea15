"""Hard cuts: where a frame shows another scene than the frame before."""

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

GRID = (9, 16)
# Of two unrelated pictures the ratio below is about 1.4, of two frames of one shot seldom above 0.3.
CUT = 0.8
# Differences that a viewer does not see, in levels of 255: noise on a black or an even picture.
SMALLEST = 4.0


def reduced(frames: Tensor) -> Tensor:
    """(B, 3, H, W) uint8 -> grey pictures of 16 x 9, each of mean 0: (B, 144). The mean goes, so a flash is no cut."""
    step = max(1, min(frames.shape[-2:]) // 72)
    grey = frames[:, :, ::step, ::step].float().mean(1)
    small = adaptive_avg_pool2d(grey, GRID).flatten(1)
    return small - small.mean(1, keepdim=True)


def are_cuts(before: Tensor, after: Tensor) -> Tensor:
    """Whether a hard cut lies between the pictures of :func:`reduced`, pair by pair: (n, 144), (n, 144) -> bool (n,).

    There is one where the mean difference of the two is at least CUT times the contrast of the stronger one, which is
    the mean of its absolute values.

    >>> scene, other = torch.randn(2, 3, 144) * 50
    >>> are_cuts(scene, scene * 0.9).tolist(), are_cuts(scene, other).tolist()
    ([False, False, False], [True, True, True])
    """
    difference = (after - before).abs().mean(1)
    contrast = torch.maximum(before.abs().mean(1), after.abs().mean(1))
    return difference >= (CUT * contrast).clamp(min=SMALLEST)
