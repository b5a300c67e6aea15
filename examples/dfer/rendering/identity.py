"""Identity of a rendered face (shape, colours, hair, glasses) and its scene (light, wall, occlusion)."""

from dataclasses import dataclass, fields
from typing import TypeVar

import torch
from torch import Tensor

# RGB colours from 0 to 1; each person gets a mixture of two neighbours in a row.
SKIN = (
    (0.98, 0.86, 0.77),
    (0.94, 0.76, 0.63),
    (0.86, 0.65, 0.48),
    (0.71, 0.49, 0.34),
    (0.53, 0.35, 0.24),
    (0.37, 0.24, 0.17),
)
HAIR = (
    (0.08, 0.06, 0.06),
    (0.22, 0.13, 0.08),
    (0.42, 0.25, 0.13),
    (0.62, 0.36, 0.17),
    (0.85, 0.68, 0.38),
    (0.70, 0.69, 0.68),
)
IRIS = ((0.22, 0.13, 0.07), (0.40, 0.26, 0.12), (0.33, 0.43, 0.22), (0.28, 0.48, 0.62), (0.44, 0.52, 0.56))
CLOTH = (
    (0.20, 0.28, 0.42),
    (0.58, 0.18, 0.20),
    (0.22, 0.42, 0.36),
    (0.82, 0.78, 0.70),
    (0.30, 0.30, 0.34),
    (0.72, 0.54, 0.22),
)
WALL = (
    (0.55, 0.66, 0.74),
    (0.80, 0.77, 0.70),
    (0.62, 0.70, 0.60),
    (0.74, 0.62, 0.60),
    (0.42, 0.46, 0.54),
    (0.86, 0.86, 0.88),
)

Rows = TypeVar("Rows", "Identity", "Scene")


@dataclass(frozen=True)
class Identity:
    """Attributes of people: tensors of shape (people,), colours (people, 3)."""

    skin: Tensor
    hair: Tensor
    iris: Tensor
    shirt: Tensor
    width: Tensor
    height: Tensor
    jaw: Tensor
    eye_gap: Tensor
    eye_size: Tensor
    brow_thickness: Tensor
    nose_width: Tensor
    nose_length: Tensor
    mouth_width: Tensor
    lip_fullness: Tensor
    lip_redness: Tensor
    hairline: Tensor
    parting: Tensor
    long_hair: Tensor
    beard: Tensor
    glasses: Tensor


@dataclass(frozen=True)
class Scene:
    """Attributes of clips, constant within a clip: tensors of shape (clips,), colours (clips, 3)."""

    wall: Tensor
    light_x: Tensor
    light_y: Tensor
    brightness: Tensor
    warmth: Tensor
    occluder: Tensor
    occluder_x: Tensor
    occluder_y: Tensor
    occluder_size: Tensor
    occluder_speed: Tensor


def select(rows: Rows, index: Tensor) -> Rows:
    return type(rows)(**{f.name: getattr(rows, f.name)[index] for f in fields(rows)})


class _Draw:
    def __init__(self, count: int, generator: torch.Generator) -> None:
        self.count, self.generator = count, generator

    def between(self, low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(self.count, generator=self.generator)

    def chance(self, probability: float) -> Tensor:
        return (torch.rand(self.count, generator=self.generator) < probability).float()

    def colour(self, row: tuple[tuple[float, float, float], ...]) -> Tensor:
        place = self.between(0, len(row) - 1)
        left = place.floor().long().clamp(max=len(row) - 2)
        colours = torch.tensor(row)
        mixed = torch.lerp(colours[left], colours[left + 1], (place - left)[:, None])
        lighter = 1 + 0.04 * torch.randn(self.count, 1, generator=self.generator)
        return (mixed * lighter).clamp(0.02, 1)


def draw_identities(people: int, generator: torch.Generator) -> Identity:
    draw = _Draw(people, generator)
    return Identity(
        skin=draw.colour(SKIN),
        hair=draw.colour(HAIR),
        iris=draw.colour(IRIS),
        shirt=draw.colour(CLOTH),
        width=draw.between(0.54, 0.64),
        height=draw.between(0.72, 0.81),
        jaw=draw.between(0.10, 0.34),
        eye_gap=draw.between(0.225, 0.275),
        eye_size=draw.between(0.125, 0.155),
        brow_thickness=draw.between(0.028, 0.045),
        nose_width=draw.between(0.075, 0.12),
        nose_length=draw.between(0.20, 0.27),
        mouth_width=draw.between(0.19, 0.25),
        lip_fullness=draw.between(0.035, 0.06),
        lip_redness=draw.between(0.3, 0.9),
        hairline=draw.between(-0.60, -0.42),
        parting=draw.between(-0.35, 0.35),
        long_hair=draw.chance(0.45),
        beard=draw.chance(0.25) * draw.between(0.25, 0.8),
        glasses=draw.chance(0.25),
    )


def draw_scenes(clips: int, generator: torch.Generator) -> Scene:
    draw = _Draw(clips, generator)
    return Scene(
        wall=draw.colour(WALL),
        light_x=draw.between(-0.9, 0.9),
        light_y=draw.between(-0.8, 0.1),
        brightness=draw.between(0.85, 1.15),
        warmth=draw.between(-0.06, 0.08),
        occluder=draw.chance(0.25),
        occluder_x=draw.between(-0.8, 0.8),
        occluder_y=draw.between(-0.7, 1.0),
        occluder_size=draw.between(0.12, 0.26),
        occluder_speed=draw.between(-0.5, 0.5),
    )
