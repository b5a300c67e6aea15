"""Motion of a rendered face: head pose, and seven expressions as trajectories of brows, lids, nose and mouth."""

from dataclasses import dataclass

import torch
from torch import Tensor

EXPRESSIONS = ("happy", "sad", "neutral", "angry", "surprise", "disgust", "fear")
DIRECTIONS = ("onset", "offset")

# The apex of each expression, after the action units of Ekman's basic emotions, with one column per muscle.
# Positive values raise the brows and the corners of the mouth; lids are 1 at rest.
MUSCLES = ("inner_brow", "outer_brow", "frown", "lids", "wrinkle", "corners", "stretch", "jaw", "upper_lip")
REST = (0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0)
APEX = {
    "happy": (0.10, 0.15, 0.0, 0.68, 0.1, 1.0, 0.75, 0.35, 0.35),
    "sad": (1.0, -0.60, 0.4, 0.55, 0.0, -1.2, -0.15, 0.0, 0.0),
    "neutral": REST,
    "angry": (-1.2, 0.50, 1.0, 0.80, 0.3, -0.50, -0.45, 0.0, -0.1),
    "surprise": (1.0, 1.0, 0.0, 1.42, 0.0, 0.0, -0.55, 1.0, 0.25),
    "disgust": (-0.40, -0.30, 0.5, 0.45, 1.0, -0.45, 0.10, 0.12, 1.0),
    "fear": (1.0, 0.05, 0.8, 1.42, 0.0, -0.60, 0.70, 0.42, 0.05),
}


@dataclass(frozen=True)
class Motion:
    """Everything that moves, as tensors (B, T): the nine muscles, the gaze and the pose of the head."""

    inner_brow: Tensor
    outer_brow: Tensor
    frown: Tensor
    lids: Tensor
    wrinkle: Tensor
    corners: Tensor
    stretch: Tensor
    jaw: Tensor
    upper_lip: Tensor
    gaze: Tensor
    shift_x: Tensor
    shift_y: Tensor
    roll: Tensor
    yaw: Tensor
    pitch: Tensor
    scale: Tensor


def _uniform(low: float, high: float, clips: int, generator: torch.Generator) -> Tensor:
    return low + (high - low) * torch.rand(clips, 1, generator=generator)


def _smoothstep(x: Tensor) -> Tensor:
    x = x.clamp(0, 1)
    return x * x * (3 - 2 * x)


def _sway(size: float, time: Tensor, clips: int, generator: torch.Generator) -> Tensor:
    """A random start, a drift and a slow oscillation."""
    start = _uniform(-size, size, clips, generator)
    drift = _uniform(-size, size, clips, generator) * (time - 0.5)
    phase = _uniform(0, 6.28, clips, generator)
    return start + drift + 0.3 * size * torch.sin(5 * time + phase)


def draw_motion(expressions: Tensor, frames: int, *, monotone: bool, generator: torch.Generator) -> Motion:
    """Draw one motion for each entry of `expressions` (B,), indices into EXPRESSIONS.

    A face moves from rest to the apex. Without `monotone` it may start midway and relax again at the end.
    """
    clips = len(expressions)
    time = torch.linspace(0, 1, frames).expand(clips, frames)
    start = _uniform(0.0, 0.2, clips, generator) if monotone else _uniform(-0.4, 0.10, clips, generator)
    duration = _uniform(0.5, 0.8, clips, generator) if monotone else _uniform(0.25, 0.5, clips, generator)
    strength = _smoothstep((time - start) / duration)
    if not monotone:
        strength = strength * (1 - _uniform(0, 0.5, clips, generator) * _smoothstep((time - 0.75) / 0.25))
    strength = strength * _uniform(0.85, 1.1, clips, generator)

    rest = torch.tensor(REST)
    change = torch.tensor([APEX[name] for name in EXPRESSIONS])[expressions] - rest
    habit = 1 + 0.2 * (2 * torch.rand(change.shape, generator=generator) - 1)
    tone = 0.04 * torch.randn(change.shape, generator=generator)
    muscles = (rest + tone)[:, None] + strength[..., None] * (change * habit)[:, None]

    blinks = (torch.rand(clips, 1, generator=generator) < 0.3) & (
        torch.arange(frames) == torch.randint(frames, (clips, 1), generator=generator)
    )
    moved = dict(zip(MUSCLES, muscles.unbind(-1), strict=True))
    moved["lids"] = (moved["lids"] * blinks.logical_not()).clamp(0.08, 1.6)
    moved["jaw"] = moved["jaw"].clamp(min=0)
    return Motion(
        **moved,
        gaze=_sway(0.5, time, clips, generator),
        shift_x=_sway(0.05, time, clips, generator),
        shift_y=_sway(0.04, time, clips, generator),
        roll=_sway(0.10, time, clips, generator),
        yaw=_sway(0.40, time, clips, generator),
        pitch=_sway(0.20, time, clips, generator),
        scale=1.35 + _sway(0.05, time, clips, generator),
    )
