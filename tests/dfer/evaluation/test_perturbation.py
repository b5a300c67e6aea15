"""Deletion and insertion curves: against a literal transcription, and on a model whose important pixels are known."""

import pytest
import torch
from torch import Tensor, nn

from dfer.evaluation.perturbation import STEPS, area, centre_prior, curves, random_maps, ranks, removed, shares

B, T, H, W, CLASSES = 2, 3, 7, 11, 5


class Model(nn.Module):
    """Weights each pixel differently, so that no two orders of pixels have the same curve."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(T * 3 * H * W, CLASSES)

    def forward(self, clips: Tensor) -> Tensor:
        return self.linear(clips.flatten(1))


def literal_curve(
    model: nn.Module, clip: Tensor, nothing: Tensor, enlarged: Tensor, answer: int, *, deletion: bool
) -> list[float]:
    """Literal: sort the pixels of each frame, then remove or add the first ones."""
    scores = []
    for step in range(STEPS + 1):
        mixed = clip.clone() if deletion else nothing.clone()
        for frame in range(T):
            pixels = [(row, column) for row in range(H) for column in range(W)]
            pixels.sort(key=lambda at: (-float(enlarged[frame][at]), at))
            for row, column in pixels[: round(step / STEPS * H * W)]:
                mixed[frame, :, row, column] = (nothing if deletion else clip)[frame, :, row, column]
        scores.append(float(model(mixed[None]).softmax(dim=1)[0, answer]))
    return scores


@pytest.mark.parametrize("fill", ["blur", "grey"])
def test_curves_match_the_literal_transcription(fill: str) -> None:
    model, clips = Model().double(), torch.randn(B, T, 3, H, W).double()
    maps, answers = torch.rand(B, T, H, W), torch.tensor([1, 4])
    maps[0, 0, :3] = 0.5  # Equal pixels have an order too.
    found = curves(model, clips, maps, answers, fill=fill)  # type: ignore[arg-type]
    nothing = removed(clips, fill)  # type: ignore[arg-type]
    with torch.no_grad():
        for b in range(B):
            case = (model, clips[b], nothing[b], maps[b], int(answers[b]))
            assert found.deletion[b].tolist() == pytest.approx(literal_curve(*case, deletion=True), abs=1e-6)
            assert found.insertion[b].tolist() == pytest.approx(literal_curve(*case, deletion=False), abs=1e-6)


def test_curves_end_at_the_whole_and_the_empty_clip() -> None:
    model, clips = Model(), torch.randn(B, T, 3, H, W)
    answers = torch.tensor([0, 2])
    found = curves(model, clips, torch.rand(B, T, 2, 3), answers, fill="blur")
    whole, none = (
        model(x).softmax(dim=1)[torch.arange(B), answers].detach().double() for x in (clips, removed(clips, "blur"))
    )
    torch.testing.assert_close(found.deletion[:, 0], whole)
    torch.testing.assert_close(found.insertion[:, -1], whole)
    torch.testing.assert_close(found.deletion[:, -1], none)
    torch.testing.assert_close(found.insertion[:, 0], none)


def test_area_matches_a_hand_computed_example() -> None:
    assert float(area(shares())) == pytest.approx(0.5)
    assert area(torch.tensor([[1.0] * (STEPS + 1), [1.0] + [0.0] * STEPS])).tolist() == pytest.approx([1, 0.5 / STEPS])


def test_ranks_follow_the_enlarged_map_within_each_frame() -> None:
    maps = torch.tensor([[[[0.0, 3.0], [2.0, 1.0]], [[9.0, 8.0], [7.0, 6.0]]]])
    place = ranks(maps, (4, 4))
    assert place.shape == (1, 2, 4, 4)
    assert sorted(place[0, 0].flatten().tolist()) == list(range(16))
    assert place[0, 0].argmin() == 3, "the corner of the greatest"
    assert place[0, 0].argmax() == 0
    assert place[0, 1, 0, 0] == 0
    assert place[0, 1].argmax() == 15


def test_removed_regions_keep_no_detail() -> None:
    clips = torch.randn(B, T, 3, 24, 24)
    grey, blurred = removed(clips, "grey"), removed(clips, "blur")
    torch.testing.assert_close(grey[1, 2, 0], clips[1, :, 0].mean().expand(24, 24))
    assert blurred.var() < clips.var() / 10
    torch.testing.assert_close(removed(torch.full_like(clips, 0.3), "blur"), torch.full_like(clips, 0.3))


class Spot(nn.Module):
    """Class 1 if the pixels of one region are bright; no other pixel matters."""

    def forward(self, clips: Tensor) -> Tensor:
        bright = clips[..., 8:16, 16:24].mean(dim=(1, 2, 3, 4))
        return torch.stack([torch.zeros_like(bright), 10 * (bright - 0.5)], dim=1)


def test_true_map_beats_random_maps_and_the_centre() -> None:
    clips = torch.rand(4, 2, 3, 24, 24) * 0.2
    clips[..., 8:16, 16:24] += 0.8
    answers = torch.ones(4, dtype=torch.long)
    true = torch.zeros(4, 2, 3, 3)
    true[:, :, 1, 2] = 1
    areas = {}
    random = {f"random {seed}": random_maps(true.shape, seed) for seed in range(3)}
    for name, maps in {"true": true, "wrong": -true, "centre": centre_prior(true.shape), **random}.items():
        found = curves(Spot(), clips, maps, answers, fill="grey")
        areas[name] = (area(found.deletion), area(found.insertion))
    for name, (deletion, insertion) in areas.items():
        if name != "true":
            assert (areas["true"][0] <= deletion).all(), name
            assert (areas["true"][1] >= insertion).all(), name
    mean = [torch.stack([areas[name][kind] for name in random]).mean() for kind in (0, 1)]
    assert float(areas["true"][0].mean()) < float(mean[0]) - 0.2
    assert float(areas["true"][1].mean()) > float(mean[1]) + 0.2
    assert float(areas["wrong"][0].mean()) > float(mean[0]) + 0.2


def test_random_maps_differ_by_seed_and_repeat() -> None:
    shape = (1, 2, 3, 5)
    assert torch.equal(random_maps(shape, 1), random_maps(shape, 1))
    assert not torch.equal(random_maps(shape, 1), random_maps(shape, 2))


def test_centre_prior_decreases_from_the_middle_to_the_corners() -> None:
    prior = centre_prior((1, 1, 5, 7))[0, 0]
    assert prior.argmax() == 2 * 7 + 3
    corners = prior[[0, 0, 4, 4], [0, 6, 0, 6]]
    torch.testing.assert_close(corners, prior.min().expand(4))
