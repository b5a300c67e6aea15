"""A few pictures of each face, spread over its time."""

import pytest
import torch

from dfer.video.recogniser import FIRST_GAP, MOST_FACES, MOST_OF_A_FACE, Thumbnails


def face(number: int) -> torch.Tensor:
    return torch.full((3, 4, 4), number % 256, dtype=torch.uint8)


@pytest.mark.parametrize("seconds", [0.2, 3.0, 30.0, 3600.0])
def test_thumbnails_are_few_and_evenly_spread(seconds: float) -> None:
    thumbnails = Thumbnails()
    for n in range(round(seconds * 5)):
        thumbnails.add(1, n / 5, face(n))
    kept = thumbnails.by_face[1]
    times = [time for time, _ in kept]
    assert times[0] == 0.0
    assert 1 <= len(kept) <= MOST_OF_A_FACE
    assert len(kept) >= min(MOST_OF_A_FACE // 2, seconds / FIRST_GAP / 1.3)
    gaps = [b - a for a, b in zip([*times, seconds][:-1], [*times, seconds][1:], strict=True)]
    assert max(gaps) <= max(2.5 * FIRST_GAP, 2.5 * seconds / len(kept))
    assert all(torch.equal(picture, face(round(time * 5))) for time, picture in kept)


def test_faces_after_the_limit_have_no_thumbnails() -> None:
    thumbnails = Thumbnails()
    for number in range(1, MOST_FACES + 50):
        thumbnails.add(number, 0.0, face(number))
    assert list(thumbnails.by_face) == list(range(1, MOST_FACES + 1))
