from itertools import pairwise

import torch
from hypothesis import given
from hypothesis import strategies as st

from dfer.data.clips import sample_frames


def test_testing_takes_the_middle_of_every_segment() -> None:
    # Four segments of six frames: 0-5, 6-11, 12-17, 18-23.
    assert sample_frames(24, segments=4, per_segment=2) == [2, 3, 8, 9, 14, 15, 20, 21]


def test_training_draws_inside_every_segment() -> None:
    generator = torch.Generator().manual_seed(0)
    seen = set()
    for _ in range(50):
        chosen = sample_frames(24, 4, 2, generator)
        assert [frame // 6 for frame in chosen] == [0, 0, 1, 1, 2, 2, 3, 3]
        assert all(a < b for a, b in pairwise(chosen))
        seen.update(chosen)
    assert seen == set(range(24))


def test_short_clip_repeats_frames() -> None:
    assert sample_frames(1, 4, 2) == [0] * 8
    assert sample_frames(3, 3, 2) == [0, 0, 1, 1, 2, 2]


@given(st.integers(1, 60), st.integers(1, 8), st.integers(1, 4), st.none() | st.integers(0, 9))
def test_frames_exist_and_keep_their_order(available: int, segments: int, per: int, seed: int | None) -> None:
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    chosen = sample_frames(available, segments, per, generator)
    assert len(chosen) == segments * per
    assert chosen == sorted(chosen)
    assert chosen[0] >= 0
    assert chosen[-1] < available
    if available >= segments * per:
        assert len(set(chosen)) == len(chosen)
