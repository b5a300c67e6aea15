"""Films of rendered people who enter, leave, hide and cross, with the ground truth of who is where."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import NamedTuple

import torch
from torch import Tensor

from dfer.rendering.identity import draw_identities, draw_scenes, select
from dfer.rendering.motion import EXPRESSIONS, Motion, draw_motion
from dfer.rendering.painting import paint_faces

WIDTH, HEIGHT, RATE = 640, 360, 24
SIDE = 120
"""Side of a person's picture in pixels. The head is in its middle."""

Place = Callable[[float], tuple[float, float] | None]
"""Maps seconds to the centre of the head in pixels, or to None if the person is away."""


class Film(NamedTuple):
    frames: Tensor
    """(T, 3, H, W) uint8."""
    truth: list[dict[int, tuple[float, float]]]
    """For each frame, the centre of each person's head of which more than half is visible."""
    cuts: list[int]
    """The first frames of all shots but the first."""


@dataclass(frozen=True)
class Shot:
    """One shot: who is where, from back to front, before a wall of one colour."""

    seconds: float
    people: Mapping[int, Place]
    wall: tuple[int, int, int] = (150, 160, 170)


def standing(x: float, y: float, start: float = 0.0, end: float = 1e9) -> Place:
    return lambda time: (x, y) if start <= time < end else None


def walking(x: float, y: float, to_x: float, to_y: float, start: float, end: float) -> Place:
    def place(time: float) -> tuple[float, float] | None:
        share = (time - start) / (end - start)
        return (x + share * (to_x - x), y + share * (to_y - y)) if 0 <= share < 1 else None

    return place


def film(shots: list[Shot], seed: int = 7, people: int = 5, noise: float = 2.0) -> Film:
    """Render the shots in sequence. Each person repeatedly moves from rest to an expression and back."""
    generator = torch.Generator().manual_seed(seed)
    cast = _render(people, generator)
    frames: list[Tensor] = []
    truth, cuts = [], []
    for shot in shots:
        cuts.append(len(frames))
        for number in range(round(shot.seconds * RATE)):
            picture = torch.tensor(shot.wall, dtype=torch.float32)[:, None, None].expand(3, HEIGHT, WIDTH).clone()
            picture *= torch.linspace(0.8, 1.1, WIDTH)
            owner = torch.full((HEIGHT, WIDTH), -1)
            seen = {}
            for person, place in shot.people.items():
                centre = place(number / RATE)
                if centre is not None:
                    seen[person] = centre
                    _paste(picture, owner, cast[person][len(frames) % len(cast[person])], person, centre)
            whole = float((_head() > 0.5).sum())
            truth.append({who: at for who, at in seen.items() if float((owner == who).sum()) > whole / 2})
            picture += noise * torch.randn(picture.shape, generator=generator)
            frames.append(picture.round().clamp(0, 255).byte())
    return Film(torch.stack(frames), truth, cuts[1:])


def _render(people: int, generator: torch.Generator) -> list[Tensor]:
    """Render each person moving to an expression and back: (96, 3, SIDE, SIDE) each, from 0 to 255."""
    identities = replace(draw_identities(people, generator), glasses=torch.zeros(people))
    scenes = replace(draw_scenes(people, generator), occluder=torch.zeros(people))
    length = 2 * RATE
    shown = torch.arange(people) % len(EXPRESSIONS)
    motion = draw_motion(shown, length, monotone=True, generator=generator)
    # Seen from the front.
    motion = replace(motion, yaw=motion.yaw * 0.3, pitch=motion.pitch * 0.3, roll=motion.roll * 0.5)
    cast = []
    for person in range(people):
        rows = torch.full((length,), person)
        moves = Motion(**{f.name: getattr(motion, f.name)[person] for f in fields(motion)})
        time = torch.linspace(0, 1, length)
        pictures = paint_faces(select(identities, rows), select(scenes, rows), moves, time, SIDE) * 255
        cast.append(torch.cat([pictures, pictures.flip(0)]))
    return cast


def _head() -> Tensor:
    """Return the head's opacity in a person's picture, (SIDE, SIDE), 0 to 1."""
    axis = (torch.arange(SIDE) + 0.5) * 2 / SIDE - 1
    radius = ((axis / 0.78).square() + ((axis[:, None]) / 0.98).square()).sqrt()
    return ((1 - radius) * 20).clamp(0, 1)


def _paste(picture: Tensor, owner: Tensor, person: Tensor, name: int, centre: tuple[float, float]) -> None:
    left, top = round(centre[0] - SIDE / 2), round(centre[1] - SIDE / 2)
    rows = slice(max(0, top), max(0, min(HEIGHT, top + SIDE)))
    columns = slice(max(0, left), max(0, min(WIDTH, left + SIDE)))
    own = slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left)
    cover = _head()[own]
    picture[:, rows, columns] = torch.lerp(picture[:, rows, columns], person[:, *own], cover)
    owner[rows, columns] = torch.where(cover > 0.5, name, owner[rows, columns])


def crowd() -> Film:
    """Film five people for seven seconds: one arrives, two cross and leave, one is away for 0.7 s, then a cut."""
    return film(
        [
            Shot(
                5.5,
                {
                    0: standing(90, 100),
                    1: walking(-60, 230, 700, 230, 0.2, 4.2),
                    2: walking(700, 250, -60, 250, 0.2, 4.2),
                    3: lambda time: None if 2.5 <= time < 3.2 else (240, 90),
                    4: standing(540, 100, 1.0),
                },
            ),
            Shot(1.5, {1: standing(200, 200), 0: standing(440, 180)}, wall=(90, 60, 50)),
        ]
    )
