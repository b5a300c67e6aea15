"""Deletion and insertion curves of AGA's maps, compared with random maps and a centre prior."""

import sys
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import Progress
from torch import Tensor, nn

from dfer.evaluation.gains import gains, nets_by_gate
from dfer.evaluation.perturbation import Curves, Fill, area, centre_prior, curves, random_maps, shares
from dfer.evaluation.scores import RESAMPLES, interval
from dfer.evaluation.tables import table

RANDOM_MAPS = 3
CENTRE = "centre prior"


def explain(
    net: nn.Module, clips: Tensor, *, fill: Fill, seed: int, batch_size: int
) -> tuple[dict[str, Any], dict[str, Curves]]:
    """Return the report and the curves of every clip by map. `clips` (B, T, 3, H, W) are normalised.

    Random maps have the size of the maps that they are compared with; their curve is the mean over RANDOM_MAPS of them.
    """
    found: dict[str, list[Curves]] = {}
    grids: dict[str, str] = {}
    nets, watched = nets_by_gate(net), sys.stderr.isatty()
    with Progress(console=Console(stderr=True), disable=not watched) as progress:
        task = progress.add_task("curves", total=len(clips))
        for start in range(0, len(clips), batch_size):
            batch = clips[start : start + batch_size]
            with torch.inference_mode():
                answers = net(batch).argmax(dim=1)
            for name, (grid, maps) in maps_to_compare(nets, batch, seed + start).items():
                each = [curves(net, batch, one, answers, fill=fill) for one in maps]
                mean = Curves(*(torch.stack(kind).mean(dim=0) for kind in zip(*each, strict=True)))
                found.setdefault(name, []).append(mean)
                grids[name] = grid
            progress.advance(task, len(batch))
    joined = {name: Curves(*map(torch.cat, zip(*parts, strict=True))) for name, parts in found.items()}
    return report_of(joined, grids, fill=fill, seed=seed), joined


def maps_to_compare(nets: dict[str, nn.Module], clips: Tensor, seed: int) -> dict[str, tuple[str, list[Tensor]]]:
    """For each row: the name of its random map, and the maps whose curves it averages."""
    found: dict[str, tuple[str, list[Tensor]]] = {}
    shapes: dict[str, torch.Size] = {}
    for gate, net in nets.items():
        for stage, maps in gains(net, clips).items():
            found[f"{stage}, {gate}"] = (f"random as {stage}", [maps])
            shapes[stage] = maps.shape
    finest = max(shapes, key=lambda stage: shapes[stage][-1])
    found[CENTRE] = (f"random as {finest}", [centre_prior(shapes[finest])])
    for stage, shape in shapes.items():
        name = f"random as {stage}"
        found[name] = (name, [random_maps(shape, seed + 10**6 * number) for number in range(RANDOM_MAPS)])
    return found


def report_of(found: dict[str, Curves], grids: dict[str, str], *, fill: Fill, seed: int) -> dict[str, Any]:
    clips = len(next(iter(found.values())).deletion)
    drawn = torch.from_numpy(np.random.default_rng(seed).integers(clips, size=(RESAMPLES, clips)))

    def with_interval(values: Tensor) -> dict[str, Any]:
        return {"mean": float(values.mean()), "interval": list(interval(values[drawn].mean(dim=1)))}

    rows = []
    for name, both in found.items():
        row: dict[str, Any] = {"map": name}
        for kind, curve in both._asdict().items():
            row[kind] = with_interval(area(curve))
            if grids[name] != name:
                random = getattr(found[grids[name]], kind)
                row[f"{kind}_minus_random"] = with_interval(area(curve) - area(random))
                if name != CENTRE:
                    centre = getattr(found[CENTRE], kind)
                    row[f"{kind}_minus_centre"] = with_interval(area(curve) - area(centre))
        rows.append(row)
    return {
        "clips": clips,
        "fill": fill,
        "random_maps": RANDOM_MAPS,
        "seed": seed,
        "shares": shares().tolist(),
        "maps": rows,
        "curves": {
            name: {kind: curve.mean(dim=0).tolist() for kind, curve in both._asdict().items()}
            for name, both in found.items()
        },
    }


def markdown(report: dict[str, Any]) -> str:
    def cell(value: dict[str, Any] | None, sign: str = "") -> str:
        if value is None:
            return "-"
        low, high = value["interval"]
        return f"{value['mean']:{sign}.3f} [{low:{sign}.3f}, {high:{sign}.3f}]"

    rows = [
        [row["map"], *(cell(row.get(f"{kind}{what}"), sign) for kind in ("deletion", "insertion")
                       for what, sign in (("", ""), ("_minus_random", "+"), ("_minus_centre", "+")))]
        for row in report["maps"]
    ]  # fmt: skip
    header = ["map", *(column for kind in ("deletion", "insertion")
                       for column in (f"{kind} area", "minus random", "minus centre"))]  # fmt: skip
    return table(header, rows) + (
        f"\nAreas under the curves, means over {report['clips']} clips with 95 % bootstrap intervals; pixels are "
        f"replaced by {'the blurred clip' if report['fill'] == 'blur' else 'the mean colour of the clip'}. A map that "
        "explains the answer has a smaller deletion area and a larger insertion area than random maps of its size "
        f"({report['random_maps']} of them).\n"
    )


def in_words(report: dict[str, Any]) -> list[str]:
    """One sentence per map: whether it is better than random maps and the centre prior."""
    others = {"random": "random maps", "centre": "the centre prior"}
    return [
        f"{row['map']}, against {others[other]}: {told}."
        for row in report["maps"]
        for other in others
        if (told := verdict(row, other))
    ]


def verdict(row: dict[str, Any], other: str) -> str | None:
    """ "better", "worse" or "no difference"; a difference counts if its interval excludes 0."""
    if f"deletion_minus_{other}" not in row:
        return None
    low, high = row[f"deletion_minus_{other}"]["interval"]
    words = {1: "better", 0: "no difference", -1: "worse"}
    falls, rises = words[_side(-high, -low)], words[_side(*row[f"insertion_minus_{other}"]["interval"])]
    return falls if falls == rises else f"{falls} in deletion, {rises} in insertion"


def _side(low: float, high: float) -> int:
    return 1 if low > 0 else -1 if high < 0 else 0
