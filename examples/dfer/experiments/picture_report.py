"""What the records of compare_attentions.py say, as numbers and as tables."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from dfer.evaluation.tables import table
from dfer.experiments.campaign import Result
from dfer.experiments.picture_runs import Protocol, Run
from dfer.experiments.statistics import holm, paired, points, standard_deviation


def summarise(protocol: Protocol, records: Mapping[Run, Result]) -> dict[str, Any]:
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


def _of_row(records: Mapping[Run, Result], pictures: int, row: str) -> dict[int, Result]:
    return {run.seed: record for run, record in records.items() if (run.pictures, run.row) == (pictures, row)}


def _row(made: Mapping[int, Result]) -> dict[str, Any]:
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


def _difference(rows: Mapping[str, Mapping[int, Result]], row: str, other: str) -> dict[str, Any]:
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
        head = ["row", "seeds", "parameters", "M multiply-adds", "accuracy, %", "sd", "gate's sd, by block"]
        rows = []
        for row in size["rows"]:
            gate = ", ".join(f"{value:.3f}" for value in row["gate_sd_in_channel"] or ())
            sd = "" if row["sd"] is None else f"{100 * row['sd']:.2f}"
            rows.append([row["row"], f"{len(row['seeds'])} of {row['planned']}", f"{row['parameters']:,}",
                         f"{row['multiply_adds'] / 1e6:.3f}", f"{100 * row['mean']:.2f}", sd, gate])  # fmt: skip
        columns, tests = ["difference", "seeds", "points", "95 % interval", "p", "p, Holm"], []
        for test in (*size["comparisons"], *size["described"]):
            if "interval" not in test:
                continue
            low, high = test["interval"]
            p = [f"{test[key]:.3f}" if key in test else "" for key in ("p", "p_holm")]
            tests.append([f"{test['row']} minus {test['other']}", str(test["seeds"]), points(test["difference"], 2),
                          f"{points(low, 2)} to {points(high, 2)}", *p])  # fmt: skip
        parts += [f"**{size['pictures']:,} training pictures**\n", table(head, rows), table(columns, tests)]
    return "\n".join(parts)
