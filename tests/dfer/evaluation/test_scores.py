"""Scores by hand, and bootstrap intervals against a literal transcription and known results."""

import math

import pytest
import torch

from dfer.evaluation.scores import draw_clips, interval, resample, scores_of

TRUTHS = torch.tensor([0, 3, 1, 0, 3, 3, 0, 1, 0, 3, 0])  # Class 2 has no clips.
ANSWERS = torch.tensor([0, 3, 2, 1, 0, 3, 0, 1, 2, 3, 0])


def test_scores_match_a_hand_computed_example() -> None:
    scores = scores_of(torch.tensor([[2, 1, 0], [0, 3, 1], [1, 1, 3]]))
    assert scores.recall == pytest.approx([2 / 3, 3 / 4, 3 / 5])
    assert scores.uar == pytest.approx((2 / 3 + 3 / 4 + 3 / 5) / 3)
    assert scores.war == pytest.approx(8 / 12)


def test_absent_class_has_no_recall_and_does_not_count() -> None:
    """Even if it is predicted: the two wrong predictions only lower the recall of their own classes."""
    scores = scores_of(torch.tensor([[1, 1, 0], [0, 0, 0], [0, 1, 3]]))
    assert scores.recall == [0.5, None, 0.75]
    assert scores.uar == pytest.approx(0.625)
    assert scores.war == pytest.approx(4 / 6)


def test_uar_counts_classes_and_war_counts_clips() -> None:
    scores = scores_of(torch.tensor([[90, 0], [10, 0]]))
    assert scores.uar == 0.5
    assert scores.war == 0.9
    scores = scores_of(torch.tensor([[98, 2], [0, 1]]))
    assert scores.uar == pytest.approx(0.99)
    assert scores.war == pytest.approx(99 / 101)


def test_each_resample_has_the_scores_of_its_confusion_matrix() -> None:
    drawn = draw_clips(TRUTHS, 50, (7,))
    found = resample(ANSWERS == TRUTHS, drawn)
    for row in range(50):
        confusion = torch.zeros(4, 4)
        for clips in drawn:
            for clip in clips[row].tolist():
                confusion[TRUTHS[clip], ANSWERS[clip]] += 1
        literal = scores_of(confusion)
        assert float(found.uar[row]) == pytest.approx(literal.uar)
        assert float(found.war[row]) == pytest.approx(literal.war)
    assert found.uar.unique().numel() > 5


def test_clips_are_drawn_uniformly_within_their_class() -> None:
    drawn = draw_clips(TRUTHS, 4000, (0,))
    assert [clips.shape for clips in drawn] == [(4000, 5), (4000, 2), (4000, 4)]
    for label, clips in zip((0, 1, 3), drawn, strict=True):
        assert (TRUTHS[clips] == label).all()
        often = clips.flatten().bincount(minlength=11)[label == TRUTHS] / clips.numel()
        torch.testing.assert_close(often, torch.full_like(often, 1 / clips.shape[1]), atol=0.02, rtol=0)
        assert (clips.sort(dim=1).values.diff(dim=1) == 0).any(), "with replacement"


def test_draws_are_reproducible_by_seed() -> None:
    first, again, other, fold = (draw_clips(TRUTHS, 9, seed) for seed in ((1, 0), (1, 0), (2, 0), (1, 1)))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first, other, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first, fold, strict=True))


def test_interval_of_one_class_is_binomial() -> None:
    truths, right = torch.zeros(400, dtype=torch.long), torch.arange(400) < 300
    found = resample(right, draw_clips(truths, 4000, (0,)))
    low, high = interval(found.uar)
    wide = 1.96 * math.sqrt(0.75 * 0.25 / 400)
    assert low == pytest.approx(0.75 - wide, abs=0.006)
    assert high == pytest.approx(0.75 + wide, abs=0.006)


def test_interval_leaves_a_fortieth_on_each_side() -> None:
    assert interval(torch.arange(1001).double()) == pytest.approx((25, 975))


def test_runs_on_the_same_clips_share_their_draws() -> None:
    right = torch.stack([ANSWERS == TRUTHS, ANSWERS == TRUTHS, TRUTHS == 0])
    both = resample(right, draw_clips(TRUTHS, 30, (3,)))
    assert both.uar.shape == (3, 30)
    assert torch.equal(both.uar[0], both.uar[1])
    alone = resample(right[2], draw_clips(TRUTHS, 30, (3,)))
    torch.testing.assert_close(both.war[2], alone.war)
