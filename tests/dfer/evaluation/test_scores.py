import pytest
import torch

from dfer.evaluation.scores import scores_of


def test_scores_match_a_hand_computed_example() -> None:
    scores = scores_of(torch.tensor([[2, 1, 0], [0, 3, 1], [1, 1, 3]]))
    assert scores.recall == pytest.approx([2 / 3, 3 / 4, 3 / 5])
    assert scores.uar == pytest.approx((2 / 3 + 3 / 4 + 3 / 5) / 3)
    assert scores.war == pytest.approx(8 / 12)


def test_an_absent_class_has_no_recall_and_does_not_count() -> None:
    """Also where it is answered: the two wrong answers cost recall where they belong, and nothing else."""
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
