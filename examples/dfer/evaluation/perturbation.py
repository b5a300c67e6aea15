"""Deletion and insertion curves: does the score depend on the pixels that a map marks as important?

Deletion removes the most important share of every frame; insertion adds it to an empty clip. The score is the
probability of the class predicted for the whole clip. With a map that explains the prediction, the score falls early
and rises early: a small area under the deletion curve and a large one under the insertion curve.

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
    """Rank of every pixel by importance within its frame, from 0: (B, T, H, W).

    Maps (B, T, h, w) are enlarged bilinearly; ties are ordered by row, then by column.
    """
    enlarged = interpolate(maps.double(), size=size, mode="bilinear", align_corners=False)
    order = enlarged.flatten(2).argsort(dim=-1, descending=True, stable=True)
    return order.argsort(dim=-1).view(enlarged.shape)


def removed(clips: Tensor, fill: Fill) -> Tensor:
    """The values of removed pixels: a strongly blurred clip, or its mean colour.

    The blurred clip is its 6 x 6 means, enlarged.
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
    """Area under each curve (..., STEPS + 1) by the trapezoidal rule: (...)."""
    return torch.trapezoid(curve, shares().to(curve), dim=-1)


def random_maps(shape: Sequence[int], seed: int) -> Tensor:
    """Noise at the resolution of the maps: noise per pixel would destroy any picture."""
    return torch.rand(tuple(shape), generator=torch.Generator().manual_seed(seed))


def centre_prior(shape: Sequence[int]) -> Tensor:
    """Importance that falls with the distance from the centre: (B, T, h, w)."""
    B, T, h, w = shape
    down, across = ((torch.arange(length) + 0.5) / length - 0.5 for length in (h, w))
    return -(down[:, None] ** 2 + across[None] ** 2).expand(B, T, h, w)
