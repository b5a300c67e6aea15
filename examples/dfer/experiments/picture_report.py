"""What the records of compare_attentions.py --fashion-mnist say: numbers, tables and a picture."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from dfer.chart_style import STYLE, WIDTH, save
from dfer.experiments.dot_plot import draw_dots
from dfer.experiments.picture_runs import Protocol, Record, Run
from dfer.experiments.statistics import holm, paired, standard_deviation
from dfer.experiments.verdict import points


def summarise(protocol: Protocol, records: Mapping[Run, Record]) -> dict[str, Any]:
    """Accuracies by row and seed, and the protocol's paired differences, for the runs that are there.

    Holm counts every comparison of the protocol, also those that have too few runs yet.
    """
    sizes: list[dict[str, Any]] = []
    for pictures in sorted(protocol.training_pictures):
        rows = {row: _of_row(records, pictures, row) for row in protocol.seeds}
        sizes.append({
            "pictures": pictures,
            "rows": [{"row": row, "planned": protocol.seeds[row], **_row(made)} for row, made in rows.items() if made],
            "comparisons": [_difference(rows, *pair) for pair in protocol.comparisons],
            "described": [_difference(rows, *pair) for pair in protocol.described],
        })  # fmt: skip
    tested = [difference for size in sizes for difference in size["comparisons"]]
    for difference, p in zip(tested, holm([difference.get("p", 1.0) for difference in tested]), strict=True):
        if "p" in difference:
            difference["p_holm"] = p
    for size in sizes:
        for difference in size["described"]:
            difference.pop("p", None)
    planned = protocol.runs()
    return {
        "runs": len(records),
        "planned": len(planned),
        "protocol": asdict(protocol),
        "sizes": sizes,
        "versions": next((record["versions"] for record in records.values()), None),
        "core_seconds": sum(record["core_seconds"] for record in records.values()),
    }


def _of_row(records: Mapping[Run, Record], pictures: int, row: str) -> dict[int, Record]:
    return {run.seed: record for run, record in records.items() if (run.pictures, run.row) == (pictures, row)}


def _row(made: Mapping[int, Record]) -> dict[str, Any]:
    values = [made[seed]["accuracy"] for seed in sorted(made)]
    first = next(iter(made.values()))
    gates = [[layer["sd_in_channel"] for layer in record["gates"]] for record in made.values() if record["gates"]]
    return {
        "seeds": sorted(made),
        "accuracy": values,
        "mean": float(np.mean(values)),
        "sd": standard_deviation(values) if len(values) > 1 else None,
        "gate_sd_in_channel": np.mean(gates, axis=0).tolist() if gates else None,
        "parameters": first["parameters"],
        "multiply_adds": first["multiply_adds"],
    }


def _difference(rows: Mapping[str, Mapping[int, Record]], row: str, other: str) -> dict[str, Any]:
    common = sorted(rows[row].keys() & rows[other].keys())
    named = {"row": row, "other": other, "seeds": len(common)}
    if len(common) < 2:
        return named
    test = paired(*([made[seed]["accuracy"] for seed in common] for made in (rows[row], rows[other])))
    return {**named, **asdict(test)}


def markdown(summary: dict[str, Any]) -> str:
    runs, planned = summary["runs"], summary["planned"]
    parts = [f"**Incomplete: {runs} of the protocol's {planned} runs are there.**\n"] if runs < planned else []
    for size in summary["sizes"]:
        if not size["rows"]:
            parts.append(f"**{size['pictures']:,} training pictures**: no run yet.\n")
            continue
        rows = [["row", "seeds", "parameters", "M multiply-adds", "accuracy, %", "sd", "gate's sd, by block"]]
        for row in size["rows"]:
            gate = ", ".join(f"{value:.3f}" for value in row["gate_sd_in_channel"] or ())
            sd = "" if row["sd"] is None else f"{100 * row['sd']:.2f}"
            rows.append([row["row"], f"{len(row['seeds'])} of {row['planned']}", f"{row['parameters']:,}",
                         f"{row['multiply_adds'] / 1e6:.3f}", f"{100 * row['mean']:.2f}", sd, gate])  # fmt: skip
        tests = [["difference", "seeds", "points", "95 % interval", "p", "p, Holm"]]
        for test in (*size["comparisons"], *size["described"]):
            if "interval" not in test:
                continue
            low, high = test["interval"]
            p = [f"{test[key]:.3f}" if key in test else "" for key in ("p", "p_holm")]
            tests.append([f"{test['row']} minus {test['other']}", str(test["seeds"]), points(test["difference"], 2),
                          f"{points(low, 2)} to {points(high, 2)}", *p])  # fmt: skip
        parts += [f"**{size['pictures']:,} training pictures**\n", _table(rows), _table(tests)]
    return "\n".join(parts)


def _table(lines: list[list[str]]) -> str:
    head, *rest = lines
    return "".join(f"| {' | '.join(line)} |\n" for line in (head, ["---", *["--:"] * (len(head) - 1)], *rest))


def draw(path: Path, summary: dict[str, Any]) -> None:
    """A panel for each training size; rows with one seed have no interval and are left out."""
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
