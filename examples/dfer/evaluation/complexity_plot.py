"""Plot of cost against score: counted multiply-adds against published WAR on DFEW."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator

from dfer.chart_style import BLUE, INK, MUTED, ORANGE, STYLE, WIDTH, save

# Also draw the printed count if it differs from ours by more than this fraction.
DIFFERS = 0.05


def draw_cost_against_score(path: Path, rows: Sequence[dict[str, Any]], own: Sequence[str]) -> None:
    """One disc per model, its area proportional to the parameters; rows without a published score are left out.

    Args:
        path: of the PNG.
        rows: of the report of complexity.py.
        own: names that are AGDTNet or its ablations, in another colour.
    """
    scored = [row for row in rows if row["published"]["war"] is not None]
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(WIDTH, 5.2), layout="constrained")
        for row in scored:
            cost, war = row["multiply_adds"] / 1e9, row["published"]["war"]
            colour = BLUE if row["model"] in own else ORANGE
            axes.scatter(cost, war, s=_area(row), color=colour, alpha=0.6, linewidths=0)
            printed = row["published"]["gflops"]
            if printed is not None and abs(printed / cost - 1) > DIFFERS:
                axes.plot([printed, cost], [war, war], color=colour, linewidth=0.8, linestyle=":")
                axes.scatter(printed, war, s=30, facecolors="none", edgecolors=colour)
        _label_own(axes, [row for row in scored if row["model"] in own])
        _label_peers(axes, [row for row in scored if row["model"] not in own])
        axes.set_xscale("log")
        if scored:
            costs = [row["multiply_adds"] / 1e9 for row in scored]
            axes.set_xlim(0.65 * min(costs), max(1.6 * max(costs), 6 * min(costs)))
        axes.set_ylim(51.5, 71.5)
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.minorticks_off()
        axes.set_xlabel(
            "giga multiply-adds per clip, counted here\n(open circle: GFLOPs as Table 6 prints them, where they differ)"
        )
        axes.set_ylabel("WAR on DFEW in %, as the paper prints it")
        save(figure, path)


def _label_own(axes: Axes, rows: Sequence[dict[str, Any]]) -> None:
    """A column of labels beside the overlapping discs, in the order of the scores."""
    rows = sorted(rows, key=lambda row: row["published"]["war"])
    for place, row in enumerate(rows):
        cost, war = row["multiply_adds"] / 1e9, row["published"]["war"]
        axes.annotate(
            _text(row),
            (cost, war),
            (1.4 * cost, 69.1 + 0.62 * (place - (len(rows) - 1) / 2)),
            va="center",
            fontsize=8,
            color=INK,
            arrowprops={"arrowstyle": "-", "color": MUTED, "linewidth": 0.7, "relpos": (0, 0.5)},
        )


def _label_peers(axes: Axes, rows: Sequence[dict[str, Any]]) -> None:
    """Alternately below and above, so that neighbouring labels do not overlap."""
    for place, row in enumerate(sorted(rows, key=lambda row: row["multiply_adds"])):
        side = -1 if place % 2 == 0 else 1
        axes.annotate(
            _text(row),
            (row["multiply_adds"] / 1e9, row["published"]["war"]),
            (0, side * (6 + _area(row) ** 0.5 / 2)),
            textcoords="offset points",
            ha="center",
            va="bottom" if side > 0 else "top",
            fontsize=8,
            color=INK,
        )


def _text(row: dict[str, Any]) -> str:
    return f"{row['model']}  {row['published']['war']:.2f}"


def _area(row: dict[str, Any]) -> float:
    """Area of a disc in square points."""
    return row["parameters"] / 4e5
