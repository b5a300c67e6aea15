"""The report: tables in Markdown, which the documentation and the README include, and a chart."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt

from dfer.chart_style import BLUE, INK, MUTED, ORANGE, STYLE, WIDTH, save

Report = dict[str, Any]

# Case and peer of the rows that the README quotes.
HEADLINE = (
    ("AGDTNet, forward, batch 1", "ResNet18 + mean"),
    ("AGDTNet, forward, batch 1", "Former-DFER"),
    ("AGDTNet, training step, batch 1", "ResNet18 + mean"),
    ("AGDTNet, a clip, ONNX Runtime", "Former-DFER, ONNX Runtime"),
    ("AGDTNet's stream, a frame, ONNX Runtime", "ResNet18 alone, ONNX Runtime"),
    ("DTFormer, forward + backward", "nn.TransformerEncoder"),
)
HEADER = ["case", "against", "ratio", "target", "", "ours", "theirs"]


@dataclass(frozen=True)
class Row:
    """Two figures in one unit; ``bound`` is the target of their ratio, ours / theirs, if there is one."""

    case: str
    peer: str
    unit: str
    ours: float
    theirs: float
    bound: float | None = None

    @property
    def ratio(self) -> float:
        return self.ours / self.theirs


def tables(report: Report) -> dict[str, str]:
    """The text of each table by file name."""
    return {
        "headline.md": _headline(report),
        "rows.md": table(HEADER, 2, map(cells, report["rows"])),
        "layers.md": _layers(report),
        "layer_times.md": _layer_times(report),
        "deployed.md": _deployed(report),
    }


def cells(row: dict[str, Any]) -> list[str]:
    ours, theirs = (_figure(row[side], row["unit"]) for side in ("ours", "theirs"))
    return [row["case"], row["peer"], f"{row['ratio']:.2f}", *_target(row), ours, theirs]


def _target(row: dict[str, Any]) -> list[str]:
    if row["bound"] is None:
        return ["", ""]
    return [f"{row['bound']:.2f}", "missed" if row["ratio"] > row["bound"] else "met"]


def _figure(value: float, unit: str) -> str:
    return f"{value:.0f}" if unit == "launches" else f"{value:.2f} {unit}"


def _headline(report: Report) -> str:
    found = {(row["case"], row["peer"]): row for row in report["rows"]}
    rows = []
    for case, peer in HEADLINE:
        if (case, peer) in found:
            row = found[case, peer]
            rows.append([f"{case}, against {peer}", f"{row['ratio']:.2f}", ", ".join(filter(None, _target(row)))])
    times = {(each["layer"], *each["shape"]): each["milliseconds"] for each in report["layers"]}
    for way in ("forward", "forward + backward"):
        ratios = [each[way] / times["timm's CbamModule", *shape][way] for (layer, *shape), each in times.items()
                  if layer == "AGA" and ("timm's CbamModule", *shape) in times]  # fmt: skip
        if ratios:
            rows.append([f"AGA, {way}, against timm's CbamModule", f"{min(ratios):.2f} to {max(ratios):.2f}", ""])
    return table(["case", "ratio", "target"], 1, rows)


def _layers(report: Report) -> str:
    """Launches, which do not depend on the map, and the memory kept for each map."""
    costs: dict[str, list[dict[str, Any]]] = {}
    for each in report["layers"]:
        costs.setdefault(each["layer"], []).append(each)
    shapes = [_named(each["shape"]) for each in next(iter(costs.values()), [])]
    rows = [[name, *(str(count) for count in each[0]["launches"].values()), *(f"{one['kept']:.2f}" for one in each)]
            for name, each in costs.items()]  # fmt: skip
    return table(["", "launches, forward", "with backward", *(f"kept at {shape}" for shape in shapes)], 1, rows)


def _layer_times(report: Report) -> str:
    """Median times of each layer on each map."""
    times: dict[str, dict[str, float]] = {}
    for each in report["layers"]:
        for way, milliseconds in each["milliseconds"].items():
            times.setdefault(f"{_named(each['shape'])}, {way}", {})[each["layer"]] = milliseconds
    names = list(dict.fromkeys(each["layer"] for each in report["layers"]))
    rows = ([case, *(f"{each[name]:.2f}" for name in names)] for case, each in times.items())
    return table(["ms", *names], 1, rows)


def _named(shape: list[int]) -> str:
    return " x ".join(map(str, shape))


def _deployed(report: Report) -> str:
    times: dict[str, dict[str, float]] = {}
    for each in report["deployed"]:
        times.setdefault(f"{each['network']}, {each['what']}", {})[each["form"]] = each["milliseconds"]
    forms = list(dict.fromkeys(each["form"] for each in report["deployed"]))
    return table(["ms", *forms], 1, ([name, *(f"{each[form]:.1f}" for form in forms)] for name, each in times.items()))


def table(header: list[str], texts: int, rows: Iterable[list[str]]) -> str:
    """A Markdown table with ``texts`` left-aligned columns followed by right-aligned ones."""
    lines = [header, ["---"] * texts + ["--:"] * (len(header) - texts), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


COLOURS = (MUTED, BLUE, ORANGE, INK)


def draw_deployed(path: Path, report: dict[str, Any]) -> None:
    """Draw one panel for clips and one for frames, with a group of bars for each form and a bar for each network."""
    found = report["deployed"]
    panels = list(dict.fromkeys(each["what"] for each in found))
    forms = list(dict.fromkeys(each["form"] for each in found))
    with plt.rc_context(STYLE):
        figure, _ = plt.subplots(len(panels), 1, figsize=(WIDTH, 2.8 * len(panels)), layout="constrained")
        for panel, what in zip(figure.axes, panels, strict=True):
            names = list(dict.fromkeys(each["network"] for each in found if each["what"] == what))
            times = {(each["network"], each["form"]): each["milliseconds"] for each in found if each["what"] == what}
            width = 0.8 / len(names)
            for number, name in enumerate(names):
                places = [place + width * (number - (len(names) - 1) / 2) for place in range(len(forms))]
                panel.bar(places, [times[name, form] for form in forms], 0.9 * width, color=COLOURS[number], label=name)
            panel.set_xticks(range(len(forms)), [form.replace(" ", "\n") for form in forms])
            panel.set_title(f"{what}, milliseconds")
            panel.legend(frameon=False, fontsize=9, ncols=len(names), loc="upper center", bbox_to_anchor=(0.5, -0.18))
        save(figure, path)
