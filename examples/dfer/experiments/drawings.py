"""Charts of the experiments: scores as dots with means and intervals; and example clips."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from dfer.chart_style import BLUE, INK, ORANGE, STYLE, WIDTH, save
from dfer.contact_sheet import strip
from dfer.experiments.hard_faces import Protocol
from dfer.experiments.statistics import mean_interval
from dfer.rendering.hard_clips import CLASSES, render_hard_clips


def draw_dots(axes: Axes, scores: Mapping[str, Sequence[float]], reference: str) -> None:
    """One line per row, best mean on top; scores are fractions, drawn in per cent; `reference` has its own colour."""
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


def draw_scores(path: Path, summary: dict[str, Any]) -> None:
    """Draw a dot per seed, and each row's mean with its 95 % interval."""
    rows = summary["rows"]
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(WIDTH, 0.45 * len(rows) + 0.9), layout="constrained")
        draw_dots(axes, {row["row"]: row["uar"] for row in rows}, summary["reference"])
        seeds = len(summary["seeds"])
        label = f"UAR on the test clips, %\n(small: each of {seeds} seeds; large: mean and 95 % interval)"
        axes.set_xlabel(label, fontsize=9)
        save(figure, path)


def draw_pictures(path: Path, summary: dict[str, Any]) -> None:
    """Draw one panel per training size; rows with one seed have no interval and are left out."""
    sizes = [size for size in summary["sizes"] if any(len(row["seeds"]) > 1 for row in size["rows"])]
    with plt.rc_context(STYLE):
        figure, panels = plt.subplots(
            max(1, len(sizes)), 1, figsize=(WIDTH, 3.4 * max(1, len(sizes))), layout="constrained", squeeze=False
        )
        for axes, size in zip(panels[:, 0], sizes, strict=False):
            draw_dots(axes, {row["row"]: row["accuracy"] for row in size["rows"] if len(row["seeds"]) > 1}, "AGA")
            axes.set_title(f"{size['pictures']:,} training pictures")
        panels[-1, 0].set_xlabel("accuracy, % (small: each seed; large: mean and 95 % interval)", fontsize=9)
        save(figure, path)


def draw_example_clips(path: Path, protocol: Protocol) -> None:
    """Draw a clip of each class, each of another person, with its frames side by side."""
    count = len(CLASSES)
    clips, labels, people = render_hard_clips(people=count, takes=1, frames=protocol.frames, size=protocol.size, seed=0)
    with plt.rc_context(STYLE):
        figure, panels = plt.subplots(count // 2, 2, figsize=(WIDTH, 0.45 * count), layout="constrained")
        for label, (name, panel) in enumerate(zip(CLASSES, panels.T.flat, strict=True)):
            chosen = int(((labels == label) & (people == label)).nonzero()[0])
            panel.imshow(strip(clips[chosen].float() / 255).numpy())
            panel.set_title(name, fontsize=9, loc="left", pad=3)
            panel.axis("off")
        # Noise does not compress, so a low resolution keeps the file small.
        save(figure, path, dpi=110)
