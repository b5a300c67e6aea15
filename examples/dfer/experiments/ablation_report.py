"""The results of an ablation: mean, spread and paired tests, as numbers and as a table."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import combinations
from typing import Any

import numpy as np

from dfer.evaluation.tables import table
from dfer.experiments.campaign import Experiment, Result, Run
from dfer.experiments.statistics import holm, least_p, mean_interval, paired, points, standard_deviation, verdict


def summarise(
    results: Mapping[Run, Result], rows: Sequence[str], reference: str, experiment: Experiment
) -> dict[str, Any]:
    """Numbers for a JSON file: each row by seed, its mean and spread, and its difference from `reference` and others.

    Args:
        results: of every row, seed and fold.
        rows: their names, in the order of the table.
        reference: the row that the others are tested against, with Holm's correction.
        experiment: the clips; it defines the other columns of the table.
    """
    seeds = sorted({run.seed for run in results})

    def of_seed(row: str, seed: int) -> list[Result]:
        return [results[Run(row, seed, fold)] for fold in experiment.folds]

    uar = {row: [float(np.mean([result["uar"] for result in of_seed(row, seed)])) for seed in seeds] for row in rows}
    numbers = [
        {
            "row": row,
            "parameters": of_seed(row, seeds[0])[0]["parameters"],
            "multiply_adds": of_seed(row, seeds[0])[0]["multiply_adds"],
            "uar": uar[row],
            "mean": float(np.mean(uar[row])),
            "sd": standard_deviation(uar[row]),
            "interval": mean_interval(uar[row]),
            "columns": {
                name: float(np.mean([column(result) for seed in seeds for result in of_seed(row, seed)]))
                for name, column in experiment.columns().items()
            },
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
        "smallest_possible_p": least_p(len(seeds)),
        "rows": numbers,
        "published": {
            row: {"uar": score.uar, "war": score.war} for row, score in experiment.published(results.values()).items()
        },
        "against_reference": [
            {"row": row, **asdict(test), "p_holm": p} for row, test, p in zip(others, tests, corrected, strict=True)
        ],
        "pairs": [{"row": a, "other": b, **asdict(paired(uar[a], uar[b]))} for a, b in combinations(rows, 2)],
        "settings": first["settings"],
        "method": experiment.method(first["settings"]),
        "versions": first["versions"],
        "seconds": sum(result["seconds"] for result in results.values()),
    }


def markdown(summary: dict[str, Any]) -> str:
    seeds, reference = len(summary["seeds"]), summary["reference"]
    tests = {test["row"]: test for test in summary["against_reference"]}
    corrected = {row: test["p_holm"] for row, test in tests.items()}
    head = ["row", "parameters, M", "M multiply-adds", "UAR, %", "sd", *summary["rows"][0]["columns"]]
    published = summary["published"]
    head += ["UAR, Table 2", "WAR, Table 2"] if published else []
    head += [f"minus {reference}", "95 % interval", "p", "p, Holm"]
    lines = []
    for row in summary["rows"]:
        cells = [row["row"], f"{row['parameters'] / 1e6:.3f}", f"{row['multiply_adds'] / 1e6:.2f}"]
        cells += [f"{100 * value:.1f}" for value in (row["mean"], row["sd"], *row["columns"].values())]
        if published:
            printed = published.get(row["row"], {})
            cells += [f"{printed[kind]:.2f}" if printed else "-" for kind in ("uar", "war")]
        test = tests.get(row["row"])
        if test is None:
            cells += [""] * 4
        else:
            low, high = test["interval"]
            cells += [points(test["difference"], 1), f"{points(low, 1)} to {points(high, 1)}"]
            cells += [f"{test['p']:.3f}", f"{test['p_holm']:.3f}"]
        lines.append(cells)
    scores = table(head, lines)
    if published:
        scores += (
            "\nThe columns of Table 2 are the paper's, not measured here. "
            "The paper does not say on which of DFEW's folds they were measured.\n"
        )
    parts = [scores, verdict(corrected, reference, seeds) + "\n", pairs_table(summary), method(summary) + "\n"]
    return "\n".join(parts)


def pairs_table(summary: dict[str, Any]) -> str:
    """Every row minus every other."""
    rows = [row["row"] for row in summary["rows"]]
    found = {}
    for pair in summary["pairs"]:
        found[pair["row"], pair["other"]] = f"{points(pair['difference'], 1)} ({pair['p']:.3f})"
        found[pair["other"], pair["row"]] = f"{points(-pair['difference'], 1)} ({pair['p']:.3f})"
    lines = [[row, *(found.get((row, other), "") for other in rows)] for row in rows]
    return table(["row minus column, UAR (p, not corrected)", *rows], lines)


def method(summary: dict[str, Any]) -> str:
    return (
        f"{len(summary['seeds'])} seeds. {summary['method']} sd is the standard deviation over seeds, with n - 1.\n\n"
        "The unit of the tests is the seed, by which rows are paired: start weights and the order of the clips vary "
        "with it, whereas a test over clips would take one trained net for the method. p is that of the exact "
        "sign-flip permutation test on the differences by seed, two-sided."
    )
