"""The benchmark's pictures: ratios as bars against their targets, growth as lines."""

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from dfer.atomic_files import whole_file

OURS, OVER, PEER = "#2a6f97", "#c8553d", "#8d99ae"
# Bars end here; their numbers go on.
WIDEST = 2.2


def draw_ratios(path: Path, report: dict[str, Any]) -> None:
    """Bars of ours / peer, for the rows that have a target; the tick on each bar is the target."""
    rows = [row for row in report["rows"] if row["bound"] is not None][::-1]
    figure, axes = plt.subplots(figsize=(9, 0.6 + 0.27 * len(rows)), layout="constrained")
    met = [row["ratio"] <= row["bound"] for row in rows]
    axes.barh(
        range(len(rows)), [row["ratio"] for row in rows], color=[OURS if good else OVER for good in met], height=0.62
    )
    for place, row in enumerate(rows):
        axes.plot([row["bound"]] * 2, [place - 0.42, place + 0.42], color="black", linewidth=1.6)
        beside = min(max(row["ratio"], row["bound"]), WIDEST) + 0.02
        axes.text(beside, place, f"{row['ratio']:.2f}", va="center", fontsize=7.5, color="#333333")
    axes.set_xlim(0, WIDEST + 0.15)
    axes.set_yticks(range(len(rows)), [f"{row['case']}  /  {row['peer']}" for row in rows], fontsize=7.5)
    axes.axvline(1.0, color=PEER, linewidth=0.8, linestyle=":")
    axes.set_xlabel("ours / peer, lower is better; black tick: target; red: target missed", fontsize=8.5)
    axes.set_ylim(-0.7, len(rows) - 0.3)
    axes.spines[["top", "right"]].set_visible(False)
    with whole_file(path) as whole:
        figure.savefig(whole, dpi=150, format="png")
    plt.close(figure)


def draw_growth(path: Path, report: dict[str, Any]) -> None:
    """Time against each axis, doubly logarithmic, with a line of slope 1 and a plain pass over the map to compare."""
    curves = [curve for curve in report["growth"] if curve["layer"] != "x * s"]
    plain = {curve["axis"]: curve for curve in report["growth"] if curve["layer"] == "x * s"}
    figure, panels = plt.subplots(2, 3, figsize=(9, 5.6), layout="constrained")
    for axes in panels.flat[len(curves) :]:
        axes.remove()
    for axes, curve in zip(panels.flat, curves, strict=False):
        sizes, times = curve["sizes"], curve["milliseconds"]
        axes.loglog(sizes, [times[-1] * size / sizes[-1] for size in sizes], color=PEER, linestyle=":", label="linear")
        axes.loglog(sizes, times, color=OURS, marker="o", markersize=4, label=f"slope {curve['slope']:.2f}")
        if curve["layer"] == "AGA":
            beside = plain[curve["axis"]]
            label = f"x * s, slope {beside['slope']:.2f}"
            axes.loglog(sizes, beside["milliseconds"], color=PEER, marker=".", markersize=4, linewidth=1, label=label)
        axes.set_title(f"{curve['layer']} against {curve['axis']}", fontsize=9)
        axes.set_xticks(sizes, [str(size) for size in sizes], fontsize=7, rotation=45)
        axes.minorticks_off()
        axes.set_yticks([times[0], times[-1]], [f"{time:.3g}" for time in (times[0], times[-1])], fontsize=7)
        axes.legend(fontsize=7, frameon=False)
        axes.spines[["top", "right"]].set_visible(False)
    figure.supylabel("milliseconds", fontsize=9)
    with whole_file(path) as whole:
        figure.savefig(whole, dpi=150, format="png")
    plt.close(figure)
