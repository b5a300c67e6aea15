"""Encoders on three sets of series, by the section "series" of the protocol: runs, tests, table and picture."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from dfer.atomic_files import whole_file
from dfer.chart_style import STYLE, WIDTH, save
from dfer.errors import BadInput
from dfer.evaluation.tables import table
from dfer.experiments.campaign import Run, all_runs, finished_runs, make_missing
from dfer.experiments.drawings import draw_dots
from dfer.experiments.statistics import holm, paired, points, standard_deviation
from dfer.experiments.trained_runs import SHUFFLED, TrainedRuns

MODELS = {
    "mean": "vectors+mean",
    "TFormer": "vectors+tformer",
    "DTFormer": "vectors+dtformer",
    "torch encoder": "vectors+torch-encoder",
}
# The longest series of each set, or the length of its windows.
FRAMES = {"watch": ("100", "--windows"), "JapaneseVowels": ("29",), "BasicMotions": ("100",)}


@dataclass(frozen=True)
class SeriesProtocol:
    """The design of the section `series`; `seeds`, `epochs` and `batch_size` by set."""

    models: Sequence[str]
    channels: int
    depth: int
    heads: int
    mlp_channels: int
    dropout: float
    seeds: Mapping[str, int]
    epochs: Mapping[str, int]
    batch_size: Mapping[str, int]
    learning_rate: float
    weight_decay: float
    comparisons: Sequence[Sequence[str]]
    shuffled: Sequence[str]

    @classmethod
    def read(cls, path: Path) -> "SeriesProtocol":
        try:
            return cls(**json.loads(path.read_text())["series"]["design"])
        except (OSError, ValueError, KeyError, TypeError):
            raise BadInput(f"{path}: expected the protocol's JSON with the section series; restore it") from None

    @property
    def rows(self) -> dict[str, str]:
        """The row of an ablation by its name in the table."""
        plain = {name: MODELS[name] for name in self.models}
        return plain | {f"{name}, shuffled": f"{MODELS[name]}{SHUFFLED}" for name in self.shuffled}


class SeriesSet:
    """The runs of one set; its file is `folder`/NAME.npz."""

    def __init__(self, name: str, folder: Path, protocol: SeriesProtocol) -> None:
        file, (frames, *windows) = folder / f"{name}.npz", FRAMES[name]
        if not file.is_file():
            raise BadInput(f"{file}: no such file; docs/series_sets.py makes it")
        flags = ["--series", str(file), "--frames", frames, *windows, "--select-on", "last"]
        for setting in ("epochs", "batch_size"):
            flags += [f"--{setting.replace('_', '-')}", str(getattr(protocol, setting)[name])]
        for setting in ("learning_rate", "weight_decay", "dropout"):
            flags += [f"--{setting.replace('_', '-')}", str(getattr(protocol, setting))]
        flags += ["--width", str(protocol.channels)]
        self.name, self.protocol = name, protocol
        self.experiment = TrainedRuns(tuple(flags))
        self.runs = all_runs(list(protocol.rows.values()), protocol.seeds[name], self.experiment.folds)


def compare(folder: Path, names: Sequence[str], protocol: Path, out: Path, *, report_only: bool) -> None:
    """Make the runs of the named sets, or of all, and write series.json, series.md and series.png to `out`."""
    if other := set(names) - FRAMES.keys():
        raise BadInput(f"--sets: expected {', '.join(FRAMES)}; got {min(other)}")
    design = SeriesProtocol.read(protocol)
    sets = [SeriesSet(name, folder, design) for name in names or FRAMES]
    for each in () if report_only else sets:
        make_missing(each.experiment, out / "runs" / each.name, each.runs)
    summary = summarise(sets, out / "runs")
    text = markdown(summary)
    with whole_file(out / "series.json") as path:
        path.write_text(json.dumps(summary, indent=1) + "\n")
    with whole_file(out / "series.md") as path:
        path.write_text(text)
    draw(out / "series.png", summary)
    print(f"\n{text}\ntable, numbers and picture: {out.resolve()}")


def summarise(sets: Sequence[SeriesSet], folder: Path) -> dict[str, Any]:
    """Accuracies of each row by unit, and the tests: DTFormer with TFormer, and each with its frames shuffled.

    The unit is a person if each is left out once (with the mean over seeds as score), else a seed. Incomplete seeds are
    left out.
    """
    protocol, found = sets[0].protocol, []
    for each in sets:
        done = finished_runs(folder / each.name, each.runs, each.experiment.settings)
        lacking = {run.seed for run in each.runs if run not in done}
        seeds = [seed for seed in range(protocol.seeds[each.name]) if seed not in lacking]
        if not seeds:
            raise BadInput(
                f"{each.name}: {len(done)} of {len(each.runs)} runs are there, and no seed has all of its own"
            )
        by_person = len(each.experiment.folds) > 1
        units: dict[str, list[float]] = {}
        for name, row in protocol.rows.items():
            grid = [[done[Run(row, seed, fold)]["war"] for fold in each.experiment.folds]
                    for seed in seeds]  # fmt: skip
            units[name] = np.mean(grid, axis=0 if by_person else 1).tolist()
        pairs = [tuple(pair) for pair in protocol.comparisons]
        pairs += [(name, f"{name}, shuffled") for name in protocol.shuffled]
        beside = [("DTFormer", name) for name in protocol.models if name not in ("DTFormer", "TFormer")]
        first = next(iter(done.values()))
        costs = {name: next(r for r in done.values() if r["row"] == row) for name, row in protocol.rows.items()}
        found.append({
            "set": each.name,
            "unit": "person" if by_person else "seed",
            "rows": [{"row": name, "accuracy": values, "mean": float(np.mean(values)), "sd": standard_deviation(values),
                      "parameters": costs[name]["parameters"], "multiply_adds": costs[name]["multiply_adds"]}
                     for name, values in units.items()],
            "tested": [{"row": a, "other": b, **asdict(paired(units[a], units[b]))} for a, b in pairs],
            "beside": [{"row": a, "other": b, **asdict(paired(units[a], units[b]))} for a, b in beside],
            "runs": len(done),
            "seeds": len(seeds),
            "planned_seeds": protocol.seeds[each.name],
            "seconds": sum(result["seconds"] for result in done.values()),
            "versions": first["versions"],
        })  # fmt: skip
    # Holm's correction over the sets, separately for each comparison.
    for place in range(len(found[0]["tested"])):
        tests = [made["tested"][place] for made in found]
        for test, p in zip(tests, holm([test["p"] for test in tests]), strict=True):
            test["p_holm"] = p
    for made in found:
        for difference in made["beside"]:
            del difference["p"]
    return {"protocol": asdict(protocol), "sets": found}


def markdown(summary: dict[str, Any]) -> str:
    parts = []
    for each in summary["sets"]:
        rows = [["row", "parameters", "M multiply-adds", "accuracy, %", f"sd over {each['unit']}s"]]
        rows += [[row["row"], f"{row['parameters']:,}", f"{row['multiply_adds'] / 1e6:.2f}",
                  f"{100 * row['mean']:.2f}", f"{100 * row['sd']:.2f}"] for row in each["rows"]]  # fmt: skip
        tests = [["difference", "points", "95 % interval", "p", "p, Holm"]]
        for test in (*each["tested"], *each["beside"]):
            low, high = test["interval"]
            ps = [f"{test[key]:.3f}" if key in test else "" for key in ("p", "p_holm")]
            tests.append([f"{test['row']} minus {test['other']}", points(test["difference"], 2),
                          f"{points(low, 2)} to {points(high, 2)}", *ps])  # fmt: skip
        units = len(each["rows"][0]["accuracy"])
        seeds = f"{each['seeds']} of {each['planned_seeds']} seeds"
        parts += [
            f"**{each['set']}**, {seeds}, {units} {each['unit']}s\n",
            table(rows[0], rows[1:]),
            table(tests[0], tests[1:]),
        ]
    return "\n".join(parts)


def draw(path: Path, summary: dict[str, Any]) -> None:
    """Draw one panel per set: a dot per unit, and each row's mean with its 95 % interval."""
    sets = summary["sets"]
    with plt.rc_context(STYLE):
        figure, panels = plt.subplots(
            len(sets), 1, figsize=(WIDTH, 2.6 * len(sets)), layout="constrained", squeeze=False
        )
        for axes, each in zip(panels[:, 0], sets, strict=True):
            draw_dots(axes, {row["row"]: row["accuracy"] for row in each["rows"]}, "DTFormer")
            axes.set_title(f"{each['set']} (small: each {each['unit']})")
        panels[-1, 0].set_xlabel("accuracy, % (large: mean and 95 % interval)", fontsize=9)
        save(figure, path)
