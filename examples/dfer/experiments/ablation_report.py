"""What an ablation's runs say: mean, spread and paired tests, as numbers, as a table and as a picture."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import combinations
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from dfer.atomic_files import whole_file
from dfer.experiments.campaign import Run
from dfer.experiments.statistics import holm, mean_interval, paired, standard_deviation

ALPHA = 0.05
DOT, MEAN, REFERENCE = "#7fa8c4", "#22262e", "#c8553d"


def summarise(results: Mapping[Run, dict[str, Any]], rows: Sequence[str], reference: str) -> dict[str, Any]:
    """Numbers for all rows, over the seeds that every row has; `reference` is the row that the others are tested with.

    Returns a dictionary that goes into a JSON file: for each row its scores by seed, mean, standard deviation and
    95 % interval; for each other row its difference from the reference; for every pair of rows the same, uncorrected.
    """
    seeds = sorted(set.intersection(*({run.seed for run in results if run.row == row} for row in rows)))
    uar = {row: [results[Run(row, seed)]["uar"] for seed in seeds] for row in rows}
    war = {row: [results[Run(row, seed)]["war"] for seed in seeds] for row in rows}
    table = [
        {
            "row": row,
            "parameters": results[Run(row, seeds[0])]["parameters"],
            "multiply_adds": results[Run(row, seeds[0])]["multiply_adds"],
            "uar": uar[row],
            "uar_mean": float(np.mean(uar[row])),
            "uar_sd": standard_deviation(uar[row]),
            "uar_interval": mean_interval(uar[row]),
            "war_mean": float(np.mean(war[row])),
            "war_sd": standard_deviation(war[row]),
        }
        for row in rows
    ]
    others = [row for row in rows if row != reference] if reference in rows else []
    tests = [paired(uar[row], uar[reference]) for row in others]
    corrected = holm([test.p for test in tests])
    first = next(iter(results.values()))
    return {
        "seeds": seeds,
        "reference": reference,
        "smallest_possible_p": 2.0 / 2 ** len(seeds),
        "rows": table,
        "against_reference": [
            {"row": row, **asdict(test), "p_holm": p} for row, test, p in zip(others, tests, corrected, strict=True)
        ],
        "pairs": [{"row": a, "other": b, **asdict(paired(uar[a], uar[b]))} for a, b in combinations(rows, 2)],
        "settings": first["settings"],
        "versions": first["versions"],
        "seconds": sum(result["seconds"] for result in results.values()),
    }


def markdown(summary: dict[str, Any]) -> str:
    seeds, reference = len(summary["seeds"]), summary["reference"]
    tests = {test["row"]: test for test in summary["against_reference"]}
    lines = [
        [
            "row",
            "parameters, M",
            "M multiply-adds",
            "UAR, %",
            "sd",
            "WAR, %",
            "sd",
            f"UAR minus {reference}",
            "95 % interval",
            "p",
            "p, Holm",
        ],
        ["---", *["--:"] * 10],
    ]
    for row in summary["rows"]:
        cells = [row["row"], f"{row['parameters'] / 1e6:.3f}", f"{row['multiply_adds'] / 1e6:.2f}"]
        cells += [_percent(row[key]) for key in ("uar_mean", "uar_sd", "war_mean", "war_sd")]
        test = tests.get(row["row"])
        if test is None:
            cells += [""] * 4
        else:
            low, high = test["interval"]
            cells += [f"{100 * test['difference']:+.1f}", f"{100 * low:+.1f} to {100 * high:+.1f}"]
            cells += [f"{test['p']:.3f}", f"{test['p_holm']:.3f}"]
        lines.append(cells)
    table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    return f"{table}\n{verdict(summary)}\n\n{method(summary)}\n" if seeds else table


def verdict(summary: dict[str, Any]) -> str:
    """One sentence on each side of the threshold, whatever came out."""
    tests, reference = summary["against_reference"], summary["reference"]
    if not tests:
        return f"Without {reference} among the rows, or without another row, nothing is tested."
    different = [test["row"] for test in tests if test["p_holm"] < ALPHA]
    alike = [test["row"] for test in tests if test["p_holm"] >= ALPHA]
    sentences = []
    if different:
        sentences.append(f"Different from {reference} at the {ALPHA:.0%} level after Holm: {', '.join(different)}.")
    if alike:
        sentences.append(f"No significant difference from {reference}: {', '.join(alike)}.")
    least = summary["smallest_possible_p"]
    if least * len(tests) >= ALPHA:
        after = min(1, least * len(tests))
        sentences.append(
            f"With {len(summary['seeds'])} seeds no p can be below {least:.4g}, nor below {after:.4g} after Holm's "
            f"correction for {len(tests)} tests: this many seeds cannot show a difference at that level."
        )
    return " ".join(sentences)


def method(summary: dict[str, Any]) -> str:
    s = summary["settings"]
    return (
        f"{len(summary['seeds'])} seeds. Each draws its own people: {s['training_people']} to train on, "
        f"{s['validation_people']} to choose the epoch by, {s['test_people']} to test, each showing the "
        f"eight classes {s['takes']} times; {s['frames']} frames of {s['size']} x {s['size']}, {s['epochs']} epochs, "
        f"backbone of {s['width']} channels in its first stage. sd is the standard deviation over seeds, n - 1 in the "
        "denominator.\n\n"
        "The unit of the tests is the seed, because start weights and people vary with it, and rows are paired by it. "
        "p is that of the exact sign-flip permutation test on the differences by seed, two-sided; a test over clips "
        "would take one trained net for the method."
    )


def draw_scores(path: Path, summary: dict[str, Any]) -> None:
    """A dot for every seed, and each row's mean with its 95 % interval; best row on top."""
    rows = sorted(summary["rows"], key=lambda row: row["uar_mean"])
    figure, axes = plt.subplots(figsize=(8, 0.5 * len(rows) + 1.4), layout="constrained")
    for place, row in enumerate(rows):
        scores, mean = 100 * np.array(row["uar"]), 100 * row["uar_mean"]
        colour = REFERENCE if row["row"] == summary["reference"] else MEAN
        shifts = np.linspace(-0.16, 0.16, len(scores)) if len(scores) > 1 else np.zeros(1)
        axes.scatter(scores, place + shifts, s=22, color=DOT, linewidths=0)
        if len(scores) > 1:
            low, high = (100 * end for end in row["uar_interval"])
            axes.plot([low, high], [place, place], color=colour, linewidth=1.6)
        axes.scatter(mean, place, s=46, color=colour, zorder=3)
    axes.set_yticks(range(len(rows)), [row["row"] for row in rows])
    axes.set_xlabel(
        f"UAR on unseen people, % (small: each of {len(summary['seeds'])} seeds; large: mean and 95 % interval)"
    )
    axes.grid(axis="x", color="#e3e6ea", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    with whole_file(path) as whole:
        figure.savefig(whole, dpi=150, format="png", facecolor="white")
    plt.close(figure)


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"
