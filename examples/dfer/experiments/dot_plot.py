"""Scores of many seeds as dots, with each row's mean and its interval."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from dfer.chart_style import BLUE, INK, ORANGE
from dfer.experiments.statistics import mean_interval


def draw_dots(axes: Axes, scores: Mapping[str, Sequence[float]], reference: str) -> None:
    """One line a row, the best mean on top; scores are fractions, drawn in per cent; `reference` has its own colour."""
    rows = sorted(scores, key=lambda row: float(np.mean(scores[row])))
    for place, row in enumerate(rows):
        values = 100 * np.array(scores[row])
        colour = ORANGE if row == reference else INK
        axes.scatter(values, place + np.linspace(-0.16, 0.16, len(values)), s=22, color=BLUE, alpha=0.75, linewidths=0)
        axes.plot(mean_interval(values.tolist()), [place, place], color=colour, linewidth=1.6)
        axes.scatter(values.mean(), place, s=46, color=colour, zorder=3)
    axes.set_yticks(range(len(rows)), rows, fontsize=9)
    axes.grid(axis="x")
    axes.set_axisbelow(True)
    axes.locator_params(axis="x", nbins=6)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
