"""Coarse appearance of faces, to tell the people of one scene apart, and of frames, to find hard cuts.

The appearance of a face is kept in memory while it is tracked and is never written: it cannot identify anybody later.
"""

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

# The middle of an aligned face, without hair and background, as shares of its side.
TOP, BOTTOM, LEFT, RIGHT = 0.14, 0.90, 0.11, 0.89
SIDE = 16


def looks(aligned: Tensor) -> Tensor:
    """Aligned faces (n, 3, size, size) uint8 -> (n, 768), each of mean 0 and length 1.

    The product of two rows is the correlation of the two faces, each reduced to 16 x 16 colours.
    """
    size = aligned.shape[-1]
    middle = aligned[:, :, round(TOP * size) : round(BOTTOM * size), round(LEFT * size) : round(RIGHT * size)]
    reduced = adaptive_avg_pool2d(middle.float(), SIDE).flatten(1)
    centred = reduced - reduced.mean(1, keepdim=True)
    return centred / centred.norm(dim=1, keepdim=True).clamp(min=1e-6)


GRID = (9, 16)
# The ratio of `are_cuts` is about 1.4 for unrelated pictures and rarely above 0.3 within a shot.
CUT = 0.8
# In levels of 255: noise on a black or uniform picture stays below.
SMALLEST = 4.0


def reduced(frames: Tensor) -> Tensor:
    """(B, 3, H, W) uint8 -> grey pictures of 16 x 9, each of mean 0: (B, 144). Without its mean, a flash is no cut."""
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
