"""Overlaps and non-maximum suppression against their definitions, box by box."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from dfer.video.boxes import areas, non_maximum_suppression, overlaps, shift_edges, squares


def random_boxes(seed: int, count: int) -> Tensor:
    corner = torch.rand(count, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 20
    size = torch.rand(count, 2, generator=torch.Generator().manual_seed(seed + 1), dtype=torch.float64) * 15 + 0.5
    return torch.cat([corner, corner + size], 1)


def literal_overlap(a: list[float], b: list[float], over: str) -> float:
    wide = min(a[2], b[2]) - max(a[0], b[0])
    high = min(a[3], b[3]) - max(a[1], b[1])
    shared = wide * high if wide > 0 and high > 0 else 0.0
    area = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return shared / (sum(area) - shared if over == "union" else min(area))


def literal_suppression(boxes: Tensor, scores: Tensor, threshold: float, over: str) -> list[int]:
    kept: list[int] = []
    for candidate in sorted(range(len(boxes)), key=lambda i: -float(scores[i])):
        if all(literal_overlap(boxes[candidate].tolist(), boxes[k].tolist(), over) <= threshold for k in kept):
            kept.append(candidate)
    return kept


@given(st.integers(0, 10**6), st.integers(0, 40), st.sampled_from(["union", "smaller"]), st.floats(0.05, 0.9))
def test_suppression_matches_the_greedy_algorithm(seed: int, count: int, over, threshold: float) -> None:
    boxes, scores = random_boxes(seed, count), torch.rand(count, generator=torch.Generator().manual_seed(seed))
    kept = non_maximum_suppression(boxes, scores, threshold, over)
    assert kept.tolist() == literal_suppression(boxes, scores, threshold, over)


def test_suppressed_box_does_not_suppress_others() -> None:
    # Each box overlaps only its neighbours: the second goes, so the third stays, so the fourth goes, ...
    left = torch.arange(9.0) * 4
    boxes = torch.stack([left, torch.zeros(9), left + 6, torch.ones(9)], 1)
    assert non_maximum_suppression(boxes, torch.linspace(1, 0.1, 9), 0.15).tolist() == [0, 2, 4, 6, 8]


@given(st.integers(0, 10**6))
def test_overlaps_match_their_definition(seed: int) -> None:
    a, b = random_boxes(seed, 5), random_boxes(seed + 7, 3)
    for over in ("union", "smaller"):
        expected = [[literal_overlap(p, q, over) for q in b.tolist()] for p in a.tolist()]
        torch.testing.assert_close(overlaps(a, b, over), torch.tensor(expected, dtype=torch.float64))
    assert overlaps(torch.zeros(1, 4), torch.zeros(1, 4)).tolist() == [[0.0]]


def test_squares_and_shifted_edges() -> None:
    boxes = torch.tensor([[2.0, 3.0, 8.0, 5.0], [0.0, 0.0, 2.0, 10.0]])
    assert squares(boxes).tolist() == [[2, 1, 8, 7], [-4, 0, 6, 10]]
    assert areas(boxes).tolist() == [12, 20]
    moved = shift_edges(boxes, torch.tensor([[0.5, -0.5, 0.0, 1.0], [0.0, 0.0, 0.25, 0.0]]))
    assert moved.tolist() == [[5, 2, 8, 7], [0, 0, 2.5, 10]]
