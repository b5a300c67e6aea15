"""Boxes as rows (left, top, right, bottom) in pixels, where pixel i covers i to i + 1."""

from typing import Literal

import torch
from torch import Tensor

Over = Literal["union", "smaller"]


def areas(boxes: Tensor) -> Tensor:
    """(n, 4) -> (n,)."""
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def overlaps(a: Tensor, b: Tensor, over: Over = "union") -> Tensor:
    """Intersection of each box of `a` with each of `b`, divided by their union or by the smaller box: (n, m)."""
    corner = torch.minimum(a[:, None, 2:], b[:, 2:]) - torch.maximum(a[:, None, :2], b[:, :2])
    shared = corner.clamp_(min=0).prod(-1)
    area_a, area_b = areas(a)[:, None], areas(b)
    whole = area_a + area_b - shared if over == "union" else torch.minimum(area_a, area_b)
    return shared / whole.clamp(min=torch.finfo(whole.dtype).tiny)


def non_maximum_suppression(boxes: Tensor, scores: Tensor, threshold: float, over: Over = "union") -> Tensor:
    """Indices of the boxes that overlap no better kept box by more than `threshold`, best first."""
    order = scores.argsort(descending=True, stable=True)
    beats = (overlaps(boxes[order], boxes[order], over) > threshold).triu_(1)
    # The greedy result is the only fixed point of "kept unless a better kept box overlaps it". After n rounds the n
    # best boxes are final; in practice a few rounds suffice.
    kept = torch.ones(len(boxes), dtype=torch.bool)
    while True:
        now = ~(beats & kept[:, None]).any(0)
        if torch.equal(now, kept):
            return order[kept]
        kept = now


def squares(boxes: Tensor) -> Tensor:
    """Squares around the centres of the boxes, with the longer side."""
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = (boxes[:, 2:] - boxes[:, :2]).amax(1, keepdim=True) / 2
    return torch.cat([centre - half, centre + half], 1)


def shift_edges(boxes: Tensor, offsets: Tensor) -> Tensor:
    """Move each edge by its offset, in units of the box's width (left, right) or height (top, bottom)."""
    size = boxes[:, 2:] - boxes[:, :2]
    return boxes + offsets * torch.cat([size, size], 1)
