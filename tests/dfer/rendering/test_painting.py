"""The painter reproduces faces.png, since figures in the documentation were measured on these pictures.

After an intended change, run `PYTHONPATH=src:examples python tests/dfer/rendering/test_painting.py` and look at it.
"""

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from dfer.rendering.identity import draw_identities, draw_scenes, select
from dfer.rendering.motion import EXPRESSIONS, Motion, draw_motion
from dfer.rendering.painting import paint_faces

PICTURE = Path(__file__).with_name("faces.png")
FRAMES, SIZE = 6, 40


def sheet() -> np.ndarray:
    """Three rows of people, with hair, glasses and beard among them; a column for each expression."""
    generator = torch.Generator().manual_seed(0)
    people = replace(
        draw_identities(3, generator),
        long_hair=torch.tensor([1.0, 0.0, 0.0]),
        glasses=torch.tensor([0.0, 1.0, 0.0]),
        beard=torch.tensor([0.0, 0.0, 0.6]),
    )
    expressions = torch.arange(len(EXPRESSIONS))
    rows = []
    for person, monotone in enumerate((False, True, False)):
        scenes = draw_scenes(len(expressions), generator)
        motion = draw_motion(expressions, FRAMES, monotone=monotone, generator=generator)
        late = Motion(**{field.name: getattr(motion, field.name)[:, -2] for field in fields(motion)})
        who = select(people, torch.full_like(expressions, person))
        time = torch.full((len(expressions),), 0.8)
        rows.append(torch.cat(list(paint_faces(who, scenes, late, time, SIZE)), dim=2))
    return (torch.cat(rows, dim=1) * 255).round().byte().permute(1, 2, 0).numpy()


def test_faces_match_the_stored_picture() -> None:
    expected = np.asarray(Image.open(PICTURE)).astype(int)
    # exp may round differently on another CPU.
    assert np.abs(sheet().astype(int) - expected).max() <= 1


if __name__ == "__main__":
    Image.fromarray(sheet()).save(PICTURE, optimize=True)
