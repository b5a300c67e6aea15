"""A readable error for every wrong shape."""

import pytest
import torch

from dfer.models.clip_shape import check_clips


def test_valid_clips_are_accepted() -> None:
    check_clips("Net", torch.empty(2, 5, 3, 7, 11))
    check_clips("Net", torch.empty(2, 5, 3, 7, 7), num_frames=5, size=7, least=7)


def test_empty_batch_is_accepted() -> None:
    check_clips("Net", torch.empty(0, 5, 3, 7, 7), num_frames=5, size=7)


@pytest.mark.parametrize(
    ("shape", "fix"),
    [
        ((5, 3, 7, 7), r"One clip is clips\.unsqueeze\(0\)\."),
        ((5, 3, 7), r"It has 3 axes, not 5\."),
        ((2, 3, 5, 7, 7), r"Is it \(B, C, T, H, W\)\? Then clips\.transpose\(1, 2\)\."),
        ((2, 5, 7, 7, 3), r"Is it \(B, T, H, W, C\)\? Then clips\.permute\(0, 1, 4, 2, 3\)\."),
        ((2, 5, 1, 7, 7), r"Axis 2 should be the 3 colours\."),
        ((2, 0, 3, 7, 7), r"It has no frames\."),
        ((2, 4, 3, 7, 7), r"Sample 5 frames of each clip, or build the model with num_frames=4\."),
        ((2, 5, 3, 7, 11), r"Resize the frames to 7 x 7, or build the model with another size\."),
    ],
)
def test_other_shape_is_refused_with_a_fix(shape: tuple[int, ...], fix: str) -> None:
    expected = r"^Net expects clips \(B, 5, 3, 7, 7\); got \(" + ", ".join(map(str, shape)) + r"\)\. "
    with pytest.raises(ValueError, match=f"{expected}{fix}$"):
        check_clips("Net", torch.empty(shape), num_frames=5, size=7)


def test_too_few_pixels_are_refused() -> None:
    with pytest.raises(ValueError, match=r"clips \(B, T, 3, H, W\); .* at least 32 x 32 pixels"):
        check_clips("Net", torch.empty(2, 5, 3, 31, 40), least=32)


def test_integer_clips_are_refused() -> None:
    with pytest.raises(ValueError, match=r"torch\.uint8: scale them to floating point first"):
        check_clips("Net", torch.empty(2, 5, 3, 7, 7, dtype=torch.uint8))
