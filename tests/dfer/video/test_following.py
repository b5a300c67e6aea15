"""Tracking by position and appearance, never across a cut."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from dfer.video.faces import Faces
from dfer.video.following import ENTIRELY_DIFFERENT, SAME_LOOK, Follower

STEP = 0.2


def people(count: int) -> Tensor:
    """Orthogonal looks: (count, 768)."""
    return torch.linalg.qr(torch.randn(768, count)).Q.T


def faces(*boxes: tuple[float, float, float]) -> Faces:
    """Square faces as (left, top, side)."""
    rows = torch.tensor([[x, y, x + side, y + side] for x, y, side in boxes], dtype=torch.float32).reshape(-1, 4)
    return Faces(rows, torch.zeros(len(rows), 5, 2), torch.ones(len(rows)))


def between(one: Tensor, other: Tensor, correlation: float) -> Tensor:
    """A look with this correlation to `one`, otherwise like `other`."""
    return normalize(correlation * one + (1 - correlation**2) ** 0.5 * other, dim=0)


def test_numbers_do_not_depend_on_detection_order() -> None:
    a, b = people(2)
    follower = Follower()
    assert follower.follow(0.0, faces((0, 0, 40), (100, 0, 40)), torch.stack([a, b])) == [1, 2]
    assert follower.follow(STEP, faces((104, 0, 40), (4, 0, 40)), torch.stack([b, a])) == [2, 1]


def test_crossing_faces_keep_their_numbers() -> None:
    a, b = people(2)
    follower = Follower()
    follower.follow(0.0, faces((0, 0, 40), (40, 0, 40)), torch.stack([a, b]))
    follower.follow(STEP, faces((10, 0, 40), (30, 0, 40)), torch.stack([a, b]))
    # They stop and turn back: position and speed alone would swap them.
    assert follower.follow(2 * STEP, faces((12, 0, 40), (28, 0, 40)), torch.stack([a, b])) == [1, 2]
    assert follower.follow(3 * STEP, faces((20, 0, 40), (20, 0, 40)), torch.stack([b, a])) == [2, 1]


def test_occluded_face_keeps_its_number() -> None:
    a, b = people(2)
    follower = Follower()
    for n in range(4):
        follower.follow(n * STEP, faces((30 * n, 0, 40), (150 - 30 * n, 0, 40)), torch.stack([a, b]))
    hidden = follower.follow(4 * STEP, faces((100, 0, 40)), a[None])
    assert hidden == [1]
    assert follower.follow(5 * STEP, faces((0, 0, 40), (150, 0, 40)), torch.stack([b, a])) == [2, 1]


def test_fast_face_is_matched_at_its_predicted_position() -> None:
    a, b = people(2)
    follower = Follower()
    for n, x in enumerate((0, 20, 44, 72, 104)):
        assert follower.follow(n * STEP, faces((x, 0, 40)), a[None]) == [1]
    # The last step is 36 of 40 pixels: the boxes themselves overlap by 0.05. Appearance alone would not match.
    turned = between(a, b, (SAME_LOOK + ENTIRELY_DIFFERENT) / 2)
    assert follower.follow(5 * STEP, faces((140, 0, 40)), turned[None]) == [1]


def test_face_returns_with_same_number_only_within_a_second() -> None:
    a, b = people(2)
    alike = between(a, b, SAME_LOOK + 0.05)
    for gap, number in ((1.0, 1), (1.1, 2)):
        follower = Follower()
        follower.follow(0.0, faces((0, 0, 40)), a[None])
        for time in (0.3, 0.6):
            assert follower.follow(time, faces(), torch.empty(0, 768)) == []
        assert follower.follow(gap, faces((300, 100, 60)), alike[None]) == [number]


def test_track_ends_after_a_second_without_a_detection() -> None:
    (a,) = people(1)
    for missed, number in ((1.0, 1), (1.1, 2)):
        follower = Follower()
        follower.follow(0.0, faces((0, 0, 40)), a[None])
        for time in (0.4, 0.8, missed):
            assert follower.follow(time, faces(), torch.empty(0, 768)) == []
        assert follower.follow(1.2, faces((0, 0, 40)), a[None]) == [number]


def test_different_face_within_a_second_starts_new_track() -> None:
    a, b = people(2)
    follower = Follower()
    follower.follow(0.0, faces((0, 0, 40)), a[None])
    follower.follow(0.2, faces(), torch.empty(0, 768))
    assert follower.follow(0.4, faces((300, 100, 60)), between(a, b, SAME_LOOK - 0.05)[None]) == [2]


def test_different_face_at_same_position_starts_new_track() -> None:
    a, b = people(2)
    for correlation, number in ((ENTIRELY_DIFFERENT - 0.05, 2), (ENTIRELY_DIFFERENT + 0.05, 1)):
        follower = Follower()
        follower.follow(0.0, faces((0, 0, 40)), a[None])
        assert follower.follow(STEP, faces((0, 0, 40)), between(a, b, correlation)[None]) == [number]


def test_cut_ends_all_tracks() -> None:
    a, b = people(2)
    follower = Follower()
    follower.follow(0.0, faces((0, 0, 40), (100, 0, 40)), torch.stack([a, b]))
    follower.cut()
    assert follower.follow(STEP, faces((0, 0, 40), (100, 0, 40)), torch.stack([a, b])) == [3, 4]


@pytest.mark.parametrize("pause", [5.0, 60.0, 3600.0])
def test_time_without_frames_does_not_end_a_track(pause: float) -> None:
    a, b = people(2)
    follower = Follower()
    # It moves, then the recording pauses, then it moves on.
    for n in range(5):
        assert follower.follow(n * STEP, faces((8 * n, 0, 40)), a[None]) == [1]
    assert follower.follow(1 + pause, faces((44, 0, 40)), a[None]) == [1]
    assert follower.follow(1 + 2 * pause, faces(), torch.empty(0, 768)) == []
    assert follower.follow(1 + 3 * pause, faces((300, 90, 60)), between(a, b, SAME_LOOK + 0.05)[None]) == [1]


def test_track_ends_when_its_face_is_missing_at_a_low_frame_rate() -> None:
    (a,) = people(1)
    follower = Follower()
    follower.follow(0.0, faces((0, 0, 40)), a[None])
    for n in range(3):
        follower.follow(60.0 * (n + 1), faces(), torch.empty(0, 768))
    assert follower.follow(240.0, faces((0, 0, 40)), a[None]) == [2]


def test_appearance_of_a_track_is_a_moving_average() -> None:
    a, b = people(2)
    follower = Follower()
    for n in range(30):
        # From one look to an unrelated one in six seconds.
        assert follower.follow(n * STEP, faces((0, 0, 40)), between(a, b, 1 - n / 29)[None]) == [1]


def test_rows_of_same_follow_the_order_of_numbers() -> None:
    a, b, c = people(3)
    follower = Follower()
    follower.follow(0.0, faces((0, 0, 40), (100, 0, 40)), torch.stack([a, b]))
    two = torch.stack([a, b])
    assert follower.rows_of_same(STEP, faces((2, 0, 40), (98, 0, 40)), two) == [0, 1]
    assert follower.rows_of_same(STEP, faces((98, 0, 40), (2, 0, 40)), two.flip(0)) == [1, 0]
    assert follower.rows_of_same(STEP, faces((2, 0, 40)), a[None]) is None
    assert follower.rows_of_same(STEP, faces((2, 0, 40), (98, 0, 40), (200, 0, 40)), torch.stack([a, b, c])) is None
    assert follower.rows_of_same(STEP, faces((2, 0, 40), (198, 0, 40)), two) is None
    assert follower.rows_of_same(STEP, faces((95, 0, 40), (100, 0, 40)), two) is None
    # No face before and none now.
    assert Follower().rows_of_same(0.0, faces(), torch.empty(0, 768)) == []
