"""Areas under curves, their intervals over clips, and verdicts on maps."""

import pytest
import torch
from torch import Tensor, nn

from agdt_layers import AdaptiveGlobalAttention
from dfer.evaluation.explanation import explain, in_words, markdown, report_of, verdict
from dfer.evaluation.perturbation import STEPS, Curves


def flat(*heights: float) -> Tensor:
    """One curve of constant height, which is its area, per clip."""
    return torch.tensor(heights).double()[:, None].expand(-1, STEPS + 1)


def report(deletion: Tensor, insertion: Tensor) -> dict[str, object]:
    found = {
        "layer2, with gate": Curves(deletion, insertion),
        "centre prior": Curves(flat(0.5, 0.6, 0.7, 0.8), flat(0.7, 0.8, 0.9, 1.0)),
        "random as layer2": Curves(flat(0.5, 0.6, 0.7, 0.8), flat(0.5, 0.6, 0.7, 0.8)),
    }
    return report_of(found, dict.fromkeys(found, "random as layer2"), fill="blur", seed=0)


def test_means_and_paired_differences() -> None:
    told = report(flat(0.4, 0.5, 0.6, 0.7), flat(0.5, 0.6, 0.7, 0.9))
    row, centre, random = told["maps"]  # type: ignore[misc]
    assert row["deletion"]["mean"] == pytest.approx(0.55)
    low, high = row["deletion"]["interval"]
    assert low < 0.52 < 0.58 < high, "clips differ"
    assert row["deletion_minus_random"]["interval"] == pytest.approx([-0.1, -0.1]), "by the same amount each"
    assert row["insertion_minus_random"]["mean"] == pytest.approx(0.025)
    assert row["insertion_minus_centre"]["mean"] == pytest.approx(-0.175)
    assert centre["insertion_minus_random"]["mean"] == pytest.approx(0.2)
    assert "insertion_minus_centre" not in centre
    assert "deletion_minus_random" not in random
    table = markdown(told)
    assert "| layer2, with gate | 0.550 [" in table
    assert "| -0.100 [-0.100, -0.100] |" in table


@pytest.mark.parametrize(
    ("deletion", "insertion", "words"),
    [
        ((-0.2, -0.1), (0.1, 0.2), "better"),
        ((0.1, 0.2), (-0.2, -0.1), "worse"),
        ((-0.1, 0.1), (-0.1, 0.1), "no difference"),
        ((-0.2, -0.1), (-0.1, 0.1), "better in deletion, no difference in insertion"),
        ((0.1, 0.2), (0.1, 0.2), "worse in deletion, better in insertion"),
    ],
)
def test_verdict_names_significant_differences(
    deletion: tuple[float, float], insertion: tuple[float, float], words: str
) -> None:
    row = {"deletion_minus_random": {"interval": deletion}, "insertion_minus_random": {"interval": insertion}}
    assert verdict(row, "random") == words
    assert verdict(row, "centre") is None


class BrightPlace(nn.Module):
    """AGA whose spatial weights follow brightness, and a score that the bright pixels alone decide."""

    def __init__(self) -> None:
        super().__init__()
        self.stage = AdaptiveGlobalAttention(3, spatial_kernel_size=1)
        nn.init.constant_(self.stage.spatial.conv.weight, 9.0)

    def forward(self, clips: Tensor) -> Tensor:
        self.stage(clips)
        bright = (clips - 0.7).relu().mean(dim=(1, 2, 3, 4))
        return torch.stack([torch.zeros_like(bright), 400 * (bright - 0.02)], dim=1)


def test_map_of_decisive_pixels_beats_random_maps() -> None:
    clips = 0.3 * torch.rand(6, 2, 3, 24, 24)
    for clip, (row, column) in enumerate(((0, 0), (8, 16), (16, 8), (16, 16), (0, 8), (8, 0))):
        clips[clip, :, :, row : row + 8, column : column + 8] = 1
    told, found = explain(BrightPlace(), clips, fill="grey", seed=0, batch_size=4)
    assert told["clips"] == 6
    assert len(found["centre prior"].deletion) == 6
    words = in_words(told)
    for gate in ("with gate", "gate at 1/2"):
        for other in ("random maps", "the centre prior"):
            assert f"stage, {gate}, against {other}: better." in words
    assert "centre prior, against random maps: better." not in words
