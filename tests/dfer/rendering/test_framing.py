from dataclasses import replace

import pytest
import torch
from torch import Tensor

from dfer.rendering import framing
from dfer.rendering.framing import aligned, face_points
from dfer.rendering.identity import Identity, draw_identities, draw_scenes, select
from dfer.rendering.motion import Motion, draw_motion
from dfer.rendering.painting import paint_faces
from dfer.video.alignment import TEMPLATE

PEOPLE, SIZE = 6, 96


def moving() -> tuple[Identity, Motion]:
    """One frame of each person with random pose, looking ahead with open eyes."""
    generator = torch.Generator().manual_seed(0)
    motion = draw_motion(torch.full((PEOPLE,), 2), 1, monotone=False, generator=generator)
    still = torch.zeros(PEOPLE, 1)
    person = draw_identities(PEOPLE, generator)
    return replace(person, glasses=torch.zeros(PEOPLE)), replace(motion, gaze=still, yaw=still, lids=still + 1.3)


def irises(person: Identity, motion: Motion) -> Tensor:
    """Centres of the two irises in the painted picture, from 0 to 1: (people, 2, 2)."""
    scenes = draw_scenes(PEOPLE, torch.Generator().manual_seed(1))
    scenes = replace(scenes, occluder=torch.zeros(PEOPLE))
    everyone = torch.arange(PEOPLE)
    flat = Motion(**{name: value[:, 0] for name, value in vars(motion).items()})
    pictures = []
    for colour in ((0.0, 1.0, 0.0), (1.0, 0.0, 1.0)):
        iris = torch.tensor(colour).expand(PEOPLE, 3)
        who = replace(select(person, everyone), iris=iris)
        pictures.append(paint_faces(who, scenes, flat, torch.zeros(PEOPLE), SIZE))
    changed = (pictures[0] - pictures[1]).abs().sum(dim=1)
    ticks = (torch.arange(SIZE) + 0.5) / SIZE
    middles = []
    for half in (ticks < 0.5, ticks >= 0.5):
        weights = changed * half
        total = weights.sum(dim=(1, 2))
        middles.append(
            torch.stack([(weights * ticks).sum((1, 2)), (weights * ticks[:, None]).sum((1, 2))], 1) / total[:, None]
        )
    return torch.stack(middles, dim=1)


def test_face_points_match_the_painted_eyes() -> None:
    person, motion = moving()
    points = face_points(person, motion)[:, 0, :2]
    turn = torch.stack([motion.roll.cos(), -motion.roll.sin(), motion.roll.sin(), motion.roll.cos()], -1).view(-1, 2, 2)
    shift = torch.cat([motion.shift_x, motion.shift_y + 0.06], 1)
    on_the_page = motion.scale[:, :, None] * points @ turn.transpose(1, 2) + shift[:, None]
    torch.testing.assert_close(irises(person, motion), (on_the_page + 1) / 2, rtol=0, atol=0.02)


def test_alignment_moves_the_eyes_to_the_template(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(framing, "CLIP_NOISE", 0.0)
    monkeypatch.setattr(framing, "FRAME_NOISE", 0.0)
    person, motion = moving()
    before = (irises(person, motion) - TEMPLATE[:2]).abs().mean()
    after = (irises(person, aligned(person, motion, torch.Generator())) - TEMPLATE[:2]).abs().mean()
    assert after < 0.025 < before


def test_detector_noise_comes_from_the_generator() -> None:
    person, motion = moving()

    def scale(seed: int) -> Tensor:
        return aligned(person, motion, torch.Generator().manual_seed(seed)).scale

    assert torch.equal(scale(1), scale(1))
    assert (scale(1) / scale(2) - 1).abs().mean() > 0.005
