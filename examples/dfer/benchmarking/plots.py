"""The benchmark's pictures: ratios as dots against their targets, growth as lines."""

from pathlib import Path
from textwrap import wrap
from typing import Any

import matplotlib.pyplot as plt

from dfer.benchmarking.tables import groups, missed, span
from dfer.chart_style import BLUE, INK, MUTED, ORANGE, STYLE, WIDTH, save

# Dots to the right of this are drawn here, as arrow heads; their numbers stand beside.
WIDEST = 2.2
# Characters of a line that is as wide as the picture.
LINE = 68


def draw_ratios(path: Path, report: dict[str, Any]) -> None:
    """A line for each target, below its name: a dot for every ratio, the target as a tick, and the span as a number."""
    found = [(wrap(name, LINE), rows) for name, rows in groups(report).items() if rows[0]["bound"] is not None]
    lines = sum(len(name) + 1.35 for name, _ in found)
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(WIDTH, 0.9 + 0.165 * lines), layout="constrained")
        place = lines
        for name, rows in found:
            place -= len(name)
            axes.text(0, place, "\n".join(name), va="bottom", fontsize=9, linespacing=1.1)
            place -= 0.55
            axes.plot([0, WIDEST], [place, place], color=MUTED, linewidth=0.8, alpha=0.5)
            for row in rows:
                shown, marker = (row["ratio"], "o") if row["ratio"] <= WIDEST else (WIDEST, ">")
                axes.plot(shown, place, marker, color=ORANGE if missed(row) else BLUE, markersize=7, alpha=0.75)
            axes.plot(rows[0]["bound"], place, "|", color=INK, markersize=11, markeredgewidth=2)
            axes.text(WIDEST + 0.08, place, span(rows), va="center", fontsize=9)
            place -= 0.8
        axes.set(xlim=(0, WIDEST + 0.6), ylim=(place, lines + 0.3), yticks=[], xticks=[0, 0.5, 1, 1.5, 2])
        axes.spines["left"].set_visible(False)
        axes.set_xlabel("ours / peer, lower is better\ntick: target; orange: target missed", loc="left")
        save(figure, path)


def draw_growth(path: Path, report: dict[str, Any]) -> None:
    """Time against each axis, doubly logarithmic, with a line of slope 1 and a plain pass over the map to compare."""
    curves = [curve for curve in report["growth"] if curve["layer"] != "x * s"]
    plain = {curve["axis"]: curve for curve in report["growth"] if curve["layer"] == "x * s"}
    with plt.rc_context(STYLE):
        figure, panels = plt.subplots(3, 2, figsize=(WIDTH, 7.5), layout="constrained")
        for axes in panels.flat[len(curves) :]:
            axes.remove()
        for axes, curve in zip(panels.flat, curves, strict=False):
            sizes, times = curve["sizes"], curve["milliseconds"]
            drawn = [("linear", MUTED, ":", "", [times[-1] * size / sizes[-1] for size in sizes])]
            drawn.append((f"slope {curve['slope']:.2f}", BLUE, "-", "o", times))
            if curve["layer"] == "AGA":
                beside = plain[curve["axis"]]
                drawn.append((f"x * s: {beside['slope']:.2f}", ORANGE, "-", ".", beside["milliseconds"]))
            for line, (label, colour, dash, marker, each) in enumerate(reversed(drawn)):
                axes.loglog(sizes, each, color=colour, linestyle=dash, marker=marker, markersize=5)
                axes.text(1, 0.03 + 0.11 * line, label, color=colour, fontsize=9, ha="right", transform=axes.transAxes)
            axes.set_title(f"{curve['layer']} against {curve['axis']}")
            axes.set_xticks(sizes, [str(size) for size in sizes], fontsize=8, rotation=45)
            axes.minorticks_off()
            axes.set_yticks([times[0], times[-1]], [f"{time:.3g}" for time in (times[0], times[-1])], fontsize=8)
        figure.supylabel("milliseconds", fontsize=10)
        save(figure, path)
