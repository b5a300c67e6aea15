"""Videos of the talking face with a different colour of light for each label."""

from itertools import product
from pathlib import Path

import torch

from helpers.footage import talking_face
from helpers.videos import write_video

FRAMES = 5
# Dimming some of red, green and blue makes a clip's label recognisable after all processing steps.
LIGHTS = torch.tensor(list(product((1.0, 0.75), repeat=3))[:7])


def film(video: Path, label: int, number: int) -> None:
    """Write a video with different frames for every number."""
    frames = talking_face()[3 * number % 110 :][:FRAMES]
    write_video(video, (frames * LIGHTS[label][:, None, None]).byte(), codec="mpeg4")
