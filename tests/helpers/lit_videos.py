"""Videos of the talking face, each label under a light of its own."""

from itertools import product
from pathlib import Path

import torch

from helpers.footage import talking_face
from helpers.videos import write_video

FRAMES = 5
# By its light a clip is known again after all steps: some of red, green and blue are dimmed.
LIGHTS = torch.tensor(list(product((1.0, 0.75), repeat=3))[:7])


def film(video: Path, label: int, number: int) -> None:
    """Other frames for every number."""
    frames = talking_face()[3 * number % 110 :][:FRAMES]
    write_video(video, (frames * LIGHTS[label][:, None, None]).byte(), codec="mpeg4")
