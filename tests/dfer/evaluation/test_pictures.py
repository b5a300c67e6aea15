"""The values in the pictures of a run."""

from pathlib import Path

import matplotlib.pyplot as plt
import pytest
import torch
from matplotlib.figure import Figure

from dfer.evaluation import pictures


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    figures: list[Figure] = []
    monkeypatch.setattr(pictures, "save", lambda figure, path: figures.append(figure))
    return figures


def test_confusion_matrix_shows_percentages_between_white_lines(drawn: list[Figure]) -> None:
    pictures.draw_confusion(Path("confusion.png"), torch.tensor([[3, 1, 0], [0, 2, 0], [0, 0, 0]]), "abc", "title")
    (axes,) = drawn[0].axes
    texts = [text.get_text() for text in axes.texts]
    assert texts == ["75", "25", "·", "·", "100", "·", "·", "·", "·"]
    assert list(axes.get_xticks(minor=True)) == list(axes.get_yticks(minor=True)) == [0.5, 1.5]
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_title(loc="left")) == ("answer", "truth", "title")
    plt.close(drawn[0])


def test_curves_have_no_top_and_right_axes(drawn: list[Figure]) -> None:
    names = ("training_loss", "validation_loss", "validation_war", "validation_uar")
    history = [{"epoch": epoch, **dict.fromkeys(names, 0.5)} for epoch in (0, 1)]
    pictures.draw_curves(Path("curves.png"), history, best_epoch=1)
    for axes in drawn[0].axes:
        assert not axes.spines["top"].get_visible()
        assert not axes.spines["right"].get_visible()
    plt.close(drawn[0])
