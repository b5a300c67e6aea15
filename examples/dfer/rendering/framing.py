"""Frame rendered faces like aligned detections: the five points of each frame match the template."""

from dataclasses import replace

import torch
from torch import Tensor

from dfer.rendering.identity import Identity
from dfer.rendering.motion import Motion
from dfer.video.alignment import TEMPLATE, similarity

# Standard deviation of the detector noise of a point, per clip and per frame; a picture is 2 units wide.
CLIP_NOISE, FRAME_NOISE = 0.03, 0.012


def face_points(person: Identity, motion: Motion) -> Tensor:
    """Positions of eyes, nose and mouth corners on the painted head: (B, T, 5, 2) as (x, y).

    `person` has B rows, `motion` (B, T).
    """
    gap, length, width = (part[:, None] for part in (person.eye_gap, person.nose_length, person.mouth_width))
    half = width * (1 + 0.32 * motion.stretch)
    eyes = torch.full_like(motion.yaw, -0.06)
    tip = length - 0.02 - 0.035 * motion.wrinkle.clamp(min=0)
    corners = 0.43 - 0.07 * motion.corners - 0.02 * motion.upper_lip
    gap = gap.expand_as(half)
    x = torch.stack([-gap, gap, 0.05 * motion.yaw, -half, half], -1) + 0.16 * motion.yaw[..., None]
    y = torch.stack([eyes, eyes, tip, corners, corners], -1) + 0.14 * motion.pitch[..., None]
    return torch.stack([x, y], -1)


def aligned(person: Identity, motion: Motion, generator: torch.Generator) -> Motion:
    """Replace roll, position and scale by those of the face after alignment to noisy detected points."""
    points = face_points(person, motion)
    clips, frames = motion.yaw.shape
    points = points + CLIP_NOISE * torch.randn(clips, 1, 5, 2, generator=generator)
    points = points + FRAME_NOISE * torch.randn(clips, frames, 5, 2, generator=generator)
    transform = similarity(points.flatten(0, 1), 2 * TEMPLATE - 1).unflatten(0, (clips, frames))
    cosine, sine, shift = transform[..., 0, 0], transform[..., 1, 0], transform[..., 2]
    return replace(
        motion,
        roll=torch.atan2(sine, cosine),
        scale=torch.hypot(sine, cosine),
        shift_x=shift[..., 0],
        # The painter moves every head down by 0.06.
        shift_y=shift[..., 1] - 0.06,
    )
