"""Which face is followed, and what fills the frames without it."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dfer.video.faces import Faces
from dfer.video.tracks import face_to_follow, link, nearest


def frame(*boxes: tuple[float, float, float]) -> Faces:
    """Square faces as (left, top, side)."""
    rows = torch.tensor([[x, y, x + side, y + side] for x, y, side in boxes]).reshape(-1, 4)
    return Faces(rows, torch.zeros(len(rows), 5, 2), torch.ones(len(rows)))


def at(frames: list[Faces], step: float = 0.04) -> list[float]:
    return [number * step for number in range(len(frames))]


def test_the_larger_of_two_people_is_followed_wherever_it_stands_in_the_list() -> None:
    large, small = (10.0, 10.0, 50.0), (100.0, 10.0, 30.0)
    frames = [frame(large, small), frame(small, large), frame(small), frame(small, large)]
    # Absent for one frame: the other person does not take its place.
    assert face_to_follow(frames, at(frames)) == [0, 1, None, 1]


def test_a_moving_face_is_followed_past_a_larger_passer_by() -> None:
    frames = [frame((x, 0.0, 40.0)) for x in range(0, 200, 8)]
    frames[12] = frame((0.0, 100.0, 60.0), (12 * 8.0, 0.0, 40.0))
    assert face_to_follow(frames, at(frames)) == [0] * 12 + [1] + [0] * 12


def test_two_people_who_pass_each_other_keep_their_tracks() -> None:
    frames = [frame((4.0 * n, 0.0, 40.0), (160 - 4.0 * n, 25.0, 40.0)) for n in range(40)]
    assert [set(track.faces.values()) for track in link(frames, at(frames))] == [{0}, {1}]


def test_after_a_hard_cut_the_next_face_is_followed() -> None:
    frames = [frame((0.0, 0.0, 40.0))] * 3 + [frame((200.0, 90.0, 60.0))] * 3
    assert len(link(frames, at(frames))) == 2
    assert face_to_follow(frames, at(frames)) == [0] * 6


def test_a_track_survives_a_gap_of_up_to_a_second() -> None:
    here, gone = frame((0.0, 0.0, 40.0)), frame()
    frames = [here, *[gone] * 9, here]
    assert len(link(frames, at(frames, 0.1))) == 1
    assert len(link(frames, at(frames, 0.11))) == 2
    # Frames farther apart than that: a frame is not a gap.
    assert len(link([here] * 4, at([here] * 4, 5.0))) == 1


def test_the_best_pairs_are_linked_first() -> None:
    frames = [frame((0.0, 0.0, 40.0), (30.0, 0.0, 40.0)), frame((22.0, 0.0, 40.0), (33.0, 0.0, 40.0))]
    # The face at 22 overlaps both; the one at 33 is the second's, so the first has none but it, and too little.
    assert [track.faces for track in link(frames, at(frames))] == [{0: 0}, {0: 1, 1: 1}, {1: 0}]


def test_no_face_at_all() -> None:
    assert face_to_follow([frame()] * 3, [0.0, 1.0, 2.0]) == [None] * 3
    assert face_to_follow([], []) == []


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 9)), min_size=1, max_size=30))
def test_nearest_is_nearest_in_time(frames: list[tuple[bool, int]]) -> None:
    present = [has_face for has_face, _ in frames]
    times = [float(sum(step for _, step in frames[: n + 1])) for n in range(len(frames))]
    if not any(present):
        with pytest.raises(ValueError, match="at least one frame"):
            nearest(present, times)
        return
    known = [number for number, has_face in enumerate(present) if has_face]
    expected = [min(known, key=lambda k: (abs(times[k] - time), k)) for time in times]
    assert nearest(present, times) == expected
