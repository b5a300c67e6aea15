"""What the comparisons of compare_attentions.py say, as numbers, as tables and as a picture."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from dfer.chart_style import STYLE, WIDTH, save
from dfer.experiments.comparison import TIMED_TOGETHER, Comparison
from dfer.experiments.dot_plot import draw_dots
from dfer.experiments.statistics import holm, paired, standard_deviation
from dfer.experiments.verdict import points, verdict

HEADER = ["", "parameters", "multiply-adds", f"ms, {TIMED_TOGETHER} examples", "accuracy, %", "sd"]


def summarise(
    comparison: Comparison, scores: Mapping[str, Sequence[float]], costs: Mapping[str, dict[str, Any]]
) -> dict[str, Any]:
    """Numbers for a JSON file, from each net's accuracies in the order of the seeds and from its costs."""
    reference = comparison.reference
    others = [name for name in scores if name != reference]
    tests = [paired(scores[name], scores[reference]) for name in others]
    corrected = holm([test.p for test in tests])
    against = {name: {**asdict(test), "p_holm": p} for name, test, p in zip(others, tests, corrected, strict=True)}
    return {
        "title": comparison.title,
        "data": comparison.data,
        "reference": reference,
        "training": asdict(comparison.fit),
        "rows": [
            {
                "name": name,
                **costs[name],
                "accuracy": list(values),
                "mean": float(np.mean(values)),
                "sd": standard_deviation(values),
                "against_reference": against.get(name),
            }
            for name, values in scores.items()
        ],
    }


def markdown(summary: dict[str, Any]) -> str:
    reference = summary["reference"]
    lines = [[*HEADER, f"minus {reference}", "95 % interval", "p", "p, Holm"], ["---", *["--:"] * 9]]
    for row in summary["rows"]:
        cells = [row["name"], f"{row['parameters']:,}", f"{row['multiply_adds']:,}", f"{row['milliseconds']:.2f}"]
        cells += [f"{100 * row['mean']:.2f}", f"{100 * row['sd']:.2f}"]
        test = row["against_reference"]
        if test is None:
            cells += [""] * 4
        else:
            low, high = test["interval"]
            cells += [points(test["difference"], 2), f"{points(low, 2)} to {points(high, 2)}"]
            cells += [f"{test['p']:.3f}", f"{test['p_holm']:.3f}"]
        lines.append(cells)
    corrected = {row["name"]: row["against_reference"]["p_holm"] for row in summary["rows"] if row["against_reference"]}
    seeds = len(summary["rows"][0]["accuracy"])
    table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    return (
        f"**{summary['title'][0].upper()}{summary['title'][1:]}**: {summary['data']}. {seeds} seeds, "
        f"{summary['training']['epochs']} epochs, the last one tested.\n\n"
        f"{table}\n{verdict(corrected, reference, seeds)}\n"
    )


def draw_accuracies(path: Path, summaries: Sequence[dict[str, Any]]) -> None:
    """A panel for each comparison, below each other."""
    with plt.rc_context(STYLE):
        figure, panels = plt.subplots(
            len(summaries), 1, figsize=(WIDTH, 3 * len(summaries)), layout="constrained", squeeze=False
        )
        for axes, summary in zip(panels[:, 0], summaries, strict=True):
            draw_dots(axes, {row["name"]: row["accuracy"] for row in summary["rows"]}, summary["reference"])
            axes.set_title(summary["title"])
        axes.set_xlabel("accuracy, % (small: each seed; large: mean and 95 % interval)", fontsize=9)
        save(figure, path)
