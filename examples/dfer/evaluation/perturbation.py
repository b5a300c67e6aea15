"""Deletion and insertion curves: does a net's score depend on the places that a map calls important?

Deletion takes the most important share of every frame away, insertion starts from nothing and gives it back; the
score is the probability of the class that the net answers to the whole clip. A map that explains the answer lets the
score fall early and rise early: a small area under the deletion curve, a large one under the insertion curve.

Reference: Petsiuk, Das, Saenko, "RISE: Randomized Input Sampling for Explanation of Black-box Models", BMVC 2018.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

STEPS = 10
Fill = Literal["blur", "grey"]


class Curves(NamedTuple):
    """Scores by share of the pixels, (B, STEPS + 1) each."""

    deletion: Tensor
    insertion: Tensor


def shares() -> Tensor:
    return torch.linspace(0, 1, STEPS + 1, dtype=torch.float64)


def ranks(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """The place of every pixel in the order of importance of its frame, 0 the first: (B, T, H, W).

    Maps (B, T, h, w) are enlarged bilinearly; of equal pixels the upper, then the left one comes first.
    """
    enlarged = interpolate(maps.double(), size=size, mode="bilinear", align_corners=False)
    order = enlarged.flatten(2).argsort(dim=-1, descending=True, stable=True)
    return order.argsort(dim=-1).view(enlarged.shape)


def removed(clips: Tensor, fill: Fill) -> Tensor:
    """What stands where pixels are taken away: the clip blurred until no feature is left, or its mean colour.

    Blurred is the mean of each sixth of the frame's side, enlarged again.
    """
    B = clips.shape[0]
    if fill == "grey":
        return clips.mean(dim=(1, 3, 4), keepdim=True).expand_as(clips)
    frames = clips.flatten(0, 1)
    small = interpolate(frames, size=(6, 6), mode="area")
    blurred = interpolate(small, size=frames.shape[-2:], mode="bilinear", align_corners=False)
    return blurred.unflatten(0, (B, -1))


@torch.inference_mode()
def curves(net: nn.Module, clips: Tensor, maps: Tensor, answers: Tensor, *, fill: Fill) -> Curves:
    """Both curves of each clip. `clips` (B, T, 3, H, W) normalised, `maps` (B, T, h, w), `answers` (B,) classes."""
    B, _, _, H, W = clips.shape
    place, nothing = ranks(maps, (H, W))[:, :, None].to(clips.device), removed(clips, fill)

    def score(mixed: Tensor) -> Tensor:
        return net(mixed).float().softmax(dim=1)[torch.arange(B), answers].double().cpu()

    whole, none = score(clips), score(nothing)
    deletion, insertion = [whole], [none]
    for share in shares()[1:-1].tolist():
        important = place < round(share * H * W)
        deletion.append(score(torch.where(important, nothing, clips)))
        insertion.append(score(torch.where(important, clips, nothing)))
    return Curves(torch.stack([*deletion, none], dim=1), torch.stack([*insertion, whole], dim=1))


def area(curve: Tensor) -> Tensor:
    """Under each curve (..., STEPS + 1), by trapezoids: (...)."""
    return torch.trapezoid(curve, shares().to(curve), dim=-1)


def random_maps(shape: Sequence[int], seed: int) -> Tensor:
    """Noise as coarse as the maps that it is compared with: pixel by pixel, any order would destroy the picture."""
    return torch.rand(tuple(shape), generator=torch.Generator().manual_seed(seed))


def centre_prior(shape: Sequence[int]) -> Tensor:
    """The nearer to the middle of the frame, the more important: (B, T, h, w)."""
    B, T, h, w = shape
    down, across = ((torch.arange(length) + 0.5) / length - 0.5 for length in (h, w))
    return -(down[:, None] ** 2 + across[None] ** 2).expand(B, T, h, w)
