"""Face alignment against known transforms."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from dfer.video.alignment import TEMPLATE, align, shrunk, similarity


def turned(angle: float, scale: float, shift: tuple[float, float]) -> Tensor:
    cosine, sine = scale * math.cos(angle), scale * math.sin(angle)
    return torch.tensor([[cosine, -sine, shift[0]], [sine, cosine, shift[1]]], dtype=torch.float64)


@given(st.floats(-3, 3), st.floats(0.05, 20), st.floats(-500, 500), st.floats(-500, 500))
def test_known_similarity_is_recovered(angle: float, scale: float, x: float, y: float) -> None:
    known = turned(angle, scale, (x, y))
    points = torch.rand(1, 5, 2, dtype=torch.float64)
    target = points[0] @ known[:, :2].T + known[:, 2]
    torch.testing.assert_close(similarity(points, target)[0], known, rtol=1e-6, atol=1e-6)


def test_similarity_is_the_least_squares_fit_of_noisy_points() -> None:
    points, target = torch.randn(3, 5, 2, dtype=torch.float64), torch.randn(5, 2, dtype=torch.float64)
    for one, found in zip(points.numpy(), similarity(points, target).numpy(), strict=True):
        # x' = a x - b y + c, y' = b x + a y + d: linear in a, b, c, d.
        rows = [[x, -y, 1, 0] for x, y in one] + [[y, x, 0, 1] for x, y in one]
        a, b, c, d = np.linalg.lstsq(np.array(rows), target.numpy().T.reshape(-1), rcond=None)[0]
        np.testing.assert_allclose(found, [[a, -b, c], [b, a, d]], atol=1e-9)


def test_alignment_never_mirrors_a_face() -> None:
    mirrored = TEMPLATE * torch.tensor([-1.0, 1.0])
    assert float(similarity(mirrored[None], TEMPLATE)[0, :, :2].det()) > 0


def painted(transform: Tensor, height: int, width: int) -> Tensor:
    """A picture that `transform` maps to a fixed smooth pattern on the unit square."""
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    place = torch.stack([x, y], -1).double() @ transform[:, :2].T + transform[:, 2]
    return pattern(place).permute(2, 0, 1).round().byte()


def pattern(place: Tensor) -> Tensor:
    u, v = place.unbind(-1)
    waves = [torch.sin(5 * u + 2 * v), torch.cos(4 * v - u), torch.sin(3 * u * v + 1)]
    return 128 + 100 * torch.stack(waves, -1)


# The face's side in pixels of the frame: smaller than the result, about as large, and larger than the sampled picture.
@pytest.mark.parametrize(("side", "angle"), [(40, 0.3), (112, -1.2), (250, 0.0), (900, 2.8)])
@pytest.mark.parametrize("size", [112, 48])
def test_aligned_points_match_the_template(side: int, angle: float, size: int) -> None:
    # From pixels to the unit square; its centre at (620, 600).
    transform = turned(angle, 1 / side, (0.0, 0.0))
    transform[:, 2] = 0.5 - transform[:, :2] @ torch.tensor([620.0, 600.0], dtype=torch.float64)
    points = (TEMPLATE.double() - transform[:, 2]) @ transform[:, :2].inverse().T
    aligned = align(painted(transform, 1200, 1280)[None], points[None].float(), size)[0]
    assert aligned.shape == (3, size, size)
    assert aligned.dtype == torch.uint8
    ticks = (torch.arange(size, dtype=torch.float64) + 0.5) / size
    expected = pattern(torch.stack([ticks.expand(size, size), ticks[:, None].expand(size, size)], -1)).permute(2, 0, 1)
    difference = (aligned.double() - expected).abs()
    # Two roundings, and the smoothing of the wave by the mean over reduced pixels.
    assert float(difference.max()) < 2.5
    assert float(difference.mean()) < 0.6


def test_faces_of_a_batch_are_independent() -> None:
    frames = torch.randint(0, 256, (3, 3, 300, 400), dtype=torch.uint8)
    points = torch.stack([TEMPLATE * side + 10 for side in (30.0, 900.0, 200.0)])
    together = align(frames, points)
    for number in range(3):
        assert torch.equal(together[number], align(frames[number : number + 1], points[number : number + 1])[0])


def test_large_faces_are_averaged_before_sampling() -> None:
    # Averaging 6.7 x 6.7 pixels of noise reduces its standard deviation from 74; sampling alone leaves it above 20.
    noise = torch.randint(0, 256, (1, 3, 1600, 1600), dtype=torch.uint8)
    aligned = align(noise, (TEMPLATE * 1500 + 50)[None])
    assert float(aligned.float().std()) < 12


def literal(frame: Tensor, points: Tensor, size: int) -> Tensor:
    """Align one face from the whole frame in float64: (3, size, size)."""
    fine = 2 * size
    transform = similarity(points[None].double(), TEMPLATE.double() * fine)[0]
    inverse = transform[:, :2].inverse()
    factor = max(1, math.floor(math.sqrt(float(inverse.det()))))
    maps = torch.nn.functional.avg_pool2d(frame[None].double(), factor, ceil_mode=True)
    ticks = torch.arange(fine, dtype=torch.float64) + 0.5
    target = torch.stack([ticks.expand(fine, fine), ticks[:, None].expand(fine, fine)], -1)
    source = (target - transform[:, 2]) @ inverse.T / factor
    grid = source / torch.tensor([maps.shape[-1], maps.shape[-2]]) * 2 - 1
    sampled = torch.nn.functional.grid_sample(maps, grid[None], padding_mode="border", align_corners=False)
    return torch.nn.functional.avg_pool2d(sampled, 2)[0]


@given(
    st.integers(0, 2**31), st.integers(3, 200), st.integers(3, 200), st.floats(5, 700), st.floats(-3, 3),
    st.floats(-0.4, 1.4), st.floats(-0.4, 1.4),
)  # fmt: skip
def test_aligning_from_a_crop_equals_aligning_from_the_frame(
    seed: int, height: int, width: int, side: float, angle: float, x: float, y: float
) -> None:
    """Also for faces across the edge of the frame or outside it."""
    generator = torch.Generator().manual_seed(seed)
    frame = torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=generator)
    cosine, sine = side * math.cos(angle), side * math.sin(angle)
    points = (TEMPLATE - 0.5) @ torch.tensor([[cosine, sine], [-sine, cosine]]) + torch.tensor([x * width, y * height])
    difference = align(frame[None], points[None], 24)[0] - literal(frame, points, 24)
    # Half a level of rounding, and float32 error of positions.
    assert float(difference.abs().max()) < 0.6


def test_faces_of_one_frame_are_aligned_separately() -> None:
    frames = torch.randint(0, 256, (3, 3, 90, 120), dtype=torch.uint8)
    points = torch.stack([TEMPLATE * side + side / 3 for side in (30.0, 60.0, 45.0, 20.0)])
    owner = torch.tensor([2, 0, 2, 1])
    for face, one, frame in zip(align(frames, points, 32, owner), points, owner, strict=True):
        assert torch.equal(face, align(frames[frame][None], one[None], 32)[0])
    assert align(frames, points[:0], 32, owner[:0]).shape == (0, 3, 32, 32)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 7))
def test_shrinking_averages_partial_blocks_at_the_border(height: int, width: int, factor: int) -> None:
    maps = torch.rand(2, 3, height, width, dtype=torch.float64)
    expected = torch.nn.functional.avg_pool2d(maps, factor, ceil_mode=True)
    torch.testing.assert_close(shrunk(maps, factor), expected)
