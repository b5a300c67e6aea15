"""The plot of cost against score shows the figures of its rows."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pytest
from matplotlib.axes import Axes

from dfer.evaluation.complexity_plot import draw_cost_against_score


def row(model: str, giga: float, printed: float | None, war: float | None) -> dict[str, Any]:
    return {"model": model, "multiply_adds": giga * 1e9, "parameters": 8e6,
            "published": {"gflops": printed, "war": war}}  # fmt: skip


ROWS = [row("ours", 4, None, 62), row("same", 8, 8.1, 55), row("differs", 2, 3, 58), row("unscored", 1, 1, None)]


@pytest.fixture
def axes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Axes:
    monkeypatch.setattr(plt, "close", lambda figure: None)
    draw_cost_against_score(tmp_path / "cost.png", ROWS, ["ours"])
    (drawn,) = plt.gcf().axes
    monkeypatch.undo()
    plt.close()
    return drawn


def test_discs_are_at_counted_and_printed_cost(axes: Axes) -> None:
    discs = [tuple(disc.get_offsets()[0]) for disc in axes.collections]
    assert discs == [(4, 62), (8, 55), (2, 58), (3, 58)]
    assert [disc.get_sizes()[0] for disc in axes.collections] == [20, 20, 20, 30]
    ((line),) = axes.lines
    assert (list(line.get_xdata()), list(line.get_ydata())) == ([3, 2], [58, 58])


def test_labels_point_at_their_discs_inside_the_figure(axes: Axes) -> None:
    assert {(text.get_text(), text.xy) for text in axes.texts} == {
        ("ours  62.00", (4, 62)),
        ("same  55.00", (8, 55)),
        ("differs  58.00", (2, 58)),
    }
    low, high = axes.get_xlim()
    assert low < 2
    assert high > 8
    assert [tick for tick in axes.get_xticks() if low < tick < high] == [2, 5, 10]
